"""World files are read document by document, and every field knows its line."""

from __future__ import annotations

from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chita.convert.documents import read_documents

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n"


def read(text: str) -> tuple[list[tuple[str, int, int]], list[str]]:
    """Return name, document and line of each object, and the problems as text."""
    documents = read_documents(text, file="w.yaml")
    entries = [(e.name, e.source.document, e.source.line) for e in documents.entries]
    return entries, [str(problem) for problem in documents.problems]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", [], id="empty"),
        pytest.param("# only a comment\n", [], id="comment"),
        pytest.param(POD, [("a", 1, 1)], id="one"),
        pytest.param(f"---\n{POD}", [("a", 1, 2)], id="leading-marker"),
        pytest.param(f"# c\n\n---\n{POD}", [("a", 2, 4)], id="comment-counts-as-kubectl-has-it"),
        pytest.param(f"{POD}---\n{POD}", [("a", 1, 1), ("a", 2, 5)], id="two"),
        pytest.param(f"{POD}---\n---\n{POD}", [("a", 1, 1), ("a", 3, 6)], id="empty-between"),
        pytest.param(f"{POD}--- # c\n{POD}", [("a", 1, 1), ("a", 2, 5)], id="comment-on-marker"),
        pytest.param('--- {"kind": "Pod", "metadata": {"name": "j"}}', [("j", 1, 1)], id="json"),
        pytest.param(f"%YAML 1.1\n---\n{POD}", [("a", 1, 3)], id="directive"),
        pytest.param(f"{POD}...\n---\n{POD}", [("a", 1, 1), ("a", 2, 6)], id="end-marker"),
        pytest.param(
            "kind: List\nitems:\n- {kind: Pod, metadata: {name: x}}\n"
            "- {kind: Pod, metadata: {name: y}}\n",
            [("x", 1, 3), ("y", 1, 4)],
            id="list",
        ),
        pytest.param(
            "kind: PodList\nitems: [{kind: Pod, metadata: {name: x}}]", [("x", 1, 2)], id="pod-list"
        ),
    ],
)
def test_objects(text: str, expected: list[tuple[str, int, int]]) -> None:
    """Documents count from 1; a line is where the object begins in the file."""
    assert (expected, []) == read(text)


@pytest.mark.parametrize(
    ("bad", "place", "words"),
    [
        pytest.param("kind: [", "w.yaml:7 (document 2)", "is not YAML", id="syntax"),
        pytest.param("kind: Pod\n  name: x", "w.yaml:7 (document 2)", "indentation", id="indent"),
        pytest.param("kind: Pod\n\tname: x", "w.yaml:7 (document 2)", "is not YAML", id="tab"),
        pytest.param("just text", "w.yaml:6 (document 2)", "is not an object", id="text"),
        pytest.param("- a\n- b", "w.yaml:6 (document 2)", "is not an object", id="list"),
        pytest.param("kind: *nowhere", "w.yaml:6 (document 2)", "undefined alias", id="alias"),
        pytest.param(
            "kind: Pod\nspec: {a: 1}\nspec: {b: 2}",
            "w.yaml:8 (document 2)",
            "spec: is written twice",
            id="field-twice",
        ),
        pytest.param("a: !!python/object:os.system x", "w.yaml:6", "could not determine", id="tag"),
    ],
)
def test_bad_document(bad: str, place: str, words: str) -> None:
    """A bad document is named with its place, and the ones around it are used."""
    entries, (problem,) = read(f"{POD}# x\n---\n{bad}\n---\n{POD}")

    assert [1, 3] == [number for _, number, _ in entries]
    assert place in problem
    assert words in problem


def test_lines() -> None:
    """A problem has the line of its field, or of the nearest parent that is written."""
    text = dedent(
        """\
        # a comment
        kind: NetworkPolicy
        metadata:
          name: web
        spec:
          ingress:
            - from: []
              ports:
                - port: 80
                - port: http
        """
    )
    (entry,) = read_documents(text, file="w").entries
    expected = {
        "kind": 2,
        "metadata.name": 4,
        "spec.ingress[0].ports[1].port": 10,
        "spec.ingress[0].ports[1].endPort": 10,
        "spec.ingress[0].ports[7]": 8,
        "spec.egress[0].to": 5,
        "status": 2,
    }

    assert expected == {field: entry.line_of(field) for field in expected}


def test_list_lines() -> None:
    """An item of a List has the lines of its own fields."""
    text = "kind: List\nitems:\n- kind: Pod\n  metadata:\n    name: x\n"
    (entry,) = read_documents(text, file="w").entries

    assert str(entry.problem("metadata.name", "is odd")) == (
        "w:5 (document 1): Pod x: metadata.name: is odd"
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("2024-01-02", "2024-01-02", id="date-is-text"),
        pytest.param("1000:59", "1000:59", id="not-base-60"),
        pytest.param("0x1F", 31, id="hexadecimal"),
        pytest.param("-12", -12, id="negative"),
        pytest.param("1.5", 1.5, id="fraction"),
        pytest.param("yes", True, id="yes-is-true"),
        pytest.param("~", None, id="null"),
    ],
)
def test_scalars(text: str, value: object) -> None:
    """Plain scalars mean what they mean to kubectl."""
    (entry,) = read_documents(f"kind: Pod\nvalue: {text}\n", file="w").entries

    assert value == entry.raw["value"]
    assert type(value) is type(entry.raw["value"])


def test_aliases() -> None:
    """An alias inside itself, and one repeated a million times over, end."""
    bomb = "a: &a [x, x]\n" + "".join(
        f"{name}: &{name} [{', '.join([f'*{prior}'] * 9)}]\n"
        for prior, name in zip("abcdefg", "bcdefgh", strict=True)
    )
    loop = "kind: Pod\nspec: &s\n  inner: *s\n"

    assert len(read_documents(bomb, file="w").entries) == 1
    assert len(read_documents(loop, file="w").entries) == 1


@given(st.text(alphabet="abk: -[]{}#&*!|>'\"\n\t%@`,\x07é", max_size=60))
def test_anything(text: str) -> None:
    """Whatever is between two good documents, they are read and nothing is raised."""
    documents = read_documents(f"{POD}---\n{text}\n---\n{POD}", file="w")

    assert [entry.name for entry in documents.entries if entry.raw.get("apiVersion")][:1] == ["a"]
    assert documents.entries[-1].name == "a"
