"""World files as text to API objects that remember where each field was written.

Kept apart from what the objects mean: the same reader serves `chita validate`, `explain` and the
lab, so that all of them name the same file, document and line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import yaml

Object = dict[str, Any]
"""An API object as JSON has it."""


class Source(msgspec.Struct, frozen=True):
    """Where an object was written: *document* and *line* count from 1."""

    file: str
    document: int
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line} (document {self.document})"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One API object of a world."""

    raw: Object
    source: Source
    lines: dict[str, int] = {}
    """The line of each field, by path: ``spec.ingress[0].ports``."""

    @property
    def kind(self) -> str:
        """Its kind."""
        return str(self.raw.get("kind", ""))

    @property
    def api_version(self) -> str:
        """Its API version, with the group."""
        return str(self.raw.get("apiVersion", ""))

    @property
    def name(self) -> str:
        """Its name."""
        metadata = self.raw.get("metadata")
        return str(metadata.get("name", "")) if isinstance(metadata, dict) else ""

    @property
    def namespace(self) -> str:
        """Its namespace as written, empty where none is."""
        metadata = self.raw.get("metadata")
        return str(metadata.get("namespace") or "") if isinstance(metadata, dict) else ""

    def line_of(self, field: str) -> int:
        """Return the line of *field*, or of the nearest parent that is written."""
        while field:
            if field in self.lines:
                return self.lines[field]
            field = re.sub(r"(\.[^.\[]*|\[[^\[]*\]|^[^.\[]*)$", "", field)
        return self.source.line

    def problem(self, field: str, message: str) -> WorldProblem:
        """Return what is wrong with *field* of this object."""
        return WorldProblem(
            source=Source(self.source.file, self.source.document, self.line_of(field)),
            kind=self.kind,
            namespace=self.namespace,
            name=self.name,
            field=field,
            message=message,
        )


class WorldProblem(msgspec.Struct, frozen=True, kw_only=True):
    """Why one document, or one field of it, is refused. The others are used."""

    source: Source
    kind: str = ""
    namespace: str = ""
    name: str = ""
    field: str = ""
    message: str
    """What is wrong and what to write."""

    def __str__(self) -> str:
        name = f"{self.namespace}/{self.name}" if self.namespace else self.name
        parts = [str(self.source), " ".join(part for part in (self.kind, name) if part), self.field]
        return ": ".join([*(part for part in parts if part), self.message])


class Documents(msgspec.Struct, frozen=True):
    """What a file holds."""

    entries: tuple[Entry, ...]
    problems: tuple[WorldProblem, ...]


def read_documents(text: str, *, file: str) -> Documents:
    """Return the API objects of *text*, YAML or JSON, and what could not be read.

    The stream is cut at its ``---`` lines first (YAML 1.2.2 section 9.2: a line that starts so is
    always a document marker), because a parser that fails in one document can't find the next.
    Documents that hold nothing are counted, as kubectl counts them, and dropped. ``List`` objects
    become their items.
    """
    entries: list[Entry] = []
    problems: list[WorldProblem] = []
    for number, (first_line, chunk) in enumerate(_cut(text), start=1):
        source = Source(file, number, first_line)
        try:
            loader = _Loader(chunk)
            node = loader.get_single_node()
            raw = loader.construct_document(node) if node else None
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            problems.append(_syntax_problem(error, source))
            continue
        if node is None or raw is None:
            continue
        lines: dict[str, int] = {}
        duplicates: list[str] = []
        for field, line in _fields(node, "", set()):
            if field in lines:
                duplicates.append(field)
            lines[field] = first_line + line
        source = Source(file, number, first_line + node.start_mark.line)
        if not isinstance(raw, dict):
            message = (
                "is not an object; write apiVersion, kind and metadata, or remove the document"
            )
            problems.append(WorldProblem(source=source, message=message))
            continue
        entry = Entry(raw=raw, source=source, lines=lines)
        # Kubernetes refuses a repeated field (strict decoding): the last one would win silently,
        # and that may be the wider of two rules.
        repeated = [
            entry.problem(field, "is written twice; keep one of the two") for field in duplicates
        ]
        problems += repeated
        if not repeated:
            entries += _items(entry)
    return Documents(tuple(entries), tuple(problems))


def _cut(text: str) -> Iterator[tuple[int, str]]:
    """Yield each document with the number of its first line."""
    start, chunk = 1, list[str]()
    seen = False
    for number, line in enumerate(text.splitlines(keepends=True), start=1):
        if re.match(r"---(\s|$)", line):
            if seen or "".join(chunk).strip():
                yield start, "".join(chunk)
            seen = True
            # What follows the marker on its line belongs to the document; keep the columns.
            start, chunk = number, ["   " + line[3:]]
        elif not line.startswith("%"):
            chunk.append(line)
    yield start, "".join(chunk)


def _fields(node: yaml.Node, path: str, seen: set[int]) -> Iterator[tuple[str, int]]:
    """Yield the path and the line, from 0, of every field below *node*.

    *seen* holds the nodes already walked: an alias is one node in many places, even inside itself.
    """
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            field = f"{path}.{key.value}" if path else str(key.value)
            yield field, key.start_mark.line
            yield from _fields(value, field, seen)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            field = f"{path}[{index}]"
            yield field, value.start_mark.line
            yield from _fields(value, field, seen)


def _items(entry: Entry) -> list[Entry]:
    """Return *entry*, or its items when it is a ``List`` (``kubectl get -o yaml`` writes one)."""
    items = entry.raw.get("items")
    if not entry.kind.endswith("List") or not isinstance(items, list):
        return [entry]
    lines_of: dict[str, dict[str, int]] = {}
    for field, line in entry.lines.items():
        path, dot, rest = field.partition(".")
        if dot:
            lines_of.setdefault(path, {})[rest] = line
    found: list[Entry] = []
    for index, item in enumerate(items):
        path = f"items[{index}]"
        lines = lines_of.get(path, {})
        source = Source(entry.source.file, entry.source.document, entry.line_of(path))
        raw = item if isinstance(item, dict) else {}
        found += _items(Entry(raw=raw, source=source, lines=lines))
    return found


def _syntax_problem(error: Exception, source: Source) -> WorldProblem:
    """Return what the YAML parser says, with the line in the whole file."""
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        line = source.line + (mark.line if mark else 0)
        context = f"{error.context}, " if error.context else ""
        return WorldProblem(
            source=Source(source.file, source.document, line),
            message=f"is not YAML: {context}{error.problem}; check indentation and quotes there",
        )
    return WorldProblem(source=source, message=f"is not YAML: {error}")


class _Loader(yaml.CSafeLoader):
    """YAML as Kubernetes reads it: dates are text, and ``1000:59`` is not 60,059.

    YAML 1.1, PyYAML's language, has time stamps and numbers to base 60; JSON, which API objects
    are, has neither (sigs.k8s.io/yaml).
    """


_Loader.yaml_implicit_resolvers = {
    first: [rule for rule in resolvers if not rule[0].endswith((":timestamp", ":int"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"^(?:[-+]?0b[01_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+)$"),
    list("-+0123456789"),
)
