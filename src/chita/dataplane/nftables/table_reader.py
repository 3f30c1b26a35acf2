"""The table read from the kernel, whole or part by part.

libnftables would do, but it reads a table of 1,000 policies in 1.4 s and one of 100,000 elements
in 4 s, and nothing of it in pieces.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping

from chita.dataplane.netlink.message import text
from chita.dataplane.nftables.attributes import Message
from chita.dataplane.nftables.nfnetlink import InterruptedDumpError, Nfnetlink
from chita.dataplane.nftables.objects import TABLE, Hook, Ruleset, Set, SetKind, Verdict
from chita.dataplane.nftables.outline import ChainOutline, Outline
from chita.dataplane.nftables.parts import ChainPart, Part, SetPart, part_outline
from chita.dataplane.nftables.read import (
    ElementCheck,
    RawElement,
    SetHead,
    mappings,
    not_ours,
    read_chain,
    read_comment,
    read_elements,
    read_set_head,
    read_table_flags,
    set_elements,
)
from chita.errors import KernelError

_TRIES = 10
_TABLE = text(1, TABLE)
"""NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, NFTA_SET_TABLE, NFTA_SET_ELEM_LIST_TABLE."""
_LARGE = 1_000
"""Elements that take longer than a millisecond to compare."""
_TOO_LARGE = {SetKind.HASH: 40_000, SetKind.INTERVAL: 20_000}
"""Elements that cannot be told in slices: for each the kernel walks past all it has told before.
Changes of such sets are known by their announcements alone."""
_WHAT = f"read table inet {TABLE}"


class TableReader:
    """Reads our table. Not for two threads at once."""

    def __init__(self, netlink: Nfnetlink) -> None:
        self._netlink = netlink

    def whole(self) -> Outline | None:
        """Return what the table holds, all of one moment; None when there is none.

        Raises:
            KernelError: it holds what we never write, or never stopped changing.
        """
        for _ in range(_TRIES):
            try:
                return self._whole()
            except InterruptedDumpError:
                continue
        raise KernelError(f"{_WHAT}: others changed it {_TRIES} times meanwhile")

    def part(self, part: Part) -> Outline:
        """Return what the table holds of *part*.

        Raises:
            KernelError: it holds what we never write.
        """
        match part:
            case ChainPart(name):
                return self._chain(name)
            case SetPart(name):
                return self._set(name)

    def verify(self, part: Part, expected: Ruleset) -> Iterator[bool]:
        """Yield, a millisecond or two apart, whether *part* is so far what *expected* has.

        Raises:
            InterruptedDumpError: something was committed meanwhile.
            KernelError: it holds what we never write.
        """
        item = expected.sets.get(part.name) if isinstance(part, SetPart) else None
        if item is None or len(item.elements) < _LARGE:
            yield self.part(part) == part_outline(expected, part)
            return
        if len(item.elements) > _TOO_LARGE[item.kind]:
            return
        check = ElementCheck(item)
        for _ in check.prepare():
            yield True
        for raw in self._elements(item.name):
            yield check.takes(raw)
        yield check.is_complete()

    def _whole(self) -> Outline | None:
        found = self._get(Message.GETTABLE, b"")
        if found is None:
            return None
        if read_table_flags(found):
            raise not_ours("flags, such as that it is dormant")
        if self._all(Message.GETOBJ) or self._all(Message.GETFLOWTABLE):
            raise not_ours("objects or flow tables")
        heads = [read_set_head(body) for body in self._all(Message.GETSET)]
        chains = self._chains()
        comments: dict[str, list[str]] = {name: [] for name in chains}
        for body in self._all(Message.GETRULE):
            chain, comment = read_comment(body)
            comments[chain].append(comment)
        sets: dict[str, Set] = {}
        maps: dict[str, Mapping[str, Verdict]] = {}
        for each in heads:
            if each.is_anonymous:
                continue
            raw = [element for some in self._elements(each.name) for element in some]
            if each.is_map:
                maps[each.name] = mappings(each.name, raw)
            else:
                sets[each.name] = _filled(each, raw)
        outlines = {
            name: ChainOutline(hook, tuple(comments[name])) for name, hook in chains.items()
        }
        return Outline(sets, maps, outlines)

    def _chain(self, name: str) -> Outline:
        found = self._get(Message.GETCHAIN, text(3, name))  # NFTA_CHAIN_NAME
        chain = None if found is None else read_chain(found)
        if chain is None:
            return Outline({}, {}, {})
        bodies = self._all(Message.GETRULE, text(2, name))  # NFTA_RULE_CHAIN
        comments = tuple(read_comment(body)[1] for body in bodies)
        return Outline({}, {}, {name: ChainOutline(chain[1], comments)})

    def _set(self, name: str) -> Outline:
        found = self._get(Message.GETSET, text(2, name))  # NFTA_SET_NAME
        if found is None:
            return Outline({}, {}, {})
        head = read_set_head(found)
        if head.is_anonymous:
            return Outline({}, {}, {})
        raw = [element for some in self._elements(name) for element in some]
        if head.is_map:
            return Outline({}, {name: mappings(name, raw)}, {})
        return Outline({name: _filled(head, raw)}, {}, {})

    def _chains(self) -> dict[str, Hook | None]:
        # Those of other tables are told too, whatever is asked.
        return dict(each for body in self._all(Message.GETCHAIN) if (each := read_chain(body)))

    def _elements(self, name: str) -> Iterator[list[RawElement]]:
        asked = _TABLE + text(2, name)  # NFTA_SET_ELEM_LIST_SET
        for bodies in self._netlink.dump(Message.GETSETELEM, asked, what=f"{_WHAT} set {name}"):
            yield [element for body in bodies for element in read_elements(body)]

    def _all(self, kind: Message, more: bytes = b"") -> list[bytes]:
        dump = self._netlink.dump(kind, _TABLE + more, what=f"{_WHAT}: {kind.name}")
        return [body for bodies in dump for body in bodies]

    def _get(self, kind: Message, more: bytes) -> bytes | None:
        try:
            return self._netlink.get(kind, _TABLE + more, what=f"{_WHAT}: {kind.name}")
        except KernelError as error:
            if error.errno != errno.ENOENT:
                raise
            return None


def _filled(head: SetHead, raw: list[RawElement]) -> Set:
    return Set(head.name, head.types, head.kind, set_elements(head, raw))
