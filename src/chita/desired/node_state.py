"""NodeState: the whole contract between deciding and doing.

What ``chita get nodestate`` prints, what tests compare and what a second dataplane would read.
"""

from __future__ import annotations

import msgspec

from chita.desired.nexthops import Nexthop
from chita.desired.paths import Path
from chita.desired.policy import PolicyState
from chita.desired.routes import Route, RoutingTable
from chita.desired.tunnels import Transit, Vxlan, Wireguard
from chita.model.net import Cidr


class NodeState(msgspec.Struct, frozen=True, kw_only=True):
    """What one node should hold. Equal inputs give equal values, whatever the order of events."""

    node: str
    policy: PolicyState = PolicyState()
    routes: dict[Cidr, Route] = {}
    """Of our own table, by destination."""
    nexthops: dict[int, Nexthop] = {}
    """What routes name, by number."""
    tables: dict[int, RoutingTable] = {}
    """Our other tables, by number."""
    vxlan: Vxlan | None = None
    """None: no other node of this location needs it."""
    wireguards: dict[str, Wireguard] = {}
    """By device name; none: nobody has a key."""
    transit: Transit | None = None
    """None: without a WireGuard device nothing is relayed."""
    paths: dict[str, Path] = {}
    """By node name: how each other node is reached."""
