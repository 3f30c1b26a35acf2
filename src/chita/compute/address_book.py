"""What is known of an address: who has it, which networks of rules and which services hold it.

Two addresses of which the same is known are the same to every rule, so they share one `Known`.
This module and `evaluate` stand on the model alone: they must not share a mistake with the
classes, sets and tiers that the kernel is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from chita.model.cluster import ClusterState
from chita.model.endpoint import HostEndpoint, NamedPort, NetworkSet, WorkloadEndpoint
from chita.model.labels import inherit
from chita.model.net import Address, Cidr, Family
from chita.model.policy import Rule, ServiceRef
from chita.model.selector import Selector, matches, mentioned_keys


class Owner:
    """Endpoints or network sets that no rule can tell apart; one per cluster and label set."""

    __slots__ = ("_selected", "labels", "ports")

    def __init__(self, labels: dict[str, str], ports: tuple[NamedPort, ...]) -> None:
        self.labels = labels
        self.ports = ports
        self._selected: dict[int, bool] = {}

    def is_selected(self, selector: Selector) -> bool:
        """Whether *selector*, one of the cluster's, matches."""
        # By id: the cluster keeps its selectors alive, and hashing a deep one costs more than
        # matching it.
        found = self._selected.get(id(selector))
        if found is None:
            found = self._selected[id(selector)] = matches(selector, self.labels)
        return found


class Known:
    """All that rules can ask of an address; compared by identity.

    Attributes:
        nets: the networks named by rules that contain it.
        services: those that have it as an endpoint's address.
        service_ports: those of which it is an endpoint, with protocol and port.
    """

    __slots__ = ("family", "nets", "owners", "service_ports", "services")

    def __init__(
        self,
        family: Family,
        owners: tuple[Owner, ...],
        nets: frozenset[Cidr],
        service_ports: frozenset[tuple[ServiceRef, int, int]],
    ) -> None:
        self.family = family
        self.owners = owners
        self.nets = nets
        self.service_ports = service_ports
        self.services = frozenset([service for service, _, _ in service_ports])


class NetTable:
    """Networks, to look up those that contain an address."""

    def __init__(self, nets: Iterable[Cidr] = ()) -> None:
        self._nets = set(nets)
        self._prefixes = sorted({(net.family, net.prefix) for net in self._nets})

    def containing(self, address: Address) -> list[Cidr]:
        """Return the networks that contain *address*, the widest first."""
        wanted = [
            Cidr(address.family, address.value, prefix)
            for family, prefix in self._prefixes
            if family == address.family
        ]
        return [net for net in wanted if net in self._nets]


class AddressBook:
    """Everything of one cluster that can be known of addresses."""

    def __init__(self, cluster: ClusterState) -> None:
        self._cluster = cluster
        self._keys = frozenset().union(*map(mentioned_keys, _selectors(cluster)))
        self._owners: dict[object, Owner] = {}
        self._by_address: dict[Address, list[Owner]] = {}
        self._by_net: dict[Cidr, list[Owner]] = {}
        self._services: dict[Address, list[tuple[ServiceRef, int, int]]] = {}
        self._known: dict[Address, Known] = {}
        self._interned: dict[object, Known] = {}
        self._rule_nets = NetTable(_rule_nets(cluster))
        self._fill()
        self._set_nets = NetTable(self._by_net)

    def _fill(self) -> None:
        cluster = self._cluster
        for workload in cluster.workloads.values():
            for address in workload.addresses:
                self._by_address.setdefault(address, []).append(self.owner(workload))
        for host_endpoint in cluster.host_endpoints.values():
            for address in host_endpoint.expected_addresses:
                self._by_address.setdefault(address, []).append(self.owner(host_endpoint))
        for network_set in cluster.network_sets.values():
            for net in network_set.nets:
                self._by_net.setdefault(net, []).append(self.owner(network_set))
        for each in cluster.endpoint_slices.values():
            service = ServiceRef(each.namespace, each.service)
            for endpoint in each.endpoints:
                member = service, endpoint.protocol, endpoint.port
                self._services.setdefault(endpoint.address, []).append(member)

    def owner(self, entity: WorkloadEndpoint | HostEndpoint | NetworkSet) -> Owner:
        """Return how rules see *entity*: effective labels and declared ports."""
        profiles = self._cluster.profiles
        labels = inherit(
            entity.labels,
            [profiles[name].labels_to_apply for name in entity.profiles if name in profiles],
        )
        labels = {key: value for key, value in labels.items() if key in self._keys}
        ports = () if isinstance(entity, NetworkSet) else entity.ports
        its = frozenset(labels.items()), ports
        return self._owners.setdefault(its, Owner(labels, ports))

    def known(self, address: Address) -> Known:
        """Return what is known of *address*; the same object for addresses alike."""
        found = self._known.get(address)
        if found is None:
            found = self._known[address] = self._look_up(address)
        return found

    def _look_up(self, address: Address) -> Known:
        owners = dict.fromkeys(self._by_address.get(address, ()))
        for net in self._set_nets.containing(address):
            owners.update(dict.fromkeys(self._by_net[net]))
        nets = frozenset(self._rule_nets.containing(address))
        services = frozenset(self._services.get(address, ()))
        its = address.family, frozenset(owners), nets, services
        new = Known(address.family, tuple(owners), nets, services)
        return self._interned.setdefault(its, new)


def _rules(cluster: ClusterState) -> Iterator[Rule]:
    for policy in cluster.policies.values():
        yield from (*policy.ingress, *policy.egress)
    for profile in cluster.profiles.values():
        yield from (*profile.ingress, *profile.egress)


def _selectors(cluster: ClusterState) -> Iterator[Selector]:
    for policy in cluster.policies.values():
        yield policy.selector
    for rule in _rules(cluster):
        for entity in (rule.source, rule.destination):
            if entity.selector is not None:
                yield entity.selector
            if entity.not_selector is not None:
                yield entity.not_selector


def _rule_nets(cluster: ClusterState) -> Iterator[Cidr]:
    for rule in _rules(cluster):
        for entity in (rule.source, rule.destination):
            yield from entity.nets
            yield from entity.not_nets
