"""How a server is told where its etcd is."""

from __future__ import annotations

from pathlib import Path

import pytest

from chita.errors import InputError
from chita.store.etcd.settings import EtcdSettings, check_prefix, parse_endpoints

PLAIN, TLS = ("http://127.0.0.1:2379",), ("https://127.0.0.1:2379",)


def test_endpoints_with_commas() -> None:
    assert parse_endpoints("https://a:2379, https://[2001:db8::1]:2379/") == (
        "https://a:2379",
        "https://[2001:db8::1]:2379",
    )


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="none"),
        pytest.param("a:2379", id="no-scheme"),
        pytest.param("https://a", id="no-port"),
        pytest.param("https://a:x", id="port-is-no-number"),
        pytest.param("unix:///run/etcd", id="other-scheme"),
        pytest.param("https://a:2379/v3", id="path"),
    ],
)
def test_refused_endpoints(text: str) -> None:
    with pytest.raises(InputError, match="https://HOST:2379"):
        parse_endpoints(text)


@pytest.mark.parametrize("prefix", ["", "/", "//", "chita/", "/chita"])
def test_refused_prefixes(prefix: str) -> None:
    """Without the last slash, ``/chita`` would also cover ``/chita-other/``."""
    with pytest.raises(InputError, match="slash"):
        check_prefix(prefix)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param(
            EtcdSettings(endpoints=PLAIN, cacert=Path("ca")), "no effect", id="not-encrypted"
        ),
        pytest.param(EtcdSettings(endpoints=TLS, cert=Path("c")), "belong together", id="no-key"),
        pytest.param(
            EtcdSettings(endpoints=TLS, cacert=Path("/nowhere/ca")), "/nowhere/ca", id="missing"
        ),
    ],
)
def test_refused_certificates(settings: EtcdSettings, message: str) -> None:
    with pytest.raises(InputError, match=message):
        settings.tls()
