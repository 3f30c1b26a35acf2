"""The lab that runs, for commands that act on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chita.errors import NotFoundError

if TYPE_CHECKING:
    from chita.lab.cluster import Lab


class _Silence:
    """Hears of steps of a lab that is up already."""

    def started(self, step: str) -> None:
        """A step begins."""

    def finished(self, step: str, detail: str, seconds: float) -> None:
        """It is done."""


def running_lab() -> Lab:
    """Return the lab that runs.

    Raises:
        NotFoundError: there is none.
    """
    # Imported here: the lab is more than `--help` should load.
    from pathlib import Path

    from chita.lab.cluster import Lab
    from chita.lab.layout import Layout
    from chita.lab.state import StateFile
    from chita.lab.world import DEFAULT_WORLD, read_world

    state = StateFile(Layout().directory).read()
    if state is None:
        raise NotFoundError("no lab is running; bring one up with: chita lab up")
    world = read_world([Path(path) for path in state.worlds] or [DEFAULT_WORLD])
    return Lab(world, Layout(), _Silence())
