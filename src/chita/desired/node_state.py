"""NodeState: the whole contract between deciding and doing.

What ``chita get nodestate`` prints, what tests compare and what a second dataplane would read.
"""

from __future__ import annotations

import msgspec

from chita.desired.paths import Path
from chita.desired.policy import PolicyState
from chita.desired.routes import Route
from chita.desired.tunnels import Vxlan, Wireguard
from chita.model.net import Cidr


class NodeState(msgspec.Struct, frozen=True, kw_only=True):
    """What one node should hold. Equal inputs give equal values, whatever the order of events."""

    node: str
    policy: PolicyState = PolicyState()
    routes: dict[Cidr, Route] = {}
    """Of our own table, by destination."""
    vxlan: Vxlan | None = None
    """None: no other node of this location needs it."""
    wireguard: Wireguard | None = None
    """None: nobody to talk to in another location, or encryption is off."""
    paths: dict[str, Path] = {}
    """By node name: how each other node is reached."""
