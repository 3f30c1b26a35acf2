"""Names of namespaces and interfaces, and hardware addresses: made from what they stand for."""

from __future__ import annotations

import hashlib

_NAME_LIMIT = 15
"""IFNAMSIZ without the final NUL (linux/if.h)."""

_FILE_NAME_LIMIT = 255
"""NAME_MAX (linux/limits.h)."""


def short_name(prefix: str, name: str) -> str:
    """Return an interface name for *name*: readable where it fits, else with a hash for the rest.

    Distinct names stay distinct but for a collision of 24 bits among those of one router that
    share their first letters.
    """
    whole = prefix + name
    if len(whole) <= _NAME_LIMIT:
        return whole
    digest = hashlib.sha256(name.encode()).hexdigest()[:6]
    return f"{whole[: _NAME_LIMIT - 7]}-{digest}"


def netns_name(prefix: str, name: str) -> str:
    """Return the name of a network namespace for *name*: a file name, so at most 255 bytes."""
    whole = prefix + name
    if len(whole) <= _FILE_NAME_LIMIT:
        return whole
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    return f"{whole[: _FILE_NAME_LIMIT - 13]}-{digest}"


def mac_of(*parts: str) -> str:
    """Return a MAC address that *parts* decide: locally administered, unicast (IEEE 802)."""
    digest = hashlib.sha256("/".join(parts).encode()).digest()
    return ":".join(f"{octet:02x}" for octet in (0x02, *digest[:5]))
