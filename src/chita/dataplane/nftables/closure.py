"""The units in use, their chains and sets: built when first used, gone with the last user."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from chita.dataplane.nftables.objects import Chain, Set
from chita.dataplane.nftables.overlay import Overlay
from chita.dataplane.nftables.units import Built, Dependency, Unit

Build = Callable[[Unit], Built]


class Closure:
    """All units that endpoints need, directly or through others.

    Attributes:
        chains: of all units, by name; another mapping whenever one of them is another.
        sets: likewise.
    """

    def __init__(self) -> None:
        self.chains: Mapping[str, Chain] = {}
        self.sets: Mapping[str, Set] = {}
        self._built: dict[Unit, Built] = {}
        self._users: Counter[Unit] = Counter()
        self._set_users: Counter[str] = Counter()
        self._readers: dict[Dependency, dict[Unit, None]] = {}

    def refresh(
        self,
        come: Iterable[Unit],
        gone: Iterable[Unit],
        changed: Iterable[Dependency],
        build: Build,
    ) -> None:
        """Count one use more of each unit in *come*, one less of each in *gone*.

        Units that read what *changed* are built again.
        """
        turn = _Turn(self.chains, self.sets, build)
        stale = dict.fromkeys(
            unit for dependency in changed for unit in self._readers.get(dependency, ())
        )
        for unit in come:
            self._use(unit, turn)
        for unit in gone:
            self._release(unit, turn)
        for unit in stale:
            if unit in self._built:
                self._rebuild(unit, turn)
        self.chains, self.sets = turn.chains.result(), turn.sets.result()

    def _use(self, unit: Unit, turn: _Turn) -> None:
        self._users[unit] += 1
        if unit not in self._built:
            self._enter(unit, turn.build(unit), turn)

    def _release(self, unit: Unit, turn: _Turn) -> None:
        self._users[unit] -= 1
        if not self._users[unit]:
            del self._users[unit]
            self._leave(unit, self._built.pop(unit), turn)

    def _rebuild(self, unit: Unit, turn: _Turn) -> None:
        old, new = self._built[unit], turn.build(unit)
        # In this order, what both use is not taken down and built again.
        self._enter(unit, new, turn)
        self._leave(unit, old, turn)
        for dependency in new.reads:
            self._readers.setdefault(dependency, {})[unit] = None
        for chain in new.chains:
            turn.chains.renew(chain.name, chain)

    def _enter(self, unit: Unit, built: Built, turn: _Turn) -> None:
        self._built[unit] = built
        for chain in built.chains:
            turn.chains.renew(chain.name, chain)
        for item in built.sets:
            self._set_users[item.name] += 1
            turn.sets.renew(item.name, item)
        for dependency in built.reads:
            self._readers.setdefault(dependency, {})[unit] = None
        for other in built.uses:
            self._use(other, turn)

    def _leave(self, unit: Unit, built: Built, turn: _Turn) -> None:
        for chain in built.chains:
            turn.chains.put(chain.name, None)
        for item in built.sets:
            self._set_users[item.name] -= 1
            if not self._set_users[item.name]:
                del self._set_users[item.name]
                turn.sets.put(item.name, None)
        for dependency in built.reads:
            readers = self._readers[dependency]
            readers.pop(unit, None)
            if not readers:
                del self._readers[dependency]
        for other in built.uses:
            self._release(other, turn)


class _Turn:
    """One refresh under way."""

    def __init__(self, chains: Mapping[str, Chain], sets: Mapping[str, Set], build: Build) -> None:
        self.chains: Overlay[Chain] = Overlay(chains)
        self.sets: Overlay[Set] = Overlay(sets)
        self.build = build
