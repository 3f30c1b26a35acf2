"""A detour's program as a process: started, adopted by a restarted agent, ended."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec

from chita.dataplane.child import Child, end, find_child, read_child, write_child
from chita.dataplane.detour.engine import Task
from chita.errors import EngineError


class DetourProcess:
    """The process that does one task, by the files ``<name>.pid``, ``.task`` and ``.log``.

    It outlives the agent, so that a restarted one breaks no stream.
    """

    def __init__(self, name: str, directory: Path) -> None:
        self._pid_path = directory / f"{name}.pid"
        self._task_path = directory / f"{name}.task"
        self.log_path = directory / f"{name}.log"

    def ensure(self, task: Task) -> bool:
        """Have a process do *task*, ending one that does another; return whether one was started.

        Raises:
            EngineError: it did not start.
        """
        text = msgspec.json.encode(task)
        running = self._running()
        if running is not None:
            if self._task_path.read_bytes() == text:
                return False
            end(running)
        self._task_path.write_bytes(text)
        log = os.open(self.log_path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-m", "chita.dataplane.detour.engine", text.decode()],
                os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, log, 1),
                    (os.POSIX_SPAWN_DUP2, log, 2),
                ],
                setsid=True,
            )
        finally:
            os.close(log)
        child = find_child(pid)
        if child is None:
            words = self.log_path.read_text(errors="replace").strip().rpartition("\n")[2]
            raise EngineError(f"detour did not start: {words} (log {self.log_path})")
        write_child(self._pid_path, child)
        return True

    def stop(self) -> None:
        """End the process; twice is once."""
        running = self._running()
        if running is not None:
            end(running)
        self._pid_path.unlink(missing_ok=True)
        self._task_path.unlink(missing_ok=True)

    @property
    def is_running(self) -> bool:
        """Whether it runs."""
        return self._running() is not None

    @property
    def task(self) -> Task | None:
        """What the process does, None when none runs."""
        try:
            return (
                msgspec.json.decode(self._task_path.read_bytes(), type=Task)
                if self._running()
                else None
            )
        except (OSError, msgspec.MsgspecError):
            return None

    def _running(self) -> Child | None:
        child = read_child(self._pid_path)
        return child if child is not None and child.is_running else None
