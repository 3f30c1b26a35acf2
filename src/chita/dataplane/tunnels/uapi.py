"""WireGuard's cross-platform configuration protocol as text (https://www.wireguard.com/xplatform).

Requests and answers are lines of ``key=value`` that an empty line ends. Keys are hexadecimal here
and base64 everywhere else.
"""

from __future__ import annotations

import base64

from chita.dataplane.tunnels.wireguard import (
    NO_PRESHARED_KEY,
    DeviceState,
    PeerChange,
    PeerState,
)
from chita.desired.tunnels import Endpoint
from chita.errors import EngineError, ParseError
from chita.model.net import Address, Cidr

GET = "get=1\n\n"
_NO_KEY = NO_PRESHARED_KEY.hex()


def parse_device(answer: str) -> DeviceState:
    """Return the device that the answer to `GET` describes.

    Raises:
        EngineError: the answer is no such description.
    """
    try:
        return _device([line.partition("=")[::2] for line in answer.splitlines() if line])
    except (ValueError, KeyError, ParseError) as error:
        raise EngineError(f"WireGuard answered nonsense: {error}") from error


def answer_errno(answer: str) -> int:
    """Return the error number that ends an answer, positive; 0 is success.

    Raises:
        EngineError: the answer is cut off.
    """
    last = answer.rstrip("\n").rpartition("\n")[2]
    key, _, value = last.partition("=")
    if key != "errno" or not value.lstrip("-").isdigit():
        raise EngineError(f"WireGuard's answer ends with '{last[:40]}', not with its errno")
    return abs(int(value))


def device_request(private_key: str, port: int) -> str:
    """Return the request that sets our own key (base64) and port, and leaves the peers."""
    return f"set=1\nprivate_key={_hex(private_key)}\nlisten_port={port}\n\n"


def peer_request(change: PeerChange) -> str:
    """Return the request that adds or changes one peer."""
    lines = ["set=1", f"public_key={_hex(change.public_key)}"]
    if change.preshared_key is not None:
        secret = _hex(change.preshared_key) if change.preshared_key else _NO_KEY
        lines.append(f"preshared_key={secret}")
    if change.endpoint is not None:
        lines.append(f"endpoint={_endpoint_text(change.endpoint)}")
    if change.keepalive_s is not None:
        lines.append(f"persistent_keepalive_interval={change.keepalive_s}")
    if change.allowed is not None:
        lines.append("replace_allowed_ips=true")
        lines += [f"allowed_ip={net}" for net in sorted(change.allowed)]
    return "\n".join(lines) + "\n\n"


def removal_request(public_key: str) -> str:
    """Return the request that removes one peer."""
    return f"set=1\npublic_key={_hex(public_key)}\nupdate_only=true\nremove=true\n\n"


def _device(pairs: list[tuple[str, ...]]) -> DeviceState:
    private_key, port = None, 0
    peers: dict[str, PeerState] = {}
    sections: list[list[tuple[str, ...]]] = [[]]
    for pair in pairs:
        if pair[0] == "public_key":
            sections.append([])
        sections[-1].append(pair)
    for key, value in sections[0]:
        if key == "private_key" and value != _NO_KEY:
            private_key = _base64(value)
        elif key == "listen_port":
            port = int(value)
    for section in sections[1:]:
        peer = _peer(section)
        peers[peer.public_key] = peer
    return DeviceState(private_key=private_key, port=port, peers=peers)


def _peer(section: list[tuple[str, ...]]) -> PeerState:
    values = {key: value for key, value in section if key != "allowed_ip"}
    allowed = (Cidr.parse_loose(value) for key, value in section if key == "allowed_ip")
    endpoint = values.get("endpoint")
    secret = values.get("preshared_key", _NO_KEY)
    return PeerState(
        public_key=_base64(values["public_key"]),
        endpoint=_parse_endpoint(endpoint) if endpoint else None,
        allowed=frozenset(allowed),
        keepalive_s=int(values.get("persistent_keepalive_interval", "0")),
        handshake_s=int(values.get("last_handshake_time_sec", "0")),
        received_bytes=int(values.get("rx_bytes", "0")),
        sent_bytes=int(values.get("tx_bytes", "0")),
        preshared_key="" if secret == _NO_KEY else _base64(secret),
    )


def _parse_endpoint(text: str) -> Endpoint:
    host, _, port = text.rpartition(":")
    return Endpoint(Address.parse(host.strip("[]").partition("%")[0]), int(port))


def _endpoint_text(endpoint: Endpoint) -> str:
    host = str(endpoint.address)
    return (
        f"[{host}]:{endpoint.port}" if endpoint.address.family == 6 else f"{host}:{endpoint.port}"
    )


def _hex(key: str) -> str:
    return base64.b64decode(key).hex()


def _base64(key: str) -> str:
    return base64.b64encode(bytes.fromhex(key)).decode()
