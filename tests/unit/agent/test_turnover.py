"""An old key goes when nobody needs it, not before, and nobody who is away holds it up."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from chita.agent import turnover
from chita.agent.key_ring import KeyRing
from chita.agent.turnover import is_needed, keep_turned_over
from chita.fabric.health import Direct, Health, Verdict, WayHealth
from chita.model.node import FabricNode, TunnelEnd
from hybrid import fabric_node, hybrid

UP, DOWN = WayHealth(verdict=Verdict.UP), WayHealth(verdict=Verdict.DOWN)
OLD = TunnelEnd(epoch=0, public_key="O" * 43 + "=", port=51820)
HERE = msgspec.structs.replace(
    fabric_node("a", "aws-x", "10.0.0.11"), wireguard_epoch=1, wireguard_previous=OLD
)
THERE = fabric_node("b", "gcp-y", "10.0.0.11")
BOTH = msgspec.structs.replace(THERE, wireguard_epoch=1, wireguard_previous=OLD)


@pytest.mark.parametrize(
    ("there", "health", "needed"),
    [
        pytest.param(THERE, {0: UP}, True, id="has-not-heard"),
        pytest.param(THERE, {}, False, id="never-reached-itself"),
        pytest.param(THERE, {0: DOWN}, False, id="away"),
        pytest.param(BOTH, {0: UP}, True, id="new-not-proven"),
        pytest.param(BOTH, {0: UP, 1: DOWN}, True, id="new-fails"),
        pytest.param(BOTH, {0: UP, 1: UP}, False, id="proven"),
        pytest.param(BOTH, {0: DOWN, 1: DOWN}, False, id="only-by-relay"),
    ],
)
def test_who_needs_the_old_key(
    there: FabricNode, health: dict[int, WayHealth], *, needed: bool
) -> None:
    known = Health({Direct("b", epoch): it for epoch, it in health.items()})
    assert needed == is_needed("a", hybrid(HERE, there), known)


def test_unpublished_keys_are_needed() -> None:
    assert is_needed("a", hybrid(msgspec.structs.replace(HERE, wireguard_previous=None)), Health())
    assert is_needed("elsewhere", hybrid(HERE), Health())


def test_it_goes_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Needed again meanwhile, it stays; then it goes once, and who must know is told."""
    monkeypatch.setattr(turnover, "EVERY_S", 0.005)
    monkeypatch.setattr(turnover, "DRAIN_S", 0.1)
    proven = Health({Direct("b", 0): UP, Direct("b", 1): UP})
    unproven = Health({Direct("b", 0): UP})

    async def act() -> None:
        ring, told, answers = KeyRing("a", tmp_path), asyncio.Event(), [proven, unproven]
        ring.identity(0)
        ring.identity(1)

        def health() -> Health:
            assert not (len(answers) > 1 and told.is_set()), "retired though it was needed again"
            return answers.pop(0) if len(answers) > 1 else proven

        task = asyncio.create_task(
            keep_turned_over(ring, "a", lambda: hybrid(HERE, BOTH), health, told.set)
        )
        try:
            await asyncio.wait_for(told.wait(), 5)
        finally:
            task.cancel()
        assert (1,) == ring.epochs

    asyncio.run(act())
