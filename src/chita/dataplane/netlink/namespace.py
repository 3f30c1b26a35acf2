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

_CLONE_NEWNET = 0x40000000  # linux/sched.h

T = TypeVar("T")


def inside(namespace: Path | None, call: Callable[[], T]) -> T:
    """Return ``call()`` as run in the network namespace at *namespace*; None is our own.

    Raises:
        KernelError: the namespace is gone, or we may not enter it (CAP_SYS_ADMIN).
    """
    if namespace is None:
        return call()
    results: list[T] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            _enter(namespace)
            results.append(call())
        except BaseException as error:  # noqa: BLE001  carried over to the caller's thread
            failures.append(error)

    thread = threading.Thread(target=run, name=f"netns {namespace.name}")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]


def _enter(namespace: Path) -> None:
    try:
        descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise KernelError(
            f"enter namespace {namespace}: {error.strerror}", errno=error.errno or 0
        ) from error
    try:
        if libc().setns(descriptor, _CLONE_NEWNET):
            code = ctypes.get_errno()
            raise KernelError(f"enter namespace {namespace}: {os.strerror(code)}", errno=code)
    finally:
        os.close(descriptor)


@cache
def libc() -> ctypes.CDLL:
    """Return the C library, for the calls Python 3.11 does not have: setns, unshare, mount."""
    return ctypes.CDLL(None, use_errno=True)
