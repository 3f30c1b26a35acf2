"""The patch types as tables: RFC 6902's and 7396's own examples, and kubectl's strategic merges."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chita.model.kinds import Kind, known_kind
from chita.server.json_patch import apply_json_patch
from chita.server.merge_patch import merge
from chita.server.status import RefusedError
from chita.server.strategic import strategic_merge


def kind(name: str, version: str = "v1") -> Kind:
    return known_kind(version, name)


@pytest.mark.parametrize(
    ("value", "patch", "expected"),
    [
        pytest.param({"a": "b"}, {"a": "c"}, {"a": "c"}, id="replace"),
        pytest.param({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}, id="add"),
        pytest.param({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}, id="null-removes"),
        pytest.param({"a": ["b"]}, {"a": "c"}, {"a": "c"}, id="list-to-text"),
        pytest.param({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}, id="deep"),
        pytest.param({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}, id="lists-replace"),
        pytest.param(["a", "b"], ["c", "d"], ["c", "d"], id="not-an-object"),
        pytest.param({"e": None}, {"a": 1}, {"e": None, "a": 1}, id="kept-null"),
        pytest.param({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}, id="null-in-new-object"),
    ],
)
def test_merge_patch(value: Any, patch: Any, expected: Any) -> None:
    """RFC 7396, appendix A."""
    assert expected == merge(value, patch)


JSON = st.recursive(
    st.integers() | st.text(max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, JSON)
def test_merge_patch_twice_is_once(value: Any, patch: Any) -> None:
    before = copy.deepcopy(value)
    once = merge(value, patch)

    assert once == merge(once, patch)
    assert before == value


@pytest.mark.parametrize(
    ("value", "operations", "expected"),
    [
        pytest.param(
            {"foo": "bar"},
            [{"op": "add", "path": "/baz", "value": "qux"}],
            {"baz": "qux", "foo": "bar"},
            id="A1-add-member",
        ),
        pytest.param(
            {"foo": ["bar", "baz"]},
            [{"op": "add", "path": "/foo/1", "value": "qux"}],
            {"foo": ["bar", "qux", "baz"]},
            id="A2-add-element",
        ),
        pytest.param(
            {"foo": ["bar", "qux", "baz"]},
            [{"op": "remove", "path": "/foo/1"}],
            {"foo": ["bar", "baz"]},
            id="A4-remove-element",
        ),
        pytest.param(
            {"baz": "qux"},
            [{"op": "replace", "path": "/baz", "value": "boo"}],
            {"baz": "boo"},
            id="A5-replace",
        ),
        pytest.param(
            {"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}},
            [{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}],
            {"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}},
            id="A6-move",
        ),
        pytest.param(
            {"foo": ["all", "grass", "cows", "eat"]},
            [{"op": "move", "from": "/foo/1", "path": "/foo/3"}],
            {"foo": ["all", "cows", "eat", "grass"]},
            id="A7-move-element",
        ),
        pytest.param(
            {"a": [1]},
            [{"op": "add", "path": "/a/-", "value": [2]}],
            {"a": [1, [2]]},
            id="A16-append",
        ),
        pytest.param(
            {"/": 9, "~1": 10},
            [{"op": "test", "path": "/~01", "value": 10}, {"op": "remove", "path": "/~1"}],
            {"~1": 10},
            id="A14-escapes",
        ),
        pytest.param(
            {"a": {"b": 1}},
            [{"op": "copy", "from": "/a", "path": "/c"}, {"op": "remove", "path": "/a/b"}],
            {"a": {}, "c": {"b": 1}},
            id="copy-is-deep",
        ),
    ],
)
def test_json_patch(value: Any, operations: list[Any], expected: Any) -> None:
    """RFC 6902, appendix A."""
    assert expected == apply_json_patch(copy.deepcopy(value), operations)


@pytest.mark.parametrize(
    "operation",
    [
        pytest.param({"op": "remove", "path": "/none"}, id="absent"),
        pytest.param({"op": "replace", "path": "/none", "value": 1}, id="replace-absent"),
        pytest.param({"op": "add", "path": "/none/x", "value": 1}, id="absent-parent"),
        pytest.param({"op": "add", "path": "/list/9", "value": 1}, id="index-too-large"),
        pytest.param({"op": "add", "path": "/list/01", "value": 1}, id="leading-zero"),
        pytest.param({"op": "test", "path": "/text", "value": "y"}, id="test-fails"),
        pytest.param({"op": "spin", "path": "/text"}, id="unknown-op"),
        pytest.param({"op": "add", "path": "text", "value": 1}, id="no-pointer"),
        pytest.param({"op": "add", "path": "/text/x", "value": 1}, id="into-text"),
        pytest.param({"path": "/text"}, id="no-op"),
        pytest.param("remove", id="no-object"),
    ],
)
def test_json_patch_refuses(operation: Any) -> None:
    """What can't be done is 422 and names the operation."""
    with pytest.raises(RefusedError, match=r"patch\[0\]") as caught:
        apply_json_patch({"text": "x", "list": [1]}, [operation])

    assert caught.value.status == 422


def pod(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": list(containers), **spec}}


A, B, C = ({"name": name, "image": name} for name in "abc")


@pytest.mark.parametrize(
    ("value", "patch", "expected"),
    [
        pytest.param(
            pod(A, B), pod({"name": "b", "image": "new"}), pod(A, {**B, "image": "new"}), id="item"
        ),
        pytest.param(pod(A), pod(B), pod(A, B), id="new-item"),
        pytest.param(pod(A, B), pod({"name": "a", "$patch": "delete"}), pod(B), id="delete-item"),
        pytest.param(pod(A, B), pod({"$patch": "replace"}, C), pod(C), id="replace-list"),
        pytest.param(
            pod(A),
            {
                "spec": {
                    "$setElementOrder/containers": [{"name": "b"}, {"name": "a"}],
                    **pod(B)["spec"],
                }
            },
            pod(B, A),
            id="order",
        ),
        pytest.param(
            pod(A, C, B),
            {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}},
            pod(C, B, A),
            id="order-keeps-others",
        ),
        pytest.param(
            pod({**A, "ports": [{"containerPort": 80}]}),
            pod({"name": "a", "ports": [{"containerPort": 443}]}),
            pod({**A, "ports": [{"containerPort": 80}, {"containerPort": 443}]}),
            id="nested-key",
        ),
        pytest.param(
            pod(A, tolerations=[{"key": "x"}]),
            {"spec": {"tolerations": [{"key": "y"}]}},
            pod(A, tolerations=[{"key": "y"}]),
            id="atomic-list",
        ),
        pytest.param(
            {"metadata": {"finalizers": ["a/x", "a/y"]}},
            {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/x"], "finalizers": ["a/z"]}},
            {"metadata": {"finalizers": ["a/y", "a/z"]}},
            id="primitives",
        ),
        pytest.param(
            {"metadata": {"labels": {"a": "1", "b": "2"}}},
            {"metadata": {"labels": {"$patch": "replace", "c": "3"}}},
            {"metadata": {"labels": {"c": "3"}}},
            id="replace-object",
        ),
        pytest.param(
            pod(A, volumes=[{"name": "v", "emptyDir": {}}]),
            {
                "spec": {
                    "volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {}}]
                }
            },
            pod(A, volumes=[{"name": "v", "hostPath": {}}]),
            id="retain-keys",
        ),
        pytest.param(
            {"status": {"conditions": [{"type": "Ready", "status": "False"}]}},
            {"status": {"conditions": [{"type": "Ready", "status": "True"}]}},
            {"status": {"conditions": [{"type": "Ready", "status": "True"}]}},
            id="conditions",
        ),
    ],
)
def test_strategic_merge(value: Any, patch: Any, expected: Any) -> None:
    before = copy.deepcopy(value)

    assert expected == strategic_merge(kind("Pod"), value, patch)
    assert before == value


def test_strategic_merge_needs_the_key() -> None:
    with pytest.raises(RefusedError, match="merge key: name"):
        strategic_merge(kind("Pod"), pod(A), pod({"image": "x"}))
    with pytest.raises(RefusedError, match=r"\$patch"):
        strategic_merge(kind("Pod"), pod(A), {"$patch": "spin"})
