"""Protobuf bodies: bytes as kubectl 1.37 sent them, and malformed ones."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chita.errors import InputError
from chita.server import protobuf


def field(number: int, content: bytes | str | int) -> bytes:
    if isinstance(content, int):
        return bytes([number << 3]) + varint(content)
    raw = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def varint(number: int) -> bytes:
    out = b""
    while number >= 0x80:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def envelope(kind: str, raw: bytes, version: str = "v1") -> bytes:
    head = field(1, version) + field(2, kind)
    return protobuf.MAGIC + field(1, head) + field(2, raw) + field(3, "") + field(4, "")


def test_namespace() -> None:
    """Zero values that Go writes are left out; the zero time is one of them."""
    labels = field(11, field(1, "team") + field(2, "a")) + field(11, field(1, "x") + field(2, ""))
    metadata = field(1, "shop") + field(2, "") + field(7, 0) + field(8, b"") + labels
    body = envelope("Namespace", field(1, metadata) + field(2, b"") + field(3, field(1, "")))

    expected = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "shop", "labels": {"team": "a", "x": ""}},
    }
    assert expected == protobuf.decode(body)


def test_service_ports() -> None:
    """A target port is a number or a name; a number may take more than one byte."""
    by_number = field(3, 8443) + field(4, field(1, 0) + field(2, 65535) + field(3, ""))
    by_name = (
        field(1, "web") + field(3, 80) + field(4, field(1, 1) + field(2, 0) + field(3, "http"))
    )
    spec = field(1, by_number) + field(1, by_name) + field(13, 1) + field(18, "10.96.0.9")
    found = protobuf.decode(envelope("Service", field(2, spec)))

    expected = {
        "ports": [
            {"port": 8443, "targetPort": 65535},
            {"name": "web", "port": 80, "targetPort": "http"},
        ],
        "publishNotReadyAddresses": True,
        "clusterIPs": ["10.96.0.9"],
    }
    assert expected == found["spec"]


def test_lease_times() -> None:
    time = field(1, 1_700_000_000) + field(2, 123_456_000)
    found = protobuf.decode(
        envelope("Lease", field(2, field(1, "me") + field(4, time)), "coordination.k8s.io/v1")
    )

    assert found["spec"] == {"holderIdentity": "me", "renewTime": "2023-11-14T22:13:20.123456Z"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(b"{}", "no Kubernetes protobuf", id="json"),
        pytest.param(envelope("Pod", b""), "send JSON", id="kind-not-read"),
        pytest.param(envelope("Service", b"\x0a\x7fxx"), "malformed", id="longer-than-the-body"),
        pytest.param(envelope("Service", b"\x0b"), "malformed", id="group"),
        pytest.param(envelope("Service", b"\x0a"), "malformed", id="cut"),
        pytest.param(envelope("Namespace", field(1, 5)), "malformed", id="wrong-wire-type"),
    ],
)
def test_malformed(body: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        protobuf.decode(body)


@given(st.binary(max_size=60), st.sampled_from(["Service", "Lease", "Namespace"]))
def test_any_bytes_are_read_or_refused(raw: bytes, kind: str) -> None:
    """Nothing but `InputError` comes out of hostile bytes."""
    with contextlib.suppress(InputError):
        protobuf.decode(envelope(kind, raw))
