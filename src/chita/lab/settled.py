"""Whether a fabric has settled: nodes use the paths that the published records promise.

While agents and tunnels start, ways are down and up again, and what is measured then tells of the
start and not of the cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from chita.desired.paths import Path, PathKind
from chita.fabric.path import paths
from chita.model.cluster import ClusterState

_PROVED = PathKind.PRIVATE
"""Between peered locations no record promises it: better than promised once an answer came."""

Pair = tuple[str, str]
"""The nodes at both ends of a path, the sender first."""


def promised(cluster: ClusterState, nodes: Iterable[str]) -> dict[Pair, Path]:
    """Return every path between *nodes* as the records promise it, as their agents decide it."""
    return {(here, there): path for here in nodes for there, path in paths(cluster, here).items()}


def other_than(
    wanted: Mapping[Pair, Path], status: Callable[[str], Mapping[str, Any]]
) -> list[str]:
    """Return in words which paths are of another kind than *wanted*, or lack a relay of theirs.

    Args:
        wanted: as of `promised`.
        status: what a node's agent says of itself.
    """
    told = {here: status(here) for here in {here for here, _ in wanted}}
    found = []
    for (here, there), path in wanted.items():
        used = told[here]["paths"].get(there)
        if used is None:
            found.append(f"{here} has no path to {there}")
        elif used["kind"] != _PROVED and (
            used["kind"] != path.kind or not set(path.relays) <= set(used["relays"])
        ):
            found.append(f"{here} to {there} is {used['kind']}: {used['reason']}")
        elif not _has_answered(used, told[here]["ways"]):
            found.append(f"{here} to {there} has not answered yet")
    return found


def _has_answered(used: Mapping[str, Any], ways: Iterable[Mapping[str, Any]]) -> bool:
    """Whether probes came back over the way that *used* takes, in either of a relay's halves."""
    up = [it["way"] for it in ways if it["verdict"] == "up"]
    if used["kind"] == "relayed":
        return {it["relay"] for it in up if it["type"] == "Transit"} >= set(used["relays"])
    return any(it.get("node") == used["node"] for it in up)
