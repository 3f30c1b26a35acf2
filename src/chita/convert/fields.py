"""API objects as they arrive: maps of anything, read field by field, each with its path.

An object comes from a file or over the wire, and not every server checks it before. A `Field`
knows where in the object it stands, so that whatever is wrong with it is reported with the path a
user can find, such as ``spec.ingress[0].from[1].ipBlock.cidr``.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from sys import intern
from typing import Any, TypeVar

from chita.errors import ConvertError, ParseError
from chita.model.names import is_unicode
from chita.model.net import Address, Cidr
from chita.model.selector import Selector, parse_selector

T = TypeVar("T")


class Field:
    """A value of an API object and its path. ``null`` and absent are the same (API conventions)."""

    __slots__ = ("_step", "_within", "value")

    def __init__(self, value: Any, path: str = "", within: Field | None = None) -> None:
        self.value = value
        self._step = path
        self._within = within

    def __getitem__(self, name: str) -> Field:
        """Return the field *name* of this map; unset when this is."""
        return Field(self.map().get(name), name, self)

    @property
    def path(self) -> str:
        """Where in its object it stands; put together when something is wrong, which is rare."""
        before = self._within.path if self._within is not None else ""
        dot = "." if before and not self._step.startswith("[") else ""
        return f"{before}{dot}{self._step}"

    @property
    def is_set(self) -> bool:
        """Whether it is there and not ``null``."""
        return self.value is not None

    def error(self, message: str) -> ConvertError:
        """Return the error that says *message* of this field."""
        return ConvertError(message, field=self.path or "object")

    def map(self) -> Mapping[str, Any]:
        """Return it as a map; empty when unset."""
        value = self.value
        if type(value) is dict:  # nearly always, and six times faster than asking for Mapping
            return value
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise self.error(f"must be a map, not {_shown(value)}")
        return value

    def only(self, *known: str) -> None:
        """Raise unless the fields of this map are all *known*.

        For policies: a restriction under a name nobody knows, if ignored, would widen the rule.
        """
        unknown = sorted(self.map().keys() - set(known))
        if unknown:
            near = difflib.get_close_matches(unknown[0], known, n=1)
            mend = f"write {near[0]}" if near else f"known are {', '.join(sorted(known))}"
            raise self[unknown[0]].error(f"is not a field here; {mend}")

    def items(self) -> Iterator[Field]:
        """Yield the elements of a list; none when unset."""
        if self.value is None:
            return
        if not isinstance(self.value, list):
            raise self.error(f"must be a list, not {_shown(self.value)}")
        for index, value in enumerate(self.value):
            yield Field(value, f"[{index}]", self)

    def text(self, default: str = "") -> str:
        """Return it as text, or *default* when unset."""
        if self.value is None:
            return default
        if not isinstance(self.value, str):
            raise self.error(f"must be text in quotes, not {_shown(self.value)}")
        if not (self.value.isascii() or is_unicode(self.value)):
            raise self.error("must be text that UTF-8 can hold")
        return self.value

    def required(self) -> str:
        """Return it as text that is set and not empty."""
        text = self.text()
        if not text:
            raise self.error("must be set")
        return text

    def texts(self) -> tuple[str, ...]:
        """Return a list of texts; empty when unset."""
        return tuple([item.text() for item in self.items()])

    def texts_by_key(self) -> dict[str, str]:
        """Return a map of texts, such as labels; empty when unset.

        A null in it is the empty text, as it is to Kubernetes.
        """
        texts: dict[str, str] = {}
        for key, value in self.map().items():
            if not isinstance(value, str) and value is not None:
                path = f"{self.path}[{key}]"
                raise ConvertError(f"must be text in quotes, not {_shown(value)}", field=path)
            if value and not (value.isascii() or is_unicode(value)):
                raise ConvertError("must be text that UTF-8 can hold", field=f"{self.path}.{key}")
            # Interned: a large cluster has the same labels ten thousand times.
            texts[intern(key)] = intern(value or "")
        return texts

    def integer(self, default: int, *, low: int, high: int) -> int:
        """Return it as a whole number from *low* to *high*, or *default* when unset."""
        value = self.value
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.error(f"must be a whole number from {low} to {high}, not {_shown(value)}")
        return value

    def number(self) -> float | None:
        """Return it as a number; None when unset."""
        value = self.value
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(f"must be a number, not {_shown(value)}")
        return float(value)

    def flag(self, *, default: bool = False) -> bool:
        """Return it as true or false, or *default* when unset."""
        if self.value is None:
            return default
        if not isinstance(self.value, bool):
            raise self.error(f"must be true or false, not {_shown(self.value)}")
        return self.value

    def one_of(self, choices: Mapping[str, T] | type[T], default: T | None = None) -> T:
        """Return what its text stands for among *choices*: a map, or an enum of texts."""
        if self.value is None and default is not None:
            return default
        by_text: dict[str, T]
        if isinstance(choices, type):
            by_text = {str(choice): choice for choice in choices}  # type: ignore[attr-defined] # an enum
        else:
            by_text = dict(choices)
        text = self.text()
        if text not in by_text:
            listed = ", ".join(by_text)
            raise self.error(f"must be one of {listed}, not {_shown(self.value)}")
        return by_text[text]

    def parsed(self, parse: Callable[[Any], T]) -> T:
        """Return what *parse* makes of the value; its `ParseError` gets this field's path."""
        try:
            return parse(self.value)
        except ParseError as error:
            raise self.error(str(error)) from error

    def address(self) -> Address:
        """Return it as an address."""
        self.required()
        return self.parsed(Address.parse)

    def cidr(self) -> Cidr:
        """Return it as a network whose host bits are zero; a bare address is its /32 or /128."""
        self.required()
        return self.parsed(Cidr.parse)

    def network_text(self) -> str:
        """Return its text, which must be a network with prefix length, host bits or not."""
        text = self.required()
        self.parsed(Cidr.parse_loose)
        if "/" not in text:
            bits = 128 if ":" in text else 32
            raise self.error(f"'{text}' has no prefix length; write {text}/{bits}")
        return text

    def selector(self) -> Selector | None:
        """Return it as a selector; None when unset or empty."""
        if not self.text():
            return None
        return self.parsed(parse_selector)


class Metadata:
    """The ``metadata`` of an object: who it is."""

    __slots__ = ("annotations", "labels", "name", "namespace")

    def __init__(self, obj: Field) -> None:
        metadata = obj["metadata"]
        self.name = metadata["name"].required()
        self.namespace = intern(metadata["namespace"].text())
        self.labels = metadata["labels"].texts_by_key()
        self.annotations = metadata["annotations"].texts_by_key()

    @property
    def in_namespace(self) -> str:
        """The namespace of a namespaced object; ``default`` when it names none, as kubectl does."""
        return self.namespace or "default"


def _shown(value: Any) -> str:
    match value:
        case str():
            return f"'{value}'"
        case bool():
            return "true" if value else "false"
        case None:
            return "null"
        case list():
            return "a list"
        case Mapping():
            return "a map"
        case _:
            return str(value)
