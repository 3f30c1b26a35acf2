"""The endpoints of services, derived from their selectors where no EndpointSlice is there.

In a cluster, Kubernetes' endpoint slice controller does this; `chita server` has its own. Files
have neither.
"""

from __future__ import annotations

from collections.abc import Iterable

from chita.model.cluster import ClusterState
from chita.model.endpoint import WorkloadEndpoint
from chita.model.labels import ORCHESTRATOR
from chita.model.service import EndpointSlice, Service, ServicePort, SliceEndpoint


def derived_slices(state: ClusterState) -> list[EndpointSlice]:
    """Return a slice for each service that has a selector and no slice of its own."""
    served = {(piece.namespace, piece.service) for piece in state.endpoint_slices.values()}
    by_namespace: dict[str, list[WorkloadEndpoint]] = {}
    for endpoint in state.workloads.values():
        if endpoint.labels.get(ORCHESTRATOR) == "k8s":
            by_namespace.setdefault(endpoint.namespace, []).append(endpoint)
    return [
        EndpointSlice(
            namespace=service.namespace,
            name=service.name,
            service=service.name,
            endpoints=tuple(backends(service, by_namespace.get(service.namespace, []))),
        )
        for service in state.services.values()
        if service.selector and (service.namespace, service.name) not in served
    ]


def backends(service: Service, pods: Iterable[WorkloadEndpoint]) -> list[SliceEndpoint]:
    """Return the endpoints of *service* among *pods* of its namespace, in order of pod and port."""
    chosen = [pod for pod in pods if service.selector.items() <= pod.labels.items()]
    return [
        SliceEndpoint(address=address, protocol=port.protocol, port=number)
        for pod in sorted(chosen, key=lambda pod: pod.name)
        for port in service.ports
        if (number := target_port(port, pod)) is not None
        for address in pod.addresses
    ]


def target_port(port: ServicePort, pod: WorkloadEndpoint) -> int | None:
    """Return the number of a service's target port at *pod*; None when it has no such port."""
    if isinstance(port.target, int):
        return port.target
    for named in pod.ports:
        if named.name == port.target and named.protocol == port.protocol:
            return named.port
    return None
