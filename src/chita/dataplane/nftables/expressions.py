"""Rules as nf_tables expressions, a few to a statement (``nft --debug=netlink`` shows them).

A field is loaded into a register and compared or looked up there. Registers are 4 bytes each; a
concatenation lies in successive ones.
"""

from __future__ import annotations

import functools
import itertools
import struct
from collections.abc import Iterator

import msgspec

from chita.dataplane.netlink.message import attribute, nested, text
from chita.dataplane.nftables import elements
from chita.dataplane.nftables.attributes import long, number
from chita.dataplane.nftables.objects import (
    TABLE,
    Accept,
    AnonymousLookup,
    ClampMss,
    Compare,
    Counter,
    CtStateIn,
    DestinationTranslated,
    Drop,
    Field,
    Goto,
    Jump,
    Limit,
    Log,
    Lookup,
    MarkIs,
    Masquerade,
    Nflog,
    NoTrack,
    Return,
    Rule,
    Sense,
    SetMark,
    Statement,
    SynOnly,
    Tally,
    Value,
    Verdict,
    VerdictLookup,
    netmask,
)
from chita.dataplane.nftables.render import rule_comment
from chita.model.net import Address, Cidr, PortRange
from chita.model.settings import Rate

REGISTER = 8
"""NFT_REG32_00, the first 4-byte register."""
_EQ, _NEQ = 0, 1
_MARK = 3
"""NFT_META_MARK."""
_DST_NAT = 1 << 5
"""IPS_DST_NAT (linux/netfilter/nf_conntrack_common.h)."""
_NETWORK, _TRANSPORT = 1, 2
"""Payload bases (enum nft_payload_bases)."""


class Meta(msgspec.Struct, frozen=True, tag=True):
    """A field of the packet's metadata (enum nft_meta_keys)."""

    key: int
    size: int
    nft_type: int


class Payload(msgspec.Struct, frozen=True, tag=True):
    """A field of a header: base, offset and size in bytes."""

    base: int
    offset: int
    size: int
    nft_type: int


FIELDS: dict[Field, Meta | Payload] = {
    Field.IIFNAME: Meta(6, 16, 41),
    Field.OIFNAME: Meta(7, 16, 41),
    Field.NFPROTO: Meta(15, 1, 2),
    Field.L4PROTO: Meta(16, 1, 12),
    Field.IP_SADDR: Payload(_NETWORK, 12, 4, 7),
    Field.IP_DADDR: Payload(_NETWORK, 16, 4, 7),
    Field.IP6_SADDR: Payload(_NETWORK, 8, 16, 8),
    Field.IP6_DADDR: Payload(_NETWORK, 24, 16, 8),
    Field.SPORT: Payload(_TRANSPORT, 0, 2, 13),
    Field.DPORT: Payload(_TRANSPORT, 2, 2, 13),
    Field.ICMP_TYPE: Payload(_TRANSPORT, 0, 1, 14),
    Field.ICMP_CODE: Payload(_TRANSPORT, 1, 1, 32),
    Field.ICMPV6_TYPE: Payload(_TRANSPORT, 0, 1, 29),
    Field.ICMPV6_CODE: Payload(_TRANSPORT, 1, 1, 33),
    Field.ICMP_TYPE_CODE: Payload(_TRANSPORT, 0, 2, 4),
}
"""Where each field is, and nft's number of its type."""


class EncodedRule(msgspec.Struct, frozen=True):
    """A rule as attributes, and the anonymous sets to make before it."""

    sets: tuple[tuple[bytes, bytes], ...]
    """Attributes of the set, attributes of its elements."""
    attributes: bytes


def encode_rule(chain: str, rule: Rule, set_ids: Iterator[int], table: str = TABLE) -> EncodedRule:
    """Return *rule* encoded for *chain*; *set_ids* number the sets of one transaction."""
    sets: list[tuple[bytes, bytes]] = []
    body: list[bytes] = []
    for statement in rule.statements:
        if isinstance(statement, AnonymousLookup):
            set_id = next(set_ids)
            sets.append(_anonymous_set(statement, set_id))
            body += [_load(statement.field), _anonymous_lookup(statement.sense, set_id)]
        else:
            body.append(_statement(statement))
    # NFTA_RULE_TABLE, _CHAIN, _EXPRESSIONS, _USERDATA
    encoded = (
        text(1, table) + text(2, chain) + nested(4, *body) + attribute(7, _user_data(rule))
    )  # fmt: skip
    return EncodedRule(tuple(sets), encoded)


def _user_data(rule: Rule) -> bytes:
    """Return the comment as nft stores it: type 0, length, text with its NUL."""
    comment = rule_comment(rule).encode() + b"\0"
    return bytes((0, len(comment))) + comment


def _expression(name: str, *attributes: bytes) -> bytes:
    # NFTA_LIST_ELEM { NFTA_EXPR_NAME, NFTA_EXPR_DATA }
    return nested(1, text(1, name), nested(2, *attributes))


@functools.cache
def _load(field: Field, register: int = REGISTER) -> bytes:
    match FIELDS[field]:
        case Meta(key, _, _):
            return _expression("meta", number(1, register), number(2, key))
        case Payload(base, offset, size, _):
            return _payload(base, offset, size, register)


def _payload(base: int, offset: int, size: int, register: int = REGISTER) -> bytes:
    return _expression(
        "payload", number(1, register), number(2, base), number(3, offset), number(4, size)
    )


def _compare(data: bytes, operator: int) -> bytes:
    return _expression("cmp", number(1, REGISTER), number(2, operator), _value(3, data))


def _mask(mask: bytes) -> bytes:
    """Keep the bits of the register that *mask* has."""
    return _expression(
        "bitwise",
        number(1, REGISTER),
        number(2, REGISTER),
        number(3, len(mask)),
        _value(4, mask),
        _value(5, bytes(len(mask))),
    )


def _prefix_mask(size: int, prefix: int) -> bytes:
    return netmask(8 * size, prefix).to_bytes(size)


def _value(kind: int, data: bytes) -> bytes:
    return nested(kind, attribute(1, data))  # NFTA_DATA_VALUE


def _verdict(verdict: Verdict) -> bytes:
    # To the verdict register, which is number 0.
    return _expression("immediate", number(1, 0), nested(2, elements.verdict_attributes(verdict)))


@functools.lru_cache(maxsize=4096)
def _statement(statement: Statement) -> bytes:
    """Return one statement; a table of thousands of rules is made of a few hundred of them."""
    return b"".join(_expressions(statement))


def _expressions(statement: Statement) -> list[bytes]:  # noqa: PLR0911, PLR0912, C901 - one case a statement
    match statement:
        case Compare():
            return _comparison(statement)
        case Lookup(fields, name, sense, prefix):
            inverse = number(5, 1) if sense is Sense.IS_NOT else b""  # NFT_LOOKUP_F_INV
            lookup = _expression("lookup", text(1, name), number(2, REGISTER), inverse)
            size = FIELDS[fields[0]].size
            masks = [] if prefix is None else [_mask(_prefix_mask(size, prefix))]
            return [*_concatenation(fields), *masks, lookup]
        case CtStateIn(states):
            # The state is a number in the machine's order.
            mask = struct.pack("=I", sum(states))
            load = _expression("ct", number(1, REGISTER), number(2, 0))  # NFT_CT_STATE
            return [load, _mask(mask), _compare(bytes(4), _NEQ)]
        case SynOnly(sense):
            # Byte 13 of the TCP header (RFC 9293 section 3.1): of SYN and RST, SYN only.
            operator = _EQ if sense is Sense.IS else _NEQ
            return [_payload(_TRANSPORT, 13, 1), _mask(b"\x06"), _compare(b"\x02", operator)]
        case Accept() | Drop() | Return() | Jump() | Goto():
            return [_verdict(statement)]
        case VerdictLookup(field, name):
            lookup = _expression("lookup", text(1, name), number(2, REGISTER), number(3, 0))
            return [_load(field), lookup]
        case Counter():
            return [_expression("counter")]
        case Tally(field, prefix, name):
            return _tally(field, prefix, name)
        case Limit(Rate(count, period), burst_packets):
            each = (long(1, count), long(2, period.seconds))
            return [_expression("limit", *each, number(3, burst_packets), number(4, 0))]
        case Log(prefix):
            return [_expression("log", text(2, prefix))]
        case Nflog(prefix, group):
            # NFTA_LOG_GROUP has 16 bits.
            return [_expression("log", attribute(1, group.to_bytes(2)), text(2, prefix))]
        case Masquerade():
            return [_expression("masq")]
        case NoTrack():
            return [_expression("notrack")]
        case MarkIs(bits, sense):
            mask = struct.pack("=I", bits)
            operator = _EQ if sense is Sense.IS else _NEQ
            return [_load_mark(), _mask(mask), _compare(mask, operator)]
        case SetMark(bits):
            store = _expression("meta", number(2, _MARK), number(3, REGISTER))  # NFTA_META_SREG
            return [_load_mark(), _add_bits(bits), store]
        case DestinationTranslated():
            load = _expression("ct", number(1, REGISTER), number(2, 2))  # NFT_CT_STATUS
            mask = struct.pack("=I", _DST_NAT)
            return [load, _mask(mask), _compare(bytes(4), _NEQ)]
        case ClampMss():
            return _clamp_mss()
        case AnonymousLookup():
            raise AssertionError("an anonymous set is encoded with its rule")


def _tally(field: Field, prefix: int, name: str) -> list[bytes]:
    size = FIELDS[field].size
    masks = [] if prefix == 8 * size else [_mask(_prefix_mask(size, prefix))]
    # NFTA_DYNSET_SET_NAME; _OP: update (1); _SREG_KEY; _EXPR: a fresh element's counter
    counter = nested(7, text(1, "counter"), nested(2))
    update = _expression("dynset", text(1, name), number(3, 1), number(4, REGISTER), counter)
    return [_load(field), *masks, update]


def _load_mark() -> bytes:
    return _expression("meta", number(1, REGISTER), number(2, _MARK))


def _add_bits(bits: int) -> bytes:
    """Return: keep the bits of the register that are not *bits*, then flip those on."""
    return _expression(
        "bitwise",
        number(1, REGISTER),
        number(2, REGISTER),
        number(3, 4),
        _value(4, struct.pack("=I", ~bits & 0xFFFFFFFF)),
        _value(5, struct.pack("=I", bits)),
    )


def _clamp_mss() -> list[bytes]:
    """Return: the route's MSS (NFT_RT_TCPMSS), to network order, into option 2 at offset 2."""
    return [
        _expression("rt", number(1, REGISTER), number(2, 3)),
        _expression(
            "byteorder",
            number(1, REGISTER), number(2, REGISTER), number(3, 1), number(4, 2), number(5, 2),
        ),
        _expression(
            "exthdr",
            number(7, REGISTER), attribute(2, b"\x02"), number(3, 2), number(4, 2),
            number(6, 1),  # NFT_EXTHDR_OP_TCPOPT
        ),
    ]  # fmt: skip


def _comparison(compare: Compare) -> list[bytes]:
    field, operator = FIELDS[compare.field], _EQ if compare.sense is Sense.IS else _NEQ
    load = _load(compare.field)
    match compare.value:
        case str() as name if name.endswith("*"):
            return [load, _compare(name[:-1].encode(), operator)]
        case Cidr() as network if not network.is_host:
            mask = _prefix_mask(network.bits // 8, network.prefix)
            return [load, _mask(mask), _compare(network.address.packed, operator)]
        case PortRange() as ports if ports.first != ports.last:
            # NFTA_RANGE_SREG, _OP, _FROM_DATA, _TO_DATA
            first, last = (_value(3 + i, p.to_bytes(2)) for i, p in enumerate(
                (ports.first, ports.last)))  # fmt: skip
            between = _expression("range", number(1, REGISTER), number(2, operator), first, last)
            return [load, between]
        case value:
            return [load, _compare(elements.value_bytes(value, field.size), operator)]


def _concatenation(fields: tuple[Field, ...]) -> list[bytes]:
    sizes = [elements.padded(FIELDS[field].size) // 4 for field in fields]
    registers = itertools.accumulate(sizes[:-1], initial=REGISTER)
    return [_load(field, register) for field, register in zip(fields, registers, strict=True)]


def _anonymous_lookup(sense: Sense, set_id: int) -> bytes:
    inverse = number(5, 1) if sense is Sense.IS_NOT else b""
    name = text(1, elements.ANONYMOUS_NAME)
    return _expression("lookup", name, number(2, REGISTER), number(4, set_id), inverse)


def _anonymous_set(lookup: AnonymousLookup, set_id: int) -> tuple[bytes, bytes]:
    field = FIELDS[lookup.field]
    flags = elements.INTERVAL if any(_is_interval(value) for value in lookup.values) else 0
    return (
        elements.anonymous_attributes(field.nft_type, field.size, flags, set_id),
        elements.anonymous_elements(lookup.values, field.size, flags, set_id),
    )


def _is_interval(value: Value) -> bool:
    match value:
        case Cidr():
            return not value.is_host
        case PortRange():
            return value.first != value.last
        case Address() | int() | str():
            return False
