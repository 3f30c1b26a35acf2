"""What is wrong with the fabric and can be mended by somebody, each with how.

One bad record affects the pair concerned alone; here it is named. A pure function of what the agent
knows, so that every node and the command line find the same.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable, Iterator
from enum import StrEnum

import msgspec

from chita.errors import ParseError
from chita.fabric.candidates import is_dialable, split_endpoint
from chita.fabric.claims import address_rivals, key_rivals
from chita.fabric.gateways import GATEWAY_WEIGHT_LABEL
from chita.fabric.health import UNPROBED, Health
from chita.fabric.proof import filtered_neighbours, location_doubts, shown
from chita.fabric.static_peers import failures
from chita.model.cluster import ClusterState
from chita.model.epochs import common_epochs, in_epoch
from chita.model.net import Address, Cidr
from chita.model.node import CandidateKind, FabricNode


class ProblemKind(StrEnum):
    """A stable name of each problem: a section of docs/reference/fabric-problems.md."""

    LOCATION_EMPTY = "location-empty"
    PEER_UNKNOWN = "peer-unknown"
    LABEL_DOUBTED = "location-label-doubted"
    NETWORK_FILTERED = "location-network-filtered"
    GATEWAY_WEIGHT = "gateway-weight-invalid"
    GATEWAY_CLOSED = "gateway-not-dialable"
    KEY_CLAIMED = "key-claimed-twice"
    ADDRESS_CLAIMED = "address-claimed-twice"
    MESH_CLAIMED = "mesh-address-claimed-twice"
    ENDPOINT_MALFORMED = "endpoint-malformed"
    ENDPOINT_UNRESOLVED = "endpoint-unresolved"
    NETWORKS_OVERLAP = "networks-overlap"
    PRESHARED_DIFFERS = "preshared-key-differs"
    STATIC_CLASH = "static-peer-clash"
    STATIC_GATEWAY = "static-peer-gateway-missing"
    STATIC_CLOSED = "static-peer-gateway-not-dialable"
    STATIC_STALE = "static-peer-stale"


class FabricProblem(msgspec.Struct, frozen=True, kw_only=True):
    """Something to be mended."""

    kind: ProblemKind
    about: str
    """The object: ``Location aws-x``, ``Node aws-3``."""
    message: str
    mend: str


def problems(cluster: ClusterState, local: str, health: Health = UNPROBED) -> list[FabricProblem]:
    """Return what is wrong, as *local* sees it: of all records, and of what its own probes say."""
    found = [
        *_locations(cluster),
        *_gateways(cluster),
        *_claims(cluster),
        *_endpoints(cluster),
        *_overlaps(cluster),
        *_labels(cluster, local, health),
        *_preshared(cluster, local),
        *_static_peers(cluster),
    ]
    return sorted(found, key=lambda it: (it.kind, it.about, it.message))


def _locations(cluster: ClusterState) -> Iterator[FabricProblem]:
    """Yield Locations in which nobody is, and peers that nobody knows: likely misspelled."""
    inhabited = {node.location for node in cluster.nodes.values()}
    inhabited |= {record.location for record in cluster.fabric_nodes.values()}
    known = inhabited | cluster.locations.keys()
    for name, place in cluster.locations.items():
        if name not in inhabited:
            yield FabricProblem(
                kind=ProblemKind.LOCATION_EMPTY,
                about=f"Location {name}",
                message="no node is in it" + _meant(name, inhabited),
                mend=f"label its nodes chita.dev/location={name}, or delete the Location",
            )
        for peer in place.peers:
            if peer not in known:
                yield FabricProblem(
                    kind=ProblemKind.PEER_UNKNOWN,
                    about=f"Location {name}",
                    message=f"its peer {peer} is no location" + _meant(peer, known),
                    mend="correct spec.peers",
                )


def _preshared(cluster: ClusterState, local: str) -> Iterator[FabricProblem]:
    """Yield nodes whose pre-shared key is another than ours in each epoch that both have."""
    here = cluster.fabric_nodes.get(local)
    if here is None:
        return
    for there in cluster.fabric_nodes.values():
        epochs = common_epochs(here, there)
        if epochs and all(
            in_epoch(here, epoch).wireguard_preshared != in_epoch(there, epoch).wireguard_preshared
            for epoch in epochs
        ):
            yield FabricProblem(
                kind=ProblemKind.PRESHARED_DIFFERS,
                about=f"FabricNode {there.name}",
                message=f"its pre-shared key is not that of {local}: no tunnel joins the two",
                mend="give both agents the same file by --psk-file, restart them, then "
                "chita fabric rotate-keys --force",
            )


def _static_peers(cluster: ClusterState) -> Iterator[FabricProblem]:
    for found in failures(cluster):
        yield FabricProblem(
            kind=ProblemKind(found.kind.value),
            about=f"StaticPeer {found.peer}",
            message=found.message,
            mend=found.mend,
        )


def _gateways(cluster: ClusterState) -> Iterator[FabricProblem]:
    for node in cluster.nodes.values():
        text = node.labels.get(GATEWAY_WEIGHT_LABEL)
        record = cluster.fabric_nodes.get(node.name)
        if text is None:
            continue
        if not (text.isascii() and text.isdigit()):
            yield FabricProblem(
                kind=ProblemKind.GATEWAY_WEIGHT,
                about=f"Node {node.name}",
                message=f"its label {GATEWAY_WEIGHT_LABEL} is '{text}', and it relays nothing",
                mend="write a whole number from 0 (drained) to 1000",
            )
        elif int(text) and record is not None and not is_dialable(record):
            yield FabricProblem(
                kind=ProblemKind.GATEWAY_CLOSED,
                about=f"Node {node.name}",
                message="it is to be a gateway and has no address that others can dial",
                mend="give it an ExternalIP, or annotate it chita.dev/endpoint=HOST:PORT where a "
                f"router forwards UDP to it; or take the label {GATEWAY_WEIGHT_LABEL} away",
            )


def _claims(cluster: ClusterState) -> Iterator[FabricProblem]:
    for name, rivals in key_rivals(cluster.fabric_nodes).items():
        yield FabricProblem(
            kind=ProblemKind.KEY_CLAIMED,
            about=f"FabricNode {name}",
            message=f"{_and(rivals)} claims its WireGuard key too: neither gets a tunnel",
            mend="was a machine cloned? stop its agent, remove the keys in its state directory, "
            "and start it again",
        )
    for name, rivals in address_rivals(cluster.fabric_nodes).items():
        record = cluster.fabric_nodes[name]
        yield FabricProblem(
            kind=ProblemKind.ADDRESS_CLAIMED,
            about=f"FabricNode {name}",
            message=f"{_and(rivals)} in {record.location} has {record.interfaces[0].address} too: "
            "these are two networks, or one address was given twice",
            mend="label one of them chita.dev/location with the place where it is",
        )
    holders: dict[Address, list[str]] = {}
    for node in cluster.nodes.values():
        for address in node.mesh_addresses:
            holders.setdefault(address, []).append(node.name)
    for address, names in holders.items():
        if len(names) > 1:
            yield FabricProblem(
                kind=ProblemKind.MESH_CLAIMED,
                about=f"Node {names[0]}",
                message=f"{_and(names[1:])} has its mesh address {address} too",
                mend="remove the annotations chita.dev/mesh-ipv4 and -ipv6 of one of them: it gets "
                "new ones",
            )


def _endpoints(cluster: ClusterState) -> Iterator[FabricProblem]:
    for node in cluster.nodes.values():
        if not node.endpoint:
            continue
        about = f"Node {node.name}"
        try:
            host, _ = split_endpoint(node.endpoint, cluster.setting.wireguard_port)
        except ParseError as error:
            yield FabricProblem(
                kind=ProblemKind.ENDPOINT_MALFORMED,
                about=about,
                message=f"annotation chita.dev/endpoint: {error}",
                mend="correct the annotation",
            )
            continue
        record = cluster.fabric_nodes.get(node.name)
        if record is not None and not _is_mapped(record):
            yield FabricProblem(
                kind=ProblemKind.ENDPOINT_UNRESOLVED,
                about=about,
                message=f"its endpoint {host} does not resolve on the node itself, and nobody "
                "dials it there",
                mend=f"on {node.name}: getent ahosts {host}; correct the name or its resolver",
            )


def _is_mapped(record: FabricNode) -> bool:
    return any(it.kind is CandidateKind.MAPPED for it in record.candidates)


def _overlaps(cluster: ClusterState) -> Iterator[FabricProblem]:
    """Yield pools that overlap with each other, with the mesh, or with networks nodes stand in."""
    ours = [
        (f"IPPool {pool.name}", pool.cidr)
        for pool in sorted(cluster.pools.values(), key=lambda pool: pool.name)
    ]
    ours += [("FabricConfiguration default", mesh) for mesh in cluster.setting.mesh_cidrs]
    theirs = {
        (record.location, held.subnet): f"a network of {record.location}, where {record.name} is,"
        for record in cluster.fabric_nodes.values()
        for held in record.interfaces
    }
    pairs = list(itertools.combinations(ours, 2))
    pairs += [(own, (what, subnet)) for own in ours for (_, subnet), what in theirs.items()]
    for (about, one), (other, other_cidr) in pairs:
        if one.overlaps(other_cidr):
            yield _overlapping(about, one, other, other_cidr)


def _overlapping(about: str, one: Cidr, other: str, other_cidr: Cidr) -> FabricProblem:
    return FabricProblem(
        kind=ProblemKind.NETWORKS_OVERLAP,
        about=about,
        message=f"{one} overlaps with {other} {other_cidr}: an address in both is two things",
        mend="choose a network that nobody else uses; of a pool in use, add another and disable it",
    )


def _labels(cluster: ClusterState, local: str, health: Health) -> Iterator[FabricProblem]:
    for doubt in location_doubts(cluster, local, health):
        yield FabricProblem(
            kind=ProblemKind.LABEL_DOUBTED,
            about=f"Node {doubt.node}",
            message=doubt.message,
            mend=f"different networks? set the label chita.dev/location of {doubt.node} to the "
            f"place where it is; or let {doubt.let_pass} pass between them",
        )
    for there in filtered_neighbours(cluster, local, health):
        port = cluster.setting.vxlan_port
        yield FabricProblem(
            kind=ProblemKind.NETWORK_FILTERED,
            about=f"Node {there.name}",
            message=f"{shown(there)} answers {local} by WireGuard and by nothing else: the network "
            f"of {there.location} drops it, and WireGuard carries all",
            mend=f"let UDP {port} (VXLAN) pass between the nodes of {there.location}, and where "
            "pools are not encapsulated the pods' addresses",
        )


def _meant(name: str, known: set[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; was {near[0]} meant?" if near else ""


def _and(names: Iterable[str]) -> str:
    return " and ".join(names)
