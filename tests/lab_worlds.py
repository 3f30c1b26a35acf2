"""Worlds and underlays of the lab for tests: built from a few words, removed whatever happens."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chita.lab.builder import build_underlay
from chita.lab.netns import netns_path
from chita.lab.probe import Allowed, Expectation, Flow, Outcome, try_flows
from chita.lab.removal import remove_everything
from chita.lab.state import StateFile
from chita.lab.topology import Topology, topology
from chita.lab.world import World, parse_world
from chita.model.net import Address

_PROVIDER_IDS = {
    "aws": "aws:///eu-west-1a/i-{}",
    "gcp": "gce://project/europe-west4-a/{}",
    "azure": "azure:///subscriptions/0/virtualMachines/{}",
    "openstack": "openstack:///{}",
    "branch": "branch://office/{}",
    "baremetal": "baremetal://{}",
}

_numbers = itertools.count()


def node(
    name: str, provider: str, *, private: Sequence[str] = (), public: Sequence[str] = ()
) -> dict[str, Any]:
    """Return a Node of *provider* in region ``r``."""
    addresses = [
        *({"type": "InternalIP", "address": address} for address in private),
        *({"type": "ExternalIP", "address": address} for address in public),
    ]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"topology.kubernetes.io/region": "r"}},
        "spec": {"providerID": _PROVIDER_IDS[provider].format(name)},
        "status": {"addresses": addresses},
    }


def underlay(name: str, **spec: Any) -> dict[str, Any]:
    """Return an Underlay; of region ``r`` when it is a cloud."""
    if "provider" in spec:
        spec.setdefault("region", "r")
    return {
        "apiVersion": "chita.dev/v1alpha1",
        "kind": "Underlay",
        "metadata": {"name": name},
        "spec": spec,
    }


def pod(name: str, **spec: Any) -> dict[str, Any]:
    """Return a Pod in ``default``."""
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def world(*objects: Mapping[str, Any]) -> World:
    """Return the world of *objects*."""
    return parse_world([("world.yaml", "\n---\n".join(json.dumps(item) for item in objects))])


def fresh_prefix() -> str:
    """Return a prefix for namespaces that no other test and no lab has."""
    return f"chita-tu{os.getpid()}-{next(_numbers)}-"


class Standing:
    """An underlay that stands."""

    def __init__(self, planned: Topology, state: StateFile) -> None:
        self.topology = planned
        self.state = state

    def path(self, name: str) -> Path:
        """Return the namespace of a node, cloud, host, ``wan`` or ``control``."""
        return netns_path(self.topology.prefix + name)

    def flow(
        self,
        source: str,
        destination: str,
        protocol: int,
        port: int = 0,
        *,
        size_bytes: int = 0,
        expected: Expectation = Expectation.UNKNOWN,
    ) -> Flow:
        """Return a flow from a node to an address."""
        return Flow(
            namespace=str(self.path(source)),
            destination=Address.parse(destination),
            protocol=protocol,
            port=port,
            size_bytes=size_bytes,
            expected=expected,
        )


@contextmanager
def standing(planned_world: World, directory: Path) -> Iterator[Standing]:
    """Yield the underlay of *planned_world*, its state in *directory*."""
    state = StateFile(directory / "lab")
    prefix = fresh_prefix()
    planned = topology(planned_world, prefix=prefix)
    assert not planned_world.problems
    assert not planned.problems
    try:
        build_underlay(planned, state)
        yield Standing(planned, state)
    finally:
        remove_everything(state, prefix=prefix)


async def outcome(flow: Flow) -> Outcome:
    """Return what comes of one flow."""
    (result,) = await try_flows([flow])
    return result


def answered_by(result: Outcome) -> str | None:
    """Return who answered, or None when nobody did."""
    return result.by if isinstance(result, Allowed) else None
