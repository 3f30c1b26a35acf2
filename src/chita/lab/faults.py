"""What can be broken in a lab: plain values, kept in the state file.

So `lab heal` knows in another process what to mend. Who makes each: `lab.faulty` for all,
`lab.faults_underlay` for those of the network, `lab.faults_node` for those inside a node.
"""

from __future__ import annotations

import msgspec

from chita.lab.underlay import NatKind


class LinkDown(msgspec.Struct, frozen=True, tag="link-down"):
    """A node's cable is pulled."""

    node: str

    def __str__(self) -> str:
        return f"link of {self.node} down"


class CloudCutOff(msgspec.Struct, frozen=True, tag="cloud-cut-off"):
    """A cloud's way to the internet is cut; inside it all works."""

    cloud: str

    def __str__(self) -> str:
        return f"cloud {self.cloud} cut off"


class PacketLoss(msgspec.Struct, frozen=True, tag="packet-loss"):
    """A share of the packets between a cloud and the internet vanishes, both ways."""

    cloud: str
    percent: float

    def __str__(self) -> str:
        return f"{self.percent:g} % loss at {self.cloud}"


class ForwardingBroken(msgspec.Struct, frozen=True, tag="forwarding-broken"):
    """A node answers for itself and drops what it should forward, without a word."""

    node: str

    def __str__(self) -> str:
        return f"{self.node} forwards nothing"


class WanMtu(msgspec.Struct, frozen=True, tag="wan-mtu"):
    """Longer IP packets between a cloud and the internet vanish without an ICMP error."""

    cloud: str
    longest_bytes: int

    def __str__(self) -> str:
        return f"packets over {self.longest_bytes} bytes vanish at {self.cloud}"


class UdpBlocked(msgspec.Struct, frozen=True, tag="udp-blocked"):
    """Out of a cloud goes TCP to ports 443 and 6443 (the API) and nothing else."""

    cloud: str

    def __str__(self) -> str:
        return f"only TCP 443 leaves {self.cloud}"


class NatRestarted(msgspec.Struct, frozen=True, tag="nat-restarted"):
    """A cloud's NAT has forgotten all flows and translates to another public address."""

    cloud: str
    turn: int = 1
    """Which other address: the first, the second; so that it can be restarted once more."""

    def __str__(self) -> str:
        return f"NAT of {self.cloud} restarted with new public address {self.turn}"


class NatSwitched(msgspec.Struct, frozen=True, tag="nat-switched", kw_only=True):
    """A cloud's NAT is of another kind; it has forgotten all flows."""

    cloud: str
    kind: NatKind
    udp_idle_seconds: int = 30
    """When it forgets a UDP flow, answered or not."""

    def __str__(self) -> str:
        return f"NAT of {self.cloud} is {self.kind}, UDP idle {self.udp_idle_seconds} s"


class AgentKilled(msgspec.Struct, frozen=True, tag="agent-killed"):
    """A node's agent is killed; the kernel keeps forwarding."""

    node: str

    def __str__(self) -> str:
        return f"agent of {self.node} killed"


class EngineKilled(msgspec.Struct, frozen=True, tag="engine-killed"):
    """A node's WireGuard engines are killed; its agent may start them again."""

    node: str

    def __str__(self) -> str:
        return f"WireGuard engine of {self.node} killed"


class ClockBack(msgspec.Struct, frozen=True, tag="clock-back"):
    """A node started again with its clock set back: others have seen later handshakes of it."""

    node: str
    seconds: int

    def __str__(self) -> str:
        return f"clock of {self.node} set back by {self.seconds} s"


class ServerStopped(msgspec.Struct, frozen=True, tag="server-stopped"):
    """The API server is stopped."""

    def __str__(self) -> str:
        return "API server stopped"


class WrongLocation(msgspec.Struct, frozen=True, tag="wrong-location"):
    """A Node object's label names a location where the node does not stand."""

    node: str
    location: str

    def __str__(self) -> str:
        return f"label of {self.node} says location {self.location}"


RouterFault = NatRestarted | NatSwitched
"""Faults that give a cloud's router other rules."""

UnderlayFault = (
    LinkDown | CloudCutOff | PacketLoss | ForwardingBroken | WanMtu | UdpBlocked | RouterFault
)
"""Faults of the network."""

NodeFault = AgentKilled | EngineKilled | ClockBack
"""Faults of processes on a node."""

Fault = UnderlayFault | NodeFault | ServerStopped | WrongLocation
