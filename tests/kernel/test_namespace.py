"""Calls in another namespace: results and errors come back, and this thread never moves."""

from __future__ import annotations

from pathlib import Path

import pytest

from chita.dataplane.netlink.links import Links
from chita.dataplane.netlink.namespace import inside
from chita.dataplane.netlink.socket import NetlinkSocket
from chita.errors import KernelError
from network_namespace import fresh_namespaces, needs_root

pytestmark = [pytest.mark.kernel, needs_root]


def current() -> int:
    return Path("/proc/thread-self/ns/net").stat().st_ino


def test_inside_and_back() -> None:
    """Ours before and after; None is ours."""
    own = current()
    with fresh_namespaces(1) as (space,):
        assert inside(space, current) == space.stat().st_ino != own
        assert inside(None, current) == own
        assert current() == own


def test_errors_come_back() -> None:
    """Those of the call as they are; a namespace that is gone, or none, is named."""
    with fresh_namespaces(1) as (space,), pytest.raises(ZeroDivisionError):
        inside(space, lambda: 1 // 0)
    with pytest.raises(KernelError, match=f"enter namespace {space}: No such file"):
        inside(space, current)
    with pytest.raises(KernelError, match="enter namespace /dev/null: Invalid argument"):
        inside(Path("/dev/null"), current)


def test_a_socket_stays_where_it_was_opened() -> None:
    """It outlives the thread that opened it, and even the namespace's name."""
    with fresh_namespaces(1) as (space,):
        socket = NetlinkSocket(namespace=space)
    with socket:
        assert Links(socket).read().keys() == {"lo"}
