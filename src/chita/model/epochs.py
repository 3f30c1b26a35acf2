"""Epochs of the WireGuard keys: all nodes change theirs, and no packet is lost.

The cluster has a number, its epoch. When it is raised, each node makes a key of the new epoch and
publishes it beside the old one; both devices receive. A pair uses the newest epoch that both
have once a probe was answered over it, until then the one before. The old key goes when nobody
needs it any more.

What is decided about a pair of nodes needs no notion of epochs: `in_epoch` gives the records as
they would be if that epoch were the only one.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from chita.model.node import CandidateKind, FabricNode, TunnelEnd


def epochs_of(node: FabricNode) -> tuple[int, ...]:
    """Return the epochs in which *node* has a WireGuard device, newest first."""
    if node.wireguard_previous is None:
        return (node.wireguard_epoch,)
    return (node.wireguard_epoch, node.wireguard_previous.epoch)


def common_epochs(here: FabricNode, there: FabricNode) -> tuple[int, ...]:
    """Return the epochs in which the two can talk, newest first."""
    theirs = epochs_of(there)
    return tuple(epoch for epoch in epochs_of(here) if epoch in theirs)


def in_epoch(node: FabricNode, epoch: int) -> FabricNode:
    """Return the record as if *epoch*, one of `epochs_of`, were the only one.

    Where other tunnels see the node is known of its newest device alone. A port that a user mapped
    is meant for even epochs; those between listen on the next one.
    """
    previous = node.wireguard_previous
    if previous is None or previous.epoch != epoch:
        return node
    shift = previous.port - node.wireguard_port
    candidates = tuple(
        msgspec.structs.replace(it, port=it.port + shift)
        for it in node.candidates
        if it.kind is not CandidateKind.REFLEXIVE
    )
    return msgspec.structs.replace(
        node,
        wireguard_epoch=epoch,
        wireguard_key=previous.public_key,
        wireguard_port=previous.port,
        wireguard_preshared=previous.preshared,
        wireguard_previous=None,
        candidates=candidates,
    )


def port_in(epoch: int, base: int) -> int:
    """Return the UDP port of the device of *epoch*, given that of even ones: the two alternate."""
    return base + epoch % 2


def is_previous_needed(
    others: Iterable[FabricNode], previous: TunnelEnd, epoch: int, proven: Iterable[str]
) -> bool:
    """Whether somebody may still talk to us in the *previous* epoch only.

    Args:
        others: the records of all other nodes.
        previous: our end that is to go.
        epoch: the newest of ours.
        proven: nodes that answered in it.
    """
    answered = frozenset(proven)
    return any(
        previous.epoch in epochs_of(node)
        and (epoch not in epochs_of(node) or node.name not in answered)
        for node in others
    )
