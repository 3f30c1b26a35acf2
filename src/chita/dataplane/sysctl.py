"""Kernel settings below /proc/sys/net, of our own or another network namespace.

A setting is read first and written only when it differs: a restarted agent writes nothing, and a
write by the same value still wakes the kernel (``forwarding`` flushes routing caches).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from chita.dataplane.netlink.namespace import inside
from chita.errors import KernelError, UnsupportedError

_ROOT = Path("/proc/sys")


def read_sysctl(key: str, *, namespace: Path | None = None) -> str:
    """Return the setting *key*, such as ``net/ipv4/ip_forward``.

    Keys have slashes, since names of devices may have dots.

    Raises:
        UnsupportedError: the kernel has no such setting (without IPv6, or the device is gone).
    """
    return inside(namespace, lambda: _read(key))


def sync_sysctls(desired: Mapping[str, str], *, namespace: Path | None = None) -> list[str]:
    """Give each key of *desired* its value; return the keys that had another one.

    Raises:
        UnsupportedError: the kernel has no such setting.
        KernelError: it does not take the value, or we may not write (a read-only /proc/sys).
    """
    return inside(namespace, lambda: [key for key, value in desired.items() if _write(key, value)])


def _read(key: str) -> str:
    try:
        return (_ROOT / key).read_text().strip()
    except OSError as error:
        raise UnsupportedError(
            f"read sysctl {key}: {error.strerror}; is the device gone, or IPv6 off in this kernel?",
            errno=error.errno or 0,
        ) from error


def _write(key: str, value: str) -> bool:
    """Return whether a write was needed."""
    if _read(key) == value:
        return False
    try:
        (_ROOT / key).write_text(value)
    except OSError as error:
        raise KernelError(
            f"write sysctl {key} = {value}: {error.strerror}; is /proc/sys writable?",
            errno=error.errno or 0,
        ) from error
    return True
