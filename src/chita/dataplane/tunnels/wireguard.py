"""A WireGuard device: what it holds, and the per-peer changes that make it hold what is asked for.

Two back ends meet one Protocol: the kernel's (`chita.dataplane.tunnels.wireguard_kernel`) and
``wireguard-go`` (`chita.dataplane.tunnels.wireguard_go`). Peers are changed one by one, never all
replaced: a session that stays is not disturbed, and the cost of a change is that of one peer.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

import msgspec

from chita.dataplane.netlink.links import Links
from chita.dataplane.netlink.socket import NetlinkSocket
from chita.dataplane.plan import Plan, apply, plan
from chita.dataplane.tunnels.knocks import Knocks
from chita.dataplane.tunnels.vxlan import sync_addresses
from chita.desired.tunnels import Endpoint, Wireguard, WireguardPeer
from chita.errors import KernelError
from chita.model.net import Cidr

_FRESH_S = 180
"""A session is rejected after this (REJECT_AFTER_TIME, WireGuard's messages.h)."""


class Secrets(msgspec.Struct, frozen=True):
    """What proves us to the peers of one device, base64; it stays on the node."""

    private_key: str
    preshared_key: str = ""
    """The same with all peers, mixed into every handshake; empty: none."""


class PeerState(msgspec.Struct, frozen=True, kw_only=True):
    """A peer as the device holds it."""

    public_key: str
    """Base64."""
    endpoint: Endpoint | None
    """Where its last authenticated packet came from, or where we dial it."""
    allowed: frozenset[Cidr]
    keepalive_s: int
    handshake_s: int
    """Unix time of the last handshake, 0: never."""
    received_bytes: int
    sent_bytes: int
    preshared_key: str = ""
    """Base64; empty: none."""


class DeviceState(msgspec.Struct, frozen=True, kw_only=True):
    """A device as it is."""

    private_key: str | None
    """Base64; None: not set yet."""
    port: int
    peers: dict[str, PeerState]
    """By public key."""


class PeerChange(msgspec.Struct, frozen=True, kw_only=True):
    """What to write of a peer; None leaves that as it is."""

    public_key: str
    endpoint: Endpoint | None = None
    allowed: frozenset[Cidr] | None = None
    """The whole set; a network that another peer has moves here (AllowedIPs are exclusive)."""
    keepalive_s: int | None = None
    preshared_key: str | None = None
    """Base64; empty takes it away."""


NO_PRESHARED_KEY = bytes(32)
"""How a device writes that a peer needs none (linux/wireguard.h)."""


class WireguardBackend(Protocol):
    """A device that a back end serves. Blocking; one thread at a time.

    Each method raises KernelError when the device refuses, and EngineError when the process behind
    it is missing, died or answers nonsense.
    """

    def ensure(self) -> bool:
        """Make the device exist and be served; return whether it had to be made or restarted."""

    def read(self) -> DeviceState:
        """Return what the device holds."""

    def put_device(self, private_key: str, port: int) -> None:
        """Set our own key (base64) and UDP port."""

    def put_peer(self, change: PeerChange) -> None:
        """Add or change one peer."""

    def remove_peer(self, public_key: str) -> None:
        """Remove one peer; one that is not there is removed already."""

    def remove(self) -> None:
        """Remove the device, and end what serves it; twice is once."""


class WireguardTunnel:
    """Keeps one device as desired. Blocking; one thread at a time.

    It remembers which peers were last asked for, and where; a new agent without that memory leaves
    the endpoints of living sessions alone.
    """

    def __init__(self, backend: WireguardBackend, socket: NetlinkSocket) -> None:
        self._backend = backend
        self._links = Links(socket)
        self._intended: dict[str, Endpoint | None] = {}
        self._peers: Mapping[str, WireguardPeer] = {}
        self._preshared_key = ""
        self._knocks = Knocks()

    def sync(self, desired: Wireguard, secrets: Secrets, *, now_s: float) -> dict[str, KernelError]:
        """Make the device exactly as *desired*; return what was refused.

        Args:
            desired: the device, its addresses and peers.
            secrets: its keys; they are no part of the desired state.
            now_s: Unix time.

        Raises:
            EngineError: wireguard-go does not run.
            KernelError: the device itself can't be made or read.
        """
        is_new = self._backend.ensure()
        actual = self._backend.read()
        if (actual.private_key, actual.port) != (secrets.private_key, desired.port):
            with _named_port(desired.port):
                self._backend.put_device(secrets.private_key, desired.port)
        changes = peer_changes(
            desired.peers, actual.peers, self._intended, secrets.preshared_key, now_s=now_s
        )
        refused = apply(
            changes, lambda _, it: self._backend.put_peer(it), self._backend.remove_peer
        )
        self._intended = {
            key: peer.endpoint for key, peer in desired.peers.items() if key not in refused
        }
        self._dialled(desired.peers, changes, secrets.preshared_key)
        with _named_port(desired.port):
            refused_link = self._sync_link(desired)
        if is_new:
            self._greet([it for key, it in desired.peers.items() if key not in refused])
        return {f"peer {key}": error for key, error in refused.items()} | refused_link

    def change_peers(
        self,
        desired: Mapping[str, WireguardPeer],
        known: Mapping[str, WireguardPeer],
        preshared_key: str,
    ) -> dict[str, KernelError]:
        """Make the peers *desired*, which were *known* when they were last made so; read nothing.

        A thousand peers take 30 ms to read, and one changed. What others did to the device stays
        until the next `sync`.

        Raises:
            EngineError: wireguard-go does not run.
        """
        changes = peer_news(desired, known, preshared_key)
        refused = apply(
            changes, lambda _, it: self._backend.put_peer(it), self._backend.remove_peer
        )
        for key in changes.remove:
            self._intended.pop(key, None)
        for key in changes.put:
            if key not in refused:
                self._intended[key] = desired[key].endpoint
        self._dialled(desired, changes, preshared_key)
        return {f"peer {key}": error for key, error in refused.items()}

    def _dialled(
        self,
        peers: Mapping[str, WireguardPeer],
        changes: Plan[str, PeerChange],
        preshared_key: str,
    ) -> None:
        self._peers, self._preshared_key = peers, preshared_key
        self._knocks.forget(changes.remove)
        now_s = time.monotonic()
        for key, change in changes.put.items():
            if change.endpoint is not None:
                self._knocks.dial(key, now_s)

    def knock(self) -> None:
        """Dial those anew that were dialled a moment ago and never answered, see `Knocks`.

        Raises:
            EngineError: wireguard-go does not run.
            KernelError: the device refuses.
        """
        now_s = time.monotonic()
        if not self._knocks.is_due(now_s):
            return
        held = self._backend.read().peers
        handshakes = {key: peer.handshake_s for key, peer in held.items()}
        peers = [self._peers[key] for key in self._knocks.due(handshakes, now_s)]
        for peer in peers:
            self._backend.remove_peer(peer.public_key)
            self._backend.put_peer(_addition(peer, self._preshared_key))
        self._greet(peers)

    def read(self) -> DeviceState:
        """Return what the device holds: handshake times and counters for status and probes."""
        return self._backend.read()

    def remove(self) -> None:
        """Remove the device; twice is once."""
        self._backend.remove()
        self._intended = {}

    def _greet(self, peers: Sequence[WireguardPeer]) -> None:
        """Tell the peers that our old sessions are gone, by a handshake.

        Otherwise each goes on with its old session for 15 s (KEEPALIVE_TIMEOUT and REKEY_TIMEOUT)
        before it notices; one that never had any waits for a packet. Turning keepalive on sends one
        at once; peers that have it on anyway got theirs when they were put.
        """
        for peer in peers:
            if peer.endpoint is not None and not peer.keepalive_s:
                for interval_s in (1, 0):
                    self._backend.put_peer(
                        PeerChange(public_key=peer.public_key, keepalive_s=interval_s)
                    )

    def _sync_link(self, desired: Wireguard) -> dict[str, KernelError]:
        link = self._links.get(desired.device)
        if link is None:
            raise KernelError(f"link {desired.device} vanished while it was configured")
        if link.mtu_bytes != desired.mtu_bytes:
            self._links.set_mtu(link.index, desired.mtu_bytes)
        refused = sync_addresses(desired.addresses, self._links, link.index)
        if not link.is_up:  # last: nothing arrives before its peers are there
            self._links.disable_link_local(link.index)
            self._links.set_up(link.index)
        return refused


@contextmanager
def _named_port(port: int) -> Iterator[None]:
    """Say what to do about a *port* that is in use; the kernel binds it when the device goes up."""
    try:
        yield
    except KernelError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise KernelError(
            f"UDP port {port}, where WireGuard is to listen, is in use: `ss -ulpn sport = :{port}` "
            "names the program; end it, or set wireguardPort of the FabricConfiguration 'default'",
            errno=errno.EADDRINUSE,
        ) from error


def peer_changes(
    desired: Mapping[str, WireguardPeer],
    actual: Mapping[str, PeerState],
    intended: Mapping[str, Endpoint | None],
    preshared_key: str,
    *,
    now_s: float,
) -> Plan[str, PeerChange]:
    """Return what to write so that the peers become *desired*, by public key.

    Args:
        desired: by public key.
        actual: by public key.
        intended: the endpoint that was desired when we last wrote; see `_endpoint_to_write`.
        preshared_key: of all peers, base64; empty: none.
        now_s: Unix time.
    """
    put: dict[str, PeerChange] = {}
    for key, peer in desired.items():
        held = actual.get(key)
        if held is None:
            put[key] = _addition(peer, preshared_key)
            continue
        change = PeerChange(
            public_key=key,
            endpoint=_endpoint_to_write(peer.endpoint, held, intended, now_s),
            allowed=peer.allowed if peer.allowed != held.allowed else None,
            keepalive_s=peer.keepalive_s if peer.keepalive_s != held.keepalive_s else None,
            preshared_key=preshared_key if preshared_key != held.preshared_key else None,
        )
        if change != PeerChange(public_key=key):
            put[key] = change
    return Plan(put, tuple(key for key in actual if key not in desired))


def _addition(peer: WireguardPeer, preshared_key: str) -> PeerChange:
    return PeerChange(
        public_key=peer.public_key,
        endpoint=peer.endpoint,
        allowed=peer.allowed,
        keepalive_s=peer.keepalive_s,
        preshared_key=preshared_key or None,
    )


def peer_news(
    desired: Mapping[str, WireguardPeer], known: Mapping[str, WireguardPeer], preshared_key: str
) -> Plan[str, PeerChange]:
    """Return what to write so that peers that were made *known* become *desired*.

    An endpoint is written when another one is desired than before, whatever the session does.
    """
    put: dict[str, PeerChange] = {}
    changes = plan(desired, known)
    for key, peer in changes.put.items():
        before = known.get(key)
        if before is None:
            put[key] = _addition(peer, preshared_key)
            continue
        put[key] = PeerChange(
            public_key=key,
            endpoint=None if before.endpoint == peer.endpoint else peer.endpoint,
            allowed=None if before.allowed == peer.allowed else peer.allowed,
            keepalive_s=None if before.keepalive_s == peer.keepalive_s else peer.keepalive_s,
        )
    return Plan(put, changes.remove)


def _endpoint_to_write(
    wanted: Endpoint | None,
    held: PeerState,
    intended: Mapping[str, Endpoint | None],
    now_s: float,
) -> Endpoint | None:
    """Return the endpoint to write, None to leave it.

    Roaming is free: an authenticated packet from a new address moves the endpoint, and writing the
    configured one back would break a session that works. So the endpoint of a fresh session is
    written only when another one is desired than when we last wrote.
    """
    if wanted is None or wanted == held.endpoint:
        return None
    is_fresh = held.handshake_s > 0 and 0 <= now_s - held.handshake_s < _FRESH_S
    is_new = held.public_key in intended and intended[held.public_key] != wanted
    return wanted if is_new or not is_fresh else None
