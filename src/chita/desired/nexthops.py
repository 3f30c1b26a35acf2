"""Nexthop objects: ways that many routes name by number, so that one replacement moves them all.

A number follows from what the object is for (`chita.compute.nexthops`), not from what it holds: a
restarted agent finds the same numbers, and a group keeps its number when a relay leaves it.
"""

from __future__ import annotations

import msgspec

from chita.model.net import Address, Family

FIRST_NEXTHOP = 1 << 28
NEXTHOPS = 1 << 28
"""Our numbers: 2**28 of them from 2**28 on; others (FRR, people) count from 1."""


class DeviceHop(msgspec.Struct, frozen=True, tag=True, gc=False):
    """Straight out of a device."""

    family: Family
    device: str


class TransitHop(msgspec.Struct, frozen=True, tag=True, gc=False, kw_only=True):
    """Wrapped once more, to a node that unwraps it and forwards what was inside."""

    family: Family
    """Of the packets that are wrapped; the outer family is that of *relay*."""
    device: str
    source: Address
    """Our mesh address."""
    relay: Address
    """The mesh address of the node that unwraps it."""


class HopGroup(msgspec.Struct, frozen=True, tag=True, gc=False):
    """Flows are spread over the members by their five-tuple."""

    members: tuple[int, ...]
    """Numbers of nexthops of one family, ascending; never empty."""


Nexthop = DeviceHop | TransitHop | HopGroup
