"""Faults inside a node: its WireGuard engines killed.

An engine is found by the pid file that its agent keeps for it, with the start time of the process,
so that nobody else's is ever killed.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from chita.errors import EngineError
from chita.lab.cluster import Lab
from chita.lab.state import start_ticks

_DEATH_MS = 5000


def await_engines(lab: Lab, nodes: Iterable[str]) -> None:
    """Return when an engine runs on each of *nodes* again, which their agents see to.

    Raises:
        EngineError: one does not.
    """
    for node in nodes:
        # Whoever starts a killed agent again starts the engine with it.
        if lab.processes.find(f"agent-{node}") is not None:
            home = lab.layout.node(node)
            lab.wait(
                f"the WireGuard engine of {node}",
                f"agent-{node}",
                lambda home=home: bool(engine_pids(home.run)),  # type: ignore[misc]
            )


class _PidFile(msgspec.Struct, frozen=True):
    pid: int
    started: int


def engine_pids(run_directory: Path) -> list[int]:
    """Return the processes of the WireGuard engines that run for the agent of *run_directory*."""
    return list(_running(run_directory))


def kill_engines(run_directory: Path) -> list[int]:
    """Kill every WireGuard engine of a node and return their pids once they are dead.

    Raises:
        EngineError: there is none: the kernel itself does WireGuard here, or the lab is not up.
    """
    killed: list[int] = []
    for pid in _running(run_directory):
        with suppress(ProcessLookupError):
            descriptor = os.pidfd_open(pid)
            try:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                waiting = select.poll()
                waiting.register(descriptor, select.POLLIN)
                waiting.poll(_DEATH_MS)
            finally:
                os.close(descriptor)
            killed.append(pid)
    if not killed:
        message = f"kill the WireGuard engines of {run_directory}: none runs there"
        raise EngineError(f"{message}; is the lab up, and WireGuard not the kernel's own?")
    return killed


def _running(run_directory: Path) -> Iterator[int]:
    for path in sorted(run_directory.rglob("*.pid")):
        try:
            process = msgspec.json.decode(path.read_bytes(), type=_PidFile)
        except (OSError, msgspec.DecodeError):
            continue
        if start_ticks(process.pid) == process.started:
            yield process.pid
