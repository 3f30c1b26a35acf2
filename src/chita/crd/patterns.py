"""What of a `Format` the API server can check by itself: a pattern, a length, a range.

A pattern lets everything through that `chita.model.validate.formats` accepts, and as little else
as a regular expression can say: RE2's (Go), so without look-around. Selectors and regular
expressions are languages, which only the validator reads.
"""

from __future__ import annotations

from typing import Final

import msgspec

from chita.model import names
from chita.model.net import PROTOCOL_NAMES
from chita.model.schema import Format
from chita.model.validate import formats, settings_formats


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What a text of a format looks like; for formats that integers may have too, their range."""

    pattern: str = ""
    """Matches the whole text; empty: any text."""
    max_length: int | None = None
    """Characters."""
    minimum: int | None = None
    maximum: int | None = None


_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"{_OCTET}(?:\.{_OCTET}){{3}}"
_IPV6 = r"[0-9a-fA-F:]*:[0-9a-fA-F:.]*"
_PREFIX4 = r"/0*(?:[0-9]|[12][0-9]|3[0-2])"
_PREFIX6 = r"/0*(?:[0-9]|[1-9][0-9]|1[01][0-9]|12[0-8])"
_NUMBER = "[0-9]+"
_IP_LENGTH = 64
"""The longest text of a network has 49 characters; zeros may stand before its prefix length."""


def _ip(*alternatives: str) -> Shape:
    return Shape(pattern="|".join(alternatives), max_length=_IP_LENGTH)


_CIDR = _ip(_IPV4 + _PREFIX4, _IPV6 + _PREFIX6)
_CIDR_OR_ADDRESS = _ip(f"{_IPV4}(?:{_PREFIX4})?", f"{_IPV6}(?:{_PREFIX6})?")

SHAPES: Final[dict[Format, Shape]] = {
    Format.ANY: Shape(),
    Format.SELECTOR: Shape(),
    Format.SELECTOR_OR_GLOBAL: Shape(),
    Format.CIDR: _CIDR,
    Format.CIDR_LOOSE: _CIDR,
    Format.CIDR_OR_ADDRESS: _CIDR_OR_ADDRESS,
    Format.CIDR_OR_ADDRESS_LOOSE: _CIDR_OR_ADDRESS,
    Format.ADDRESS: _ip(_IPV4, _IPV6),
    Format.CLUSTER_IP: _ip("None", _IPV4, _IPV6),
    Format.MAC: Shape(pattern=formats.MAC.pattern),
    Format.DNS_LABEL: Shape(pattern=names.DNS_LABEL.pattern, max_length=names.DNS_LABEL_LENGTH),
    Format.DNS_SUBDOMAIN: Shape(
        pattern=names.DNS_SUBDOMAIN.pattern, max_length=names.DNS_SUBDOMAIN_LENGTH
    ),
    Format.LABEL_KEY: Shape(
        pattern=f"(?:{names.DNS_SUBDOMAIN.pattern}/)?{names.LABEL_NAME.pattern}",
        max_length=names.DNS_SUBDOMAIN_LENGTH + 1 + names.LABEL_NAME_LENGTH,
    ),
    Format.LABEL_VALUE: Shape(
        pattern=f"(?:{names.LABEL_NAME.pattern})?", max_length=names.LABEL_VALUE_LENGTH
    ),
    Format.ANNOTATION_KEY: Shape(),
    Format.INTERFACE: Shape(pattern=rf"\*|{names.INTERFACE.pattern}"),
    Format.PORT_NAME: Shape(pattern=names.PORT_NAME.pattern, max_length=15),
    Format.PROTOCOL: Shape(
        pattern="|".join([*PROTOCOL_NAMES.values(), _NUMBER]), minimum=1, maximum=255
    ),
    Format.RULE_PORT: Shape(
        pattern=f"{names.RULE_PORT_NAME.pattern}|{_NUMBER}:{_NUMBER}",
        max_length=128,
        minimum=1,
        maximum=65535,
    ),
    Format.KUBERNETES_PORT: Shape(
        pattern=names.PORT_NAME.pattern, max_length=15, minimum=1, maximum=65535
    ),
    Format.HTTP_PATH: Shape(pattern="/[^?# ]*"),
    Format.ADDRESS4: _ip(_IPV4),
    Format.ADDRESS6: _ip(_IPV6),
    Format.CIDR4: _ip(_IPV4 + _PREFIX4),
    Format.CIDR6: _ip(_IPV6 + _PREFIX6),
    Format.HOST_NETWORK4: _ip(f"{_IPV4}(?:{_PREFIX4})?"),
    Format.HOST_NETWORK6: _ip(f"{_IPV6}(?:{_PREFIX6})?"),
    Format.PEER_ADDRESS: _ip(
        _IPV4, _IPV6, rf"{_IPV4}:{_NUMBER}", rf"\[(?:{_IPV4}|{_IPV6})\]:{_NUMBER}"
    ),
    Format.PORT_RANGE: Shape(pattern=f"{_NUMBER}(?::{_NUMBER})?", minimum=1, maximum=65535),
    Format.AS_NUMBER: Shape(pattern=rf"{_NUMBER}(?:\.{_NUMBER})?", minimum=0, maximum=2**32 - 1),
    Format.COMMUNITY: Shape(pattern=f"{_NUMBER}:{_NUMBER}(?::{_NUMBER})?"),
    Format.DURATION: Shape(pattern=settings_formats.DURATION.pattern),
    Format.REGEX: Shape(),
    Format.WIREGUARD_KEY: Shape(pattern="[A-Za-z0-9+/]{43}="),
    Format.DSCP: Shape(
        pattern="|".join([*sorted(settings_formats.DSCP_NAMES), _NUMBER]), minimum=0, maximum=63
    ),
}
"""The shape of each format."""
