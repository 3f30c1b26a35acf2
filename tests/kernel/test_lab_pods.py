"""One process answers for every pod, and the flow tester finds out who did."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chita.errors import KernelError
from chita.lab.netns import ip_batch, run_in
from chita.lab.pods import Add, Remove, Reply, tell
from chita.lab.probe import Allowed, Expectation, Flow, Refused, TimedOut, Unreachable, run_flows
from chita.lab.underlay import Port
from chita.model.net import ICMP, SCTP, TCP, UDP, Address
from network_namespace import fresh_namespaces, needs_root

pytestmark = [pytest.mark.kernel, needs_root]

PORTS = (Port(port=8080), Port(port=53, protocol="UDP"))


@contextmanager
def two_pods() -> Iterator[tuple[Path, Path]]:
    """Yield two joined namespaces: 192.0.2.1 and .2, 2001:db8::1 and ::2."""
    with fresh_namespaces(2) as (left, right):
        ip_batch(left, [f"link add eth0 type veth peer name eth0 netns {right.name}"])
        for number, path in ((1, left), (2, right)):
            ip_batch(
                path,
                [
                    "link set eth0 up",
                    f"address add 192.0.2.{number}/24 dev eth0",
                    f"address add 192.0.2.{number + 100}/24 dev eth0",
                    f"address add 2001:db8::{number}/64 dev eth0 nodad",
                    "route add default via 192.0.2.77" if number == 1 else "link set lo up",
                ],
            )
        yield left, right


@contextmanager
def listening(directory: Path) -> Iterator[Path]:
    """Yield the control socket of a listening process."""
    control = directory / "pods.sock"
    command = [sys.executable, "-m", "chita.lab.pods", "--control", str(control)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield control
    finally:
        process.terminate()
        process.communicate(timeout=10)
    assert process.returncode == 0
    assert not control.exists()


def flow(source: Path, destination: str, protocol: int, port: int = 0, *, size: int = 0) -> Flow:
    return Flow(
        namespace=str(source),
        destination=Address.parse(destination),
        protocol=protocol,
        port=port,
        size_bytes=size,
    )


@pytest.mark.slow
def test_conversation(tmp_path: Path) -> None:
    """Each port of each family answers with the pod's name, and nothing after it was removed."""
    with two_pods() as (left, right), listening(tmp_path) as control:
        add = Add(name="shop/web", namespace=str(right), ports=PORTS)
        assert [Reply()] == tell(control, [add])
        flows = [
            flow(left, "192.0.2.2", TCP, 8080),
            flow(left, "2001:db8::2", TCP, 8080),
            flow(left, "2001:db8::2", TCP, 8080, size=100_000),
            flow(left, "192.0.2.2", UDP, 53),
            flow(left, "2001:db8::2", UDP, 53),
            flow(left, "192.0.2.2", UDP, 53, size=1472),
            # Not the address that the kernel would answer from by itself.
            flow(left, "192.0.2.102", UDP, 53),
        ]
        by = [result.by for result in run_flows(flows) if isinstance(result, Allowed)]
        assert ["shop/web"] * len(flows) == by

        # Adding again replaces; a port that is gone is closed.
        less = Add(name="shop/web", namespace=str(right), ports=PORTS[:1])
        assert [Reply()] == tell(control, [less])
        assert [Refused()] == run_flows([flows[3]])
        tell(control, [Remove("shop/web")])
        assert [Refused()] * 2 == run_flows(flows[:2])


@pytest.mark.slow
def test_outcomes(tmp_path: Path) -> None:
    """What is dropped, refused and unroutable is told apart."""
    with two_pods() as (left, right), listening(tmp_path) as control:
        tell(control, [Add(name="web", namespace=str(right), ports=PORTS)])
        run_in(right, ["nft", "-f", "-"], text=_DROP_22)
        flows = [
            flow(left, "192.0.2.2", ICMP),
            flow(left, "192.0.2.2", TCP, 22),
            flow(left, "192.0.2.2", TCP, 9),
            flow(left, "192.0.2.2", UDP, 9),
            flow(right, "203.0.113.1", TCP, 80),
            flow(left, "192.0.2.2", UDP, 53, size=1473),
        ]
        outcomes = run_flows(flows, timeout_s=0.3)

    assert isinstance(outcomes[0], Allowed)
    assert [TimedOut(), Refused(), Refused()] == outcomes[1:4]
    assert [Unreachable("Network is unreachable"), Unreachable("Message too long")] == outcomes[4:]


_DROP_22 = "table inet t { chain c { type filter hook input priority 0; tcp dport 22 drop; }; }"


def test_unsupported_protocol(tmp_path: Path) -> None:
    """A protocol that the kernel lacks is named and skipped; the other ports listen."""
    if Path("/proc/net/sctp").exists():
        pytest.skip("the kernel has SCTP")
    with two_pods() as (left, right), listening(tmp_path) as control:
        sctp = Port(port=7, protocol="SCTP")
        (reply,) = tell(control, [Add(name="web", namespace=str(right), ports=(sctp, *PORTS))])
        assert Reply(skipped=(sctp,)) == reply
        (web, none) = run_flows(
            [flow(left, "192.0.2.2", TCP, 8080), flow(left, "192.0.2.2", SCTP, 7)]
        )

    assert isinstance(web, Allowed)
    assert none == Unreachable("Protocol not supported")


def test_bad_messages(tmp_path: Path) -> None:
    """What can't be done is said, and leaves nothing half open."""
    with listening(tmp_path) as control:
        add = Add(name="web", namespace="/run/netns/chita-t-none", ports=PORTS)
        (reply,) = tell(control, [add])

        assert "enter network namespace /run/netns/chita-t-none" in reply.error
    with pytest.raises(KernelError, match="is the lab up"):
        tell(control, [add])


@pytest.mark.slow
def test_many_flows(tmp_path: Path) -> None:
    """2,000 flows, half of them dropped, take less than ten seconds."""
    with two_pods() as (left, right), listening(tmp_path) as control:
        tell(control, [Add(name="web", namespace=str(right), ports=PORTS)])
        run_in(right, ["nft", "-f", "-"], text=_DROP_22)
        flows = []
        for port, expected in ((8080, Expectation.ANSWER), (22, Expectation.SILENCE)):
            one = Flow(
                namespace=str(left),
                destination=Address.parse("192.0.2.2"),
                protocol=TCP,
                port=port,
                expected=expected,
            )
            flows += [one] * 1000
        started = time.monotonic()
        outcomes = run_flows(flows)
        took_s = time.monotonic() - started

    assert Counter({Allowed: 1000, TimedOut: 1000}) == Counter(type(o) for o in outcomes)
    assert took_s < 10
