"""Automatic host endpoints: one for each node, or by templates, as Calico's kube-controllers do.

What KubeControllersConfiguration ``default`` asks for under ``controllers.node.hostEndpoint`` (v3
2.22); names, labels and contents are upstream's, so that policies written for them keep working.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any, NoReturn, Protocol, TypeVar

from chita.api.client import ApiClient
from chita.api.kinds import CALICO, CHITA, CORE, Resource
from chita.api.watch import follow
from chita.convert.calico import DEFAULT_ALLOW
from chita.convert.fabric import fabric_node
from chita.convert.fields import Field
from chita.convert.kubernetes import node as parsed_node
from chita.errors import ChitaError, ConflictError, ConvertError, NotFoundError, ParseError
from chita.mirror.block_store import ListedObjects
from chita.model.net import Address, Cidr
from chita.model.node import EXTERNAL, HOST_LABEL, FabricNode, Node
from chita.model.selector import matches, parse_selector
from chita.telemetry.log import logger

CREATED_BY = "projectcalico.org/created-by"
CREATOR = "calico-kube-controllers"
"""The label of those that are made here; others are never touched."""
EVERY_S = 300.0
"""Upstream's ``reconcilerPeriod``; changes are seen at once."""
SETTLE_S = 1.0

_SUFFIX = "auto-hep"
_LONGEST = 253
"""Of a name (RFC 1123 subdomain)."""
_CONFIGURATION = CALICO["KubeControllersConfiguration"]
_ENDPOINT = CALICO["HostEndpoint"]
_READ = (_CONFIGURATION, CORE["Node"], CHITA["FabricNode"], _ENDPOINT)
_LOG = logger("controller")

Object = dict[str, Any]
_T = TypeVar("_T")


def wanted(
    configuration: Mapping[str, Any] | None, nodes: Iterable[Node], records: Iterable[FabricNode]
) -> dict[str, Object]:
    """Return the HostEndpoints there should be, by name.

    A host that runs no pods has one in any case: it is what policies can select of it. Where the
    configuration makes them for all nodes, it says what that host gets too.

    Args:
        configuration: the KubeControllersConfiguration ``default``, None while there is none.
        nodes: all nodes.
        records: what they tell of their interfaces.
    """
    controllers = ((configuration or {}).get("spec") or {}).get("controllers") or {}
    asked = (controllers.get("node") or {}).get("hostEndpoint") or {}
    is_enabled = asked.get("autoCreate") == "Enabled"
    told = {record.name: record for record in records}
    found: dict[str, Object] = {}
    for node in nodes:
        if not is_enabled and node.labels.get(HOST_LABEL) != EXTERNAL:
            continue
        for obj in _of_node(asked if is_enabled else {}, node, told.get(node.name)):
            found[obj["metadata"]["name"]] = obj
    return found


def _of_node(asked: Mapping[str, Any], node: Node, record: FabricNode | None) -> Iterator[Object]:
    addresses = _addresses(node, record)
    if asked.get("createDefaultHostEndpoint", "Enabled") == "Enabled":
        yield _endpoint(node, {}, addresses, "*", node.name)
    for template in asked.get("templates") or []:
        selector = parse_selector(template.get("nodeSelector") or "all()")
        if not matches(selector, node.labels):
            continue
        nets = [Cidr.parse_loose(text) for text in template.get("interfaceCIDRs") or []]
        chosen = [each for each in addresses if any(each in net for net in nets)]
        name = f"{node.name}-{template.get('generateName', '')}"
        pattern = template.get("interfacePattern")
        if not pattern:
            # Without a name of an interface it is found by its addresses: it needs one.
            if chosen:
                yield _endpoint(node, template, chosen, "", name)
            continue
        devices: dict[str, list[Address]] = {}
        for each in () if record is None else record.interfaces:
            if each.device and re.search(pattern, each.device):
                devices.setdefault(each.device, []).append(each.address)
        for device, its in sorted(devices.items()):
            both = list(dict.fromkeys([*chosen, *its]))
            yield _endpoint(node, template, both, device, f"{name}-{device}")


def _endpoint(
    node: Node,
    template: Mapping[str, Any],
    addresses: Sequence[Address],
    interface: str,
    name: str,
) -> Object:
    spec: Object = {
        "node": node.name,
        "expectedIPs": [str(each) for each in addresses],
        "profiles": [DEFAULT_ALLOW],
    }
    if interface:
        spec["interfaceName"] = interface
    labels = {**node.labels, **(template.get("labels") or {}), CREATED_BY: CREATOR}
    metadata: Object = {"name": endpoint_name(name), "labels": labels}
    if template.get("annotations"):
        metadata["annotations"] = dict(template["annotations"])
    return {
        "apiVersion": _ENDPOINT.api_version,
        "kind": _ENDPOINT.kind,
        "metadata": metadata,
        "spec": spec,
    }


def endpoint_name(prefix: str) -> str:
    """Return the name of the endpoint for *prefix*: a hash where it would be too long."""
    name = f"{prefix}-{_SUFFIX}"
    if len(name) <= _LONGEST:
        return name
    digest = base64.urlsafe_b64encode(hashlib.sha256(name.encode()).digest()).decode()
    return f"{re.sub('[-_.=]', '', digest)}-{_SUFFIX}".lower()


def _addresses(node: Node, record: FabricNode | None) -> list[Address]:
    """Return all addresses of *node*, its first ones first."""
    interfaces = () if record is None else record.interfaces
    told = [each.address for each in interfaces]
    return list(dict.fromkeys([*node.internal_addresses, *node.mesh_addresses, *told]))


class Client(Protocol):
    """What is needed of `chita.api.client.ApiClient`."""

    async def list(self, resource: Resource) -> ListedObjects:
        """Return all objects of a collection, consistent and current."""

    async def create(self, obj: Mapping[str, Any]) -> Object:
        """Create *obj*; ConflictError if its name is taken."""

    async def update(self, obj: Mapping[str, Any]) -> Object:
        """Replace *obj* at its version; ConflictError or NotFoundError."""

    async def delete(self, resource: Resource, name: str, *, resource_version: str = "") -> None:
        """Delete an object at a version; ConflictError or NotFoundError."""


class AutoHostEndpoints:
    """Keeps the automatic host endpoints as they should be."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def scan(self) -> None:
        """Create, update and delete what differs; whoever wrote meanwhile wins until the next scan.

        An endpoint of a wanted name without our label is somebody's own and stays as it is.

        Raises:
            ApiError: the API did not answer; what was done stays done.
        """
        objects = {each.kind: (await self._client.list(each)).items for each in _READ}
        configuration = next(
            (each for each in objects[_CONFIGURATION.kind] if _name(each) == "default"), None
        )
        nodes = _parsed(objects["Node"], parsed_node)
        records = _parsed(objects["FabricNode"], fabric_node)
        try:
            desired = wanted(configuration, nodes, records)
        except (ParseError, re.error) as error:
            _LOG.warning("templates of host endpoints mean nothing", why=str(error))
            return
        there = {_name(each): each for each in objects[_ENDPOINT.kind]}
        for name, obj in desired.items():
            await self._put(obj, there.get(name))
        for name, found in there.items():
            if _is_ours(found) and name not in desired:
                with suppress(ConflictError, NotFoundError):
                    version = found["metadata"]["resourceVersion"]
                    await self._client.delete(_ENDPOINT, name, resource_version=version)
                    _LOG.info("automatic host endpoint deleted", name=name)

    async def _put(self, obj: Object, found: Object | None) -> None:
        name = _name(obj)
        with suppress(ConflictError, NotFoundError):
            if found is None:
                await self._client.create(obj)
                _LOG.info("automatic host endpoint created", name=name)
            elif _is_ours(found) and not _is_same(obj, found):
                metadata = {**found["metadata"], **obj["metadata"]}
                await self._client.update({**obj, "metadata": metadata})
                _LOG.info("automatic host endpoint updated", name=name)


def _name(obj: Mapping[str, Any]) -> str:
    return str(obj["metadata"]["name"])


def _is_ours(obj: Mapping[str, Any]) -> bool:
    return (obj["metadata"].get("labels") or {}).get(CREATED_BY) == CREATOR


def _is_same(desired: Object, found: Object) -> bool:
    """Whether *found* says all that *desired* says; more annotations are others' business."""
    annotations = found["metadata"].get("annotations") or {}
    asked = desired["metadata"].get("annotations") or {}
    return (
        desired["spec"] == found.get("spec")
        and desired["metadata"]["labels"] == found["metadata"].get("labels")
        and all(annotations.get(key) == value for key, value in asked.items())
    )


def _parsed(objects: Iterable[Object], parse: Callable[[Field], _T]) -> list[_T]:
    """Return what *objects* mean; one that means nothing is left out."""
    found: list[_T] = []
    for obj in objects:
        with suppress(ConvertError):
            found.append(parse(Field(obj)))
    return found


async def keep_automatic(client: ApiClient) -> NoReturn:
    """Scan when anything changes that it depends on, else every `EVERY_S`."""
    changed = asyncio.Event()
    endpoints = AutoHostEndpoints(client)
    async with asyncio.TaskGroup() as tasks:
        for resource in _READ:
            tasks.create_task(_tell(client, resource, changed), name=f"watch {resource.plural}")
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY_S):
                    await changed.wait()
            # What comes together is one scan.
            await asyncio.sleep(SETTLE_S)
            changed.clear()
            try:
                await endpoints.scan()
            except ChitaError as error:
                _LOG.warning("automatic host endpoints not kept", why=str(error))


async def _tell(client: ApiClient, resource: Resource, changed: asyncio.Event) -> NoReturn:
    while True:
        async with aclosing(follow(client, resource)) as batches:
            async for _ in batches:
                changed.set()
