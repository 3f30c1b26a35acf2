"""A clock that goes backwards is noticed, also over a restart; one that is slewed is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from chita.agent.clock import ClockReading, ClockWatch


class Clocks:
    """Both clocks, to be moved by hand."""

    def __init__(self) -> None:
        self.now = ClockReading(1_000_000.0, 50.0)

    def pass_s(self, seconds: float, *, stepped_s: float = 0.0) -> None:
        self.now = ClockReading(self.now.wall_s + seconds + stepped_s, self.now.running_s + seconds)

    def __call__(self) -> ClockReading:
        return self.now


def test_an_hour_back_is_told_with_the_time_when_it_is_over(tmp_path: Path) -> None:
    clocks = Clocks()
    watch = ClockWatch(tmp_path / "clock", read=clocks)
    clocks.pass_s(10, stepped_s=-3600)
    watch.look()
    assert "stepped back by 3600 s" in watch.problem
    assert "1970-01-12 13:46:50 UTC" in watch.problem
    assert "rotate-keys" in watch.problem


@pytest.mark.parametrize("step_s", [-4.0, 0.0, 3600.0])
def test_a_little_or_forward_is_no_problem(tmp_path: Path, step_s: float) -> None:
    clocks = Clocks()
    watch = ClockWatch(tmp_path / "clock", read=clocks)
    clocks.pass_s(10, stepped_s=step_s)
    watch.look()
    assert watch.problem == ""


def test_it_is_over_when_the_clock_has_caught_up(tmp_path: Path) -> None:
    clocks = Clocks()
    watch = ClockWatch(tmp_path / "clock", read=clocks)
    clocks.pass_s(1, stepped_s=-100)
    watch.look()
    assert watch.problem
    clocks.pass_s(1, stepped_s=+100)  # as a time daemon does in the end
    watch.look()
    assert watch.problem == ""


def test_a_step_while_the_agent_was_stopped(tmp_path: Path) -> None:
    clocks = Clocks()
    ClockWatch(tmp_path / "clock", read=clocks).look()
    clocks.pass_s(30, stepped_s=-7200)
    assert "stepped back by 7170 s" in ClockWatch(tmp_path / "clock", read=clocks).problem


def test_a_damaged_file_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "clock").write_bytes(b"\xff\x00 not a time")
    watch = ClockWatch(tmp_path / "clock", read=Clocks())
    watch.look()
    assert watch.problem == ""
    assert (tmp_path / "clock").read_text() == "1000000\n"
