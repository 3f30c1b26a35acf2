"""Certificates over the years: what is due when, and that it is trusted at each moment."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from chita.server.pki import Identity
from chita.webhook.credentials import (
    SETTLED,
    Credentials,
    from_secret,
    renewed,
    secret_data,
)

NAMES = ("chita-webhook.chita-system.svc", "192.0.2.1")
START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def is_trusted(identity: Identity, bundle: bytes, at: datetime) -> bool:
    """Whether a client that has *bundle* takes *identity*."""
    leaf = x509.load_pem_x509_certificate(identity.certificate)
    if not leaf.not_valid_before_utc <= at <= leaf.not_valid_after_utc:
        return False
    for authority in x509.load_pem_x509_certificates(bundle):
        try:
            leaf.verify_directly_issued_by(authority)
        except InvalidSignature:
            continue
        if authority.not_valid_before_utc <= at <= authority.not_valid_after_utc:
            return True
    return False


def data(held: Credentials) -> dict[str, str]:
    return {key: text for key, text in secret_data(held).items() if text is not None}


def test_first_ones_are_made_once() -> None:
    held = renewed(None, b"", NAMES, START)

    assert renewed(held, b"", NAMES, START + DAY) is held
    assert is_trusted(held.serving, held.bundle, START)
    assert from_secret(data(held)) == held


@pytest.mark.parametrize(
    ("names", "at", "is_same"),
    [
        pytest.param(NAMES, START + 200 * DAY, True, id="half-way"),
        pytest.param(NAMES, START + 250 * DAY, False, id="near-its-end"),
        pytest.param(("other.svc",), START + DAY, False, id="other-names"),
        pytest.param(NAMES, START - DAY, False, id="made-in-the-future"),
    ],
)
def test_what_is_served_is_renewed(names: tuple[str, ...], at: datetime, *, is_same: bool) -> None:
    """By the same authority: nobody has to be told."""
    held = renewed(None, b"", NAMES, START)
    later = renewed(held, held.bundle, names, at)

    assert (later.serving == held.serving) is is_same
    assert later.bundle == held.bundle
    assert renewed(later, later.bundle, names, at) is later


def test_authority_is_exchanged_without_a_gap() -> None:
    """Twelve years of daily looks by a replica, told a day late: what is served is trusted.

    Also by those who know the bundle of the look before, and what another replica still serves.
    """
    held = renewed(None, b"", NAMES, START)
    before, exchanges = held, 0
    for day in range(1, 12 * 365):
        now = START + day * DAY
        held, before = renewed(held, before.bundle, NAMES, now), held
        assert is_trusted(held.serving, before.bundle, now), day
        assert is_trusted(before.serving, held.bundle, now), day
        exchanges += held.authority != before.authority
        assert from_secret(data(held)) == held

    assert exchanges == 1
    assert held.coming is None
    assert held.retired == b""


def test_coming_authority_does_not_sign_before_it_is_told() -> None:
    made = renewed(None, b"", NAMES, START)
    near_end = START + (3650 - 300) * DAY
    held = renewed(renewed(made, made.bundle, NAMES, near_end), made.bundle, NAMES, near_end)
    assert held.coming is not None

    untold = renewed(held, made.bundle, NAMES, near_end + DAY)
    early = renewed(held, held.bundle, NAMES, near_end + SETTLED / 2)
    told = renewed(held, held.bundle, NAMES, near_end + DAY)

    assert untold.authority == early.authority == made.authority
    assert told.authority == held.coming
    assert told.retired == made.authority.certificate


def test_dead_authority_is_replaced_at_once() -> None:
    held = renewed(None, b"", NAMES, START)
    now = START + 4000 * DAY
    later = renewed(held, held.bundle, NAMES, now)

    assert later.authority != held.authority
    assert is_trusted(later.serving, later.bundle, now)


def _broken() -> list[object]:
    held = renewed(None, b"", NAMES, START)
    other = renewed(None, b"", NAMES, START)
    good = data(held)
    mixed = msgspec.structs.replace(
        held, serving=Identity(held.serving.certificate, other.serving.key)
    )
    leaf_signs = msgspec.structs.replace(held, authority=held.serving)
    text = base64.b64encode(b"nonsense").decode()
    return [
        pytest.param({}, id="empty"),
        pytest.param({**good, "ca.crt": text}, id="no-pem"),
        pytest.param({**good, "tls.key": "%%%"}, id="no-base64"),
        pytest.param({**good, "retired.crt": text}, id="retired"),
        pytest.param({key: good[key] for key in ("ca.crt", "ca.key")}, id="half"),
        pytest.param(data(mixed), id="foreign-key"),
        pytest.param(data(leaf_signs), id="no-authority"),
        pytest.param({**good, "ca.key": None}, id="null"),
    ]


@pytest.mark.parametrize("content", _broken())
def test_secret_that_can_not_be_used(content: dict[str, str]) -> None:
    """As one that is empty: all is made anew."""
    assert from_secret(content) is None
