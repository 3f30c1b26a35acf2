"""Sets, maps and their elements as netlink attributes.

Elements are what changes most: a pod that starts or stops touches sets only. Encoded here and sent
raw, one costs the kernel 0.01 ms; libnftables first reads every set and chain of the machine
(benchmarks/nftables.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from chita.dataplane.netlink.message import attribute, nested, text
from chita.dataplane.nftables.attributes import number
from chita.dataplane.nftables.objects import (
    TABLE,
    Accept,
    DataType,
    Drop,
    Element,
    Goto,
    Jump,
    Return,
    Set,
    SetKind,
    Value,
    Verdict,
    VerdictMap,
)
from chita.model.net import Address, Cidr, PortRange

ANONYMOUS, CONSTANT, INTERVAL, MAP = 0x1, 0x2, 0x4, 0x8
"""Set flags (enum nft_set_flags)."""
INTERVAL_END = 0x1
"""NFT_SET_ELEM_INTERVAL_END: the key is the first one after the interval."""
_DATA_VERDICT = 0xFFFFFF00
"""NFT_DATA_VERDICT as a set's data type."""

TYPE_NUMBER: dict[DataType, int] = {
    DataType.IPV4_ADDR: 7,
    DataType.IPV6_ADDR: 8,
    DataType.INET_PROTO: 12,
    DataType.INET_SERVICE: 13,
    DataType.IFNAME: 41,
}
"""nft's own numbers (datatype.h), which the kernel only stores for whoever lists the set."""
TYPE_BYTES: dict[DataType, int] = {
    DataType.IPV4_ADDR: 4,
    DataType.IPV6_ADDR: 16,
    DataType.INET_PROTO: 1,
    DataType.INET_SERVICE: 2,
    DataType.IFNAME: 16,
}
TYPE_BITS = 6
"""Bits of one type's number in that of a concatenation (datatype.h TYPE_BITS)."""
_HOST_ORDER, _NETWORK_ORDER = 1, 2
"""enum byteorder of nft, in a set's user data; a name counts as host order."""

_CHUNK = 400
"""Elements a message: an attribute is at most 65,535 bytes."""


def padded(size: int) -> int:
    """Return *size* rounded up to a register of 4 bytes, as in a concatenation."""
    return (size + 3) & ~3


def set_attributes(item: Set, set_id: int) -> bytes:
    """Return the attributes that make a named set."""
    flags = INTERVAL if item.kind is SetKind.INTERVAL else 0
    return _key(item.name, item.types, flags, set_id)


def map_attributes(item: VerdictMap, set_id: int) -> bytes:
    """Return the attributes that make a named verdict map."""
    key = _key(item.name, (DataType.IFNAME,), MAP, set_id)
    return key + number(6, _DATA_VERDICT)  # NFTA_SET_DATA_TYPE


def _key(name: str, types: Sequence[DataType], flags: int, set_id: int) -> bytes:
    kind = 0
    for part in types:
        kind = kind << TYPE_BITS | TYPE_NUMBER[part]
    sizes = [TYPE_BYTES[part] for part in types]
    size = sizes[0] if len(sizes) == 1 else sum(padded(each) for each in sizes)
    order = _HOST_ORDER if types == (DataType.IFNAME,) else _NETWORK_ORDER
    return b"".join(
        (
            text(1, TABLE),  # NFTA_SET_TABLE
            text(2, name),  # NFTA_SET_NAME
            number(3, flags),
            number(4, kind),  # NFTA_SET_KEY_TYPE
            number(5, size),  # NFTA_SET_KEY_LEN
            number(10, set_id),  # NFTA_SET_ID
            # NFTA_SET_USERDATA: type 0 (key byte order), 4 bytes, in the machine's order.
            attribute(13, bytes((0, 4)) + order.to_bytes(4, "little")),
        )
    )


def value_bytes(value: Value, size: int) -> bytes:
    """Return a value as it stands in a register: network order, names padded with NUL."""
    match value:
        case int():
            return value.to_bytes(size)
        case Address():
            return value.packed
        case Cidr():
            return value.address.packed
        case str():
            return value.encode().ljust(size, b"\0")
        case PortRange():
            return value.first.to_bytes(size)


def element_key(element: Element, types: Sequence[DataType]) -> bytes:
    """Return the key of an element of a hash set."""
    if not isinstance(element, tuple):
        return value_bytes(element, TYPE_BYTES[types[0]])
    parts = []
    for value, of in zip(element, types, strict=True):
        part = value_bytes(value, TYPE_BYTES[of])
        parts.append(part.ljust(padded(len(part)), b"\0"))
    return b"".join(parts)


def interval_keys(value: Value, size: int) -> tuple[bytes, bytes | None]:
    """Return the first key of an interval and the first after it; None: it reaches the last."""
    match value:
        case Cidr() | PortRange():
            first, last = value.first, value.last
        case Address():
            first = last = value.value
        case int():
            first = last = value
        case str():
            raise TypeError(f"'{value}' cannot bound an interval")
    after = None if last + 1 == 1 << 8 * size else (last + 1).to_bytes(size)
    return first.to_bytes(size), after


def element_messages(item: Set, elements: Iterable[Element]) -> Iterator[bytes]:
    """Yield the attributes of messages that add or delete *elements* of a named set."""
    if item.kind is SetKind.HASH:
        yield from _lists(item.name, _hash_elements(elements, item.types))
        return
    yield from _lists(item.name, interval_elements(elements, TYPE_BYTES[item.types[0]]))


def _hash_elements(elements: Iterable[Element], types: Sequence[DataType]) -> Iterable[bytes]:
    size = TYPE_BYTES[types[0]]
    if len(types) > 1 or size % 4:
        return (_element(element_key(each, types)) for each in elements)
    # Keys that need no padding stand at the end of an element, and what is before them is the same.
    head = _element(bytes(size))[:-size]
    return [
        head + (each.packed if isinstance(each, Address) else element_key(each, types))
        for each in elements
    ]


def interval_elements(values: Iterable[Element], size: int) -> Iterator[bytes]:
    """Yield both ends of each interval, as one piece: a message must not part them."""
    for value in values:
        assert not isinstance(value, tuple), "no set has intervals in a concatenation"
        first, after = interval_keys(value, size)
        ends = _element(first)
        if after is not None:
            ends += _element(after, number(3, INTERVAL_END))  # NFTA_SET_ELEM_FLAGS
        yield ends


def mapping_messages(name: str, elements: Mapping[str, Verdict]) -> Iterator[bytes]:
    """Yield the attributes of messages that add or delete *elements* of a verdict map."""
    size = TYPE_BYTES[DataType.IFNAME]
    return _lists(
        name,
        (
            # NFTA_SET_ELEM_DATA
            _element(value_bytes(key, size), nested(2, verdict_attributes(verdict)))
            for key, verdict in elements.items()
        ),
    )


def anonymous_attributes(kind: int, size: int, flags: int, set_id: int) -> bytes:
    """Return the attributes of a set that belongs to one rule; *kind* is nft's type number."""
    return b"".join(
        (
            text(1, TABLE),
            text(2, ANONYMOUS_NAME),
            number(3, ANONYMOUS | CONSTANT | flags),
            number(4, kind),
            number(5, size),
            number(10, set_id),
            attribute(13, bytes((0, 4)) + _NETWORK_ORDER.to_bytes(4, "little")),
        )
    )


ANONYMOUS_NAME = "__set%d"
"""The kernel fills in a number; the transaction's set id says which one is meant."""


def anonymous_elements(values: Iterable[Value], size: int, flags: int, set_id: int) -> bytes:
    """Return the attributes of the message that fills an anonymous set."""
    if flags & INTERVAL:
        pieces = list(interval_elements(values, size))
    else:
        pieces = [_element(value_bytes(value, size)) for value in values]
    # NFTA_SET_ELEM_LIST_TABLE, _SET, _ELEMENTS, _SET_ID
    return (
        text(1, TABLE) + text(2, ANONYMOUS_NAME) + nested(3, *pieces) + number(4, set_id)
    )  # fmt: skip


def verdict_attributes(verdict: Verdict) -> bytes:
    """Return a verdict as data (NFTA_DATA_VERDICT)."""
    match verdict:
        case Drop():
            return nested(2, number(1, 0))
        case Accept():
            return nested(2, number(1, 1))
        case Jump(chain):
            return nested(2, number(1, -3), text(2, chain))
        case Goto(chain):
            return nested(2, number(1, -4), text(2, chain))
        case Return():
            return nested(2, number(1, -5))


def _element(key: bytes, *more: bytes) -> bytes:
    # NFTA_LIST_ELEM { NFTA_SET_ELEM_KEY { NFTA_DATA_VALUE } }
    return nested(1, nested(1, attribute(1, key)), *more)


def _lists(name: str, elements: Iterable[bytes]) -> Iterator[bytes]:
    where = text(1, TABLE) + text(2, name)
    pieces = list(elements)
    for start in range(0, len(pieces), _CHUNK):
        yield where + nested(3, *pieces[start : start + _CHUNK])
