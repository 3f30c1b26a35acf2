"""Processes of the lab: started in a namespace, recorded, ended by id.

Each is the leader of a session of its own, so that an interrupted `lab up` doesn't take half of
them with it, and its output goes to a file under the lab's directory.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

from chita.errors import EngineError
from chita.lab.netns import entered
from chita.lab.state import Process, StateFile, is_running

STOP_TIMEOUT_S = 5.0
"""How long a process may take to end by itself."""


class Processes:
    """The processes of the lab whose state is in a StateFile."""

    def __init__(self, state: StateFile) -> None:
        self._state = state

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        namespace: Path | None = None,
        environment: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> Process:
        """Start *command* in *namespace* (None: here) and record it under *name*."""
        log = self.log(name)
        log.parent.mkdir(parents=True, exist_ok=True)
        for descriptor in pass_fds:
            os.set_inheritable(descriptor, True)
        # Not subprocess.Popen: the process is meant to outlive its starter, which need not hold it.
        with entered(namespace) if namespace else nullcontext():
            pid = os.posix_spawnp(
                command[0],
                list(command),
                {**_inherited(), **(environment or {})},
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                ],
                setsid=True,
            )
        state = self._state.add_process(name, pid)
        return next(process for process in state.processes if process.pid == pid)

    def log(self, name: str) -> Path:
        """Return the file with the output of *name*."""
        return self._state.directory / "log" / f"{name}.log"

    def find(self, name: str) -> Process | None:
        """Return the process recorded under *name* if it is running."""
        state = self._state.read()
        for process in state.processes if state else ():
            if process.name == name and _alive(process):
                return process
        return None

    def check(self, name: str) -> None:
        """Raise when *name* has ended.

        Raises:
            EngineError: it is not running any more; the message ends with its last words.
        """
        if self.find(name) is None:
            raise EngineError(f"{name} ended; the end of {self.log(name)}:\n{self._tail(name)}")

    def stop(self, name: str, signal_: signal.Signals = signal.SIGTERM) -> None:
        """End *name* and wait until it has; one that has ended already is forgotten."""
        process = self.find(name)
        if process is None:
            return
        deadline = time.monotonic() + STOP_TIMEOUT_S
        # It may end by itself between any two steps.
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal_)
            while _alive(process):
                if time.monotonic() > deadline:
                    os.kill(process.pid, signal.SIGKILL)
                time.sleep(0.01)
        self._state.remove_process(process.pid)

    def _tail(self, name: str) -> str:
        try:
            lines = self.log(name).read_text(errors="replace").splitlines()
        except OSError:
            return "(no output)"
        return "\n".join(lines[-12:])


def _inherited() -> dict[str, str]:
    """Return our environment, without what would make each of many agents compile its modules."""
    return {name: it for name, it in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _alive(process: Process) -> bool:
    """Whether *process* still runs; a child of ours that has ended is reaped."""
    with suppress(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)
    return is_running(process)
