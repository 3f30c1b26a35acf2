"""``chita plan`` and ``chita render``: what would change, and what a node would hold."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from chita.cli.impact import impact
from chita.cli.main import root
from chita.cli.session import changed_world, read_entries, world_of
from goldens import GOLDEN, assert_golden

WORLD = str(GOLDEN / "cli/shop.yaml")
ISOLATE = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec: {podSelector: {matchLabels: {app: web}}}
"""


def run(*arguments: str) -> Result:
    return CliRunner().invoke(root, list(arguments))


@pytest.fixture
def isolate(tmp_path: Path) -> str:
    path = tmp_path / "isolate.yaml"
    path.write_text(ISOLATE)
    return str(path)


@pytest.mark.parametrize("output", ["json", "text"])
def test_policy_that_isolates(isolate: str, output: str) -> None:
    """The flows it cuts, and the one node that has to change."""
    result = run("plan", "-f", WORLD, "-f", isolate, "-o", output)

    assert 1 == result.exit_code
    assert_golden(f"cli/plan.{output}", result.stdout)


def test_there_and_back(isolate: str, tmp_path: Path) -> None:
    """Deleting a policy allows what adding it denied."""
    both = tmp_path / "both.yaml"
    both.write_text(Path(WORLD).read_text() + "---" + ISOLATE)
    there = json.loads(run("plan", "-f", WORLD, "-f", isolate, "-o", "json").stdout)
    back = json.loads(run("plan", "-f", str(both), "--delete", isolate, "-o", "json").stdout)

    assert there["newlyDenied"] == back["newlyAllowed"] != []
    assert there["policiesAdded"] == back["policiesRemoved"]


def test_nothing_changes(isolate: str) -> None:
    result = run("plan", "-f", isolate, "-f", isolate)

    assert (0, "nothing changes\n") == (result.exit_code, result.stdout)


def test_plan_without_a_change() -> None:
    result = run("plan", "-f", WORLD)

    assert 2 == result.exit_code
    assert "-f WORLD -f CHANGE" in result.stderr


def test_render() -> None:
    """One table, with the node's own pod and no other."""
    result = run("render", "-f", WORLD, "--node", "node-2")

    assert 0 == result.exit_code
    assert result.stdout.startswith("table inet ")
    assert result.stdout.endswith("}\n")


def test_render_unknown_node() -> None:
    result = run("render", "-f", WORLD, "--node", "nosuch")

    assert 2 == result.exit_code
    assert "the nodes are node-1, node-2, node-3" in result.stderr


def test_version() -> None:
    found = json.loads(run("version", "-o", "json").stdout)

    assert {"chita", "python", "kernel"} == found.keys()


def test_change_to_a_world_that_runs(isolate: str) -> None:
    """Without files for the world its state is changed, not its objects: the effect is the same."""
    documents = read_entries([WORLD])
    before = world_of(documents)
    after = changed_world(before, read_entries([isolate]), read_entries([]))
    back = changed_world(after, read_entries([]), read_entries([isolate]))
    there = json.loads(run("plan", "-f", WORLD, "--change", isolate, "-o", "json").stdout)
    found = impact(before, after)

    assert there == json.loads(msgspec.json.encode(found))
    assert found.newly_denied == impact(after, back).newly_allowed
    assert impact(before, back).is_nothing


def test_sets_that_a_change_brings(tmp_path: Path) -> None:
    """Each with what fills it and how much comes."""
    path = tmp_path / "change.yaml"
    path.write_text(
        ISOLATE.rstrip().removesuffix("}") + ", ingress: [{from: [{podSelector: {}}]}]}\n"
    )
    (change,) = json.loads(run("plan", "-f", WORLD, "-f", str(path), "-o", "json").stdout)["sets"]

    assert 'projectcalico.org/namespace == "shop"' in change["of"]
    assert (4, 0) == (change["added"], change["removed"])
