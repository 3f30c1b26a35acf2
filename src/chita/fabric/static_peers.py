"""Static peers of the fabric: the configuration that each is to have, and what is wrong with them.

Pure: `chita node export-peer` prints the configuration and notes what it said in the object, with
which every agent compares what it should say now.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from enum import StrEnum

import msgspec

from chita.desired.tunnels import static_peer_mtu
from chita.errors import ParseError
from chita.fabric.candidates import split_endpoint
from chita.model.cluster import ClusterState
from chita.model.net import Address, Cidr, collapse
from chita.model.static_claims import judged
from chita.model.static_peer import STATIC_RANGES, Exported, StaticPeer, static_port


class Failing(StrEnum):
    """Kinds of `chita.fabric.problems.ProblemKind` that are about static peers."""

    CLASH = "static-peer-clash"
    GATEWAY_MISSING = "static-peer-gateway-missing"
    GATEWAY_CLOSED = "static-peer-gateway-not-dialable"
    STALE = "static-peer-stale"


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a static peer does not work, or not all of it."""

    kind: Failing
    peer: str
    message: str
    mend: str


def failures(cluster: ClusterState) -> Iterator[Failure]:
    """Yield what keeps static peers out, and what of their configurations is out of date."""
    verdict = judged(cluster)
    for clash in verdict.clashes:
        yield Failure(
            kind=Failing.CLASH,
            peer=clash.peer,
            message=f"it is not let in: {clash.what} belongs to {clash.other} too",
            mend="give it what nobody else has (delete the StaticPeer, then chita node export-peer "
            f"{clash.peer} with other addresses, networks or key), or take it from the other",
        )
    for peer in verdict.accepted.values():
        failure = gateway_failure(cluster, peer)
        if failure is not None:
            yield failure
        elif peer.exported is not None and (old := _outdated(cluster, peer, peer.exported)):
            yield Failure(
                kind=Failing.STALE,
                peer=peer.name,
                message=f"its configuration is out of date: {'; '.join(old)}",
                mend=f"chita node export-peer {peer.name}, and bring the machine what it prints",
            )


def gateway_failure(cluster: ClusterState, peer: StaticPeer) -> Failure | None:
    """Return why *peer* cannot enter by its gateway; None: as far as records say, it can."""
    record = cluster.fabric_nodes.get(peer.gateway)
    others = ", ".join(sorted(dialable_gateways(cluster))) or "none yet"
    mend = f"set spec.gateway to a node that can be dialled ({others}), then chita node "
    mend += f"export-peer {peer.name}"
    if record is None or peer.gateway not in cluster.nodes:
        return Failure(
            kind=Failing.GATEWAY_MISSING,
            peer=peer.name,
            message=f"its gateway {peer.gateway} is no node of the fabric: nothing reaches it",
            mend=mend,
        )
    if not record.static_key:
        return Failure(
            kind=Failing.GATEWAY_MISSING,
            peer=peer.name,
            message=f"the agent of its gateway {peer.gateway} has published no key for static "
            "peers: it is of an earlier version, or not running",
            mend=f"start the agent of this version on {peer.gateway}; or {mend}",
        )
    if not endpoints(cluster, peer.gateway):
        return Failure(
            kind=Failing.GATEWAY_CLOSED,
            peer=peer.name,
            message=f"its gateway {peer.gateway} has no address that a machine elsewhere can dial",
            mend=f"give {peer.gateway} an ExternalIP, or annotate it chita.dev/endpoint=HOST:PORT "
            f"where a router forwards UDP to it (for static peers: PORT+2); or {mend}",
        )
    return None


def endpoints(cluster: ClusterState, gateway: str) -> list[str]:
    """Return where static peers may dial *gateway*, best first: what a user says, then public ones.

    A host name stays one: wg-quick resolves it.
    """
    node, record = cluster.nodes.get(gateway), cluster.fabric_nodes.get(gateway)
    if node is None or record is None or not record.static_port:
        return []
    found: list[str] = []
    try:
        if node.endpoint:
            host, port = split_endpoint(node.endpoint, cluster.setting.wireguard_port)
            found.append(_endpoint(host, static_port(port)))
    except ParseError:
        pass  # a problem of its own
    return found + [_endpoint(str(it), record.static_port) for it in record.endpoints]


def exported(cluster: ClusterState, peer: StaticPeer) -> Exported:
    """Return what *peer*'s configuration has to say; it has no `gateway_failure`.

    Through its gateway it reaches pods, nodes and other static peers, also such as come later with
    an address of their usual ranges; of the families it has.
    """
    record = cluster.fabric_nodes[peer.gateway]
    return Exported(
        gateway_key=record.static_key,
        endpoint=endpoints(cluster, peer.gateway)[0],
        allowed=_reachable(cluster, peer),
    )


def configuration(cluster: ClusterState, peer: StaticPeer, said: Exported, private_key: str) -> str:
    """Return *peer*'s configuration for wg-quick(8).

    Args:
        cluster: that has its gateway.
        peer: whose it is.
        said: as `exported` returns it, with whatever further networks.
        private_key: base64; empty: the machine has it already.
    """
    mtu_bytes = static_peer_mtu(cluster.fabric_nodes[peer.gateway].wire_mtu_bytes)
    private = f"PrivateKey = {private_key}"
    if not private_key:
        private = (
            f"# The private key of {peer.public_key}, which is where it was made:\n# PrivateKey ="
        )
    lines = [
        f"# Static peer {peer.name} of the fabric, by its gateway {peer.gateway}.",
        "[Interface]",
        private,
        f"Address = {', '.join(map(str, map(Cidr.of, peer.addresses)))}",
        f"MTU = {mtu_bytes}",
        "",
        "[Peer]",
        f"PublicKey = {said.gateway_key}",
        f"Endpoint = {said.endpoint}",
        f"AllowedIPs = {', '.join(map(str, said.allowed))}",
    ]
    if peer.keepalive_s:
        lines.append(f"PersistentKeepalive = {peer.keepalive_s}")
    return "\n".join(lines) + "\n"


def free_addresses(cluster: ClusterState, name: str) -> tuple[Address, ...]:
    """Return an address of each family for a new static peer, of the ranges that are for them.

    Which one follows from its *name* as long as that is free, so that two who ask at once hardly
    ever get the same.
    """
    taken = [net for peer in cluster.static_peers.values() for net in peer.allowed]
    digest = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest())
    found: list[Address] = []
    for net in STATIC_RANGES:
        hosts = min(net.size, 1 << 16) - 2
        for step in range(hosts):
            address = net.address + (1 + (digest + step) % hosts)
            if not any(address in other for other in taken):
                found.append(address)
                break
    return tuple(found)


def _outdated(cluster: ClusterState, peer: StaticPeer, said: Exported) -> list[str]:
    """Return what *said*, which the machine was told, is no longer so; in words.

    A static peer that came later is no reason: who wants to reach what it routes asks for that.
    """
    old: list[str] = []
    record = cluster.fabric_nodes[peer.gateway]
    if said.gateway_key != record.static_key:
        old.append(f"it has another key than that of {peer.gateway}")
    now = endpoints(cluster, peer.gateway)
    if said.endpoint not in now:
        old.append(f"it dials {said.endpoint}, and {peer.gateway} is at {now[0]}")
    lacking = [
        net
        for net in _of_families(_nodes_and_pods(cluster), peer)
        if not any(net in held for held in said.allowed)
    ]
    if lacking:
        old.append(f"it does not know {', '.join(map(str, lacking))}")
    return old


def _reachable(cluster: ClusterState, peer: StaticPeer) -> tuple[Cidr, ...]:
    networks = [*_nodes_and_pods(cluster), *STATIC_RANGES]
    for other in judged(cluster).accepted.values():
        if other.name != peer.name:
            networks += other.allowed
    return _of_families(networks, peer)


def _nodes_and_pods(cluster: ClusterState) -> list[Cidr]:
    return [*[pool.cidr for pool in cluster.pools.values()], *cluster.setting.mesh_cidrs]


def _of_families(networks: Iterable[Cidr], peer: StaticPeer) -> tuple[Cidr, ...]:
    families = {address.family for address in peer.addresses}
    return tuple([net for net in collapse(networks) if net.family in families])


def dialable_gateways(cluster: ClusterState) -> Iterable[str]:
    """Return the nodes that static peers can dial."""
    return (
        name
        for name, record in cluster.fabric_nodes.items()
        if record.static_key and endpoints(cluster, name)
    )


def _endpoint(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
