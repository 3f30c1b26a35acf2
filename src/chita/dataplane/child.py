"""Processes that outlive their starter: known again by id and start time, ended politely.

A process id alone may have been given to another process since; with the time at which it started
it names one process for as long as the machine runs.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import msgspec

STOP_TIMEOUT_S = 5.0
_POLL_S = 0.002


class Child(msgspec.Struct, frozen=True):
    """One process of the machine, running or not."""

    pid: int
    started: int
    """In clock ticks since the machine started (field 22 of /proc/pid/stat)."""

    @property
    def is_running(self) -> bool:
        """Whether it still runs."""
        return start_time(self.pid) == self.started


def find_child(pid: int) -> Child | None:
    """Return the process that has *pid* now, None when there is none."""
    started = start_time(pid)
    return None if started is None else Child(pid, started)


def write_child(path: Path, child: Child) -> None:
    """Keep *child* in a pid file."""
    path.write_bytes(msgspec.json.encode(child))


def read_child(path: Path) -> Child | None:
    """Return what a pid file names; None when there is no usable one."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Child)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def end(child: Child) -> None:
    """End *child*: SIGTERM, after five seconds SIGKILL; twice is once. Blocking."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.kill(child.pid, number)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while time.monotonic() < deadline:
            if not child.is_running:
                return
            time.sleep(_POLL_S)  # only a parent could wait for it


def start_time(pid: int) -> int | None:
    """Return when *pid* started, in clock ticks since boot; None when it is dead.

    A child of ours is dead when it can be buried, which this does; somebody else's is dead as soon
    as it is a zombie, since who should bury it may never do so.
    """
    is_child = True
    try:
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            return None
    except ChildProcessError:
        is_child = False
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" and not is_child else int(fields[19])
