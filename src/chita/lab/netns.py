"""Network namespaces: make, enter, remove, and the programs that run inside.

A namespace is entered by a *thread*, for the few lines that need it, and left again; Linux gives
each thread its own (setns(2)). A child process started meanwhile stays inside. Names are files in
/run/netns, as ip-netns(8) has them, so that ``ip netns exec`` works on all of them.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from chita.errors import KernelError, UnsupportedError

NETNS_DIRECTORY = Path("/run/netns")

_CLONE_NEWNET = 0x40000000  # linux/sched.h
_LIBC = ctypes.CDLL(None, use_errno=True)


def netns_path(name: str) -> Path:
    """Return the file that stands for the namespace *name*."""
    return NETNS_DIRECTORY / name


def netns_names(prefix: str) -> list[str]:
    """Return the names, in order, of the namespaces that start with *prefix*."""
    if not NETNS_DIRECTORY.is_dir():
        return []
    return sorted(path.name for path in NETNS_DIRECTORY.iterdir() if path.name.startswith(prefix))


@contextmanager
def entered(path: Path) -> Iterator[None]:
    """Run the body in the namespace at *path*; only the calling thread is moved.

    The body must not await: other tasks of this thread would run inside too.

    Raises:
        KernelError: there is no such namespace, or we may not enter it.
    """
    # /proc/thread-self, not /proc/self: the way back is this thread's namespace.
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            there = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            message = f"enter network namespace {path}: {error.strerror}; is the lab up?"
            raise KernelError(message, errno=error.errno or 0) from error
        try:
            _setns(there, str(path))
        finally:
            os.close(there)
        try:
            yield
        finally:
            _setns(home, "the namespace we came from")
    finally:
        os.close(home)


def _setns(descriptor: int, what: str) -> None:
    """Move this thread into the network namespace of *descriptor*."""
    if _LIBC.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        message = f"enter network namespace {what}: {os.strerror(number)}; run as root"
        raise KernelError(message, errno=number)


def start_in(path: Path, command: Sequence[str], **options: object) -> subprocess.Popen[str]:
    """Start *command* in the namespace at *path*; *options* are Popen's."""
    with entered(path):
        return subprocess.Popen(command, text=True, **options)  # type: ignore[call-overload,no-any-return]


def run_in(path: Path | None, command: Sequence[str], *, text: str = "") -> str:
    """Run *command* in the namespace at *path*, or here, with *text* on its input; its output.

    Raises:
        UnsupportedError: the program is not installed.
        KernelError: it failed; the message has what it said.
    """
    try:
        if path is None:
            process = _start(command)
        else:
            with entered(path):
                process = _start(command)
    except FileNotFoundError as error:
        message = f"run {command[0]}: not found; install the Debian package that has it"
        raise UnsupportedError(message) from error
    output, errors = process.communicate(text, timeout=30)
    if process.returncode:
        where = f" in {path.name}" if path else ""
        raise KernelError(f"{' '.join(command)}{where}: {errors.strip() or output.strip()}")
    return output


def _start(command: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ip_batch(path: Path | None, lines: Sequence[str]) -> None:
    """Run *lines* as one ``ip -batch`` in the namespace at *path*, or here: one process for all.

    Raises:
        KernelError: one was refused; the message has its text.
    """
    if not lines:
        return
    try:
        run_in(path, ["ip", "-batch", "-"], text="\n".join(lines) + "\n")
    except UnsupportedError:
        raise
    except KernelError as error:
        # "Command failed -:3" names the line; show what it was.
        number = str(error).rpartition(":")[2].strip()
        line = lines[int(number) - 1] if number.isdigit() and int(number) <= len(lines) else ""
        raise KernelError(f"ip {line}: {error}", errno=error.errno) from error


def write_sysctls(path: Path, values: Sequence[tuple[str, str]]) -> None:
    """Write *values* (``net/ipv4/ip_forward``, ``1``) in the namespace at *path*.

    /proc/sys/net shows the namespace of the thread that opens it, so this needs no process.

    Raises:
        KernelError: one was refused.
    """
    with entered(path):
        for key, value in values:
            try:
                Path("/proc/sys", key).write_text(value, encoding="ascii")
            except FileNotFoundError:
                # Not in this kernel (no IPv6, no br_netfilter): then it needs no setting.
                continue
            except OSError as error:
                message = f"write sysctl {key}={value} in {path.name}: {error.strerror}"
                raise KernelError(message, errno=error.errno or 0) from error
