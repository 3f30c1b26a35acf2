"""Label and field selectors of list and watch requests, in Kubernetes' query syntax.

These are not Calico selectors (`chita.model.selector`): ``a=b,c!=d,e in (f,g),h notin (i),j,!k``
for labels, ``path=value,path!=value`` for fields (k8s.io/apimachinery/pkg/{labels,fields}).
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Any

import msgspec

from chita.model.names import label_key_problem
from chita.server import status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chita.model.kinds import Kind
    from chita.store.store import Object

REQUIREMENT = re.compile(
    r"\s*(?:"
    r"(?P<absent>!)\s*(?P<absent_key>[^\s,=!()]+)"
    r"|(?P<key>[^\s,=!()]+)(?:"
    r"\s*(?P<equality>==|=|!=)\s*(?P<value>[^\s,=!()]*)"
    r"|\s+(?P<set>in|notin)\s*\((?P<values>[^()]*)\)"
    r")?)\s*(?:,|$)"
)


class Operator(Enum):
    """How a requirement reads its values."""

    IN = "in"  # present and one of the values
    NOT_IN = "notin"  # absent, or none of the values
    EXISTS = "exists"
    ABSENT = "absent"


class Requirement(msgspec.Struct, frozen=True):
    """One condition; *key* is a label, or the dotted path of a field."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def holds(self, value: str | None) -> bool:
        """Whether the condition holds for *value*, None when the label is absent."""
        match self.operator:
            case Operator.IN:
                return value is not None and value in self.values
            case Operator.NOT_IN:
                return value is None or value not in self.values
            case Operator.EXISTS:
                return value is not None
            case Operator.ABSENT:
                return value is None


class Filter(msgspec.Struct, frozen=True):
    """What a request selects: all of its conditions hold."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[Requirement, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether everything matches."""
        return not self.labels and not self.fields

    def matches(self, value: Object) -> bool:
        """Whether an object is selected."""
        labels = value["metadata"].get("labels") or {}
        return all(r.holds(labels.get(r.key)) for r in self.labels) and all(
            r.holds(_field(value, r.key)) for r in self.fields
        )

    @property
    def name(self) -> str:
        """The only name that can match, or empty."""
        for requirement in self.fields:
            if requirement.key == "metadata.name" and requirement.operator is Operator.IN:
                return next(iter(requirement.values))
        return ""


def parse_filter(kind: Kind, labels: str, fields: str) -> Filter:
    """Parse both selectors of a request.

    Raises:
        RefusedError: 400 for a malformed one, or a field that *kind* can't be selected by.
    """
    return Filter(tuple(_labels(labels)), tuple(_fields(kind, fields)))


def _labels(text: str) -> Iterator[Requirement]:
    position = 0
    while position < len(text):
        match = REQUIREMENT.match(text, position)
        if match is None or match.end() == position:
            raise status.bad_request(
                f"unable to parse requirement: labelSelector {text!r} at {text[position:]!r}"
            )
        position = match.end()
        key = match["absent_key"] or match["key"]
        if label_key_problem(key):
            raise status.bad_request(f"labelSelector {text!r}: {key!r} is no label key")
        if match["absent"]:
            yield Requirement(key, Operator.ABSENT)
        elif match["equality"]:
            is_not = match["equality"] == "!="
            operator = Operator.NOT_IN if is_not else Operator.IN
            yield Requirement(key, operator, frozenset({match["value"]}))
        elif match["set"]:
            values = frozenset(value.strip() for value in match["values"].split(","))
            yield Requirement(key, Operator.IN if match["set"] == "in" else Operator.NOT_IN, values)
        else:
            yield Requirement(key, Operator.EXISTS)


def _fields(kind: Kind, text: str) -> Iterator[Requirement]:
    allowed = {"metadata.name", "metadata.namespace", *kind.fields}
    for term in filter(None, re.split(r"(?<!\\),", text)):
        match = re.fullmatch(r"([^=!]+)(==|=|!=)(.*)", term)
        if match is None:
            raise status.bad_request(f"invalid selector: {text!r}; can't understand {term!r}")
        key, operator, value = match.groups()
        if key not in allowed:
            raise status.bad_request(
                f'"{key}" is not a known field selector: only {", ".join(sorted(allowed))}'
            )
        value = re.sub(r"\\([\\,=])", r"\1", value)
        yield Requirement(
            key, Operator.NOT_IN if operator == "!=" else Operator.IN, frozenset({value})
        )


def _field(value: Object, path: str) -> str:
    """Return a field as text; an absent one is empty, as Kubernetes has it."""
    found: Any = value
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    match found:
        case None:
            return ""
        case bool():
            return "true" if found else "false"
        case _:
            return str(found)
