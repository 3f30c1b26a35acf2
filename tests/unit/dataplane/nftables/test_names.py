"""Names are legal, within the limits, and different for different keys."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chita.dataplane.nftables.names import comment, log_prefix, name
from chita.dataplane.nftables.objects import COMMENT_BYTES

LEGAL = re.compile(r"[A-Za-z][A-Za-z0-9/._-]*")


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        pytest.param("NetworkPolicy/shop/web", "policy-in-NetworkPolicy/shop/web", id="plain"),
        pytest.param("GlobalNetworkPolicy//x.y", "policy-in-GlobalNetworkPolicy//x.y", id="global"),
        pytest.param("s:a", "policy-in-s-a.Hb3c3a3bb9a", id="illegal-character"),
    ],
)
def test_readable_names(key: str, expected: str) -> None:
    found = name("policy-in", key)

    assert expected.partition(".H")[0] == found.partition(".H")[0]
    assert LEGAL.fullmatch(found)


@given(st.text(max_size=300), st.text(max_size=300))
def test_different_keys_have_different_legal_names(first: str, second: str) -> None:
    names = {name("set", first), name("set", second)}

    assert len(names) == len({first, second})
    assert all(LEGAL.fullmatch(each) and len(each) <= 120 for each in names)


@given(st.text(max_size=400))
def test_comments_can_be_quoted(words: str) -> None:
    found = comment(words, "ingress", 3)

    assert len(found.encode()) <= COMMENT_BYTES
    assert not {'"', "\\", "\n"} & set(found)


def test_a_long_comment_keeps_direction_and_index() -> None:
    assert comment("x" * 300, "egress", 12).endswith(" egress 12")


@given(st.text(max_size=300))
def test_log_prefixes_fit(text: str) -> None:
    """NF_LOG_PREFIXLEN is 128 with the NUL (linux/netfilter/nf_log.h)."""
    assert len(log_prefix(text, text, "NetworkPolicy", text, text).encode()) <= 127


@pytest.mark.parametrize(
    ("template", "owner", "expected"),
    [
        pytest.param("calico-packet", ("default", "NetworkPolicy", "shop", "web"),
                     "calico-packet: ", id="plain"),
        pytest.param("aXy9%n%%t %k %p", ("default", "GlobalNetworkPolicy", "", "ep2-4"),
                     "aXy9ep2-4%default gnp ep2-4: ", id="upstream-example"),
        pytest.param("%p", ("default", "NetworkPolicy", "shop", "web"), "shop/web: ",
                     id="namespace-and-name"),
        pytest.param("%k", ("default", "KubernetesNetworkPolicy", "shop", "web"), "knp: ",
                     id="kubernetes"),
        pytest.param("%k", ("kube-admin", "KubernetesAdminNetworkPolicy", "", "a"),
                     "KubernetesAdminNetworkPolicy: ", id="kind-without-short-name"),
        pytest.param("[%t] %k %n", ("", "Profile", "", "kns.shop"), "[] pro kns.shop: ",
                     id="profile"),
        pytest.param("100% %T %", ("default", "NetworkPolicy", "shop", "web"), "100% %T %: ",
                     id="no-specifier"),
        pytest.param("%n", ("%t", "NetworkPolicy", "%p", "%t"), "%t: ", id="expanded-once"),
    ],
)  # fmt: skip
def test_specifiers_of_a_log_prefix(
    template: str, owner: tuple[str, str, str, str], expected: str
) -> None:
    """Felix expands %t, %k, %n and %p, and leaves every other percent sign alone."""
    assert expected == log_prefix(template, *owner)
