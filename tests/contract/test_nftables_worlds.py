"""Every world that is shipped or drawn: rendered, loaded by nft, read back, and nothing differs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from chita.compute.policy import policy_state
from chita.convert.world import cluster_from_objects
from chita.dataplane.nftables.diff import diff
from chita.dataplane.nftables.libnft import Libnft
from chita.dataplane.nftables.outline import as_ruleset, outline
from chita.dataplane.nftables.render import render
from chita.dataplane.nftables.ruleset import policy_ruleset
from chita.dataplane.nftables.table import KernelTable
from chita.lab.random_world import random_world
from chita.model.cluster import ClusterState
from network_namespace import fresh_namespaces, needs_root
from nftables_world import inside

pytestmark = [pytest.mark.kernel, pytest.mark.slow, needs_root]
ROOT = Path(__file__).parents[2]
FILES = [ROOT / "src/chita/lab/default.yaml", *sorted((ROOT / "examples").glob("*.yaml"))]


@pytest.fixture(scope="module")
def tables() -> Iterator[tuple[Libnft, KernelTable]]:
    with fresh_namespaces(1) as (namespace,), inside(namespace):
        nft, table = Libnft(), KernelTable()
        yield nft, table
        nft.close()
        table.close()


def world(name: str) -> ClusterState:
    """Return the cluster of a file, or of a random world by its seed."""
    if name.isdigit():
        return cluster_from_objects(random_world(int(name))).cluster
    path = next(path for path in FILES if path.stem == name)
    objects = [each for each in yaml.safe_load_all(path.read_text(encoding="utf-8")) if each]
    return cluster_from_objects(objects).cluster


@pytest.mark.parametrize("name", [*(path.stem for path in FILES), *map(str, range(6))])
def test_what_is_rendered_is_read_back(tables: tuple[Libnft, KernelTable], name: str) -> None:
    nft, table = tables
    cluster = world(name)
    assert cluster.nodes
    for node in cluster.nodes:
        ruleset = policy_ruleset(policy_state(cluster, node))
        nft.run("add table inet chita; delete table inet chita")
        nft.run(render(ruleset))
        found = table.read()

        assert found == outline(ruleset), node
        assert diff(as_ruleset(found, ruleset), ruleset) == (), node
