"""A ruleset as nft text: what ``chita render`` prints, goldens hold and libnftables loads.

The order is stable: sets, maps, chains by name; rules as they are; elements sorted.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable

from chita.dataplane.nftables.objects import (
    NFPROTO_IPV4,
    NFPROTO_IPV6,
    TABLE,
    Accept,
    AnonymousLookup,
    Chain,
    ClampMss,
    Compare,
    Counter,
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
    Statement,
    SynOnly,
    Tally,
    Value,
    Verdict,
    VerdictLookup,
    VerdictMap,
    netmask,
)
from chita.model.net import ICMP, ICMPV6, SCTP, TCP, UDP, Address, Cidr, PortRange


def render(ruleset: Ruleset) -> str:
    """Return *ruleset* as a file that ``nft -f`` loads."""
    lines = [f"table inet {TABLE} {{"]
    for _, item in sorted(ruleset.sets.items()):
        lines += _block(f"set {item.name}", [set_header(item), *_elements(element_texts(item))])
    for _, map_ in sorted(ruleset.maps.items()):
        lines += _block(f"map {map_.name}", [MAP_HEADER, *_elements(mapping_texts(map_))])
    for _, chain in sorted(ruleset.chains.items()):
        body = [chain_header(chain)] if chain.hook else []
        lines += _block(f"chain {chain.name}", [*body, *(rule_text(rule) for rule in chain.rules)])
    return "\n".join([*lines, "}", ""])


def _block(title: str, lines: Iterable[str]) -> list[str]:
    return [f"\t{title} {{", *(f"\t\t{line}" for line in lines), "\t}"]


def _elements(texts: list[str]) -> list[str]:
    return [f"elements = {{ {', '.join(texts)} }}"] if texts else []


def set_header(item: Set) -> str:
    """Return a set's type and flags."""
    kind = "; flags interval" if item.kind is SetKind.INTERVAL else ""
    return f"type {' . '.join(item.types)}{kind};"


MAP_HEADER = "type ifname : verdict;"


def chain_header(chain: Chain) -> str:
    """Return a base chain's place; empty for any other."""
    if chain.hook is None:
        return ""
    hook = chain.hook
    return f"type {hook.type} hook {hook.name} priority {hook.priority}; policy accept;"


def element_texts(item: Set) -> list[str]:
    """Return a set's elements, sorted."""
    return sorted(element_text(element) for element in item.elements)


def mapping_texts(map_: VerdictMap) -> list[str]:
    """Return a map's elements, sorted."""
    return sorted(mapping_text(key, verdict) for key, verdict in map_.elements.items())


def element_text(element: Element) -> str:
    """Return an element of a set."""
    if isinstance(element, tuple):
        return " . ".join(value_text(part) for part in element)
    return value_text(element)


def mapping_text(key: str, verdict: Verdict) -> str:
    """Return an element of a map."""
    return f"{value_text(key)} : {statement_text(verdict)}"


def value_text(value: Value) -> str:
    """Return a value of a comparison or element."""
    match value:
        case str():
            return f'"{value}"'
        case PortRange():
            return str(value).replace(":", "-")
        case Cidr() if value.is_host:
            return str(value.address)
        case Address() | Cidr() | int():
            return str(value)


def rule_text(rule: Rule) -> str:
    """Return a rule with its comment: what it stands for and the fingerprint of the rest.

    The fingerprint is how a restarted agent compares what it finds without understanding it
    (docs/design/nftables.md).
    """
    body = rule_body(rule)
    return f'{body} comment "{rule_comment(rule)}"'


def rule_body(rule: Rule) -> str:
    """Return a rule's statements."""
    return " ".join(statement_text(statement) for statement in rule.statements)


def rule_comment(rule: Rule) -> str:
    """Return a rule's comment as the kernel keeps it."""
    mark = hashlib.sha256(rule_body(rule).encode()).hexdigest()[:10]
    return f"{rule.comment} #{mark}".lstrip()


@functools.lru_cache(maxsize=4096)
def statement_text(statement: Statement) -> str:  # noqa: PLR0911, PLR0912, C901 - one line a statement
    """Return one statement."""
    match statement:
        case Compare(field, value, sense):
            return f"{field} {_sense(sense)}{_field_value(field, value)}"
        case AnonymousLookup(field, values, sense):
            members = ", ".join(_field_value(field, value) for value in values)
            return f"{field} {_sense(sense)}{{ {members} }}"
        case Lookup(fields, name, sense, prefix):
            return f"{_concatenation(fields)}{_mask(fields[0], prefix)} {_sense(sense)}@{name}"
        case CtStateIn(states):
            return f"ct state {','.join(state.name.lower() for state in sorted(states))}"
        case SynOnly(sense):
            return f"tcp flags {_sense(sense)}syn / syn,rst"
        case MarkIs(bits, sense):
            return f"meta mark & {bits:#010x} {sense} {bits:#010x}"
        case SetMark(bits):
            return f"meta mark set meta mark | {bits:#010x}"
        case VerdictLookup(field, name):
            return f"{field} vmap @{name}"
        case Jump(chain):
            return f"jump {chain}"
        case Goto(chain):
            return f"goto {chain}"
        case Tally(field, prefix, name):
            return f"update @{name} {{ {field}{_mask(field, prefix)} counter }}"
        case Limit(rate, burst_packets):
            return f"limit rate {rate} burst {burst_packets} packets"
        case Log(prefix):
            return f'log prefix "{prefix}"'
        case Nflog(prefix, group):
            return f'log prefix "{prefix}" group {group}'
        case ClampMss():
            return "tcp option maxseg size set rt mtu"
        case (
            Accept() | Drop() | Return() | Counter() | Masquerade() | NoTrack()
            | DestinationTranslated()
        ):  # fmt: skip
            return _WORDS[type(statement)]


_WORDS: dict[type, str] = {
    Accept: "accept",
    Drop: "drop",
    Return: "return",
    Counter: "counter",
    Masquerade: "masquerade",
    NoTrack: "notrack",
    DestinationTranslated: "ct status dnat",
}


_SPELLED: dict[tuple[Field, Value], str] = {
    (Field.NFPROTO, NFPROTO_IPV4): "ipv4",
    (Field.NFPROTO, NFPROTO_IPV6): "ipv6",
    (Field.L4PROTO, ICMP): "icmp",
    (Field.L4PROTO, TCP): "tcp",
    (Field.L4PROTO, UDP): "udp",
    (Field.L4PROTO, ICMPV6): "icmpv6",
    (Field.L4PROTO, SCTP): "sctp",
}


def _field_value(field: Field, value: Value) -> str:
    return _SPELLED.get((field, value)) or value_text(value)


def _sense(sense: Sense) -> str:
    return "" if sense is Sense.IS else "!= "


def _mask(field: Field, prefix: int | None) -> str:
    if prefix is None:
        return ""
    full = Cidr.parse("::/0" if field in {Field.IP6_SADDR, Field.IP6_DADDR} else "0.0.0.0/0")
    return f" & {Address(full.family, netmask(full.bits, prefix))}"


def _concatenation(fields: tuple[Field, ...]) -> str:
    return " . ".join(fields)
