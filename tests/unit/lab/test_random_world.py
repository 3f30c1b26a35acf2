"""Random worlds are valid, and the same for the same seed."""

from __future__ import annotations

from pathlib import Path

import pytest

from chita.convert.world import cluster_from_objects
from chita.lab.random_world import random_world
from chita.lab.world import DEFAULT_WORLD, read_world

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*.yaml"))


def test_same_seed() -> None:
    assert random_world(7) == random_world(7)
    assert random_world(7) != random_world(8)


@pytest.mark.parametrize("seed", range(20))
def test_valid(seed: int) -> None:
    """Every object of every world means something to the model."""
    objects = random_world(seed)
    converted = cluster_from_objects(objects)

    assert converted.problems == ()
    assert len(converted.cluster.workloads) == 40
    assert len(converted.cluster.policies) == 30


@pytest.mark.parametrize("path", [*EXAMPLES, DEFAULT_WORLD], ids=lambda path: path.stem)
def test_examples(path: Path) -> None:
    """Every world that ships means something, all of it."""
    shipped = read_world([path])
    objects = [obj for obj in shipped.objects if obj["kind"] != "Underlay"]
    converted = cluster_from_objects(objects)

    assert shipped.problems == ()
    assert (converted.problems, converted.notices) == ((), ())
    assert converted.cluster.policies
