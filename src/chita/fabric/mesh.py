"""Which nodes may have tunnels with each other, by the size of the fabric.

A tunnel costs both ends a session, a peer, keepalives and probes; between all nodes of two large
locations there are hundreds of thousands, nearly all for nothing. So above a size that the settings
say, ordinary nodes of different locations meet at gateways (hybrid reference 5.2), save two that
are busy with each other (`chita.fabric.shortcuts`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from chita.desired.paths import Rung, RungState
from chita.fabric.candidates import is_dialable
from chita.fabric.gateways import gateways
from chita.fabric.health import Shortcut, ShortcutState
from chita.model.cluster import ClusterState
from chita.model.node import FabricNode


class Mesh(msgspec.Struct, frozen=True, kw_only=True):
    """Who meets whom at gateways; the same for both ends, as it follows from the records."""

    refusal: str = ""
    """Why two ordinary nodes have no tunnel; empty: there are few enough, so that all have one."""
    places: frozenset[str] = frozenset()
    """Locations that have gateways."""

    def refused(self, here: FabricNode, there: FabricNode, shortcut: Shortcut | None = None) -> str:
        """Return why the two have no tunnel with each other; empty: they may.

        A *shortcut* that is open, or not closed yet, is one.
        """
        if not self._is_apart(here, there):
            return ""
        if shortcut is None:
            return f"{self.refusal}, and too little traffic was seen for a shortcut"
        if shortcut.state is ShortcutState.REFUSED:
            return f"{self.refusal}, and there is no shortcut: {shortcut.reason}"
        return ""

    def shortcut(
        self, here: FabricNode, there: FabricNode, shortcuts: Mapping[str, Shortcut]
    ) -> Shortcut | None:
        """Return what is known of a shortcut to *there*; None too if the two need none."""
        found = shortcuts.get(there.name)
        return found if found is not None and self._is_apart(here, there) else None

    def is_ordinary(self, node: FabricNode) -> bool:
        """Whether *node* meets others at gateways."""
        return bool(self.refusal) and not is_dialable(node)

    def _is_apart(self, here: FabricNode, there: FabricNode) -> bool:
        """Whether the two meet at gateways.

        Who can be dialled is a gateway, or a drained one, whose tunnels stay: what is still on the
        way to it arrives. Without a gateway in either location nobody is sent a longer way round.
        """
        return (
            bool(self.refusal)
            and here.location != there.location
            and (here.location in self.places or there.location in self.places)
            and not is_dialable(there)
            and not is_dialable(here)
        )


FULL = Mesh()
"""All have tunnels with all."""


def mesh(cluster: ClusterState) -> Mesh:
    """Return who meets whom."""
    most = cluster.setting.full_mesh_nodes
    if len(cluster.fabric_nodes) <= most:
        return FULL
    return Mesh(
        refusal=f"with more than {most} nodes (fullMeshNodes) ordinary ones meet at gateways",
        places=frozenset([it.location for it in gateways(cluster.fabric_nodes).values()]),
    )


def as_shortcut(rungs: Sequence[Rung], shortcut: Shortcut | None) -> Sequence[Rung]:
    """Return the *rungs* of a tunnel as those of a shortcut, if it is one.

    While it is closing nothing is sent by it, whatever its probes say.
    """
    if shortcut is None or shortcut.state is ShortcutState.REFUSED:
        return rungs
    return [
        rung
        if rung.state is RungState.REFUSED
        else msgspec.structs.replace(
            rung, state=_state(rung, shortcut), reason=f"{rung.reason}; {shortcut.reason}"
        )
        for rung in rungs
    ]


def _state(rung: Rung, shortcut: Shortcut) -> RungState:
    is_closing = shortcut.state is ShortcutState.CLOSING
    return RungState.UNPROVEN if is_closing and rung.state is RungState.READY else rung.state
