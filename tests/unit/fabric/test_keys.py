"""WireGuard key texts."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from chita.errors import ParseError
from chita.fabric.keys import decode_key, private_key_text, public_key


def test_round_trip() -> None:
    """The public key is the curve's (RFC 7748), in the text form that `wg` has."""
    key = X25519PrivateKey.generate()

    text = private_key_text(key)

    assert key.private_bytes_raw() == decode_key(text)
    assert base64.b64encode(key.public_key().public_bytes_raw()).decode() == public_key(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", "32 bytes, not 0", id="empty"),
        pytest.param("AAAA", "32 bytes, not 3", id="short"),
        pytest.param("not base64!", "base64 of 32 bytes", id="no-base64"),
        pytest.param("A" * 43, "base64 of 32 bytes", id="no-padding"),
    ],
)
def test_malformed(text: str, expected: str) -> None:
    """No more of a key than four characters is repeated: it may be a private one."""
    with pytest.raises(ParseError, match=expected):
        decode_key(text)
