"""Run something in another network namespace without ever leaving our own.

A namespace belongs to a thread (setns(2)), so the call runs in a thread of its own that ends with
it. What it opens stays bound to the namespace it was opened in: a socket, a file below
/proc/sys/net, a TUN device; a process it starts lives there.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar

from chita.errors import KernelError

_CLONE_NEWNET, _CLONE_NEWNS = 0x40000000, 0x00020000  # linux/sched.h
_MS_BIND, _PRIVATE = 0x1000, 0x4000 | 0x40000  # sys/mount.h: MS_REC | MS_PRIVATE

T = TypeVar("T")


def inside(namespace: Path | None, call: Callable[[], T]) -> T:
    """Return ``call()`` as run in the network namespace at *namespace*; None is our own.

    Raises:
        KernelError: the namespace is gone, or we may not enter it (CAP_SYS_ADMIN).
    """
    return call() if namespace is None else in_own_thread(namespace, call)


def in_own_thread(namespace: Path | None, call: Callable[[], T]) -> T:
    """As `inside`, but always in a new thread, so that *call* may leave other namespaces too."""
    results: list[T] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            if namespace is not None:
                _enter(namespace)
            results.append(call())
        except BaseException as error:  # noqa: BLE001  carried over to the caller's thread
            failures.append(error)

    thread = threading.Thread(target=run, name=f"netns {namespace.name if namespace else 'own'}")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]


def mount_privately(source: Path, target: Path) -> None:
    """Let *target* be *source* for this thread, and for the processes it starts, alone.

    For `in_own_thread` only: the thread leaves the mount namespace of the process.

    Raises:
        KernelError: not permitted (CAP_SYS_ADMIN), or one of the paths does not exist.
    """
    _check("unshare mounts", libc().unshare(_CLONE_NEWNS))
    _check("make mounts private", libc().mount(b"none", b"/", None, _PRIVATE, None))
    answer = libc().mount(bytes(source), bytes(target), None, _MS_BIND, None)
    _check(f"mount {source} on {target}", answer)


def _enter(namespace: Path) -> None:
    try:
        descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise KernelError(
            f"enter namespace {namespace}: {error.strerror}", errno=error.errno or 0
        ) from error
    try:
        _check(f"enter namespace {namespace}", libc().setns(descriptor, _CLONE_NEWNET))
    finally:
        os.close(descriptor)


def _check(what: str, answer: int) -> None:
    if answer:
        code = ctypes.get_errno()
        raise KernelError(f"{what}: {os.strerror(code)}", errno=code)


@cache
def libc() -> ctypes.CDLL:
    """Return the C library, for the calls Python 3.11 does not have: setns, unshare, mount."""
    return ctypes.CDLL(None, use_errno=True)
