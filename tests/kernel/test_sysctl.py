"""Settings are written in the namespace asked for, and only when they differ."""

from __future__ import annotations

import pytest

from chita.dataplane.sysctl import read_sysctl, sync_sysctls
from chita.errors import KernelError, UnsupportedError
from network_namespace import fresh_namespaces, needs_root

pytestmark = [pytest.mark.kernel, needs_root]

KEY = "net/ipv4/conf/lo/accept_redirects"


def test_settings_of_another_namespace() -> None:
    """The second write is none; our own namespace keeps its value; refusals name the key."""
    own = read_sysctl(KEY)
    wanted = "0" if own == "1" else "1"
    with fresh_namespaces(1) as (space,):
        sync_sysctls({KEY: own}, namespace=space)

        assert sync_sysctls({KEY: wanted}, namespace=space) == [KEY]
        assert sync_sysctls({KEY: wanted}, namespace=space) == []
        assert read_sysctl(KEY, namespace=space) == wanted
        assert read_sysctl(KEY) == own
        with pytest.raises(UnsupportedError, match="read sysctl net/ipv4/conf/gone/forwarding"):
            sync_sysctls({"net/ipv4/conf/gone/forwarding": "1"}, namespace=space)
        with pytest.raises(KernelError, match=f"write sysctl {KEY} = many"):
            sync_sysctls({KEY: "many"}, namespace=space)
