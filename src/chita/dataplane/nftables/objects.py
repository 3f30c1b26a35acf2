"""What a ruleset is made of, in nft's own nouns (nft(8)); rule bodies are typed, never text.

Text exists only in ``render``, bytes only in ``wire``, and ``trace`` walks these values: three
readers of one form, so a tracer needs no regular expression and the kernel no interpreter.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, StrEnum

import msgspec

from chita.model.net import Address, Cidr, PortRange
from chita.model.settings import Rate


class DataType(StrEnum):
    """The type of a set's key or of one field of it (nft(8) DATA TYPES)."""

    IFNAME = "ifname"
    IPV4_ADDR = "ipv4_addr"
    IPV6_ADDR = "ipv6_addr"
    INET_PROTO = "inet_proto"
    INET_SERVICE = "inet_service"


class Field(StrEnum):
    """What a match reads from a packet, spelled as nft spells it."""

    IIFNAME = "iifname"
    OIFNAME = "oifname"
    NFPROTO = "meta nfproto"
    L4PROTO = "meta l4proto"
    IP_SADDR = "ip saddr"
    IP_DADDR = "ip daddr"
    IP6_SADDR = "ip6 saddr"
    IP6_DADDR = "ip6 daddr"
    SPORT = "th sport"
    DPORT = "th dport"
    ICMP_TYPE = "icmp type"
    ICMP_CODE = "icmp code"
    ICMPV6_TYPE = "icmpv6 type"
    ICMPV6_CODE = "icmpv6 code"
    ICMP_TYPE_CODE = "@th,0,16"
    """Type and code as one number (RFC 792, RFC 4443): what only one comparison can negate."""


NFPROTO_IPV4, NFPROTO_IPV6 = 2, 10
"""Values of ``meta nfproto`` (linux/netfilter.h)."""


class CtState(IntEnum):
    """A bit of ``ct state`` (linux/netfilter/nf_conntrack_common.h, nft's NF_CT_STATE_BIT)."""

    INVALID = 1
    ESTABLISHED = 2
    RELATED = 4
    NEW = 8
    UNTRACKED = 64


class Sense(StrEnum):
    """Whether a match holds when the packet is, or is not, what it names."""

    IS = "=="
    IS_NOT = "!="

    @property
    def opposite(self) -> Sense:
        """The other one."""
        return Sense.IS_NOT if self is Sense.IS else Sense.IS


Value = Address | Cidr | PortRange | int | str
"""An interface name ending in ``*`` matches all names that begin so."""
Element = Value | tuple[Value, ...]
"""A tuple is the key of a concatenation."""


Elements = frozenset[Element] | frozenset[Address] | frozenset[Cidr] | frozenset[PortRange]
"""Of a set; a frozenset of one kind of value is no frozenset of all kinds to the type checker."""


class Compare(msgspec.Struct, frozen=True, tag=True):
    """A field against one value."""

    field: Field
    value: Value
    sense: Sense = Sense.IS


class AnonymousLookup(msgspec.Struct, frozen=True, tag=True):
    """A field against a few values written in the rule: they must not overlap."""

    field: Field
    values: tuple[Value, ...]
    sense: Sense = Sense.IS


class Lookup(msgspec.Struct, frozen=True, tag=True):
    """One field, or several as a concatenation, in a named set."""

    fields: tuple[Field, ...]
    set: str
    sense: Sense = Sense.IS
    prefix: int | None = None
    """Of the one field, an address, only so many leading bits are looked up; None: all."""


class CtStateIn(msgspec.Struct, frozen=True, tag=True):
    """The packet's connection tracking state is one of these."""

    states: frozenset[CtState]


class SynOnly(msgspec.Struct, frozen=True, tag=True):
    """The TCP packet opens a connection, either way: SYN set, RST not. Or it does not."""

    sense: Sense = Sense.IS


class MarkIs(msgspec.Struct, frozen=True, tag=True):
    """The packet's mark has all of *bits*, or not; other bits are others' business."""

    bits: int
    sense: Sense = Sense.IS


class DestinationTranslated(msgspec.Struct, frozen=True, tag=True):
    """Connection tracking gives the flow another destination (IPS_DST_NAT)."""


def netmask(bits: int, prefix: int) -> int:
    """Return an address of *bits* bits of which the first *prefix* are ones."""
    return (1 << bits) - (1 << bits - prefix)


Match = Compare | AnonymousLookup | Lookup


class Accept(msgspec.Struct, frozen=True, tag=True):
    """Done with this base chain; later base chains of the hook still see the packet."""


class Drop(msgspec.Struct, frozen=True, tag=True):
    """Done for good."""


class Return(msgspec.Struct, frozen=True, tag=True):
    """Continue after the last jump."""


class Jump(msgspec.Struct, frozen=True, tag=True):
    """Continue in *chain*, come back at its end."""

    chain: str


class Goto(msgspec.Struct, frozen=True, tag=True):
    """Continue in *chain*; its end is the end of this one too."""

    chain: str


Verdict = Accept | Drop | Return | Jump | Goto


class VerdictLookup(msgspec.Struct, frozen=True, tag=True):
    """Do what a named map says for the field (nft's ``vmap``); no entry: continue."""

    field: Field
    map: str


class Counter(msgspec.Struct, frozen=True, tag=True):
    """Count packets and bytes that come so far in the rule."""


class Tally(msgspec.Struct, frozen=True, tag=True):
    """Count packets and bytes in the element of *set* that is the field's first *prefix* bits.

    The kernel makes the element, and forgets it when it was not touched for the set's time-out. A
    set that is full counts no newcomer; the packet goes on all the same.
    """

    field: Field
    """An address."""
    prefix: int
    set: str


class Limit(msgspec.Struct, frozen=True, tag=True):
    """Matches at most *rate* packets, after a burst of *burst_packets*."""

    rate: Rate
    burst_packets: int


class Log(msgspec.Struct, frozen=True, tag=True):
    """Write the packet's headers to the kernel log after *prefix*."""

    prefix: str


class Nflog(msgspec.Struct, frozen=True, tag=True):
    """Tell the packet's headers to whoever listens to netfilter log *group*, after *prefix*."""

    prefix: str
    group: int


class SetMark(msgspec.Struct, frozen=True, tag=True):
    """Add *bits* to the packet's mark."""

    bits: int


class NoTrack(msgspec.Struct, frozen=True, tag=True):
    """Keep connection tracking away from the packet: it stays untracked."""


class Masquerade(msgspec.Struct, frozen=True, tag=True):
    """Give the flow the address of the interface it leaves through."""


class ClampMss(msgspec.Struct, frozen=True, tag=True):
    """Lower the TCP maximum segment size to what the route carries, in either direction."""


Statement = (
    Compare
    | AnonymousLookup
    | Lookup
    | CtStateIn
    | SynOnly
    | MarkIs
    | DestinationTranslated
    | Accept
    | Drop
    | Return
    | Jump
    | Goto
    | VerdictLookup
    | Counter
    | Tally
    | Limit
    | Log
    | Nflog
    | SetMark
    | NoTrack
    | Masquerade
    | ClampMss
)


class Rule(msgspec.Struct, frozen=True):
    """Statements in order; the first match that fails ends it.

    Nothing is implied: before a field of one family is read, a match has made sure of the family,
    and another makes sure of the protocol where it matters (nft adds such matches to text; raw
    netlink does not).
    """

    statements: tuple[Statement, ...]
    comment: str = ""
    """What it stands for: policy, direction, index. At most COMMENT_BYTES."""


COMMENT_BYTES = 116
"""What is left of nft's 128 (libnftnl NFTNL_UDATA_COMMENT_MAXLEN) beside the fingerprint."""


class ChainType(StrEnum):
    """The type of a base chain."""

    FILTER = "filter"
    NAT = "nat"


class Hook(msgspec.Struct, frozen=True):
    """Where a base chain sits; lower priorities come first. The policy is always accept."""

    type: ChainType
    name: str
    """prerouting, input, forward, output or postrouting."""
    priority: int


class Chain(msgspec.Struct, frozen=True):
    """Rules in order."""

    name: str
    rules: tuple[Rule, ...]
    hook: Hook | None = None
    """None: reached by jump, goto or a verdict map only."""


class SetKind(StrEnum):
    """How the kernel stores a set; intervals are rebuilt at each commit, hashes are not."""

    HASH = "hash"
    INTERVAL = "interval"


class Set(msgspec.Struct, frozen=True):
    """A named set. Elements of an interval set must not overlap."""

    name: str
    types: tuple[DataType, ...]
    kind: SetKind
    elements: Elements


class VerdictMap(msgspec.Struct, frozen=True):
    """A named map from interface names to verdicts."""

    name: str
    elements: Mapping[str, Verdict]


class Ruleset(msgspec.Struct, frozen=True):
    """Everything in our table: its sets, maps and chains by name."""

    sets: Mapping[str, Set] = {}
    maps: Mapping[str, VerdictMap] = {}
    chains: Mapping[str, Chain] = {}


TABLE = "chita"
"""The only table, family inet. Its name is how a restarted agent knows it."""
