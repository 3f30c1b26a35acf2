"""The world of ``policy_states`` in network namespaces: two pods, their node, and outside.

Packets are sent raw and captured at their destination, where nothing answers: each is the first of
its flow.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from chita.compute.flow import Flow
from chita.model.net import ICMP, ICMPV6, TCP, UDP, Address
from network_namespace import fresh_namespaces
from policy_states import ADDRESSES, NODE, OUTSIDE, POD_A, POD_B, place

_CLONE_NEWNET = 0x40000000
_ETH_P_ALL = 0x0003
_LIBC = ctypes.CDLL(None, use_errno=True)
_MAGIC = b"chita"
_PATIENCE_S = 5.0
_GATEWAY = {4: "169.254.1.1", 6: "fe80::1"}
_NODE_MAC = "ee:ee:ee:ee:ee:ee"
HOST = "host"
"""The place of the node itself."""
_MACS = {POD_A: "02:00:00:00:00:0a", POD_B: "02:00:00:00:00:0b", OUTSIDE: "02:00:00:00:00:0c"}


@contextmanager
def inside(namespace: Path) -> Iterator[None]:
    """Let the calling thread work in *namespace* meanwhile."""
    with (
        Path(f"/proc/self/task/{threading.get_native_id()}/ns/net").open() as home,
        namespace.open() as there,
    ):
        _enter(there.fileno())
        try:
            yield
        finally:
            _enter(home.fileno())


def _enter(descriptor: int) -> None:
    if _LIBC.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


class World:
    """Namespaces with sockets that send and capture, by the node's interface to each."""

    def __init__(
        self,
        node: Path,
        places: Mapping[str, Path],
        place: Callable[[Address], str] = place,
        targets: Mapping[str, Address] | None = None,
    ) -> None:
        self.node = node
        self._place = place
        """Which place has an address."""
        self._targets = targets or {name: ADDRESSES[name][4][0] for name in places}
        """An IPv4 address of each place."""
        self.places = places
        self._senders: dict[str, dict[int, socket.socket]] = {}
        self._captures: dict[str, socket.socket] = {}
        for name, namespace in places.items():
            with inside(namespace):
                self._senders[name] = {4: _raw(4), 6: _raw(6)}
                self._captures[name] = _capture()
        with inside(node):
            self._host = {4: _raw(4), 6: _raw(6)}
            self._received = [_receiver(family, of) for family, of in _RECEIVED]

    def send(self, source: str, payload: int, flow: Flow) -> None:
        """Send the first packet of *flow*, marked with number *payload*, from behind *source*."""
        senders = self._host if source == HOST else self._senders[source]
        # What the node's own policy drops is refused to the sender (raw(7)).
        with suppress(PermissionError):
            senders[flow.source.family].sendto(build_packet(flow, payload), _to(flow.destination))

    def arrivals(
        self,
        flows: Mapping[int, Flow],
        expected: frozenset[int],
        *,
        unknown: frozenset[str] = frozenset(),
    ) -> frozenset[int]:
        """Send *flows* from their places; return the numbers of those that arrive at theirs.

        A packet of the node itself to a failsafe port, which no policy stops, ends each capture,
        but of the *unknown* places. *expected* only says what is worth waiting for.
        """
        for number, flow in flows.items():
            self.send(self._place(flow.source), number, flow)
        return self.collect(flows, expected, unknown=unknown)

    def collect(
        self,
        flows: Mapping[int, Flow],
        expected: frozenset[int],
        *,
        unknown: frozenset[str] = frozenset(),
    ) -> frozenset[int]:
        """Return the numbers of those *flows*, sent before, that arrive where they should."""
        end = max(flows, default=0) + 1
        ended = [name for name in self.places if name not in unknown]
        for name in ended:
            target = self._targets[name]
            last = Flow(source=NODE[4], destination=target, protocol=UDP, destination_port=67)
            self._host[4].sendto(build_packet(last, end), _to(target))
        seen: dict[str, set[int]] = {name: set() for name in (*self.places, HOST)}
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            for name, capture in self._captures.items():
                seen[name].update(_marks(capture))
            for receiver in self._received:
                seen[HOST].update(_marks(receiver))
            everything = set().union(*seen.values())
            if expected <= everything and all(end in seen[name] for name in ended):
                break
        assert all(end in seen[name] for name in ended), "the node cannot reach its own pods"
        return frozenset(
            number
            for number, flow in flows.items()
            if number in seen[self._place(flow.destination)]
        )

    @contextmanager
    def captured(self, name: str) -> Iterator[list[bytes]]:
        """Yield a list that holds our packets which came to *name* meanwhile, from IP on."""
        frames: list[bytes] = []
        capture = self._captures[name]
        _marks(capture)
        yield frames
        frames += [frame for frame, _ in _frames(capture)]
        assert frames, f"nothing came to {name}"

    def close(self) -> None:
        """Close all sockets."""
        for pair in (*self._senders.values(), self._host):
            for raw in pair.values():
                raw.close()
        for capture in (*self._captures.values(), *self._received):
            capture.close()


@contextmanager
def world() -> Iterator[World]:
    """Yield a fresh world without any policy."""
    with fresh_namespaces(4) as (node, pod_a, pod_b, outside):
        places = {POD_A: pod_a, POD_B: pod_b, OUTSIDE: outside}
        forward(node)
        for interface, namespace in places.items():
            _connect(node, interface, namespace)
        built = World(node, places)
        try:
            yield built
        finally:
            built.close()


def _connect(node: Path, interface: str, namespace: Path) -> None:
    addresses = [*ADDRESSES[interface][4], *ADDRESSES[interface][6]]
    connect(node, interface, namespace, _MACS[interface], addresses)


def forward(node: Path, addresses: Sequence[Address] = ()) -> None:
    """Let *node* forward, and be somebody: with *addresses*, or those of `NODE` alone."""
    with inside(node):
        for path in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            Path(f"/proc/sys/net/{path}").write_text("1")
        for name in ("all", "default"):
            Path(f"/proc/sys/net/ipv4/conf/{name}/rp_filter").write_text("0")
    own = dict.fromkeys((*NODE.values(), *addresses))
    _batch(node, "link set lo up", *[f"addr add {address} dev lo" for address in own])


def connect(
    node: Path, interface: str, namespace: Path, mac: str, addresses: Sequence[Address]
) -> None:
    """Join *namespace* to *node* by *interface*, as a pod is: a route for each address."""
    _batch(
        node,
        f"link add {interface} address {_NODE_MAC} type veth "
        f"peer name eth0 address {mac} netns {namespace.name}",
        f"link set {interface} up",
    )
    # Nobody else has them: there is no need to wait for duplicates (RFC 4862 section 5.4).
    given = [f"addr add {each} dev eth0{' nodad' * (each.family == 6)}" for each in addresses]
    _batch(namespace, "link set eth0 up", *given)
    _batch(
        namespace,
        *[f"route add {gateway} dev eth0" for gateway in _GATEWAY.values()],
        *[
            f"neigh add {gateway} lladdr {_NODE_MAC} dev eth0 nud permanent"
            for gateway in _GATEWAY.values()
        ],
        *[f"route add default via {gateway} dev eth0" for gateway in _GATEWAY.values()],
    )
    _batch(
        node,
        *[f"route add {each} dev {interface}" for each in addresses],
        *[f"neigh add {each} lladdr {mac} dev {interface} nud permanent" for each in addresses],
    )
    quiet = (
        "table inet quiet { chain first { "
        "type filter hook prerouting priority raw; policy drop; }; }\n"
    )
    with inside(namespace):
        subprocess.run(["nft", "-f", "-"], input=quiet, text=True, check=True, timeout=20)


def _batch(namespace: Path, *lines: str) -> None:
    text = "\n".join(lines)
    done = subprocess.run(
        ["ip", "-n", namespace.name, "-batch", "-"],
        input=text, text=True, capture_output=True, check=False, timeout=20,
    )  # fmt: skip
    assert done.returncode == 0, f"{text}\n{done.stderr}"


def _raw(family: int) -> socket.socket:
    return socket.socket(
        socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW
    )


def _capture() -> socket.socket:
    capture = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL))
    capture.bind(("eth0", _ETH_P_ALL))
    capture.setsockopt(socket.SOL_SOCKET, 33, 1 << 26)  # SO_RCVBUFFORCE; 4 KB a packet
    capture.settimeout(0.05)
    return capture


_RECEIVED = [(4, TCP), (4, UDP), (4, ICMP), (6, TCP), (6, UDP), (6, ICMPV6)]


def _receiver(family: int, protocol: int) -> socket.socket:
    """Return a socket that is told what has passed the node's input hook (raw(7))."""
    of = socket.AF_INET if family == 4 else socket.AF_INET6
    receiver = socket.socket(of, socket.SOCK_RAW, protocol)
    receiver.setsockopt(socket.SOL_SOCKET, 33, 1 << 26)  # SO_RCVBUFFORCE
    receiver.setblocking(False)
    return receiver


def quiet(node: Path) -> None:
    """Keep the node's own kernel from answering, so that each flow stays at its first packet."""
    rules = (
        "table inet quiet { chain last { type filter hook output priority -500; "
        "tcp flags & rst == rst drop; icmp type { echo-reply, destination-unreachable } drop; "
        "icmpv6 type { echo-reply, destination-unreachable } drop; }; }\n"
    )
    with inside(node):
        subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True, timeout=20)


def _to(address: Address) -> tuple[str, int]:
    return str(address), 0


def _marks(capture: socket.socket) -> list[int]:
    """Return the numbers of our packets that have come in."""
    return [mark for _, mark in _frames(capture)]


def _frames(capture: socket.socket) -> Iterator[tuple[bytes, int]]:
    """Yield our packets that have come in, with their numbers, until none comes for a while."""
    while True:
        try:
            frame, sender = capture.recvfrom(2048)
        except (TimeoutError, BlockingIOError):
            return
        at = frame.rfind(_MAGIC)
        sent = capture.family == socket.AF_PACKET and sender[2] == socket.PACKET_OUTGOING
        if not sent and at >= 0:
            yield frame, int.from_bytes(frame[at + len(_MAGIC) : at + len(_MAGIC) + 4])


def build_packet(flow: Flow, number: int) -> bytes:
    """Return the first packet of *flow* from its IP header on, *number* in its payload."""
    payload = _MAGIC + number.to_bytes(4)
    ports = struct.pack("!HH", flow.source_port, flow.destination_port)
    if flow.protocol == TCP:
        # A SYN (RFC 9293 section 3.1) with a maximum segment size; the checksum is at 16.
        header = struct.pack("!IIBBHHH", 1, 0, 0x60, 0x02, 1024, 0, 0)
        segment = ports + header + struct.pack("!BBH", 2, 4, 1460) + payload
        checksum_at = 16
    elif flow.protocol == UDP:
        segment = ports + struct.pack("!HH", 8 + len(payload), 0) + payload
        checksum_at = 6
    else:
        segment = bytes((flow.icmp_type or 0, flow.icmp_code or 0, 0, 0, 0, 1, 0, 1)) + payload
        checksum_at = 2
    source, destination = flow.source.packed, flow.destination.packed
    pseudo = source + destination + struct.pack("!II", len(segment), flow.protocol)
    checksum = _checksum((b"" if flow.protocol == ICMP else pseudo) + segment)
    segment = segment[:checksum_at] + checksum.to_bytes(2) + segment[checksum_at + 2 :]
    if flow.source.family == 4:
        # The kernel fills in identification and checksum (raw(7)).
        return (
            struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 0, 0, 64, flow.protocol, 0)
            + source + destination + segment
        )  # fmt: skip
    return (
        struct.pack("!IHBB", 6 << 28, len(segment), flow.protocol, 64)
        + source + destination + segment
    )  # fmt: skip


def _checksum(text: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    even = text + b"\0" * (len(text) % 2)
    total: int = sum(struct.unpack(f"!{len(even) // 2}H", even))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
