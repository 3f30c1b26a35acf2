"""A store that lives as long as its process: for tests, and for trying a world out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chita.store.catalog import Catalog
from chita.store.catalogued import CataloguedStore

if TYPE_CHECKING:
    from chita.store.store import Event


class MemoryStore(CataloguedStore):
    """A `Store` with no file behind it."""

    def __init__(self, *, history_events: int = 10_000) -> None:
        super().__init__(Catalog(history_events=history_events))

    async def close(self) -> None:
        """End all watches."""
        self.end_watches()

    async def _keep(self, event: Event) -> None:
        self._catalog.publish(event)
        self._catalog.compaction()

    async def _settle(self) -> None:
        """No write is ever on its way."""
