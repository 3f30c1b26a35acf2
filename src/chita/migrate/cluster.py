"""The export that nobody has to make: the same objects, read from the cluster that runs."""

from __future__ import annotations

from typing import Final, Protocol

import msgspec

from chita.api.client import ObjectList
from chita.api.kinds import CALICO, CORE, NETWORKING, Resource
from chita.convert.documents import Entry, Object, Source
from chita.errors import NotFoundError
from chita.migrate.export import Export, export
from chita.model.kinds import Kind, Scope

_CRD: Final = {
    **{
        kind: msgspec.structs.replace(resource, group="crd.projectcalico.org", version="v1")
        for kind, resource in CALICO.items()
    },
    "IPAMConfiguration": Kind(
        group="crd.projectcalico.org",
        version="v1",
        kind="IPAMConfig",
        plural="ipamconfigs",
        scope=Scope.CLUSTER,
    ),
}
"""How Calico's own definitions call the kinds of its API."""
_FLANNEL: Final = Kind(
    group="", version="v1", kind="ConfigMap", plural="configmaps", scope=Scope.NAMESPACED
)
_API_SERVICES: Final = Kind(
    group="apiregistration.k8s.io",
    version="v1",
    kind="APIService",
    plural="apiservices",
    scope=Scope.CLUSTER,
)
_KUBERNETES: Final[tuple[Resource, ...]] = (
    *(CORE[kind] for kind in ("Node", "Namespace", "Pod", "Service")),
    NETWORKING["NetworkPolicy"],
    _API_SERVICES,
)
_FLANNEL_PLACES: Final = ("kube-flannel", "kube-system")
"""The namespaces that flannel's ConfigMap is in: of its manifest now, and before v0.17."""


class Lists(Protocol):
    """What is needed of `chita.api.client.ApiClient`."""

    async def list(self, resource: Resource, namespace: str = "") -> ObjectList:
        """Return all objects of a collection; NotFoundError when there is no such kind."""


async def read_export(client: Lists) -> Export:
    """Return what the network that runs was told.

    Calico's own store, crd.projectcalico.org, is the truth where there is one: while nodes move,
    projectcalico.org holds what was converted.

    Raises:
        ApiError: the server does not answer, or forbids to read a kind; the message names it.
    """
    objects: list[Object] = []
    for kind, resource in CALICO.items():
        found = await _listed(client, _CRD[kind])
        objects += found if found is not None else await _listed(client, resource) or ()
    for resource in _KUBERNETES:
        objects += await _listed(client, resource) or ()
    for namespace in _FLANNEL_PLACES:
        objects += await _listed(client, _FLANNEL, namespace) or ()
    where = Source("", 0, 0)
    return export(Entry(raw=obj, source=where) for obj in objects)


async def _listed(client: Lists, resource: Resource, namespace: str = "") -> list[Object] | None:
    """Return the objects of a kind, each saying what it is; None where there is no such kind."""
    try:
        found = await client.list(resource, namespace)
    except NotFoundError:
        return None
    # The items of a list of Kubernetes' own kinds do not say what they are.
    head = {"apiVersion": resource.api_version, "kind": resource.kind}
    return [{**obj, **head} for obj in found.items]
