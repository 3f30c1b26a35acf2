"""Settings of the cluster: each with its default, unit and range (FabricConfiguration, Felix)."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from chita.model.net import TCP, UDP, Cidr


class Encryption(StrEnum):
    """Which traffic between nodes is encrypted."""

    BETWEEN_LOCATIONS = "BetweenLocations"
    ALL = "All"
    NONE = "None"


class HostAction(StrEnum):
    """What happens to a pod's packet to its own node after egress policy allowed it."""

    ACCEPT = "Accept"
    DROP = "Drop"


class DeniedFlows(StrEnum):
    """What becomes of an established flow that policy no longer allows."""

    END = "End"
    """It ends; and TCP is never picked up in the middle of a flow that the kernel forgot."""
    KEEP = "Keep"
    """It goes on until it ends by itself, as in Calico."""


class Period(StrEnum):
    """What a rate is counted in."""

    SECOND = "second"
    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"

    @property
    def seconds(self) -> int:
        """Its length."""
        return _SECONDS[self]


_SECONDS = {Period.SECOND: 1, Period.MINUTE: 60, Period.HOUR: 3600, Period.DAY: 86400}


class Rate(msgspec.Struct, frozen=True):
    """So many in a period, spelled ``10/second``."""

    count: int
    period: Period

    def __str__(self) -> str:
        return f"{self.count}/{self.period}"


class FlowLogGroups(msgspec.Struct, frozen=True):
    """The NFLOG groups (1 to 65535) that verdicts are told to, by direction."""

    ingress: int = 1
    egress: int = 2


class FailsafePort(msgspec.Struct, frozen=True):
    """A port that no policy of a host closes: what keeps an operator from being locked out."""

    protocol: int
    port: int
    net: Cidr | None = None
    """Only from there, or (outbound) only to there; None: anywhere."""


_BOTH_WAYS = (179, 2379, 2380, 5473, 6443, 6666, 6667)
_FAILSAFE_BOTH = tuple([FailsafePort(TCP, port) for port in _BOTH_WAYS])
FAILSAFE_INBOUND = (FailsafePort(TCP, 22), FailsafePort(UDP, 68), *_FAILSAFE_BOTH)
FAILSAFE_OUTBOUND = (FailsafePort(UDP, 53), FailsafePort(UDP, 67), *_FAILSAFE_BOTH)
"""Upstream's: SSH, DHCP, DNS, BGP, etcd, Typha and the API server (v3 2.10, *Failsafes*)."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The cluster's settings after defaults; one value, named ``default``."""

    encryption: Encryption = Encryption.BETWEEN_LOCATIONS
    wireguard_port: int = 51820
    """UDP, 1 to 65535."""
    key_epoch: int = 0
    """How often all nodes are to have changed their WireGuard keys."""
    key_rotation_hours: int = 24
    """How often the controller raises *key_epoch*; 0: never."""
    keepalive_s: int = 25
    """WireGuard keepalive towards and from nodes behind NAT, seconds, 1 to 65535 (hybrid 2.5)."""
    active_gateways: int = 2
    """How many gateways share what a node sends to a location, 1 to 8."""
    full_mesh_nodes: int = 200
    """With more nodes than these in the fabric, ordinary nodes of two locations have no tunnels."""
    tcp_relay_port: int = 443
    """TCP, where gateways take WireGuard's datagrams in TLS streams; 0: nowhere."""
    vxlan_port: int = 4789
    """UDP (RFC 7348)."""
    vxlan_vni: int = 4096
    mesh_cidrs: tuple[Cidr, ...] = (Cidr(4, 0x64400000, 16), Cidr.parse("fd00:100:64::/64"))
    """Where nodes get their mesh addresses: 100.64.0.0/16 (RFC 6598) and a ULA."""
    denied_flows: DeniedFlows = DeniedFlows.END
    endpoint_to_host: HostAction = HostAction.ACCEPT
    log_prefix: str = "calico-packet"
    """Before each line of a Log rule: %t tier, %k kind, %n name, %p namespace/name of its owner."""
    log_rate: Rate = Rate(10, Period.SECOND)
    """Of lines, for each Log rule by itself. Upstream has no limit unless asked: a flood must not
    fill the disk."""
    log_burst: int = 5
    """Lines that may come at once before the rate counts, 1 to 9999."""
    flow_log_groups: FlowLogGroups | None = None
    """None: verdicts are only counted."""

    failsafe_inbound: tuple[FailsafePort, ...] = FAILSAFE_INBOUND
    failsafe_outbound: tuple[FailsafePort, ...] = FAILSAFE_OUTBOUND

    @property
    def key(self) -> str:
        """There is one."""
        return "default"
