"""What a migration from flannel or kubenet changes, and the pools that take the place of theirs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from chita.convert.documents import Object
from chita.migrate.cluster_changes import host_ports
from chita.migrate.export import Export
from chita.migrate.finding import Effect, Finding, finding
from chita.migrate.pod_cidr import Source, flannel
from chita.model.net import Cidr
from chita.model.schemas.policy import V3

_BACKENDS: Final = {
    "vxlan": "within a location packets go by VXLAN as now, between locations by WireGuard",
    "host-gw": "nodes on one link send each other pods' packets as they are, as now; others by "
    "VXLAN or WireGuard",
    "wireguard": "here traffic between locations is encrypted, and within one with chita install "
    "--encryption All",
    "ipip": "IP-in-IP is not used here: VXLAN instead, and an MTU that is 30 bytes smaller",
}
_POLICIES: Final = (
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy"),
)


def pool_objects(export: Export, sizes: Mapping[Cidr, int]) -> list[Object]:
    """Return the pools with blocks of *sizes*; host-gw stays without encapsulation on one link."""
    mode = "CrossSubnet" if flannel(export).backend == "host-gw" else "Always"
    return [
        {
            "apiVersion": V3,
            "kind": "IPPool",
            "metadata": {
                "name": f"default-ipv{cidr.family}-ippool" + ("" if index == 0 else f"-{index}")
            },
            "spec": {
                "cidr": str(cidr),
                "blockSize": size,
                "vxlanMode": mode,
                "natOutgoing": True,
            },
        }
        for family in (4, 6)
        for index, (cidr, size) in enumerate(
            [pair for pair in sizes.items() if pair[0].family == family]
        )
    ]


def pod_cidr_changes(export: Export, source: Source, cidrs: Sequence[Cidr]) -> Iterator[Finding]:
    """Yield what will be otherwise."""
    nets = ", ".join(map(str, cidrs))
    match source:
        case Source.FLANNEL:
            backend = flannel(export).backend
            told = _BACKENDS.get(backend, "packets go by VXLAN, between locations by WireGuard")
            yield Finding(
                effect=Effect.CHANGES,
                kind="ConfigMap",
                name="kube-flannel-cfg",
                field="data[net-conf.json].Backend",
                message=f"{backend or 'not in the export'}: {told}",
            )
        case _:
            yield Finding(
                effect=Effect.CHANGES,
                kind="Node",
                field="spec.podCIDRs",
                message="routes of the cloud to nodes' networks are not needed any more: packets "
                "go by VXLAN within a location and by WireGuard between them; remove the routes "
                "when the last node has moved, and turn off what makes them "
                "(controller-manager's --configure-cloud-routes)",
            )
    yield Finding(
        effect=Effect.KEPT,
        kind="IPPool",
        field="spec.cidr",
        message=f"pods have addresses of {nets} as now, of the same network of their node",
    )
    for api_version, kind in _POLICIES:
        for entry in export.of(kind, api_version):
            message = f"is not enforced by {source}, and is from the move of each node on"
            yield finding(Effect.CHANGES, entry, "", message)
    for entry in export.of("Pod", "v1"):
        yield from host_ports(entry)
