"""Walk a packet through a ruleset without a kernel: what would happen, and by which rules.

The tracer reads the same values that are rendered and encoded. A statement that it does not know
cannot be written: mypy checks that the match below is complete.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import assert_never

import msgspec

from chita.dataplane.nftables.objects import (
    NFPROTO_IPV4,
    NFPROTO_IPV6,
    Accept,
    AnonymousLookup,
    Chain,
    ClampMss,
    Compare,
    Counter,
    CtState,
    CtStateIn,
    DestinationTranslated,
    Drop,
    Element,
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
    Ruleset,
    Sense,
    Set,
    SetKind,
    SetMark,
    SynOnly,
    Tally,
    Value,
    VerdictLookup,
    netmask,
)
from chita.model.net import ICMP, ICMPV6, TCP, Address, Cidr, PortRange

MAX_DEPTH = 16
"""NFT_JUMP_STACK_SIZE (net/netfilter/nf_tables.h): the kernel refuses a deeper ruleset."""


Condition = (
    Compare | AnonymousLookup | Lookup | CtStateIn | SynOnly | MarkIs | DestinationTranslated
)
"""Statements after which a rule goes on, or not."""


class Path(StrEnum):
    """Which hooks a packet meets on its way through a host."""

    FORWARD = "forward"
    INPUT = "input"
    OUTPUT = "output"


_HOOKS = {
    Path.FORWARD: ("prerouting", "forward", "postrouting"),
    Path.INPUT: ("prerouting", "input"),
    Path.OUTPUT: ("output", "postrouting"),
}


class Packet(msgspec.Struct, frozen=True, kw_only=True):
    """One packet, its interfaces, and what connection tracking knows of it."""

    source: Address
    destination: Address
    protocol: int
    source_port: int = 0
    destination_port: int = 0
    icmp_type: int = 0
    icmp_code: int = 0
    iif: str = ""
    """Empty on the output path."""
    oif: str = ""
    """Empty on the input path."""
    state: CtState = CtState.NEW
    syn: bool = True
    """Of TCP: it opens the connection, either way."""
    translated: bool = False
    """Its flow was given another destination before *destination* was read."""


class Outcome(StrEnum):
    """What became of the packet."""

    ACCEPT = "accept"
    DROP = "drop"


class Hit(msgspec.Struct, frozen=True):
    """A rule all of whose matches held, with its chain."""

    chain: str
    rule: Rule


class Told(msgspec.Struct, frozen=True):
    """What a netfilter log group was told."""

    group: int
    prefix: str


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """The way of one packet."""

    outcome: Outcome
    hits: tuple[Hit, ...]
    logs: tuple[str, ...] = ()
    """Prefixes logged, in order."""
    told: tuple[Told, ...] = ()
    """To netfilter log groups, in order."""
    masqueraded: bool = False
    clamped: bool = False
    read: frozenset[Field] = frozenset()
    """The packet's fields that were looked at: others cannot have mattered."""


def trace(ruleset: Ruleset, packet: Packet, path: Path = Path.FORWARD) -> Trace:
    """Return what *ruleset* does with *packet* on *path*.

    Rate limits never bite and packets are well-formed. A hook's base chains run by priority; a
    drop ends all of them, an accept only the one it is in.

    Raises:
        KeyError: a rule names a chain, set or map that is not there.
        RecursionError: jumps are nested deeper than the kernel allows.
    """
    return Tracer(ruleset).trace(packet, path)


class Tracer:
    """Traces many packets through one ruleset."""

    def __init__(self, ruleset: Ruleset) -> None:
        self._ruleset = ruleset
        self._base_chains = {
            path: [chain for hook in hooks for chain in _base_chains(ruleset, hook)]
            for path, hooks in _HOOKS.items()
        }

    def trace(self, packet: Packet, path: Path = Path.FORWARD) -> Trace:
        """Return what the ruleset does with *packet*, as `trace` does."""
        walk = _Walk(self._ruleset, packet)
        for chain in self._base_chains[path]:
            if walk.base(chain) is Outcome.DROP:
                return walk.result(Outcome.DROP)
        return walk.result(Outcome.ACCEPT)


def _base_chains(ruleset: Ruleset, hook: str) -> list[Chain]:
    placed = [
        (chain.hook.priority, chain)
        for chain in ruleset.chains.values()
        if chain.hook is not None and chain.hook.name == hook
    ]
    return [chain for _, chain in sorted(placed, key=lambda pair: pair[0])]


class _Walk:
    """The state of one walk: what was hit and done so far."""

    def __init__(self, ruleset: Ruleset, packet: Packet) -> None:
        self._ruleset = ruleset
        self._packet = packet
        self._fields = packet_fields(packet)
        self._hits: list[Hit] = []
        self._logs: list[str] = []
        self._told: list[Told] = []
        self._read: set[Field] = set()
        self._masqueraded = False
        self._clamped = False
        self._mark = 0
        self._state = packet.state

    def result(self, outcome: Outcome) -> Trace:
        """Return what was seen."""
        return Trace(
            outcome=outcome,
            hits=tuple(self._hits),
            logs=tuple(self._logs),
            told=tuple(self._told),
            read=frozenset(self._read),
            masqueraded=self._masqueraded,
            clamped=self._clamped,
        )

    def base(self, chain: Chain) -> Outcome:
        """Return a base chain's verdict; its policy is accept."""
        return self._chain(chain.name, 0) or Outcome.ACCEPT

    def _chain(self, name: str, depth: int) -> Outcome | None:
        """Return the verdict, or None when the chain's end or a return is reached."""
        if depth >= MAX_DEPTH:
            raise RecursionError(f"chain {name} is reached by {depth} jumps")
        for rule in self._ruleset.chains[name].rules:
            match self._rule(name, rule):
                case Accept():
                    return Outcome.ACCEPT
                case Drop():
                    return Outcome.DROP
                case Return():
                    return None
                case Goto(target):
                    return self._chain(target, depth + 1)
                case Jump(target):
                    verdict = self._chain(target, depth + 1)
                    if verdict is not None:
                        return verdict
                case None:
                    pass
        return None

    def _rule(  # noqa: C901, PLR0912 - one case a statement
        self, chain: str, rule: Rule
    ) -> Accept | Drop | Return | Jump | Goto | None:
        """Return the rule's verdict, or None when it has none or does not match."""
        for statement in rule.statements:
            match statement:
                case (
                    Compare() | AnonymousLookup() | Lookup() | CtStateIn() | SynOnly() | MarkIs()
                    | DestinationTranslated()
                ):  # fmt: skip
                    if not self._matches(statement):
                        return None
                case VerdictLookup(field, name):
                    verdict = self._ruleset.maps[name].elements.get(str(self._fields[field]))
                    if verdict is None:
                        return None
                    self._hits.append(Hit(chain, rule))
                    return verdict
                case Accept() | Drop() | Return() | Jump() | Goto():
                    self._hits.append(Hit(chain, rule))
                    return statement
                case Log(prefix):
                    self._logs.append(prefix)
                case Nflog(prefix, group):
                    self._told.append(Told(group, prefix))
                case SetMark(bits):
                    self._mark |= bits
                case NoTrack():
                    self._state = CtState.UNTRACKED
                case Masquerade():
                    self._masqueraded = True
                case ClampMss():
                    self._clamped = True
                case Counter() | Tally() | Limit():
                    pass
                case _:
                    assert_never(statement)
        self._hits.append(Hit(chain, rule))
        return None

    def _matches(self, statement: Condition) -> bool:  # noqa: PLR0911 - one case a statement
        match statement:
            case CtStateIn(states):
                return self._state in states
            case MarkIs(bits, sense):
                return (self._mark & bits == bits) is (sense is Sense.IS)
            case DestinationTranslated():
                return self._packet.translated
            case SynOnly(sense):
                return self._packet.protocol == TCP and self._packet.syn is (sense is Sense.IS)
            case Compare(field, value, sense):
                return self._holds((field,), sense, (value,))
            case AnonymousLookup(field, values, sense):
                return self._holds((field,), sense, values)
            case Lookup(_, name):
                return self._in_set(statement, self._ruleset.sets[name])

    def _holds(self, fields: tuple[Field], sense: Sense, values: Sequence[Value]) -> bool:
        self._read.add(fields[0])
        read = self._fields.get(fields[0])
        if read is None:
            return False
        return any(_equals(read, value) for value in values) is (sense is Sense.IS)

    def _in_set(self, lookup: Lookup, item: Set) -> bool:
        self._read.update(lookup.fields)
        read = tuple(self._fields.get(field) for field in lookup.fields)
        if any(value is None for value in read):
            # The kernel cannot load the field, so the rule does not match, negated or not.
            return False
        key: Element = read[0] if len(read) == 1 else read  # type: ignore[assignment] # no None
        if lookup.prefix is not None and isinstance(key, Address):
            key = Address(key.family, key.value & netmask(key.bits, lookup.prefix))
        found = key in item.elements
        if not found and item.kind is SetKind.INTERVAL and not isinstance(key, tuple):
            found = _within(key, item)
        return found is (lookup.sense is Sense.IS)


def _within(key: Value, item: Set) -> bool:
    """Return whether *key* is in an interval of *item*, which may have tens of thousands."""
    if isinstance(key, Address):
        # One look a prefix length, however many networks there are.
        lengths = range(key.bits, -1, -1)
        return any(Cidr(key.family, key.value, length) in item.elements for length in lengths)
    return any(not isinstance(each, tuple) and _equals(key, each) for each in item.elements)


def packet_fields(packet: Packet) -> dict[Field, Value]:
    """Return what each field reads from *packet*; a field that it has not is missing."""
    fields: dict[Field, Value] = {
        Field.IIFNAME: packet.iif,
        Field.OIFNAME: packet.oif,
        Field.L4PROTO: packet.protocol,
    }
    if packet.source.family == 4:
        fields[Field.NFPROTO] = NFPROTO_IPV4
        fields[Field.IP_SADDR], fields[Field.IP_DADDR] = packet.source, packet.destination
    else:
        fields[Field.NFPROTO] = NFPROTO_IPV6
        fields[Field.IP6_SADDR], fields[Field.IP6_DADDR] = packet.source, packet.destination
    match packet.protocol:
        case 1 | 58:
            # The four bytes where others have ports: type, code, checksum (RFC 792).
            type_code = packet.icmp_type << 8 | packet.icmp_code
            fields[Field.SPORT] = fields[Field.ICMP_TYPE_CODE] = type_code
            fields[Field.DPORT] = 0
        case _:
            fields[Field.SPORT], fields[Field.DPORT] = packet.source_port, packet.destination_port
            fields[Field.ICMP_TYPE_CODE] = packet.source_port
    if packet.protocol == ICMP:
        fields[Field.ICMP_TYPE], fields[Field.ICMP_CODE] = packet.icmp_type, packet.icmp_code
    if packet.protocol == ICMPV6:
        fields[Field.ICMPV6_TYPE], fields[Field.ICMPV6_CODE] = packet.icmp_type, packet.icmp_code
    return fields


def _equals(read: Value, value: Value) -> bool:
    match value:
        case str() if value.endswith("*"):
            return str(read).startswith(value[:-1])
        case Cidr():
            return isinstance(read, Address) and read in value
        case PortRange():
            return isinstance(read, int) and read in value
        case _:
            return read == value
