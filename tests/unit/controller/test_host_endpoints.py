"""Automatic host endpoints: which there should be, and that nothing else is touched."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from build import addresses, cidrs
from chita.api.kinds import Resource
from chita.controller.host_endpoints import (
    CREATED_BY,
    CREATOR,
    AutoHostEndpoints,
    endpoint_name,
    wanted,
)
from chita.errors import ConflictError
from chita.model.node import EXTERNAL, HOST_LABEL, FabricNode, HostInterface, Node
from chita.model.validate.objects import validate

INTERNAL, MESH, SECOND = "10.0.0.1", "100.64.0.1", "192.0.2.5"
NODE = Node(
    name="n1",
    location="here",
    labels={"role": "edge"},
    internal_addresses=addresses(INTERNAL),
    mesh_addresses=addresses(MESH),
)
RECORD = FabricNode(
    name="n1",
    location="here",
    interfaces=tuple(
        HostInterface(address=addresses(text)[0], subnet=cidrs(f"{text}/32")[0], device=device)
        for text, device in ((INTERNAL, "eth0"), (SECOND, "eth1"))
    ),
)
LABELS = {"role": "edge", CREATED_BY: CREATOR}
TEMPLATE = {
    "generateName": "uplinks",
    "interfaceCIDRs": ["192.0.2.0/24"],
    "nodeSelector": "role == 'edge'",
    "labels": {"side": "out"},
}


HOST = msgspec.structs.replace(NODE, labels={HOST_LABEL: EXTERNAL, "role": "db"})


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param(None, ["n1-auto-hep"], id="no-configuration"),
        pytest.param({}, ["n1-auto-hep"], id="not-enabled"),
        pytest.param({"createDefaultHostEndpoint": "Disabled"}, ["n1-auto-hep"], id="has-no-say"),
        pytest.param({"autoCreate": "Enabled"}, ["n1-auto-hep"], id="enabled"),
        pytest.param(
            {"autoCreate": "Enabled", "createDefaultHostEndpoint": "Disabled"}, [], id="has-a-say"
        ),
    ],
)
def test_a_host_without_pods_has_its_own(asked: dict[str, Any] | None, expected: list[str]) -> None:
    """Policies select it by the labels of its Node."""
    chosen = None if asked is None else configuration(**asked)
    found = wanted(chosen, [HOST], [RECORD])

    assert expected == list(found)
    for obj in found.values():
        assert {**HOST.labels, CREATED_BY: CREATOR} == obj["metadata"]["labels"]
        assert "*" == obj["spec"]["interfaceName"]
    assert [] == list(wanted(None, [NODE], [RECORD]))


def configuration(**endpoint: Any) -> dict[str, Any]:
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "KubeControllersConfiguration",
        "metadata": {"name": "default"},
        "spec": {"controllers": {"node": {"hostEndpoint": endpoint}}},
    }


def made(asked: dict[str, Any] | None) -> dict[str, tuple[str, list[str]]]:
    """Return interface and addresses of each endpoint that *asked* makes, by name."""
    return {
        name: (obj["spec"].get("interfaceName", ""), obj["spec"]["expectedIPs"])
        for name, obj in wanted(asked, [NODE], [RECORD]).items()
    }


DEFAULT = {"n1-auto-hep": ("*", [INTERNAL, MESH, SECOND])}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param(None, {}, id="no-configuration"),
        pytest.param(configuration(), {}, id="disabled-by-default"),
        pytest.param(configuration(autoCreate="Disabled"), {}, id="disabled"),
        pytest.param(configuration(autoCreate="Enabled"), DEFAULT, id="default"),
        pytest.param(
            configuration(autoCreate="Enabled", createDefaultHostEndpoint="Disabled"),
            {},
            id="templates-only",
        ),
        pytest.param(
            configuration(autoCreate="Enabled", templates=[TEMPLATE]),
            DEFAULT | {"n1-uplinks-auto-hep": ("", [SECOND])},
            id="by-networks",
        ),
        pytest.param(
            configuration(
                autoCreate="Enabled", templates=[{**TEMPLATE, "nodeSelector": "role == 'db'"}]
            ),
            DEFAULT,
            id="another-node",
        ),
        pytest.param(
            configuration(
                autoCreate="Enabled", templates=[{**TEMPLATE, "interfaceCIDRs": ["10.9.0.0/16"]}]
            ),
            DEFAULT,
            id="no-address-there",
        ),
        pytest.param(
            configuration(
                autoCreate="Enabled",
                createDefaultHostEndpoint="Disabled",
                templates=[{"generateName": "eth", "interfacePattern": "^eth[0-9]$"}],
            ),
            {
                "n1-eth-eth0-auto-hep": ("eth0", [INTERNAL]),
                "n1-eth-eth1-auto-hep": ("eth1", [SECOND]),
            },
            id="by-interface-names",
        ),
    ],
)
def test_wanted_endpoints(
    asked: dict[str, Any] | None, expected: dict[str, tuple[str, list[str]]]
) -> None:
    assert expected == made(asked)


def test_what_is_made_is_as_upstream_makes_it() -> None:
    """Labels of the node and the template, the creator's; the profile that allows everything."""
    found = wanted(configuration(autoCreate="Enabled", templates=[TEMPLATE]), [NODE], [RECORD])

    assert LABELS == found["n1-auto-hep"]["metadata"]["labels"]
    assert {**LABELS, "side": "out"} == found["n1-uplinks-auto-hep"]["metadata"]["labels"]
    assert ["projectcalico-default-allow"] == found["n1-auto-hep"]["spec"]["profiles"]
    assert [[], []] == [validate(obj) for obj in found.values()]


def test_a_name_that_would_be_too_long_is_a_hash() -> None:
    short, long = endpoint_name("n1"), endpoint_name("n" * 250)

    assert ("n1-auto-hep", True) == (short, long.endswith("-auto-hep"))
    assert len(long) < 60
    assert long != endpoint_name("m" * 250)


class Listed(msgspec.Struct):
    items: list[dict[str, Any]]


class Api:
    """Host endpoints, and what they are made of; *rival* is written by somebody else meanwhile."""

    def __init__(self, asked: dict[str, Any], *endpoints: dict[str, Any], rival: str = "") -> None:
        node = {
            "metadata": {"name": "n1", "labels": {"role": "edge"}},
            "status": {"addresses": [{"type": "InternalIP", "address": INTERNAL}]},
        }
        self.objects = {"KubeControllersConfiguration": [asked], "Node": [node], "FabricNode": []}
        self.endpoints = {each["metadata"]["name"]: each for each in endpoints}
        self.writes = 0
        self._rival = rival

    async def list(self, resource: Resource) -> Listed:
        if resource.kind == "HostEndpoint":
            return Listed(list(self.endpoints.values()))
        return Listed(self.objects[resource.kind])

    async def create(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        return self._write(dict(obj))

    async def update(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        assert obj["metadata"]["resourceVersion"] == "1"
        return self._write(dict(obj))

    async def delete(self, resource: Resource, name: str, *, resource_version: str = "") -> None:
        assert (resource.kind, resource_version) == ("HostEndpoint", "1")
        self._refuse(name)
        self.writes += 1
        del self.endpoints[name]

    def _write(self, obj: dict[str, Any]) -> dict[str, Any]:
        self._refuse(obj["metadata"]["name"])
        self.writes += 1
        metadata = {**obj["metadata"], "resourceVersion": "1"}
        self.endpoints[obj["metadata"]["name"]] = {**obj, "metadata": metadata}
        return obj

    def _refuse(self, name: str) -> None:
        if name == self._rival:
            raise ConflictError(f"{name} was written meanwhile")


def endpoint(name: str, labels: dict[str, str], interface: str = "eth9") -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": labels, "resourceVersion": "1"},
        "spec": {"node": "n1", "interfaceName": interface},
    }


ON = configuration(autoCreate="Enabled")


@pytest.mark.parametrize(
    ("api", "expected"),
    [
        pytest.param(Api(ON), {"n1-auto-hep": "*"}, id="created"),
        pytest.param(Api(ON, endpoint("n1-auto-hep", LABELS)), {"n1-auto-hep": "*"}, id="updated"),
        pytest.param(Api(configuration(), endpoint("n1-auto-hep", LABELS)), {}, id="switched-off"),
        pytest.param(
            Api(ON, endpoint("gone-auto-hep", LABELS)), {"n1-auto-hep": "*"}, id="node-is-gone"
        ),
        pytest.param(
            Api(ON, endpoint("mine", {})), {"n1-auto-hep": "*", "mine": "eth9"}, id="others-stay"
        ),
        pytest.param(
            Api(ON, endpoint("n1-auto-hep", {})), {"n1-auto-hep": "eth9"}, id="name-is-taken"
        ),
        pytest.param(
            Api(ON, endpoint("old", LABELS), rival="old"),
            {"n1-auto-hep": "*", "old": "eth9"},
            id="written-meanwhile",
        ),
        pytest.param(
            Api(
                configuration(
                    autoCreate="Enabled", templates=[{**TEMPLATE, "nodeSelector": "role =="}]
                ),
                endpoint("n1-auto-hep", LABELS),
            ),
            {"n1-auto-hep": "eth9"},
            id="templates-mean-nothing",
        ),
    ],
)
def test_scan(api: Api, expected: dict[str, str]) -> None:
    """Twice is once; what is somebody else's stays."""
    keeper = AutoHostEndpoints(api)

    asyncio.run(keeper.scan())
    writes = api.writes
    asyncio.run(keeper.scan())

    assert expected == {name: each["spec"]["interfaceName"] for name, each in api.endpoints.items()}
    assert writes == api.writes
