"""At which addresses a node may be dialled, and on which port it listens for that.

Four kinds: host (its interfaces, inside its location), public (the cloud or the Node says so),
mapped (a user says so), reflexive (where other nodes' tunnels see it; RFC 8445 calls it
server-reflexive). What a user says comes first.
"""

from __future__ import annotations

import hashlib

from chita.errors import ParseError
from chita.model.net import Address
from chita.model.node import Candidate, CandidateKind, FabricNode

PORTS_BEHIND_NAT = 1000
"""How many ports the nodes behind NATs spread over, counted from the cluster's WireGuard port."""


def candidates(node: FabricNode) -> list[Candidate]:
    """Return all candidates of *node*: mapped, public, host, reflexive."""
    if not node.wireguard_port:
        return []
    port = node.wireguard_port
    host = [Candidate(CandidateKind.HOST, it.address, port) for it in node.interfaces]
    met = reflexive(node)
    return [*_open(node), *host, *([met] if met is not None else [])]


def open_candidates(node: FabricNode) -> list[Candidate]:
    """Return those at which any node on the internet can open a tunnel to *node*, best first."""
    return _open(node) if node.wireguard_key and node.wireguard_port else []


def is_dialable(node: FabricNode) -> bool:
    """Whether any node on the internet can open a tunnel to *node*."""
    return bool(open_candidates(node))


def reflexive(node: FabricNode) -> Candidate | None:
    """Return where *node* can be met half-way, if its NAT maps it to one address and port."""
    return next((it for it in node.candidates if it.kind is CandidateKind.REFLEXIVE), None)


def listen_port(name: str, base: int, *, is_open: bool) -> int:
    """Return the UDP port that node *name* listens on, given the cluster's port *base*.

    Nodes that can be dialled have *base* itself. Those behind a NAT spread over a thousand ports:
    with one port for all, two of them behind a NAT that keeps ports would ask for the same mapping
    (k3s issue 2701), and one of them goes without.
    """
    if is_open:
        return base
    digest = hashlib.blake2b(name.encode(), digest_size=4).digest()
    port = base + int.from_bytes(digest) % PORTS_BEHIND_NAT
    return port if port <= 65535 else port - PORTS_BEHIND_NAT


def split_endpoint(text: str, default_port: int) -> tuple[str, int]:
    """Return host and port of a user's ``host:port``, ``host``, ``[v6]:port`` or bare IPv6 address.

    Raises:
        ParseError: there is no host, or the port is none.
    """
    host, colon, port_text = text.strip().rpartition(":")
    if not colon or _is_address(text):
        host, port_text = text.strip(), ""
    elif not port_text:
        raise ParseError(f"'{text}' ends in a colon; write host:port, such as vpn.example.org:4500")
    host = host.removeprefix("[").removesuffix("]")
    if not host or host.count(":") == 1:
        raise ParseError(f"'{text}' is no endpoint; write host:port, such as vpn.example.org:4500")
    if not port_text:
        return host, default_port
    is_number = port_text.isascii() and port_text.isdigit()
    if not is_number or not 1 <= int(port_text) <= 65535:
        raise ParseError(f"'{port_text}' in '{text}' is no UDP port: 1 to 65535")
    return host, int(port_text)


def _is_address(text: str) -> bool:
    try:
        Address.parse(text.strip().removeprefix("[").removesuffix("]"))
    except ParseError:
        return False
    return True


def _open(node: FabricNode) -> list[Candidate]:
    mapped = [it for it in node.candidates if it.kind is CandidateKind.MAPPED]
    public = [
        Candidate(CandidateKind.PUBLIC, address, node.wireguard_port) for address in node.endpoints
    ]
    return mapped + public
