"""Checks of texts that only settings have: durations, BGP's numbers, keys, expressions."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from chita.errors import ParseError
from chita.model.net import Address, Cidr, Family

DURATION = re.compile(r"0|((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))+")
_DOTTED_AS = re.compile(r"(\d+)\.(\d+)")
COMMUNITY = re.compile(r"\d+:\d+(:\d+)?", re.ASCII)
_WITH_PORT = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):(\d*)", re.ASCII)
_NOT_GO = re.compile(r"\(\?(=|!|<=|<!|P=|\()|(?<!\\)(\\\\)*\\[1-9]")
"""Look-around and back references, which RE2 (https://github.com/google/re2/wiki/Syntax) lacks."""
_ONLY_GO = re.compile(r"\(\?[imsU-]+\)|\\[pP](\{\^?\w+\}|[A-Z])|\[:\^?\w+:\]|\\z|\\C")
"""What Go writes in another way than Python."""
DSCP_NAMES: Final = frozenset(
    {"DF", "EF"}
    | {f"AF{group}{drop}" for group in range(1, 5) for drop in range(1, 4)}
    | {f"CS{number}" for number in range(8)}
)


def duration_problem(text: str) -> str | None:
    """A duration as Go writes it (``time.ParseDuration``), but never below zero."""
    if DURATION.fullmatch(text):
        return None
    return f"'{text}' is not a duration such as 90s, 1m30s or 250ms"


def regex_problem(text: str) -> str | None:
    """A regular expression that Go's ``regexp`` compiles, as near as Python can tell."""
    found = _NOT_GO.search(text)
    if found is not None:
        return f"'{text}' has {found[0]}, which Go's regular expressions do not know"
    try:
        re.compile(_ONLY_GO.sub(_as_python, text))
    except re.error as error:
        return f"'{text}' is not a regular expression: {error}"
    return None


def _as_python(found: re.Match[str]) -> str:
    return "" if found[0].startswith("(") else "a"


def as_number_problem(text: str) -> str | None:
    """An AS number of 4 bytes (RFC 6793), asplain or asdot+ (RFC 5396)."""
    dotted = _DOTTED_AS.fullmatch(text)
    if dotted is not None and all(int(part) <= 0xFFFF for part in dotted.groups()):
        return None
    if text.isascii() and text.isdigit() and int(text) <= 0xFFFFFFFF:
        return None
    return f"'{text}' is not an AS number: write 0 to 4294967295, or as two of 0 to 65535: 1.10"


def community_problem(text: str) -> str | None:
    """A BGP community: two numbers of 16 bits (RFC 1997) or three of 32 (RFC 8092)."""
    if not COMMUNITY.fullmatch(text):
        return f"'{text}' is not a BGP community; write aa:nn or aa:nn:mm"
    parts = text.split(":")
    bits = 16 if len(parts) == 2 else 32
    for part in parts:
        if int(part) >= 1 << bits:
            return f"'{text}' has {part}, which is more than {bits} bits hold"
    return None


def peer_address_problem(text: str) -> str | None:
    """An address, with a port if there is one; around an IPv6 address then stand brackets."""
    with_port = _WITH_PORT.fullmatch(text)
    if with_port is None:
        return _address_problem(text, f"'{text}' is not an address, nor one with a port")
    address, port = with_port[1] or with_port[2], with_port[3]
    if not (port and 1 <= int(port) <= 65535):
        return f"'{text}' has no port from 1 to 65535 after the colon"
    return _address_problem(address, f"'{address}' in '{text}' is not an address")


def _address_problem(text: str, problem: str) -> str | None:
    try:
        Address.parse(text)
    except ParseError:
        return f"{problem}; write such as 192.0.2.1:179 or [2001:db8::1]:179"
    return None


def host_network_problem(text: str, family: Family) -> str | None:
    """An address of a host, alone or with the prefix length of its network."""
    try:
        Cidr.parse_loose(text)
    except ParseError as error:
        return str(error)
    return family_problem(text, family)


def family_problem(text: str, family: Family) -> str | None:
    """Whether *text*, an address or network, is of *family*."""
    return None if (":" in text) == (family == 6) else f"{text} is not of IPv{family}"


def wireguard_key_problem(text: str) -> str | None:
    """A Curve25519 key: 32 bytes in base64 (RFC 4648 section 4)."""
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    return None if len(key) == 32 else f"'{text}' is not a WireGuard key: 32 bytes in base64"


def dscp_problem(text: str) -> str | None:
    """A DSCP: six bits (RFC 2474), or the name of a per-hop behaviour."""
    if text in DSCP_NAMES or (text.isascii() and text.isdigit() and int(text) <= 63):
        return None
    return f"'{text}' is not a DSCP: write 0 to 63, DF, EF, AF11 to AF43 or CS0 to CS7"
