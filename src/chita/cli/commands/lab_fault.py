"""``chita lab fault``: break something in the lab that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from chita.cli.running_lab import running_lab

# What each command imports is imported when it runs: `--help` should not load the lab.

if TYPE_CHECKING:
    from chita.lab.faults import Fault


@click.group()
def fault() -> None:
    r"""Break something of the running lab; `chita lab heal` mends all of it.

    \b
    Example:
        chita lab fault cloud gcp
    """


def _make(wanted: Fault) -> None:
    from chita.lab.faulty import break_lab

    break_lab(running_lab(), wanted)
    click.echo(f"broken: {wanted}; mend it with: chita lab heal")


@fault.command()
@click.argument("node")
def link(node: str) -> None:
    """Pull the cable of NODE."""
    from chita.lab.faults import LinkDown

    _make(LinkDown(node))


@fault.command("cloud")
@click.argument("cloud")
def cut_off(cloud: str) -> None:
    """Cut CLOUD's way to the internet; inside it all works."""
    from chita.lab.faults import CloudCutOff

    _make(CloudCutOff(cloud))


@fault.command()
@click.argument("cloud")
@click.option("--percent", type=click.FloatRange(0, 100), default=10.0, show_default=True)
def loss(cloud: str, percent: float) -> None:
    """Lose a share of the packets between CLOUD and the internet."""
    from chita.lab.faults import PacketLoss

    _make(PacketLoss(cloud, percent))


@fault.command()
@click.argument("cloud")
@click.option(
    "--bytes",
    "longest",
    type=click.IntRange(576, 1500),
    default=1400,
    show_default=True,
    help="The longest IP packet that still passes.",
)
def mtu(cloud: str, longest: int) -> None:
    """Drop long packets between CLOUD and the internet, without an ICMP error."""
    from chita.lab.faults import WanMtu

    _make(WanMtu(cloud, longest))


@fault.command()
@click.argument("cloud")
def udp(cloud: str) -> None:
    """Let only TCP 443 out of CLOUD, and the API's 6443."""
    from chita.lab.faults import UdpBlocked

    _make(UdpBlocked(cloud))


@fault.command()
@click.argument("cloud")
@click.option(
    "--kind",
    type=click.Choice(["endpoint-independent", "endpoint-dependent"]),
    default="endpoint-independent",
    show_default=True,
    help="Keeps the source port, or takes a random one for each destination.",
)
@click.option(
    "--idle",
    type=click.IntRange(1, 600),
    default=30,
    show_default=True,
    help="Seconds after which it forgets an idle UDP flow.",
)
def nat(cloud: str, kind: str, idle: int) -> None:
    """Give CLOUD a NAT of another kind."""
    from chita.lab.faults import NatSwitched
    from chita.lab.underlay import NatKind

    _make(NatSwitched(cloud=cloud, kind=NatKind(kind), udp_idle_seconds=idle))


@fault.command()
@click.argument("cloud")
@click.option(
    "--turn",
    type=click.IntRange(1, 40),
    default=1,
    show_default=True,
    help="The first other public address, the second, ...",
)
def nat_restart(cloud: str, turn: int) -> None:
    """Restart CLOUD's NAT: it forgets all flows and has a new public address."""
    from chita.lab.faults import NatRestarted

    _make(NatRestarted(cloud, turn))


@fault.command()
@click.argument("node")
def forwarding(node: str) -> None:
    """Let NODE answer for itself and silently forward nothing."""
    from chita.lab.faults import ForwardingBroken

    _make(ForwardingBroken(node))


@fault.command()
@click.argument("node")
def engine(node: str) -> None:
    """Kill the WireGuard processes of NODE."""
    from chita.lab.faults import EngineKilled

    _make(EngineKilled(node))


@fault.command()
@click.argument("node")
def agent(node: str) -> None:
    """Kill the agent of NODE."""
    from chita.lab.faults import AgentKilled

    _make(AgentKilled(node))


@fault.command()
def server() -> None:
    """Stop the API server."""
    from chita.lab.faults import ServerStopped

    _make(ServerStopped())


@fault.command()
@click.argument("node")
@click.argument("location")
def label(node: str, location: str) -> None:
    """Let the label of NODE claim another LOCATION."""
    from chita.lab.faults import WrongLocation

    _make(WrongLocation(node, location))


@fault.command()
@click.argument("node")
@click.option("--seconds", type=click.IntRange(10, 86400), default=3600, show_default=True)
def clock(node: str, seconds: int) -> None:
    """Let NODE start with its clock set back: others have seen later handshakes of it."""
    from chita.lab.faults import ClockBack

    _make(ClockBack(node, seconds))
