"""Kubernetes' selectors in queries."""

from __future__ import annotations

from typing import Any

import pytest

from chita.model.kinds import Kind, known_kind
from chita.server.selectors import parse_filter
from chita.server.status import RefusedError


def kind(name: str = "Pod", version: str = "v1") -> Kind:
    return known_kind(version, name)


WEB: dict[str, Any] = {
    "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web", "example.com/x": ""}},
    "spec": {"nodeName": "aws-1", "unschedulable": True},
    "status": {"phase": "Running"},
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", True, id="all"),
        pytest.param("app=web", True, id="equal"),
        pytest.param("app==web", True, id="equal-twice"),
        pytest.param("app!=web", False, id="not-equal"),
        pytest.param("tier!=front", True, id="not-equal-absent"),
        pytest.param("app", True, id="exists"),
        pytest.param("!app", False, id="absent"),
        pytest.param("! tier", True, id="absent-space"),
        pytest.param("app in (api, web)", True, id="in"),
        pytest.param("app notin (api,web)", False, id="notin"),
        pytest.param("tier notin (a)", True, id="notin-absent"),
        pytest.param("app=web,tier", False, id="all-must-hold"),
        pytest.param(" app = web , !tier ", True, id="spaces"),
        pytest.param("example.com/x=", True, id="empty-value"),
        pytest.param("app in ()", False, id="in-empty"),
    ],
)
def test_label_selector(text: str, *, expected: bool) -> None:
    assert expected == parse_filter(kind(), text, "").matches(WEB)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("metadata.name=web", True, id="name"),
        pytest.param("metadata.namespace!=shop", False, id="namespace"),
        pytest.param("spec.nodeName=aws-1,status.phase!=Failed", True, id="two"),
        pytest.param("spec.nodeName==aws-2", False, id="other"),
        pytest.param("status.podIP=", True, id="absent-is-empty"),
    ],
)
def test_field_selector(text: str, *, expected: bool) -> None:
    assert expected == parse_filter(kind(), "", text).matches(WEB)


def test_field_selector_of_a_boolean() -> None:
    assert parse_filter(kind("Node"), "", "spec.unschedulable=true").matches(WEB)


@pytest.mark.parametrize(
    ("labels", "fields"),
    [
        pytest.param("app in web", "", id="no-parentheses"),
        pytest.param("=web", "", id="no-key"),
        pytest.param("app=web,,x", "", id="empty-term"),
        pytest.param("a b", "", id="two-words"),
        pytest.param("-x=1", "", id="no-label-key"),
        pytest.param("", "spec.containers=x", id="field-not-selectable"),
        pytest.param("", "metadata.name", id="no-operator"),
    ],
)
def test_malformed_selector_is_400(labels: str, fields: str) -> None:
    with pytest.raises(RefusedError) as caught:
        parse_filter(kind(), labels, fields)

    assert caught.value.status == 400
