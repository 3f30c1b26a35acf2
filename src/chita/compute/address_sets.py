"""What stands in the sets that rules name."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import chain

from chita.compute.classes import LabelClass
from chita.compute.endpoints import OtherPeer, Peer
from chita.desired.policy import AddressSet, PortMember, PortSet
from chita.model.net import Cidr, collapse
from chita.model.policy import ServiceRef
from chita.model.service import EndpointSlice

FEW = 8
"""Members of a class whose addresses are not kept together, for the next set that it is in."""

_NO_NETWORKS = frozenset[Cidr]()


def address_set(classes: Iterable[LabelClass[Peer]]) -> AddressSet:
    """Return the addresses of the members of *classes*; an address that several have is one."""
    members: list[Peer] = []
    large: list[AddressSet] = []
    for each in classes:
        if len(each.members) > FEW:
            large.append(_made(each))
        else:
            members += each.members.values()
    few = _addresses(members)
    if not large:
        return few
    networks = [net for each in (few, *large) for net in each.networks]
    return AddressSet(
        addresses=few.addresses.union(*[each.addresses for each in large]),
        networks=frozenset(collapse(networks)) if networks else _NO_NETWORKS,
    )


def _made(each: LabelClass[Peer]) -> AddressSet:
    """Return the addresses of one class, made once for all the sets that it is in."""
    if not isinstance(each.made, AddressSet):
        each.made = _addresses(each.members.values())
    return each.made


def _addresses(members: Collection[Peer]) -> AddressSet:
    others = [member for member in members if type(member) is OtherPeer]
    networks = [net for member in others for net in member.networks]
    return AddressSet(
        addresses=frozenset(chain.from_iterable([member.addresses for member in members])),
        networks=frozenset(collapse(networks)) if networks else _NO_NETWORKS,
    )


def port_set(classes: Iterable[LabelClass[Peer]], protocol: int | None, name: str) -> PortSet:
    """Return what members of *classes* declare as port *name*, of *protocol* or (None) of any.

    A member that does not declare it adds nothing: the rule does not match there (v3 trap 8).
    """
    return frozenset(
        [
            PortMember(address, port.protocol, port.port)
            for each in classes
            for member in each.members.values()
            for port in member.ports
            if port.name == name and protocol in {None, port.protocol}
            for address in member.addresses
        ]
    )


def service_port_set(slices: Iterable[EndpointSlice]) -> PortSet:
    """Return the endpoints of *slices* with their ports, ready or not (v3 trap 9)."""
    return frozenset(
        [
            PortMember(endpoint.address, endpoint.protocol, endpoint.port)
            for each in slices
            for endpoint in each.endpoints
        ]
    )


def service_address_set(slices: Iterable[EndpointSlice]) -> AddressSet:
    """Return the addresses of the endpoints of *slices*, ready or not (v3 trap 9)."""
    return AddressSet(
        addresses=frozenset([endpoint.address for each in slices for endpoint in each.endpoints])
    )


def slice_service(each: EndpointSlice) -> ServiceRef:
    """Return the Service that *each* is a part of."""
    return ServiceRef(each.namespace, each.service)
