"""WireGuard key texts: base64 of the 32 bytes of an X25519 key (RFC 7748), as `wg` prints them."""

from __future__ import annotations

import base64
import binascii
import hashlib

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from chita.errors import ParseError


def private_key_text(key: X25519PrivateKey) -> str:
    """Return *key* as base64."""
    raw = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    return base64.b64encode(raw).decode()


def public_key(private_key: str) -> str:
    """Return the public key of a private one, both base64.

    Raises:
        ParseError: *private_key* is not the base64 of 32 bytes.
    """
    key = X25519PrivateKey.from_private_bytes(decode_key(private_key))
    return base64.b64encode(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def key_fingerprint(preshared_key: str) -> str:
    """Return by what others tell whether they have the same pre-shared key (base64); empty of none.

    Half of a SHA-256 of 32 random bytes: nobody finds the key by it.
    """
    if not preshared_key:
        return ""
    return hashlib.sha256(b"chita preshared key " + decode_key(preshared_key)).hexdigest()[:32]


def decode_key(text: str) -> bytes:
    """Return the 32 bytes of a key text.

    Raises:
        ParseError: not the base64 of 32 bytes.
    """
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ParseError(f"a WireGuard key is base64 of 32 bytes, not {text[:4]!r}...") from error
    if len(raw) != 32:
        raise ParseError(f"a WireGuard key has 32 bytes, not {len(raw)}")
    return raw
