"""Questions about flows, and their answers as ``chita explain`` prints them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import msgspec

from chita.cli.parties import End, Party, ServiceEnd, destination, source
from chita.compute.evaluate import Evaluator
from chita.compute.explain import DirectionSummary, FlowSummary, summary
from chita.compute.flow import Flow, Verdict
from chita.convert.service_endpoints import backends
from chita.convert.world import World
from chita.errors import InputError
from chita.model.net import ICMP, ICMPV6, PORT_PROTOCOLS, Address, parse_protocol, protocol_name
from chita.model.service import Service, ServicePort, SliceEndpoint

_ECHO_REQUEST = {ICMP: 8, ICMPV6: 128}
"""RFC 792, RFC 4443."""

_NAMES = {"tcp": "TCP", "udp": "UDP", "sctp": "SCTP", "icmp": "ICMP", "icmpv6": "ICMPv6"}


class Question(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """One flow: an element of the list in ``--flows FILE``."""

    from_: str
    to: str
    port: int | None = None
    protocol: str | int = "TCP"
    family: int | None = None
    """4 or 6 where both ends have both; IPv4 unless set."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A flow as it was tried, with its verdict; several for a service."""

    question: Question
    flow: Flow | None
    """None: the service has no endpoint to try."""
    sender: str = ""
    """The pod that sends, where a Deployment or the like was named."""
    backend: str = ""
    """The pod behind the service, or of the Deployment or the like, that *flow* goes to."""
    answer: FlowSummary


class _Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where one packet goes, and from which of the sender's addresses."""

    origin: Address
    address: Address
    node: str | None = None
    port: int | None = None
    """Of the endpoint behind a service; None: the one that was asked for."""
    backend: str = ""


class Inquiry:
    """Answers questions about one world; what repeats is looked up once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.cluster = world.cluster
        self.listeners = world.listeners
        self.evaluator = Evaluator(world.cluster)
        self._sources: dict[str, End] = {}
        self._destinations: dict[tuple[str, str], Party] = {}

    def ask(self, question: Question) -> FlowSummary:
        """Return the verdict; to a service, that of its first endpoint which is denied, if any.

        Raises:
            NotFoundError: an end does not exist.
            InputError: the question has no meaning.
        """
        return decisive(self.tried(question)).answer

    def tried(self, question: Question) -> list[Asked]:
        """Return every flow that *question* means: one, or one for each endpoint of a service."""
        sender = self._sources.get(question.from_)
        if sender is None:
            sender = self._sources[question.from_] = source(self._world, question.from_)
        namespace = question.from_.partition("/")[0] if "/" in question.from_ else "default"
        party = self._destinations.get((namespace, question.to))
        if party is None:
            party = destination(self._world, question.to, namespace=namespace)
            self._destinations[namespace, question.to] = party
        match party:
            case ServiceEnd(service):
                return self._to_service(question, sender, service)
            case End():
                origin, address = _addresses(sender, party, question.family)
                target = _Target(origin=origin, address=address, node=party.node, backend=party.pod)
                return [self._asked(question, sender, target)]

    def _asked(self, question: Question, sender: End, target: _Target) -> Asked:
        address = target.address
        protocol = _protocol(question.protocol, address.family)
        flow = Flow(
            source=target.origin,
            destination=address,
            protocol=protocol,
            destination_port=target.port or _port(question, protocol),
            icmp_type=_ECHO_REQUEST.get(protocol),
            icmp_code=0 if protocol in _ECHO_REQUEST else None,
            source_node=sender.node,
            destination_node=target.node,
        )
        answer = summary(self.evaluator.evaluate(flow))
        return Asked(
            question=question,
            flow=flow,
            sender=sender.pod,
            backend=target.backend,
            answer=answer,
        )

    def _to_service(self, question: Question, sender: End, service: Service) -> list[Asked]:
        families = {address.family for address in sender.addresses}
        if question.family is not None:
            families &= {question.family}
        found: list[Asked] = []
        for endpoint in self._backends(service, _service_port(service, question)):
            if endpoint.address.family in families:
                origin = next(a for a in sender.addresses if a.family == endpoint.address.family)
                target = _Target(
                    origin=origin,
                    address=endpoint.address,
                    port=endpoint.port,
                    backend=self._owner(endpoint.address),
                )
                found.append(self._asked(question, sender, target))
        first = {asked.flow.destination.family for asked in found if asked.flow is not None}
        # One connection has one family: IPv4 if there is a way, as an answer of DNS is used.
        kept = [asked for asked in found if asked.flow and asked.flow.source.family == min(first)]
        return kept or [_nowhere(question, service)]

    def _backends(self, service: Service, port: ServicePort) -> Iterator[SliceEndpoint]:
        only = msgspec.structs.replace(service, ports=(port,))
        pods = [
            pod for pod in self.cluster.workloads.values() if pod.namespace == service.namespace
        ]
        if service.selector:
            yield from backends(only, pods)
            return
        for piece in self.cluster.endpoint_slices.values():
            if (piece.namespace, piece.service) == (service.namespace, service.name):
                for endpoint in piece.endpoints:
                    if endpoint.protocol == port.protocol and endpoint.port == port.target:
                        yield endpoint

    def _owner(self, address: Address) -> str:
        for endpoint in self.cluster.workloads.values():
            if address in endpoint.addresses:
                return endpoint.key
        return str(address)


def decisive(asked: Sequence[Asked]) -> Asked:
    """Return the first flow that is denied, else the first: what a user should know of."""
    return next((each for each in asked if each.answer.verdict is Verdict.DENY), asked[0])


def matrix(inquiry: Inquiry, *, touching: Collection[str] | None = None) -> Iterator[Question]:
    """Yield every flow between two pods to a port that the receiver declares, both families.

    With *touching* only those that one of these pods sends or receives.
    """
    families = {
        key: frozenset([address.family for address in each.addresses])
        for key, each in inquiry.cluster.workloads.items()
    }
    everybody = sorted(families)
    touched = everybody if touching is None else sorted(families.keys() & touching)
    for receiver in everybody:
        is_touched = touching is None or receiver in touching
        for protocol, port in inquiry.listeners.get(receiver, ()):
            name = protocol_name(protocol)
            for sender in everybody if is_touched else touched:
                common = families[receiver] & families[sender]
                for family in sorted(common) if sender != receiver else ():
                    yield Question(
                        from_=sender, to=receiver, port=port, protocol=name, family=family
                    )


def _nowhere(question: Question, service: Service) -> Asked:
    nothing = DirectionSummary(
        action=Verdict.DENY,
        decided_by="no-endpoint",
        why=f"service {service.key} has no endpoint for this port and address family",
    )
    answer = FlowSummary(verdict=Verdict.DENY, egress=nothing, ingress=nothing)
    return Asked(question=question, flow=None, answer=answer)


def _addresses(sender: End, receiver: End, family: int | None) -> tuple[Address, Address]:
    """Return an address of each end, of one family: IPv4 if both have it and none is asked for."""
    for wanted in (4, 6) if family is None else (family,):
        origin = next((a for a in sender.addresses if a.family == wanted), None)
        address = next((a for a in receiver.addresses if a.family == wanted), None)
        if origin is not None and address is not None:
            return origin, address
    which = "no family in common" if family is None else f"not both an IPv{family} address"
    raise InputError(f"{sender.name} and {receiver.name} have {which}")


def _protocol(value: str | int, family: int) -> int:
    """Return a protocol's number; a name in any case, and ``icmp`` is that of *family*."""
    text = _NAMES.get(str(value).lower(), value)
    number = parse_protocol(text)
    return ICMPV6 if number == ICMP and family == 6 else number


def _port(question: Question, protocol: int) -> int:
    port = question.port
    if protocol not in PORT_PROTOCOLS:
        return port or 0
    if port is None or not 1 <= port <= 65535:
        name = protocol_name(protocol)
        raise InputError(f"{name} from {question.from_} to {question.to} needs a port, 1 to 65535")
    return port


def _service_port(service: Service, question: Question) -> ServicePort:
    protocol = _protocol(question.protocol, 4)
    for port in service.ports:
        if (port.port, port.protocol) == (question.port, protocol):
            return port
    listed = ", ".join(f"{port.port}/{protocol_name(port.protocol)}" for port in service.ports)
    raise InputError(
        f"service {service.key} has no port {question.port}/{protocol_name(protocol)}; "
        f"it has {listed or 'none'}"
    )
