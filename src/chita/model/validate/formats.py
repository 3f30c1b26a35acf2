"""What is wrong with a text of a `Format`: one check each, answered as a problem text or None."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from chita.errors import ParseError
from chita.model.names import (
    annotation_key_problem,
    dns_label_problem,
    dns_subdomain_problem,
    interface_problem,
    label_key_problem,
    label_value_problem,
    port_name_problem,
    rule_port_name_problem,
)
from chita.model.net import PROTOCOL_NAMES, Address, Cidr, PortRange, parse_protocol
from chita.model.schema import Format
from chita.model.selector import And, Global, Not, Or, Selector, parse_selector
from chita.model.validate.settings_formats import (
    as_number_problem,
    community_problem,
    dscp_problem,
    duration_problem,
    family_problem,
    host_network_problem,
    peer_address_problem,
    regex_problem,
    wireguard_key_problem,
)

MAC = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")
_DASHED_RANGE = re.compile(r"(\d+)-(\d+)")


def format_problem(form: Format, value: str | int) -> str | None:
    """Return what is wrong with *value*; an integer only comes where the schema lets it."""
    return _CHECKS[form](str(value)) if isinstance(value, str) else _integer_problem(form, value)


def _integer_problem(form: Format, value: int) -> str | None:
    match form:
        case Format.PROTOCOL:
            return _protocol_problem(str(value))
        case Format.AS_NUMBER:
            return as_number_problem(str(value))
        case Format.DSCP:
            return dscp_problem(str(value))
        case _:
            return None if 1 <= value <= 65535 else f"{value} is not a port: write 1 to 65535"


def _selector_problem(text: str) -> str | None:
    parsed = _parse(text)
    if isinstance(parsed, str):
        return parsed
    if _has_global(parsed):
        return (
            f"'{text}' has global(), which only the namespaceSelector of a rule's source or "
            "destination may be"
        )
    return None


def _selector_or_global_problem(text: str) -> str | None:
    parsed = _parse(text)
    if isinstance(parsed, str):
        return parsed
    if not isinstance(parsed, Global) and _has_global(parsed):
        return f"'{text}' combines global() with something else; global() must stand alone"
    return None


def _parse(text: str) -> Selector | str:
    try:
        return parse_selector(text)
    except ParseError as error:
        where = "" if error.position is None else f", at character {error.position + 1}"
        return f"'{text}' is not a selector{where}: {error}"


def _has_global(selector: Selector) -> bool:
    match selector:
        case Global():
            return True
        case Not(operand):
            return _has_global(operand)
        case And(operands) | Or(operands):
            return any(_has_global(operand) for operand in operands)
        case _:
            return False


def _cidr_problem(text: str) -> str | None:
    return _needs_prefix(text) or _refusal(Cidr.parse, text)


def _cidr_loose_problem(text: str) -> str | None:
    return _needs_prefix(text) or _refusal(Cidr.parse_loose, text)


def _needs_prefix(text: str) -> str | None:
    if "/" in text or _refusal(Address.parse, text):
        return None
    return f"'{text}' is an address; write the network {Cidr.parse(text)}"


def _protocol_problem(text: str) -> str | None:
    for name in PROTOCOL_NAMES.values():
        if text.upper() == name.upper() and text != name:
            return f"'{text}' is not a protocol; write {name}"
    return _refusal(parse_protocol, text)


def _rule_port_problem(text: str) -> str | None:
    if (dashed := _DASHED_RANGE.fullmatch(text)) is not None:
        # Upstream takes it for a port's name, which no endpoint can have: never what was meant.
        return f"'{text}' is not a port range; write {dashed[1]}:{dashed[2]}"
    if ":" in text or text.isdigit():
        return _refusal(PortRange.parse, text)
    return rule_port_name_problem(text)


def _kubernetes_port_problem(text: str) -> str | None:
    if text.isascii() and text.isdigit():
        return f"'{text}' is a text; write the number {text} without quotes"
    return port_name_problem(text)


def _mac_problem(text: str) -> str | None:
    return (
        None if MAC.fullmatch(text) else f"'{text}' is not a MAC address such as 02:00:5e:00:53:01"
    )


def _http_path_problem(text: str) -> str | None:
    """RFC 3986 section 3.3: a path begins with '/' and ends before '?' and '#'."""
    if text.startswith("/") and not re.search(r"[?# ]", text):
        return None
    return f"'{text}' is not a path: it starts with '/' and has no '?', '#' or space"


def _cluster_ip_problem(text: str) -> str | None:
    problem = None if text == "None" else _refusal(Address.parse, text)
    return problem and f"{problem}; write one, or None for a headless Service"


def _refusal(parse: Callable[[str], object], text: str) -> str | None:
    try:
        parse(text)
    except ParseError as error:
        return str(error)
    return None


_CHECKS: Final[dict[Format, Callable[[str], str | None]]] = {
    Format.ANY: lambda _: None,
    Format.SELECTOR: _selector_problem,
    Format.SELECTOR_OR_GLOBAL: _selector_or_global_problem,
    Format.CIDR: _cidr_problem,
    Format.CIDR_LOOSE: _cidr_loose_problem,
    Format.CIDR_OR_ADDRESS: lambda text: _refusal(Cidr.parse, text),
    Format.CIDR_OR_ADDRESS_LOOSE: lambda text: _refusal(Cidr.parse_loose, text),
    Format.ADDRESS: lambda text: _refusal(Address.parse, text),
    Format.CLUSTER_IP: _cluster_ip_problem,
    Format.MAC: _mac_problem,
    Format.DNS_LABEL: dns_label_problem,
    Format.DNS_SUBDOMAIN: dns_subdomain_problem,
    Format.LABEL_KEY: label_key_problem,
    Format.LABEL_VALUE: label_value_problem,
    Format.ANNOTATION_KEY: annotation_key_problem,
    Format.INTERFACE: interface_problem,
    Format.PORT_NAME: port_name_problem,
    Format.PROTOCOL: _protocol_problem,
    Format.RULE_PORT: _rule_port_problem,
    Format.KUBERNETES_PORT: _kubernetes_port_problem,
    Format.HTTP_PATH: _http_path_problem,
    Format.ADDRESS4: lambda text: _refusal(Address.parse, text) or family_problem(text, 4),
    Format.ADDRESS6: lambda text: _refusal(Address.parse, text) or family_problem(text, 6),
    Format.CIDR4: lambda text: _cidr_problem(text) or family_problem(text, 4),
    Format.CIDR6: lambda text: _cidr_problem(text) or family_problem(text, 6),
    Format.HOST_NETWORK4: lambda text: host_network_problem(text, 4),
    Format.HOST_NETWORK6: lambda text: host_network_problem(text, 6),
    Format.PEER_ADDRESS: peer_address_problem,
    Format.PORT_RANGE: lambda text: _refusal(PortRange.parse, text),
    Format.AS_NUMBER: as_number_problem,
    Format.COMMUNITY: community_problem,
    Format.DURATION: duration_problem,
    Format.REGEX: regex_problem,
    Format.WIREGUARD_KEY: wireguard_key_problem,
    Format.DSCP: dscp_problem,
}
