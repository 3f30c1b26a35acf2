"""The named states, from scratch and on any walk through them."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from chita.compute.incremental import IncrementalPolicy
from chita.compute.policy import policy_state
from states.changes import steps
from states.policy_states import STATES, State


def walk(path: Iterable[State], *, piece: int, seed: int) -> None:
    """Go through the states of *path* in pieces of *piece* shuffled changes; each must be right."""
    kept = IncrementalPolicy("node-1")
    for state in path:
        changes = sorted(steps(kept.cluster, state.cluster), key=str)
        random.Random(seed).shuffle(changes)
        for start in range(0, len(changes), piece):
            kept.apply(changes[start : start + piece])

        assert kept.state == state.expected, state.name


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.name)
def test_from_scratch(state: State) -> None:
    assert state.expected == policy_state(state.cluster, "node-1")


@pytest.mark.parametrize("piece", [1, 2, 1000], ids=["split", "pairs", "squashed"])
@pytest.mark.parametrize("seed", range(6))
def test_any_walk_through_the_states_ends_right(seed: int, piece: int) -> None:
    """Forwards, backwards and shuffled (A1: states expanded; A4: random state walks)."""
    path = list(STATES)
    walk([*path, *reversed(path)], piece=piece, seed=seed)
    random.Random(seed).shuffle(path)
    walk(path, piece=piece, seed=seed)
