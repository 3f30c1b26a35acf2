"""A StaticPeer is read as it was written, or not at all."""

from __future__ import annotations

from typing import Any

import pytest

from chita.convert.entities import conversion
from chita.convert.static_peer import static_peer_object
from chita.model.net import Address, Cidr
from chita.model.static_peer import Exported, StaticPeer
from chita.model.validate.objects import validate

KEY = "c3RhdGljIHBlZXJzIGhhdmUgMzIgYnl0ZSBrZXlzISE="
PEER = StaticPeer(
    name="router",
    public_key=KEY,
    addresses=(Address.parse("100.65.0.1"), Address.parse("fd00:100:65::1")),
    networks=(Cidr.parse("192.168.7.0/24"),),
    gateway="aws-1",
    keepalive_s=0,
    exported=Exported(
        gateway_key=KEY, endpoint="192.0.2.1:51822", allowed=(Cidr.parse("10.244.0.0/16"),)
    ),
)


def test_what_is_written_is_read() -> None:
    obj = static_peer_object(PEER)

    assert [] == validate(obj)
    assert (PEER,) == conversion(obj).entities


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        pytest.param({"publicKey": "short"}, "spec.publicKey", "32 bytes", id="key"),
        pytest.param({"addresses": []}, "spec.addresses", "", id="no-address"),
        pytest.param(
            {"addresses": ["100.65.0.1", "100.65.0.2"]}, "spec.addresses", "one of each", id="two"
        ),
        pytest.param({"addresses": ["127.0.0.1"]}, "spec.addresses", "loopback", id="loopback"),
        pytest.param({"addresses": ["fe80::1"]}, "spec.addresses", "link-local", id="link-local"),
        pytest.param({"networks": ["0.0.0.0/0"]}, "spec.networks", "everything", id="default"),
        pytest.param({"networks": ["100.64.0.0/10"]}, "spec.networks", "overlap", id="its-own"),
        pytest.param({"networks": ["10.0.0.1/8"]}, "spec.networks[0]", "10.0.0.0/8", id="bits"),
        pytest.param({"gateway": None}, "spec.gateway", "", id="no-gateway"),
        pytest.param({"presharedKey": KEY}, "spec.presharedKey", "", id="a-secret-is-never-stored"),
    ],
)
def test_what_is_wrong_is_at_its_field(change: dict[str, Any], field: str, words: str) -> None:
    """The server refuses it, and one that was stored all the same is let in nowhere."""
    obj = static_peer_object(PEER)
    obj["spec"] |= change
    refused, read = validate(obj), conversion(obj)

    assert field in {problem.field for problem in refused}
    assert any(words in problem.message for problem in refused)
    assert () == read.entities
    assert read.problems
