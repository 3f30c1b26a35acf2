"""Whether a rule matches a packet, and if not, on account of which of its fields.

One generator says both, so that an explanation cannot disagree with the verdict. It reads the
rule as it was written (v3 2.4, 2.5), not the sets the kernel is given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum

import msgspec

from chita.compute.address_book import Known, Owner
from chita.model.net import Family, PortRange
from chita.model.policy import EntityRule, IcmpMatch, Rule
from chita.model.selector import Selector


class Field(StrEnum):
    """A field of a rule, spelled as in the v3 API."""

    IP_VERSION = "ipVersion"
    PROTOCOL = "protocol"
    NOT_PROTOCOL = "notProtocol"
    ICMP = "icmp"
    NOT_ICMP = "notICMP"
    HTTP = "http"
    SOURCE_NETS = "source.nets"
    SOURCE_NOT_NETS = "source.notNets"
    SOURCE_SELECTOR = "source.selector"
    SOURCE_NOT_SELECTOR = "source.notSelector"
    SOURCE_PORTS = "source.ports"
    SOURCE_NOT_PORTS = "source.notPorts"
    SOURCE_SERVICES = "source.services"
    DESTINATION_NETS = "destination.nets"
    DESTINATION_NOT_NETS = "destination.notNets"
    DESTINATION_SELECTOR = "destination.selector"
    DESTINATION_NOT_SELECTOR = "destination.notSelector"
    DESTINATION_PORTS = "destination.ports"
    DESTINATION_NOT_PORTS = "destination.notPorts"
    DESTINATION_SERVICES = "destination.services"


class _SideFields(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of one side of a rule."""

    nets: Field
    not_nets: Field
    selector: Field
    not_selector: Field
    ports: Field
    not_ports: Field


_SOURCE = _SideFields(
    nets=Field.SOURCE_NETS,
    not_nets=Field.SOURCE_NOT_NETS,
    selector=Field.SOURCE_SELECTOR,
    not_selector=Field.SOURCE_NOT_SELECTOR,
    ports=Field.SOURCE_PORTS,
    not_ports=Field.SOURCE_NOT_PORTS,
)
_DESTINATION = _SideFields(
    nets=Field.DESTINATION_NETS,
    not_nets=Field.DESTINATION_NOT_NETS,
    selector=Field.DESTINATION_SELECTOR,
    not_selector=Field.DESTINATION_NOT_SELECTOR,
    ports=Field.DESTINATION_PORTS,
    not_ports=Field.DESTINATION_NOT_PORTS,
)
_ANY = EntityRule()


class End(msgspec.Struct, frozen=True, gc=False):
    """What rules read of one end of a packet."""

    known: Known
    port: int


class Packet(msgspec.Struct, frozen=True, gc=False):
    """What rules read of a packet."""

    source: End
    destination: End
    protocol: int
    icmp_type: int | None
    icmp_code: int | None


def is_out_of_question(rule: Rule, packet: Packet) -> bool:
    """Whether *rule* matches no packet of the protocol and ports of *packet*, whoever sends it.

    Sound, not complete: where it is false, `mismatches` decides.
    """
    if rule.protocol is not None and rule.protocol != packet.protocol:
        return True
    if rule.http is not None:
        return True
    for entity, port in (
        (rule.destination, packet.destination.port),
        (rule.source, packet.source.port),
    ):
        if entity.ports and not entity.named_ports and not _has_port(port, entity.ports):
            return True
    return False


def selects_nobody(end: End, selector: Selector | None) -> bool:
    """Whether *selector* is there, and matches nobody who has the address of *end*."""
    if selector is None:
        return False
    for owner in end.known.owners:  # noqa: SIM110 - any() is half as fast, and this is the core
        if owner.is_selected(selector):
            return False
    return True


def mismatches(rule: Rule, packet: Packet) -> Iterator[Field]:
    """Yield the fields of *rule* that *packet* does not fulfil; nothing when the rule matches."""
    if rule.protocol is not None and rule.protocol != packet.protocol:
        yield Field.PROTOCOL
    if rule.destination != _ANY:
        end = packet.destination
        yield from _side_mismatches(_DESTINATION, rule.destination, end, packet.protocol)
        yield from _destination_service_mismatches(rule, packet)
    if rule.source != _ANY:
        end = packet.source
        yield from _side_mismatches(_SOURCE, rule.source, end, packet.protocol)
        if rule.source.service is not None and rule.source.service not in end.known.services:
            yield Field.SOURCE_SERVICES
    if rule.not_protocol is not None and rule.not_protocol == packet.protocol:
        yield Field.NOT_PROTOCOL
    if not _exists_for(rule, packet.source.known.family):
        yield Field.IP_VERSION
    if rule.icmp is not None and not _is_icmp(rule.icmp, packet):
        yield Field.ICMP
    if rule.not_icmp is not None and _is_icmp(rule.not_icmp, packet):
        yield Field.NOT_ICMP
    if rule.http is not None:
        # Methods and paths are not known at this layer: an Allow with them allows nothing.
        yield Field.HTTP


def _side_mismatches(
    fields: _SideFields, entity: EntityRule, end: End, protocol: int
) -> Iterator[Field]:
    if (entity.ports or entity.named_ports) and not (
        _has_port(end.port, entity.ports)
        or _has_named_port(entity, end, protocol, entity.named_ports)
    ):
        yield fields.ports
    if _has_port(end.port, entity.not_ports) or _has_named_port(
        entity, end, protocol, entity.not_named_ports
    ):
        yield fields.not_ports
    if entity.selector is not None:
        if not _has_owner(end, entity):
            yield fields.selector
    elif entity.not_selector is not None and _has_unwanted(end, entity.not_selector):
        yield fields.not_selector
    if entity.nets and end.known.nets.isdisjoint(entity.nets):
        yield fields.nets
    if not end.known.nets.isdisjoint(entity.not_nets):
        yield fields.not_nets


def _is_selected(owner: Owner, entity: EntityRule) -> bool:
    """Whether *owner* is one that the positive and not the negated selector matches."""
    if entity.selector is not None and not owner.is_selected(entity.selector):
        return False
    if entity.selector is not None and entity.not_selector is not None:
        return not owner.is_selected(entity.not_selector)
    return True


def _has_owner(end: End, entity: EntityRule) -> bool:
    for owner in end.known.owners:  # noqa: SIM110 - any() is half as fast, and this is the core
        if _is_selected(owner, entity):
            return True
    return False


def _has_unwanted(end: End, selector: Selector) -> bool:
    return any(owner.is_selected(selector) for owner in end.known.owners)


def _has_port(port: int, ranges: Sequence[PortRange]) -> bool:
    for each in ranges:  # noqa: SIM110 - any() is half as fast, and this is the core
        if each.first <= port <= each.last:
            return True
    return False


def _has_named_port(entity: EntityRule, end: End, protocol: int, names: Sequence[str]) -> bool:
    """Whether a selected owner declares one of *names* as this port of *protocol*.

    v3 2.5, edge case 5; negated names are narrowed by the positive selector too.
    """
    return bool(names) and any(
        declared.name in names and declared.port == end.port and declared.protocol == protocol
        for owner in end.known.owners
        if _is_selected(owner, entity)
        for declared in owner.ports
    )


def _destination_service_mismatches(rule: Rule, packet: Packet) -> Iterator[Field]:
    """As a source a service is its endpoints' addresses; as a destination, their ports too."""
    service = rule.destination.service
    if service is not None:
        end = packet.destination
        if (service, packet.protocol, end.port) not in end.known.service_ports:
            yield Field.DESTINATION_SERVICES


def _exists_for(rule: Rule, family: Family) -> bool:
    """Whether *rule* exists for IP version *family*.

    "A rule with a v4-only net is skipped in v6 even if it is a Deny" (v3 2.5, case 6); negated
    networks count too.
    """
    if rule.family not in {None, family}:
        return False
    source, destination = rule.source, rule.destination
    for nets in (source.nets, source.not_nets, destination.nets, destination.not_nets):
        if nets and not any(net.family == family for net in nets):
            return False
    return True


def _is_icmp(wanted: IcmpMatch, packet: Packet) -> bool:
    if wanted.type is not None and wanted.type != packet.icmp_type:
        return False
    return wanted.code is None or wanted.code == packet.icmp_code
