"""A BlockStore in a dict: for tests, benchmarks and the lab's dry runs."""

from __future__ import annotations

from typing import cast

from chita.errors import ConflictError
from chita.ipam.configuration import IPAMConfiguration
from chita.ipam.objects import IPAMValue, T
from chita.ipam.store import Held


class MemoryBlockStore:
    """Keeps values by kind and name; several allocators may share one, as they share an API."""

    def __init__(self, configuration: IPAMConfiguration | None = None) -> None:
        self._configuration = configuration or IPAMConfiguration()
        self._values: dict[tuple[str, str], Held[IPAMValue]] = {}
        self._version = 0

    async def configuration(self) -> IPAMConfiguration:
        """Return the configuration it was made with."""
        return self._configuration

    async def get(self, kind: type[T], name: str) -> Held[T] | None:
        """Return the value *name* of *kind*, or None."""
        return cast("Held[T] | None", self._values.get((kind.__name__, name)))

    async def list(self, kind: type[T], *, node: str | None = None) -> list[Held[T]]:
        """Return all of *kind* by name; with *node*, only the affinities of that node."""
        found = sorted(key for key in self._values if key[0] == kind.__name__)
        return [
            cast("Held[T]", self._values[key])
            for key in found
            if node is None or getattr(self._values[key].value, "node", None) == node
        ]

    async def create(self, value: T) -> Held[T]:
        """Store *value* under its name."""
        if _key(value) in self._values:
            raise ConflictError(f"create {' '.join(_key(value))}: the name is taken")
        return self._put(value)

    async def update(self, held: Held[T], value: T) -> Held[T]:
        """Replace *held* by *value*, of the same name."""
        self._expect(held, "update")
        return self._put(value)

    async def delete(self, held: Held[T]) -> None:
        """Remove *held*; nothing happens when it is gone."""
        if _key(held.value) in self._values:
            self._expect(held, "delete")
            del self._values[_key(held.value)]

    def _put(self, value: T) -> Held[T]:
        self._version += 1
        held = Held(value, str(self._version))
        self._values[_key(value)] = cast("Held[IPAMValue]", held)
        return held

    def _expect(self, held: Held[T], verb: str) -> None:
        key = _key(held.value)
        now = self._values.get(key)
        if now is None or now.version != held.version:
            state = "gone" if now is None else f"at version {now.version}"
            raise ConflictError(f"{verb} {' '.join(key)} at version {held.version}: it is {state}")


def _key(value: IPAMValue) -> tuple[str, str]:
    return type(value).__name__, value.name
