"""What ``kubectl get`` prints of the kinds of ``projectcalico.org`` and ``chita.dev``.

By paths, so that kube-apiserver, which has them from a CustomResourceDefinition, and
``chita server`` print the same. Every kind has its name first and its age beside these.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

import msgspec

from chita.model.kinds import Kind


class Shown(Enum):
    """When a column is printed; the values are a CRD's ``priority``."""

    ALWAYS = 0
    WIDE = 1
    """Only with ``-o wide``."""


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A column: its heading and where its cell stands in the object."""

    name: str
    path: str
    """Field names joined by dots, such as ``spec.tier``."""
    type: str = "string"
    """string, integer, number, boolean or date."""
    shown: Shown = Shown.ALWAYS
    absent: str = "<none>"
    """What ``chita server`` prints where there is nothing."""


def columns_of(kind: Kind) -> tuple[Column, ...]:
    """Return the columns of a kind beside its name and its age."""
    return COLUMNS.get(kind.resource, ())


_TIER = Column(name="Tier", path="spec.tier")
_ORDER = Column(name="Order", path="spec.order", type="number")
_SELECTOR = Column(name="Selector", path="spec.selector", shown=Shown.WIDE, absent="all()")
_TYPES = Column(name="Types", path="spec.types")
_POLICY = (_TIER, _ORDER, _TYPES, _SELECTOR)
_NETS = (Column(name="Nets", path="spec.nets"),)
_NODE = Column(name="Node", path="spec.node")
_CIDR = Column(name="CIDR", path="spec.cidr")
_LOCATION = Column(name="Location", path="spec.location")

COLUMNS: Final[dict[str, tuple[Column, ...]]] = {
    "networkpolicies.projectcalico.org": _POLICY,
    "globalnetworkpolicies.projectcalico.org": _POLICY,
    "stagednetworkpolicies.projectcalico.org": _POLICY,
    "stagedglobalnetworkpolicies.projectcalico.org": _POLICY,
    "stagedkubernetesnetworkpolicies.projectcalico.org": (
        Column(name="Action", path="spec.stagedAction"),
    ),
    "tiers.projectcalico.org": (
        _ORDER,
        Column(name="Default-Action", path="spec.defaultAction"),
    ),
    "networksets.projectcalico.org": _NETS,
    "globalnetworksets.projectcalico.org": _NETS,
    "hostendpoints.projectcalico.org": (
        _NODE,
        Column(name="Interface", path="spec.interfaceName"),
        Column(name="IPs", path="spec.expectedIPs", shown=Shown.WIDE),
    ),
    "workloadendpoints.projectcalico.org": (
        _NODE,
        Column(name="Networks", path="spec.ipNetworks"),
        Column(name="Interface", path="spec.interfaceName", shown=Shown.WIDE),
    ),
    "ippools.projectcalico.org": (
        _CIDR,
        Column(name="NAT", path="spec.natOutgoing", type="boolean"),
        Column(name="Disabled", path="spec.disabled", type="boolean"),
        Column(name="Selector", path="spec.nodeSelector", shown=Shown.WIDE, absent="all()"),
    ),
    "ipreservations.projectcalico.org": (Column(name="Reserved", path="spec.reservedCIDRs"),),
    "ipamblocks.projectcalico.org": (_CIDR, Column(name="Affinity", path="spec.affinity")),
    "blockaffinities.projectcalico.org": (
        _NODE,
        _CIDR,
        Column(name="State", path="spec.state"),
    ),
    "bgppeers.projectcalico.org": (
        _NODE,
        Column(name="Peer", path="spec.peerIP"),
        Column(name="AS", path="spec.asNumber"),
    ),
    "fabricconfigurations.chita.dev": (
        Column(name="Encryption", path="spec.encryption"),
        Column(name="Key-Epoch", path="spec.keyEpoch", type="integer"),
    ),
    "locations.chita.dev": (
        Column(name="Encapsulation", path="spec.encapsulation"),
        Column(name="MTU", path="spec.wireMTU", type="integer"),
    ),
    "fabricnodes.chita.dev": (
        _LOCATION,
        Column(name="NAT", path="spec.nat"),
        Column(name="Endpoints", path="spec.endpoints"),
        Column(name="MTU", path="spec.wireMTU", type="integer", shown=Shown.WIDE),
    ),
    "staticpeers.chita.dev": (
        Column(name="Gateway", path="spec.gateway"),
        Column(name="Addresses", path="spec.addresses"),
        Column(name="Networks", path="spec.networks", shown=Shown.WIDE),
    ),
    "underlays.chita.dev": (Column(name="Provider", path="spec.provider"),),
}
