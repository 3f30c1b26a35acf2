"""Short builders of model values: a test writes the facts it depends on and nothing else.

Addresses follow tests/conventions.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from chita.model.cluster import ClusterState, Entity, Put, fold
from chita.model.endpoint import (
    HostEndpoint,
    NamedPort,
    NetworkSet,
    Profile,
    WorkloadEndpoint,
    interface_name,
)
from chita.model.ippool import Encap, IPPool
from chita.model.labels import (
    NAME,
    NAMESPACE,
    NAMESPACE_PREFIX,
    ORCHESTRATOR,
    namespace_profile,
)
from chita.model.net import TCP, Address, Cidr, Family, PortRange
from chita.model.node import Node
from chita.model.policy import (
    Action,
    Direction,
    EntityRule,
    IcmpMatch,
    Policy,
    PolicyKind,
    Rule,
    ServiceRef,
    StagedAction,
    Tier,
)
from chita.model.selector import all_, and_, equals, parse_selector
from chita.model.service import EndpointSlice, SliceEndpoint

INGRESS, EGRESS = Direction.INGRESS, Direction.EGRESS
ALLOW, DENY, PASS, LOG = Action.ALLOW, Action.DENY, Action.PASS, Action.LOG


def cluster(*entities: Entity) -> ClusterState:
    """Return the state that holds *entities*, beside the built-in tiers."""
    return fold(ClusterState(), [Put(entity) for entity in entities])


def addresses(text: str) -> tuple[Address, ...]:
    """Return the addresses in *text*, separated by blanks."""
    return tuple(Address.parse(part) for part in text.split())


def cidrs(text: str) -> tuple[Cidr, ...]:
    """Return the networks in *text*, separated by blanks."""
    return tuple(Cidr.parse(part) for part in text.split())


def port(name: str, number: int, protocol: int = TCP) -> NamedPort:
    """Return a port an endpoint declares."""
    return NamedPort(name, protocol, number)


def workload(
    key: str,
    ip: str,
    *,
    node: str = "node-1",
    labels: Mapping[str, str] | None = None,
    ports: Iterable[NamedPort] = (),
    profiles: Iterable[str] | None = None,
) -> WorkloadEndpoint:
    """Return the pod *key* (``namespace/name``) with the addresses in *ip*.

    It has the labels and, unless *profiles* says otherwise, the profile that conversion gives.
    """
    namespace, name = key.split("/")
    return WorkloadEndpoint(
        namespace=namespace,
        name=name,
        node=node,
        interface=interface_name(namespace, name),
        labels={NAMESPACE: namespace, ORCHESTRATOR: "k8s", **(labels or {})},
        addresses=addresses(ip),
        profiles=(namespace_profile(namespace),) if profiles is None else tuple(profiles),
        ports=tuple(ports),
    )


def namespace(name: str, **labels: str) -> Profile:
    """Return the profile of namespace *name*: it allows all and gives the namespace's labels."""
    applied = {NAMESPACE_PREFIX + key: value for key, value in labels.items()}
    return Profile(
        name=namespace_profile(name),
        labels_to_apply={NAMESPACE_PREFIX + NAME: name, **applied},
        ingress=(rule(ALLOW),),
        egress=(rule(ALLOW),),
    )


def host_endpoint(
    name: str,
    ip: str = "",
    *,
    node: str = "node-1",
    labels: Mapping[str, str] | None = None,
    interface: str = "*",
    profiles: Iterable[str] = (),
) -> HostEndpoint:
    """Return a host endpoint, of all interfaces unless one is named, that expects *ip*."""
    return HostEndpoint(
        name=name,
        node=node,
        interface=interface,
        labels=dict(labels or {}),
        expected_addresses=addresses(ip),
        profiles=tuple(profiles),
    )


def network_set(key: str, nets: str, **labels: str) -> NetworkSet:
    """Return the network set *key*: ``namespace/name``, or ``/name`` for a global one."""
    namespace, name = key.split("/")
    return NetworkSet(
        namespace=namespace,
        name=name,
        labels=labels | ({NAMESPACE: namespace} if namespace else {}),
        nets=cidrs(nets),
        profiles=(namespace_profile(namespace),) if namespace else (),
    )


def node(
    name: str, ip: str = "", *, mesh: str = "", location: str = "here", external: str = ""
) -> Node:
    """Return a node with internal addresses *ip* and mesh addresses *mesh*."""
    return Node(
        name=name,
        location=location,
        internal_addresses=addresses(ip),
        external_addresses=addresses(external),
        mesh_addresses=addresses(mesh),
    )


def pool(name: str, cidr: str, *, nat_outgoing: bool = False, encap: Encap = Encap.NEVER) -> IPPool:
    """Return a pool for the pods of all nodes."""
    net = Cidr.parse(cidr)
    return IPPool(
        name=name,
        cidr=net,
        block_size=26 if net.family == 4 else 122,
        encap=encap,
        nat_outgoing=nat_outgoing,
        node_selector=all_(),
    )


def side(
    selector: str | None = None,
    *,
    not_selector: str | None = None,
    nets: str = "",
    not_nets: str = "",
    ports: str = "",
    not_ports: str = "",
    service: str | None = None,
) -> EntityRule:
    """Return one side of a rule; *ports* are numbers, ranges and names separated by blanks."""
    numbers, names = _ports(ports)
    not_numbers, not_names = _ports(not_ports)
    return EntityRule(
        nets=cidrs(nets),
        not_nets=cidrs(not_nets),
        selector=None if selector is None else parse_selector(selector),
        not_selector=None if not_selector is None else parse_selector(not_selector),
        ports=numbers,
        named_ports=names,
        not_ports=not_numbers,
        not_named_ports=not_names,
        service=None if service is None else ServiceRef(*service.split("/")),
    )


def _ports(text: str) -> tuple[tuple[PortRange, ...], tuple[str, ...]]:
    parts = text.split()
    numbers = tuple(PortRange.parse(part) for part in parts if part[0].isdigit())
    return numbers, tuple(part for part in parts if not part[0].isdigit())


def rule(
    action: Action = ALLOW,
    *,
    protocol: int | None = None,
    not_protocol: int | None = None,
    source: EntityRule | None = None,
    destination: EntityRule | None = None,
    icmp: IcmpMatch | None = None,
    not_icmp: IcmpMatch | None = None,
    family: Family | None = None,
) -> Rule:
    """Return a rule."""
    return Rule(
        action=action,
        family=family,
        protocol=protocol,
        not_protocol=not_protocol,
        icmp=icmp,
        not_icmp=not_icmp,
        source=source or EntityRule(),
        destination=destination or EntityRule(),
    )


def policy(
    key: str,
    selector: str = "",
    *,
    ingress: Iterable[Rule] | None = None,
    egress: Iterable[Rule] | None = None,
    order: float | None = None,
    tier: str = "default",
    staged: StagedAction | None = None,
) -> Policy:
    """Return the policy *key*: ``namespace/name``, or ``/name`` for a global one.

    It has the directions that are given, also when they are given without rules.
    """
    namespace, name = key.split("/")
    own = [equals(NAMESPACE, namespace)] if namespace else []
    kind = PolicyKind.NETWORK_POLICY if namespace else PolicyKind.GLOBAL_NETWORK_POLICY
    given = {INGRESS: ingress, EGRESS: egress}
    return Policy(
        kind=kind,
        namespace=namespace,
        name=name,
        tier=tier,
        order=order,
        selector=and_(parse_selector(selector), *own),
        types=frozenset(direction for direction, rules in given.items() if rules is not None),
        ingress=tuple(ingress or ()),
        egress=tuple(egress or ()),
        staged=staged,
    )


def tier(name: str, order: float | None = None, end: Action = DENY) -> Tier:
    """Return a tier."""
    return Tier(name=name, order=order, default_action=end)


def endpoint_slice(
    service: str, name: str, *members: tuple[str, int], protocol: int = TCP
) -> EndpointSlice:
    """Return a slice of *service* (``namespace/name``) with *members* (address, port)."""
    namespace, service_name = service.split("/")
    return EndpointSlice(
        namespace=namespace,
        name=name,
        service=service_name,
        endpoints=tuple(
            SliceEndpoint(address=Address.parse(ip), protocol=protocol, port=number)
            for ip, number in members
        ),
    )
