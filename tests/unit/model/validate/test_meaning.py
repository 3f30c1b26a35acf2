"""What is valid has a meaning: validation and conversion, written apart, must not disagree.

Objects are drawn from the very schemas that validation walks, with few fields at a time so that
many of them are valid, and with values of every kind, so that many are not.
"""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from chita.convert.calico import global_network_set, workload_endpoint
from chita.convert.entities import conversion
from chita.convert.fields import Field
from chita.model.defaults import apply_defaults
from chita.model.kinds import Scope
from chita.model.schema import (
    Anything,
    Flag,
    Format,
    ListOf,
    MapOf,
    Number,
    Pattern,
    Record,
    Schema,
    Text,
    Whole,
    WholeOrText,
)
from chita.model.schemas.kinds import KINDS
from chita.model.validate.objects import validate

Raw = dict[str, Any]

_TEXTS: Final[dict[Format, list[Any]]] = {
    Format.ANY: ["", "x"],
    Format.SELECTOR: ["", "a == 'b'", "!has(a)", "global()", "a="],
    Format.SELECTOR_OR_GLOBAL: ["", "all()", "global()", "has(a)", "global() && all()"],
    Format.CIDR: ["10.0.0.0/8", "10.1.0.0/16", "::/0", "0.0.0.0/0", "10.0.0.1/8", "10.0.0.1"],
    Format.CIDR_OR_ADDRESS: ["10.244.0.1/32", "10.244.0.0/16", "fd00::1", "10.0.0.1/8"],
    Format.CIDR_OR_ADDRESS_LOOSE: ["10.0.0.1/8", "192.0.2.1", "fd00::/8", "x"],
    Format.CLUSTER_IP: ["None", "10.96.0.1", "fd00:10:96::1", "none"],
    Format.ADDRESS: ["10.244.0.1", "169.254.1.1", "fd00::1", "10.0.0.0/8"],
    Format.MAC: ["02:00:5e:00:53:01", "02-00"],
    Format.INTERFACE: ["*", "eth0", "an-interface-too-long"],
    Format.CIDR_LOOSE: ["10.0.0.0/8", "10.0.0.1/16", "fd00::/64", "10.0.0.1", "x/8"],
    Format.DNS_LABEL: ["a", "a.b"],
    Format.DNS_SUBDOMAIN: ["a", "a.b", "A"],
    Format.LABEL_KEY: ["a", "b.c/d", "e f"],
    Format.LABEL_VALUE: ["", "a", "b c"],
    Format.ANNOTATION_KEY: ["a", "B.c/d"],
    Format.PORT_NAME: ["http", "80"],
    Format.PROTOCOL: ["TCP", "UDP", "ICMP", "ICMPv6", "UDPLite", "6", "tcp", 1, 6, 17, 58, 0, 256],
    Format.RULE_PORT: [1, 65535, 0, "80", "80:90", "90:80", "http", "1-2", "Web_1.x"],
    Format.KUBERNETES_PORT: [1, 80, 0, "http", "80", "Web"],
    Format.HTTP_PATH: ["/", "/a", "b"],
    Format.ADDRESS4: ["192.0.2.1", "fd00::1"],
    Format.ADDRESS6: ["fd00::1", "192.0.2.1"],
    Format.CIDR4: ["10.0.0.0/8", "fd00::/8", "10.0.0.1/8"],
    Format.CIDR6: ["fd00::/8", "10.0.0.0/8", "fd00::1"],
    Format.HOST_NETWORK4: ["192.0.2.1/24", "192.0.2.1", "fd00::1"],
    Format.HOST_NETWORK6: ["fd00::1/64", "192.0.2.1"],
    Format.PEER_ADDRESS: ["192.0.2.1", "192.0.2.1:179", "[fd00::1]:179", "fd00::1", "x:1"],
    Format.PORT_RANGE: [80, "80:90", "90:80", "http"],
    Format.AS_NUMBER: [0, 64512, "64512", "1.10", -1, "x"],
    Format.COMMUNITY: ["65000:1", "65000:1:2", "65536:1", "x"],
    Format.DURATION: ["90s", "1h30m", "0", "-1s", "1 s"],
    Format.REGEX: ["eth.*", "*"],
    Format.WIREGUARD_KEY: ["jlkVyQYooZYzI2wFfNhSZez5eWh44yfq1wKVjLvSXgY=", "x"],
    Format.DSCP: [23, "AF11", 64, "x"],
}


def values(schema: Schema, width: int) -> st.SearchStrategy[Any]:  # noqa: C901, PLR0911 - a case a node
    """Draw values for *schema*, with up to *width* optional fields each; most are right."""
    match schema:
        case Record(fields={}) if not schema.fields:
            return st.just({})
        case Record():
            return st.lists(
                st.sampled_from(list(schema.fields)), max_size=width, unique=True
            ).flatmap(
                lambda names: st.fixed_dictionaries(
                    {
                        name: values(schema.fields[name], width)
                        for name in {*schema.required, *names}
                    }
                )
            )
        case ListOf():
            return st.lists(values(schema.item, width), min_size=schema.min_items, max_size=2)
        case MapOf():
            return st.dictionaries(st.sampled_from(_TEXTS[schema.key]), values(schema.value, width))
        case Text(pattern=Pattern(example=example)):
            return st.sampled_from([example, "*", "no match!"])
        case Text(choices=()) | WholeOrText():
            return st.sampled_from(_TEXTS[schema.format])
        case Text() | Whole(choices=(_, *_)):
            return st.sampled_from(schema.choices)
        case Whole():
            return st.integers(schema.minimum, schema.maximum)
        case Number():
            return st.sampled_from([0, 1.5, -1])
        case Flag():
            return st.booleans()
        case Anything():
            return st.none()


def objects(api_version: str, kind: str, width: int) -> st.SearchStrategy[Raw]:
    schema = KINDS[api_version, kind]
    metadata = {"name": "default"}
    if schema.of.scope is Scope.NAMESPACED:
        metadata["namespace"] = "shop"
    drawn = {field: values(inner, width) for field, inner in schema.fields.items()}
    fixed: dict[str, Any] = {"apiVersion": api_version, "kind": kind, "metadata": metadata}
    return st.fixed_dictionaries({field: st.just(value) for field, value in fixed.items()} | drawn)


_WIDTHS: Final = {
    "ClusterNetworkPolicy": 1, "AdminNetworkPolicy": 1, "BaselineAdminNetworkPolicy": 1,
}  # fmt: skip
"""Optional fields at a time: where exactly one of several must stand, more would all be refused."""
_UNREAD: Final = frozenset({"IPAMBlock", "IPAMHandle", "BlockAffinity", "FabricNode"})
"""Written by programs only, and read by the decoder of what wrote them."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("api_version", "kind"),
    [pytest.param(*key, id="-".join(key)) for key in KINDS if key[1] not in _UNREAD],
)
@settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=40)
@given(data=st.data())
def test_what_is_valid_converts_whole(api_version: str, kind: str, data: st.DataObject) -> None:
    """Nothing of a valid object is dropped or replaced, with and without its defaults."""
    obj = data.draw(objects(api_version, kind, _WIDTHS.get(kind, 3)))
    assume(not validate(obj))

    assert () == conversion(obj).problems
    assert [] == validate(apply_defaults(obj))
    assert () == conversion(apply_defaults(obj)).problems


def test_host_bits_in_a_network_set_are_ignored() -> None:
    """Unlike in a rule, ``10.0.0.1/8`` may stand in a set (v3 tag ``cidr``)."""
    obj = {
        "apiVersion": "projectcalico.org/v3",
        "kind": "GlobalNetworkSet",
        "metadata": {"name": "s"},
        "spec": {"nets": ["10.0.0.1/8", "2001:db8::1"]},
    }

    assert [] == validate(obj)
    assert "10.0.0.0/8 2001:db8::1/128" == " ".join(map(str, global_network_set(Field(obj)).nets))


def test_a_port_without_name_is_only_for_its_host_port() -> None:
    """v3 WorkloadEndpoint: a rule can't name it, and it is no reason to refuse the endpoint."""
    port = {"protocol": "TCP", "port": 80, "hostPort": 8080}
    obj = {
        "apiVersion": "projectcalico.org/v3",
        "kind": "WorkloadEndpoint",
        "metadata": {"name": "e", "namespace": "shop"},
        "spec": {
            "node": "n",
            "pod": "p",
            "ports": [port, {**port, "name": ""}, {**port, "name": "http"}],
        },
    }

    assert [] == validate(obj)
    assert ["http"] == [named.name for named in workload_endpoint(Field(obj)).ports]
