"""What a migration changes, from an export alone: nothing is asked and nothing done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec

from chita.migrate.addresses import AddressState, Held
from chita.migrate.cluster_changes import cluster_changes
from chita.migrate.conversion import conversion
from chita.migrate.export import Export
from chita.migrate.felix_changes import felix_changes
from chita.migrate.finding import Effect, Finding
from chita.migrate.pod_cidr import Source, source
from chita.migrate.pool_changes import Pool, pool_changes, pools
from chita.model.net import Cidr


class NodeBlocks(msgspec.Struct, frozen=True, kw_only=True):
    """What one node has of the pools."""

    node: str
    blocks: tuple[str, ...] = ()
    addresses: int = 0
    """In use on the node, of whichever block."""
    borrowed: int = 0
    """Of these, in a block of another node."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of ``chita migrate report``; its JSON is stable."""

    source: Source
    """Which network runs now."""
    kinds: dict[str, int] = {}
    """How many objects of each kind are carried over."""
    pools: tuple[Pool, ...] = ()
    nodes: tuple[NodeBlocks, ...] = ()
    addresses: tuple[Held, ...] = ()
    """Every address in use: each stays with its handle."""
    findings: tuple[Finding, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether anything works otherwise afterwards, or is left out."""
        return any(found.effect in {Effect.REFUSED, Effect.CHANGES} for found in self.findings)


def report(export: Export, pod_cidrs: Sequence[Cidr] = ()) -> Report:
    """Return what will differ for the cluster of *export*.

    *pod_cidrs* are the cluster's pod networks, where the export does not say (kubenet).

    Raises:
        InputError: the export is of no network that is known, or its addresses contradict.
    """
    converted = conversion(export, pod_cidrs)
    of = source(export)
    kinds = Counter(str(obj["kind"]) for obj in converted.objects)
    refused = {found.what for found in converted.findings if found.effect is Effect.REFUSED}
    findings = [
        *converted.findings,
        *(found for found in _changes(export, of) if found.what not in refused),
    ]
    findings.sort(key=lambda found: list(Effect).index(found.effect))
    return Report(
        source=of,
        kinds=dict(sorted(kinds.items())),
        pools=tuple(pools(converted.objects)),
        nodes=tuple(node_blocks(converted.addresses)),
        addresses=tuple(converted.addresses.held()),
        findings=tuple(dict.fromkeys(findings)),
    )


def _changes(export: Export, of: Source) -> Iterator[Finding]:
    if of is Source.CALICO:
        for changes in (pool_changes, felix_changes, cluster_changes):
            yield from changes(export)


def node_blocks(state: AddressState) -> list[NodeBlocks]:
    """Return what each node has, by name."""
    blocks: dict[str, list[str]] = {}
    for block in sorted(state.blocks, key=lambda each: each.cidr):
        blocks.setdefault(block.node or "", []).append(str(block.cidr))
    owners = {block.cidr: block.node or "" for block in state.blocks}
    used, borrowed = Counter[str](), Counter[str]()
    for held in state.held():
        used[held.node] += 1
        borrowed[held.node] += held.node != owners[held.block]
    return [
        NodeBlocks(
            node=node,
            blocks=tuple(blocks.get(node, ())),
            addresses=used[node],
            borrowed=borrowed[node],
        )
        for node in sorted({*blocks, *used})
    ]
