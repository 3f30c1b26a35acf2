"""The way to the API server, which no host endpoint may cut: who is cut off never learns better."""

from __future__ import annotations

from urllib.parse import urlsplit

from chita.errors import ParseError
from chita.model.net import TCP, Address, Cidr
from chita.model.settings import FailsafePort

_PORTS = {"https": 443, "http": 80}


def server_port(url: str) -> FailsafePort:
    """Return what must stay open to reach *url*: its port, at its address where it says one."""
    parts = urlsplit(url)
    port = parts.port or _PORTS.get(parts.scheme, 443)
    try:
        net = Cidr.of(Address.parse(parts.hostname or ""))
    except ParseError:
        net = None
    return FailsafePort(TCP, port, net)
