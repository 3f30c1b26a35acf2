"""The fabric in short: a gateway lost and one that forwards nothing, by the scenarios' own code.

All of it, with repetitions and marks, is `make scenarios` (docs/reference/scenarios.md).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chita.lab.cluster import Lab
from chita.lab.scenarios import gateways, pairs, processes
from chita.lab.scenarios.bench import EXTRA_WORLD, Bench
from chita.lab.scenarios.figures import Figure
from chita.lab.world import DEFAULT_WORLD
from scenario_lab import make_lab

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def bench(_needs_root: None) -> Iterator[Bench]:
    lab: Lab = make_lab(DEFAULT_WORLD, EXTRA_WORLD)
    try:
        lab.up([str(DEFAULT_WORLD), str(EXTRA_WORLD)])
        bench = Bench(lab)
        bench.settle()
        yield bench
    finally:
        lab.down()


def kept(bench: Bench, figures: list[Figure]) -> None:
    """Assert that every figure meets its mark; mend what was broken."""
    bench.settle()
    missed = [f"{it.what}: {it.values} {it.unit}" for it in figures if not it.is_kept]
    assert [] == missed, bench.notes


def test_every_pair(bench: Bench) -> None:
    kept(bench, pairs.every_pair(bench, 1))


def test_a_lost_gateway_is_left_within_two_seconds(bench: Bench) -> None:
    """The median's mark of one second is for `make scenarios`: it takes more than one try."""
    (gap,) = gateways.link_dropped(bench, 1)

    bench.settle()
    assert gap.worst <= 2.0, bench.notes


def test_an_agent_that_is_killed_loses_nothing(bench: Bench) -> None:
    kept(bench, processes.agent_killed(bench, 1))
