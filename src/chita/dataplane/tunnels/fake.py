"""A WireGuard device in memory: the twin of the real back ends, for tests and dry runs."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from chita.dataplane.tunnels.wireguard import DeviceState, PeerChange, PeerState
from chita.desired.tunnels import Endpoint

T = TypeVar("T")

_EMPTY = DeviceState(private_key=None, port=0, peers={})


class FakeWireguard:
    """A `WireguardBackend` that moves no packet.

    Attributes:
        changes: each peer change and removed public key so far, in order.
    """

    def __init__(self) -> None:
        self._state: DeviceState | None = None
        self.changes: list[PeerChange | str] = []

    def ensure(self) -> bool:
        """Make the device if there is none."""
        if self._state is None:
            self._state = _EMPTY
            return True
        return False

    def read(self) -> DeviceState:
        """Return what the device holds."""
        return self._state or _EMPTY

    def put_device(self, private_key: str, port: int) -> None:
        """Set our own key and port."""
        self._state = msgspec.structs.replace(self.read(), private_key=private_key, port=port)

    def put_peer(self, change: PeerChange) -> None:
        """Add or change one peer; its networks leave the peers that had them."""
        self.changes.append(change)
        held = self.read().peers.get(change.public_key)
        allowed = change.allowed if change.allowed is not None else held and held.allowed
        others = {
            key: msgspec.structs.replace(peer, allowed=peer.allowed - (change.allowed or set()))
            for key, peer in self.read().peers.items()
        }
        peer = PeerState(
            public_key=change.public_key,
            endpoint=change.endpoint or (held.endpoint if held else None),
            allowed=allowed or frozenset(),
            keepalive_s=_first(change.keepalive_s, held.keepalive_s if held else 0),
            handshake_s=held.handshake_s if held else 0,
            received_bytes=held.received_bytes if held else 0,
            sent_bytes=held.sent_bytes if held else 0,
            preshared_key=_first(change.preshared_key, held.preshared_key if held else ""),
        )
        self._put_peers(others | {change.public_key: peer})

    def remove_peer(self, public_key: str) -> None:
        """Remove one peer; one that is not there is removed already."""
        self.changes.append(public_key)
        self._put_peers({key: it for key, it in self.read().peers.items() if key != public_key})

    def remove(self) -> None:
        """Remove the device."""
        self._state = None

    def receive(self, public_key: str, origin: Endpoint, *, at_s: int) -> None:
        """Let a handshake of a peer arrive from *origin*: its endpoint roams there."""
        peer = self.read().peers[public_key]
        moved = msgspec.structs.replace(peer, endpoint=origin, handshake_s=at_s)
        self._put_peers(self.read().peers | {public_key: moved})

    def _put_peers(self, peers: dict[str, PeerState]) -> None:
        self._state = msgspec.structs.replace(self.read(), peers=peers)


def _first(value: T | None, otherwise: T) -> T:
    return otherwise if value is None else value
