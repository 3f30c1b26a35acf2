"""Fresh network namespaces for tests: made by name, removed whatever happens."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_numbers = itertools.count()

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces")


@contextmanager
def fresh_namespaces(count: int) -> Iterator[list[Path]]:
    """Yield the paths of *count* new namespaces, their loopback up."""
    names = [f"chita-t{os.getpid()}-{next(_numbers)}" for _ in range(count)]
    made: list[str] = []
    try:
        for name in names:
            _ip("netns", "add", name)
            made.append(name)
            _ip("-n", name, "link", "set", "lo", "up")
        yield [Path("/run/netns") / name for name in names]
    finally:
        for name in made:
            _ip("netns", "delete", name)


def run_inside(namespace: Path, *command: str) -> str:
    """Return what *command* prints, run in *namespace*; fails the test when it fails."""
    done = subprocess.run(
        ["ip", "netns", "exec", namespace.name, *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
    return done.stdout


def ping(namespace: Path, address: str, *, size_bytes: int = 56, count: int = 1) -> None:
    """Fail the test unless *address* answers one of *count* pings from *namespace*."""
    run_inside(
        namespace, "ping", "-q", "-M", "do", "-i", "0.05", "-W", "5",
        "-c", str(count), "-s", str(size_bytes), address,
    )  # fmt: skip


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=20)
