"""What the kernel tells of the table, to its outline (linux/netfilter/nf_tables.h).

Pure: answers in, values out. Only what an outline has is read: of a rule, the comment.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import msgspec

from chita.dataplane.netlink.message import attributes, string
from chita.dataplane.nftables.elements import (
    ANONYMOUS,
    INTERVAL,
    INTERVAL_END,
    MAP,
    TYPE_BITS,
    TYPE_BYTES,
    TYPE_NUMBER,
    padded,
)
from chita.dataplane.nftables.objects import (
    TABLE,
    ChainType,
    DataType,
    Element,
    Goto,
    Hook,
    Set,
    SetKind,
    Value,
    Verdict,
)
from chita.dataplane.nftables.wire import ACCEPT_POLICY, HOOK_NUMBERS
from chita.errors import KernelError
from chita.model.net import Address, Cidr, Family, PortRange

_TYPES = {number: of for of, number in TYPE_NUMBER.items()}
_HOOK_NAMES = {number: name for name, number in HOOK_NUMBERS.items()}
_GOTO = 0xFFFFFFFC
"""NFT_GOTO as an unsigned number."""
_HEADER = 4
"""Of struct nfgenmsg, before the attributes."""


class SetHead(msgspec.Struct, frozen=True):
    """A set or map without its elements."""

    name: str
    types: tuple[DataType, ...]
    kind: SetKind
    is_map: bool
    is_anonymous: bool
    """It belongs to a rule."""


def read_table_flags(body: bytes) -> int:
    """Return a table's flags: 1 while it is dormant (NFT_TABLE_F_DORMANT)."""
    return int.from_bytes(dict(attributes(body, _HEADER)).get(2, b""))  # NFTA_TABLE_FLAGS


def read_chain(body: bytes) -> tuple[str, Hook | None] | None:
    """Return a chain's name and place; None: it is not in our table."""
    # NFTA_CHAIN_TABLE, _NAME, _HOOK { HOOKNUM, PRIORITY }, _POLICY, _TYPE
    found = dict(attributes(body, _HEADER))
    if string(found[1]) != TABLE:
        return None
    name = string(found[3])
    if 4 not in found:
        return name, None
    place = dict(attributes(found[4]))
    if int.from_bytes(found[5]) != ACCEPT_POLICY:
        raise not_ours(f"chain {name} with another policy than accept")
    priority = int.from_bytes(place[2], signed=True)
    hook = _HOOK_NAMES.get(int.from_bytes(place[1]))
    if hook is None or string(found[7]) not in set(ChainType):
        raise not_ours(f"chain {name} at another hook")
    return name, Hook(ChainType(string(found[7])), hook, priority)


def read_comment(body: bytes) -> tuple[str, str]:
    """Return a rule's chain and comment."""
    # NFTA_RULE_CHAIN, _USERDATA: type, length and text with its NUL
    chain = comment = ""
    for kind, value in attributes(body, _HEADER):
        if kind == 2:
            chain = string(value)
        elif kind == 7 and value[:1] == b"\0":
            comment = string(value[2:])
    return chain, comment


def read_set_head(body: bytes) -> SetHead:
    """Return a set or map.

    Raises:
        KernelError: its type is none of ours.
    """
    # NFTA_SET_NAME, _FLAGS, _KEY_TYPE, _DATA_TYPE
    found = dict(attributes(body, _HEADER))
    name, flags = string(found[2]), int.from_bytes(found.get(3, b""))
    if flags & ANONYMOUS:
        return SetHead(name, (), SetKind.HASH, is_map=False, is_anonymous=True)
    number = int.from_bytes(found[4])
    types: list[DataType] = []
    while number:
        of = _TYPES.get(number & (1 << TYPE_BITS) - 1)
        if of is None:
            raise not_ours(f"set {name} of another type")
        types.insert(0, of)
        number >>= TYPE_BITS
    if flags & ~(INTERVAL | MAP):
        raise not_ours(f"set {name} with flags {flags:#x}")
    kind = SetKind.INTERVAL if flags & INTERVAL else SetKind.HASH
    return SetHead(name, tuple(types), kind, is_map=bool(flags & MAP), is_anonymous=False)


class RawElement(msgspec.Struct, frozen=True, gc=False):
    """An element as it is told: of an interval, one of its ends."""

    key: bytes
    is_end: bool
    verdict: bytes


def read_elements(body: bytes) -> Iterator[RawElement]:
    """Yield the elements of one answer."""
    # NFTA_SET_ELEM_LIST_ELEMENTS { NFTA_LIST_ELEM { KEY { VALUE }, DATA { VERDICT }, FLAGS } }
    for kind, listed in attributes(body, _HEADER):
        if kind != 3:
            continue
        for _, element in attributes(listed):
            key = verdict = b""
            flags = 0
            for what, value in attributes(element):
                if what == 1:
                    ((_, key),) = attributes(value)
                elif what == 2:
                    ((_, verdict),) = attributes(value)
                elif what == 3:
                    flags = int.from_bytes(value)
            yield RawElement(key, bool(flags & INTERVAL_END), verdict)


def mappings(name: str, raw: Iterable[RawElement]) -> dict[str, Verdict]:
    """Return the elements of a verdict map.

    Raises:
        KernelError: a verdict is none of ours.
    """
    found: dict[str, Verdict] = {}
    for each in raw:
        verdict = dict(attributes(each.verdict))
        if int.from_bytes(verdict.get(1, b"")) != _GOTO:
            raise not_ours(f"another verdict than goto in map {name}")
        found[string(each.key)] = Goto(string(verdict[2]))
    return found


def set_elements(head: SetHead, raw: Iterable[RawElement]) -> frozenset[Element]:
    """Return the elements of a set.

    Raises:
        KernelError: an interval is no network.
    """
    match head.kind:
        case SetKind.HASH:
            return frozenset([_element(each.key, head.types) for each in raw])
        case SetKind.INTERVAL:
            return frozenset(_intervals(head, raw))


_SLICE = 1_000
"""Elements that take a millisecond."""


class ElementCheck:
    """Compares a set of thousands with what is told of it, piece by piece."""

    def __init__(self, expected: Set) -> None:
        self._expected = expected
        self._count = 0
        self._firsts: set[int] = set()
        self._afters: set[int] = set()

    def prepare(self) -> Iterator[None]:
        """Get ready, a millisecond's worth at a time."""
        if self._expected.kind is SetKind.HASH:
            return
        elements = iter(self._expected.elements)
        while some := list(itertools.islice(elements, _SLICE)):
            for each in some:
                assert isinstance(each, Cidr | PortRange), "an interval"
                self._firsts.add(each.first)
                self._afters.add(each.last + 1)
            yield

    def takes(self, raw: Iterable[RawElement]) -> bool:
        """Return whether all of *raw*, which nobody told before, should be there."""
        for each in raw:
            if self._expected.kind is SetKind.INTERVAL:
                # Both ends of as many intervals that do not overlap: the same intervals.
                self._count += not each.is_end
                ends = self._afters if each.is_end else self._firsts
                known = int.from_bytes(each.key) in ends
            else:
                self._count += 1
                known = _element(each.key, self._expected.types) in self._expected.elements
            if not known:
                return False
        return True

    def is_complete(self) -> bool:
        """Return whether all that should be there was told."""
        return self._count == len(self._expected.elements)


def _element(key: bytes, types: tuple[DataType, ...]) -> Element:
    return _value(key, types[0]) if len(types) == 1 else _concatenation(key, types)


def _value(key: bytes, of: DataType) -> Value:
    match of:
        case DataType.IPV4_ADDR | DataType.IPV6_ADDR:
            return Address.from_packed(key)
        case DataType.IFNAME:
            return string(key)
        case DataType.INET_PROTO | DataType.INET_SERVICE:
            return int.from_bytes(key)


def _concatenation(key: bytes, types: tuple[DataType, ...]) -> tuple[Value, ...]:
    values: list[Value] = []
    at = 0
    for of in types:
        values.append(_value(key[at : at + TYPE_BYTES[of]], of))
        at += padded(TYPE_BYTES[of])
    return tuple(values)


def _intervals(head: SetHead, raw: Iterable[RawElement]) -> Iterator[Element]:
    """Yield what lies between each beginning and the end that follows it; the last may have none.

    Where one interval ends another may begin, so ends come first among equal keys.
    """
    limit = 1 << 8 * TYPE_BYTES[head.types[0]]
    first: int | None = None
    for each in sorted(raw, key=lambda each: (each.key, not each.is_end)):
        at = int.from_bytes(each.key)
        if each.is_end:
            if first is not None:
                yield _interval(head, first, at - 1)
            first = None
        elif first is not None:
            raise not_ours(f"set {head.name} with an interval without end")
        else:
            first = at
    if first is not None:
        yield _interval(head, first, limit - 1)


def _interval(head: SetHead, first: int, last: int) -> Element:
    if head.types == (DataType.INET_SERVICE,):
        return PortRange(first, last)
    family: Family = 4 if head.types == (DataType.IPV4_ADDR,) else 6
    size = last - first + 1
    prefix = (32 if family == 4 else 128) - (size.bit_length() - 1)
    if size & size - 1 or first % size:
        raise not_ours(f"an interval that is no network in set {head.name}")
    return Cidr(family, first, prefix)


def not_ours(what: str) -> KernelError:
    """Return the error for what we never write."""
    return KernelError(f"read table inet {TABLE}: it holds {what}, not ours")
