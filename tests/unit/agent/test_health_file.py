"""What probes found outlives the agent, for a while."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import msgspec
import pytest

from api_clients import until
from chita.agent import health_file
from chita.agent.health_file import keep_remembered, remember, remembered
from chita.fabric.health import (
    UNPROBED,
    Direct,
    Health,
    Local,
    Transit,
    Verdict,
    WayHealth,
)

DOWN = WayHealth(verdict=Verdict.DOWN, reason="3 of 3 probes lost in 0.6 s", since_s=1000.0)
UP = WayHealth(verdict=Verdict.UP, reason="it answers", since_s=2000.5)
HEALTH = Health({Direct("b", 1): DOWN, Local("c"): UP, Transit("g", "far"): DOWN})


def test_verdicts_come_back_sizes_do_not(tmp_path: Path) -> None:
    file = tmp_path / "health.json"
    sized = msgspec.structs.replace(UP, mtu_bytes=1200, rtt_s=0.1)
    remember(file, Health({**HEALTH.ways, Local("c"): sized}))
    assert HEALTH == remembered(file)
    assert [file] == list(tmp_path.iterdir())


def test_old_and_damaged_files_are_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "health.json"
    assert UNPROBED == remembered(file)
    file.write_text("{")
    assert UNPROBED == remembered(file)
    remember(file, HEALTH)
    later = time.time() + health_file.LASTS_S + 1
    monkeypatch.setattr(time, "time", lambda: later)
    assert UNPROBED == remembered(file)


def test_a_change_is_written_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_file, "LOOK_S", 0.005)
    file = tmp_path / "health.json"

    async def act() -> None:
        task = asyncio.create_task(keep_remembered(file, lambda: HEALTH))
        try:
            await until(lambda: remembered(file) == HEALTH)
        finally:
            task.cancel()

    asyncio.run(act())
