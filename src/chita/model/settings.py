"""Settings of the cluster: each with its default, unit and range (FabricConfiguration, Felix)."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from chita.model.net import Cidr


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


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The cluster's settings after defaults; one value, named ``default``."""

    encryption: Encryption = Encryption.BETWEEN_LOCATIONS
    wireguard_port: int = 51820
    """UDP, 1 to 65535."""
    keepalive_s: int = 25
    """WireGuard keepalive towards and from nodes behind NAT, seconds, 1 to 65535 (hybrid 2.5)."""
    vxlan_port: int = 4789
    """UDP (RFC 7348)."""
    vxlan_vni: int = 4096
    mesh_cidrs: tuple[Cidr, ...] = (Cidr(4, 0x64400000, 16), Cidr.parse("fd00:100:64::/64"))
    """Where nodes get their mesh addresses: 100.64.0.0/16 (RFC 6598) and a ULA."""
    denied_flows: DeniedFlows = DeniedFlows.END
    endpoint_to_host: HostAction = HostAction.ACCEPT
    log_prefix: str = "calico-packet"

    @property
    def key(self) -> str:
        """There is one."""
        return "default"
