"""The state file of a lab: what was made, written before it is made.

So a crash between the two leaves at worst a record of something that does not exist, never
something that nothing records.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from chita.errors import InputError
from chita.lab.faults import Fault

DEFAULT_DIRECTORY = Path("/run/chita-lab")


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """A process that the lab started. A pid alone may be somebody else's by now."""

    name: str
    pid: int
    start_ticks: int
    """When it started, in clock ticks since boot (proc(5), /proc/pid/stat field 22)."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What a lab consists of."""

    prefix: str = "chita-"
    namespaces: tuple[str, ...] = ()
    processes: tuple[Process, ...] = ()
    faults: tuple[Fault, ...] = ()
    worlds: tuple[str, ...] = ()
    """The world files it was brought up from; empty: the default."""


class StateFile:
    """The state in ``<directory>/state.json``; every change is on disk when the call returns."""

    def __init__(self, directory: Path = DEFAULT_DIRECTORY) -> None:
        self.directory = directory
        self._path = directory / "state.json"

    def read(self) -> State | None:
        """Return the state, or None when there is no lab.

        Raises:
            InputError: the file is not ours.
        """
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=State)
        except FileNotFoundError:
            return None
        except (msgspec.DecodeError, OSError) as error:
            message = f"read the lab's state {self._path}: {error}; remove the file by hand"
            raise InputError(message) from error

    def is_ours(self) -> bool:
        """Whether the directory may be removed whole: it is the lab's, or there is nothing in it.

        Somebody's home directory, given by mistake, is neither.
        """
        if not self.directory.is_dir():
            return False
        is_known = self._path.exists() or self.directory == DEFAULT_DIRECTORY
        return is_known or not any(self.directory.iterdir())

    def write(self, state: State) -> None:
        """Replace the state; a reader sees the old one or the new one.

        Raises:
            InputError: the directory holds something that is not a lab's.
        """
        self.directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        if not self.is_ours():
            message = f"use {self.directory} for the lab: it holds other files; name an empty one"
            raise InputError(message)
        draft = self._path.with_suffix(".new")
        draft.write_bytes(msgspec.json.encode(state))
        draft.replace(self._path)

    def add_namespaces(self, names: tuple[str, ...]) -> State:
        """Record namespaces that are about to be made."""
        state = self.read() or State()
        return self._replaced(state, namespaces=tuple(dict.fromkeys([*state.namespaces, *names])))

    def add_process(self, name: str, pid: int) -> State:
        """Record a process that was just started."""
        state = self.read() or State()
        process = Process(name=name, pid=pid, start_ticks=start_ticks(pid) or 0)
        return self._replaced(state, processes=(*state.processes, process))

    def remove_process(self, pid: int) -> State:
        """Forget a process that has ended."""
        state = self.read() or State()
        return self._replaced(
            state, processes=tuple(process for process in state.processes if process.pid != pid)
        )

    def add_fault(self, fault: Fault) -> State:
        """Record a fault that is about to be made."""
        state = self.read() or State()
        return self._replaced(state, faults=(*(f for f in state.faults if f != fault), fault))

    def remove_fault(self, fault: Fault) -> State:
        """Forget a fault that was mended."""
        state = self.read() or State()
        return self._replaced(state, faults=tuple(f for f in state.faults if f != fault))

    def _replaced(self, state: State, **changes: object) -> State:
        changed = msgspec.structs.replace(state, **changes)
        self.write(changed)
        return changed


def start_ticks(pid: int) -> int | None:
    """Return when process *pid* started, in clock ticks since boot; None if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The command's name, in parentheses, may hold spaces and parentheses itself.
    return int(text.rpartition(")")[2].split()[19])


def is_running(process: Process) -> bool:
    """Whether *process* is still the one that was recorded."""
    return process.pid != os.getpid() and start_ticks(process.pid) == process.start_ticks
