"""Every trace of a lab removed, also of one that crashed half way up or half way down.

What is ours is known in two ways, so that neither a lost state file nor a half-made namespace
leaves anything: the state file names it, or it is a namespace whose name has the lab's prefix.
A process is ours when the state file has its pid *and* its start time, or when it lives in one of
our namespaces. Nothing else is ever ended.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from chita.errors import InputError, KernelError
from chita.lab.netns import ip_batch, netns_names, netns_path
from chita.lab.state import StateFile, is_running

_OF_TESTS = re.compile(r"chita-(t[a-z]*[0-9-]|bench)")
"""Namespaces of kernel tests and benchmarks start so (``chita-t123-0``). The sweep of a lab leaves
them alone; names of its own that happen to start so are in its state file."""

_PATIENCE_S = 3.0
"""How long processes may take to end when asked, before they are killed."""

_ROUNDS = 5
"""How often it is looked for processes that were started while others were ended."""


class Removal(msgspec.Struct, frozen=True, kw_only=True):
    """What was found and removed."""

    namespaces: tuple[str, ...]
    processes: tuple[int, ...]


def remove_everything(state: StateFile, *, prefix: str = "chita-") -> Removal:
    """Remove the lab whose record is *state*, and all namespaces that start with *prefix*.

    Twice is once; with nothing there it does nothing.

    Raises:
        KernelError: a namespace could not be removed.
    """
    recorded = None
    # A state file that can't be read must not stop the removal of what it once described.
    with suppress(InputError):
        recorded = state.read()
    swept = netns_names(prefix)
    if not _OF_TESTS.match(prefix):
        swept = [name for name in swept if not _OF_TESTS.match(name)]
    names = [*dict.fromkeys([*(recorded.namespaces if recorded else ()), *swept])]
    processes = {p.pid for p in recorded.processes if is_running(p)} if recorded else set()
    present = [name for name in names if netns_path(name).exists()]
    processes |= _inhabitants(present)
    end_processes(processes)
    for _ in range(_ROUNDS):
        # What an agent started anew when it saw an engine end, before it ended itself.
        if not (stragglers := _inhabitants(present)):
            break
        end_processes(stragglers)
        processes |= stragglers
    _delete(present)
    if state.is_ours():
        shutil.rmtree(state.directory)
    return Removal(namespaces=tuple(present), processes=tuple(sorted(processes)))


def end_processes(pids: Iterable[int]) -> None:
    """End *pids*: asked first, killed when they have not gone in time; returns when they have.

    By file descriptors of the processes (pidfd_open(2)): a number can't come to mean another.
    """
    descriptors: dict[int, int] = {}
    for pid in pids:
        with suppress(ProcessLookupError):
            descriptors[pid] = os.pidfd_open(pid)
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            for descriptor in descriptors.values():
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(descriptor, number)
            _wait(descriptors)
    finally:
        for descriptor in descriptors.values():
            os.close(descriptor)


def _wait(descriptors: Mapping[int, int]) -> None:
    """Wait until all have ended, at most the time they are given."""
    poll = select.poll()
    for descriptor in descriptors.values():
        poll.register(descriptor, select.POLLIN)
    left = len(descriptors)
    while left:
        ready = poll.poll(_PATIENCE_S * 1000)
        if not ready:
            return
        for descriptor, _ in ready:
            poll.unregister(descriptor)
            left -= 1


def _inhabitants(names: Iterable[str]) -> set[int]:
    """Return the processes that live in the namespaces *names*, but for ourselves."""
    homes = {_identity(netns_path(name)) for name in names}
    # A file that is no namespace (its mount is gone) has an identity that no process has.
    homes.discard(None)
    homes.discard(_identity(Path("/proc/self/ns/net")))
    found: set[int] = set()
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and _identity(path / "ns/net") in homes:
            found.add(int(path.name))
    return found - {os.getpid()}


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells one namespace from another: device and inode (namespaces(7))."""
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino)


def _delete(names: Sequence[str]) -> None:
    """Delete namespaces; also the bare file that a crash between its making and mounting left."""
    # One process for all; where it stops at a bare file, one by one.
    with suppress(KernelError):
        ip_batch(None, [f"netns delete {name}" for name in names])
    for name in names:
        if not netns_path(name).exists():
            continue
        try:
            ip_batch(None, [f"netns delete {name}"])
        except KernelError:
            with suppress(FileNotFoundError):
                netns_path(name).unlink()
