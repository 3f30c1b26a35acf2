"""Processes of the lab: recorded, found again by another starter, ended by id."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chita.errors import EngineError
from chita.lab import processes as processes_module
from chita.lab.processes import Processes
from chita.lab.state import State, StateFile

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
DEAF = [
    sys.executable,
    "-c",
    (
        "import signal, time; signal.signal(15, signal.SIG_IGN);"
        "print('up', flush=True); time.sleep(60)"
    ),
]


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    state = StateFile(tmp_path / "lab")
    state.write(State(prefix="chita-tu-"))
    made = Processes(state)
    yield made
    found = state.read()
    for process in found.processes if found else ():
        made.stop(process.name, signal.SIGKILL)


def wait_for(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_up(processes: Processes, name: str) -> bool:
    return processes.log(name).exists() and "up" in processes.log(name).read_text()


def test_life(processes: Processes) -> None:
    """A leader of its own session, whose output is in a file; stopped, it is forgotten."""
    started = processes.start("sleeper", SLEEPER)
    wait_for(lambda: is_up(processes, "sleeper"))

    assert started == processes.find("sleeper")
    assert os.getsid(started.pid) == started.pid
    processes.check("sleeper")

    processes.stop("sleeper")

    assert processes.find("sleeper") is None
    processes.stop("sleeper")


def test_one_that_ended_is_told_with_its_last_words(processes: Processes) -> None:
    processes.start("short", [sys.executable, "-c", "raise SystemExit('no such luck')"])
    wait_for(lambda: processes.find("short") is None)

    with pytest.raises(EngineError, match="no such luck"):
        processes.check("short")


def test_one_that_never_ran(processes: Processes) -> None:
    with pytest.raises(EngineError, match="no output"):
        processes.check("never")


@pytest.mark.slow
def test_one_that_does_not_listen_is_killed(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes_module, "STOP_TIMEOUT_S", 0.1)
    processes.start("deaf", DEAF)
    wait_for(lambda: is_up(processes, "deaf"))

    processes.stop("deaf")

    assert processes.find("deaf") is None


def test_environment_and_descriptors_are_passed(processes: Processes) -> None:
    """The API server's listener is opened here and used there."""
    reading, writing = os.pipe()
    try:
        processes.start(
            "child",
            [sys.executable, "-c", f"import os; os.write({writing}, os.environ['WORD'].encode())"],
            environment={"WORD": "hello"},
            pass_fds=[writing],
        )

        assert b"hello" == os.read(reading, 5)
    finally:
        os.close(reading)
        os.close(writing)
