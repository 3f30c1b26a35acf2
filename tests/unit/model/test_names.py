"""Names and labels, as Kubernetes' validation has them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chita.model.names import (
    ANNOTATIONS_SIZE,
    annotation_key_problem,
    annotations_problem,
    dns_1035_label_problem,
    dns_label_problem,
    dns_subdomain_problem,
    interface_problem,
    label_key_problem,
    label_value_problem,
    port_name_problem,
    rule_port_name_problem,
)

Check = Callable[[str], str | None]


@pytest.mark.parametrize(
    ("check", "text"),
    [
        pytest.param(dns_label_problem, "a", id="label-of-one"),
        pytest.param(dns_label_problem, "0-a", id="label-starts-with-digit"),
        pytest.param(dns_label_problem, "a" * 63, id="label-longest"),
        pytest.param(dns_1035_label_problem, "a-0", id="rfc1035"),
        pytest.param(dns_subdomain_problem, "knp.default.allow", id="subdomain"),
        pytest.param(dns_subdomain_problem, ".".join(["a" * 50] * 5)[:253], id="subdomain-long"),
        pytest.param(label_key_problem, "app", id="key"),
        pytest.param(label_key_problem, "projectcalico.org/Node_1.x", id="key-with-prefix"),
        pytest.param(label_value_problem, "", id="value-empty"),
        pytest.param(label_value_problem, "A_b.c-1", id="value"),
        pytest.param(annotation_key_problem, "Example.COM/Key", id="annotation-upper-case"),
        pytest.param(port_name_problem, "http-1", id="port-name"),
        pytest.param(rule_port_name_problem, "Http_1.x", id="rule-port-name"),
        pytest.param(interface_problem, "*", id="all-interfaces"),
        pytest.param(interface_problem, "enp0s31f6.100", id="interface"),
    ],
)
def test_valid(check: Check, text: str) -> None:
    assert check(text) is None


@pytest.mark.parametrize(
    ("check", "text", "part"),
    [
        pytest.param(dns_label_problem, "", "not a DNS label", id="label-empty"),
        pytest.param(dns_label_problem, "A_b", "for example 'a-b'", id="label-offer"),
        pytest.param(dns_label_problem, "a.b", "for example 'a-b'", id="label-dot"),
        pytest.param(dns_label_problem, "a-", "for example 'a'", id="label-end"),
        pytest.param(dns_label_problem, "a\n", "not a DNS label", id="label-line-break"),
        pytest.param(dns_label_problem, "a" * 64, "64 characters, more than 63", id="label-long"),
        pytest.param(dns_1035_label_problem, "1a", "start with a letter", id="rfc1035-digit"),
        pytest.param(dns_1035_label_problem, "a.b", "not a DNS label", id="rfc1035-dot"),
        pytest.param(dns_subdomain_problem, "a..b", "for example 'a.b'", id="subdomain-dots"),
        pytest.param(dns_subdomain_problem, "a.-b", "for example 'a.b'", id="subdomain-part"),
        pytest.param(dns_subdomain_problem, "a" * 254, "more than 253", id="subdomain-long"),
        pytest.param(label_key_problem, "", "not a label key", id="key-empty"),
        pytest.param(label_key_problem, "/a", "nothing before its '/'", id="key-no-prefix"),
        pytest.param(label_key_problem, "A.b/c", "no DNS name", id="key-bad-prefix"),
        pytest.param(label_key_problem, "a/b/c", "no DNS name", id="key-two-slashes"),
        pytest.param(label_key_problem, "a/" + "b" * 64, "more than 63", id="key-long"),
        pytest.param(label_key_problem, "-a", "not a label key", id="key-start"),
        pytest.param(label_value_problem, "a b", "not a label value", id="value-space"),
        pytest.param(label_value_problem, "a" * 64, "more than 63", id="value-long"),
        pytest.param(port_name_problem, "80", "at least one letter", id="port-number"),
        pytest.param(port_name_problem, "a--b", "single '-'", id="port-hyphens"),
        pytest.param(port_name_problem, "a" * 16, "up to 15", id="port-long"),
        pytest.param(port_name_problem, "Web", "lower case", id="port-upper"),
        pytest.param(rule_port_name_problem, "a" * 129, "128", id="rule-port-long"),
        pytest.param(rule_port_name_problem, "a b", "not a port", id="rule-port-space"),
        pytest.param(interface_problem, "a" * 16, "15", id="interface-long"),
        pytest.param(interface_problem, "eth0:1", "not an interface", id="interface-alias"),
    ],
)
def test_refused(check: Check, text: str, part: str) -> None:
    problem = check(text)

    assert problem is not None
    assert part in problem


def test_annotations_have_a_total_size() -> None:
    """Bytes count, of keys and values together."""
    fits = {"a": "x" * (ANNOTATIONS_SIZE - 1)}

    assert annotations_problem(fits) is None
    assert f"{ANNOTATIONS_SIZE + 2} bytes" in str(annotations_problem({**fits, "é": ""}))
