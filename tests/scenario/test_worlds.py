"""Worlds of other kinds: model and wire agree on every flow of each."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from chita.lab.random_world import random_world
from chita.lab.trial import run_trials
from scenario_lab import EXAMPLES, make_lab, namespaces

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(240)]


def tried(*files: Path) -> int:
    """Bring up a lab of *files*, try all its flows, remove it; return how many flows there were."""
    lab = make_lab(*files)
    try:
        lab.up([str(file) for file in files])
        report = run_trials(lab)
    finally:
        lab.down()

    assert [] == report.disagreements
    assert [] == report.broken_links
    assert [] == namespaces()
    return len(report.flows)


@pytest.mark.parametrize(
    "file",
    [
        pytest.param("single-cloud.yaml", id="single-cloud"),
        pytest.param("ipv6-only.yaml", id="ipv6-only"),
        pytest.param("peered.yaml", id="peered"),
    ],
)
def test_example(file: str) -> None:
    """Each example runs as it stands."""
    assert tried(EXAMPLES / file) > 50


def test_forty_pods_with_random_policies(tmp_path: Path) -> None:
    """A seed that is not chosen for being easy."""
    file = tmp_path / "random.yaml"
    file.write_text(yaml.safe_dump_all(random_world(2026, pods=40, policies=30)))

    assert tried(file) > 2000
