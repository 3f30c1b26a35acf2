"""The text of the selector language to its tree (``libcalico-go/lib/selector`` of Calico v3).

::

    selector   = [ or ]                                   empty: all()
    or         = and { "||" and }
    and        = operand { "&&" operand }
    operand    = { "!" } ( "(" or ")" | "all()" | "global()" | "has(" label ")" | comparison )
    comparison = label ( "==" | "!=" | "contains" | "starts with" | "ends with" ) string
               | label ( "in" | "not in" ) "{" [ string { "," string } [ "," ] ] "}"
    label      = 1 to 512 of A-Z a-z 0-9 _ . / -
    string     = "'" any but "'" "'" | '"' any but '"' '"'          there are no escapes

White space is space and tab. Words such as ``contains`` are operators only after a label, so they
are labels where an operand is due. The space inside the operators of two words may be missing or
long (``startswith``, ``not   in``); ``has(``, ``all(`` and ``global(`` have none.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from chita.errors import ParseError
from chita.model.selector_ast import (
    All,
    And,
    Contains,
    Differs,
    EndsWith,
    Equals,
    Global,
    Has,
    In,
    Not,
    NotIn,
    Or,
    Selector,
    StartsWith,
)

MAX_LABEL_LENGTH: Final = 512

MAX_DEPTH: Final = 350
"""Levels of a tree: what reads one recursively then stays within Python's stack.

A selector of 1,024 characters, the most that the API takes, has at most 340: ``!(!(!(all())))``.
"""

_SPACE = re.compile(r"[ \t]*")
_LABEL = re.compile(r"[A-Za-z0-9_./-]+")
_STRING = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_CALL = re.compile(r"(all|global|has)\(")
_OPERATOR = re.compile(r"==|!=|contains|starts[ \t]*with|ends[ \t]*with|not[ \t]*in|in")

_HALF_OPERATOR = re.compile(r"(?:=(?!=)|&(?!&)|\|(?!\|))")

_COMPARISONS: dict[str, type[Equals | Differs | Contains | StartsWith | EndsWith]] = {
    "==": Equals,
    "!=": Differs,
    "contains": Contains,
    "startswith": StartsWith,
    "endswith": EndsWith,
}
_MEMBERSHIPS: dict[str, type[In | NotIn]] = {"in": In, "notin": NotIn}


@lru_cache(maxsize=8192)
def parse_selector(text: str) -> Selector:
    """Return the tree of *text*; one tree for all who write the same.

    Raises:
        ParseError: *text* is malformed; its ``position`` is where, for `point_at`.
    """
    reader = _Reader(text)
    if reader.at_end:
        return All()
    return _parse_or(reader)


def point_at(text: str, position: int) -> str:
    """Return *text* and below it a caret at *position*, for a terminal."""
    # A tab is as wide in the line of the caret as in the one above; so is a pasted line break.
    above = re.sub(r"[\r\n]", " ", text)
    return above + "\n" + re.sub(r"[^\t]", " ", above[:position]) + "^"


class _Group:
    """An open parenthesis, or the whole text: what has been read of it."""

    def __init__(self, start: int, *, negated: bool) -> None:
        self.start = start
        self.negated = negated
        self.depth = 0
        """Levels below this group's own operators."""
        self._alternatives: list[Selector] = []
        self._conjuncts: list[Selector] = []

    def add(self, operand: Selector, depth: int) -> None:
        self._conjuncts.append(operand)
        self.depth = max(self.depth, depth)

    def end_conjunction(self) -> None:
        only = len(self._conjuncts) == 1
        self._alternatives.append(self._conjuncts[0] if only else And(tuple(self._conjuncts)))
        self._conjuncts = []

    def close(self) -> tuple[Selector, int]:
        """Return what the group is, and its levels.

        A negation of a negation in parentheses stays one, as upstream keeps and prints it.
        """
        self.end_conjunction()
        only = len(self._alternatives) == 1
        whole = self._alternatives[0] if only else Or(tuple(self._alternatives))
        depth = self.depth + isinstance(whole, Or) + self.negated
        # Of several alternatives, each may be a conjunction of its own.
        depth += any(isinstance(alternative, And) for alternative in self._alternatives)
        return (Not(whole) if self.negated else whole), depth


def _parse_or(reader: _Reader) -> Selector:
    """Parse to the end; a stack of our own, so that no text can exhaust Python's."""
    groups = [_Group(0, negated=False)]
    while True:
        negated = reader.read_negations()
        start = reader.position
        if reader.accept("("):
            groups.append(_Group(start, negated=negated))
            continue
        operand = reader.read_operand()
        groups[-1].add(Not(operand) if negated else operand, depth=1 + negated)
        while reader.accept(")"):
            if len(groups) == 1:
                raise ParseError("')' closes nothing", position=reader.position - 1)
            opened = groups[-1].start
            closed, depth = groups.pop().close()
            if depth > MAX_DEPTH:
                raise ParseError(
                    f"this parenthesis has more than {MAX_DEPTH} levels", position=opened
                )
            groups[-1].add(closed, depth)
        if reader.accept("||"):
            groups[-1].end_conjunction()
        elif not reader.accept("&&"):
            reader.expect_end(groups[-1].start if len(groups) > 1 else None)
            return groups[0].close()[0]


class _Reader:
    """A text and how far it is read; `position` never stands on white space."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self._skip_space()

    @property
    def at_end(self) -> bool:
        return self.position == len(self.text)

    def accept(self, token: str) -> bool:
        """Read *token* if it is next."""
        if not self.text.startswith(token, self.position):
            return False
        self._advance(self.position + len(token))
        return True

    def read_negations(self) -> bool:
        """Read all ``!`` that are next; whether their number is odd."""
        negated = False
        while self.accept("!"):
            negated = not negated
        return negated

    def expect_end(self, open_parenthesis: int | None) -> None:
        if not self.at_end:
            raise self._unexpected("'&&', '||', ')' or the end")
        if open_parenthesis is not None:
            raise ParseError(
                f"the '(' at {open_parenthesis + 1} is not closed: expected ')'",
                position=self.position,
            )

    def read_operand(self) -> Selector:
        if call := _CALL.match(self.text, self.position):
            self._advance(call.end())
            return self._read_call(call[1])
        label = self._read_label("a label, has(label), all(), '!' or '('")
        operator = _OPERATOR.match(self.text, self.position)
        if operator is None:
            raise self._unexpected(
                f"an operator after the label '{label}': ==, !=, in, not in, contains, starts with "
                "or ends with; has(...) asks whether a label is there",
            )
        self._advance(operator.end())
        word = re.sub(r"[ \t]", "", operator[0])
        if word in _MEMBERSHIPS:
            return _MEMBERSHIPS[word](label, self._read_set())
        return _COMPARISONS[word](label, self._read_string())

    def _read_call(self, name: str) -> Selector:
        label = self._read_label("a label name in has(...)") if name == "has" else ""
        if not self.accept(")"):
            raise self._unexpected(f"')' after {name}({label}")
        match name:
            case "has":
                return Has(label)
            case "all":
                return All()
            case _:
                return Global()

    def _read_label(self, expected: str) -> str:
        label = _LABEL.match(self.text, self.position)
        if label is None:
            raise self._unexpected(expected)
        if len(label[0]) > MAX_LABEL_LENGTH:
            raise ParseError(
                f"a label name has at most {MAX_LABEL_LENGTH} characters, this one {len(label[0])}",
                position=self.position,
            )
        self._advance(label.end())
        return label[0]

    def _read_string(self) -> str:
        string = _STRING.match(self.text, self.position)
        if string is None:
            if self.text.startswith(("'", '"'), self.position):
                raise ParseError("the string is not terminated", position=self.position)
            raise self._unexpected("a string in quotes")
        self._advance(string.end())
        return string[1] if string[1] is not None else string[2]

    def _read_set(self) -> frozenset[str]:
        if not self.accept("{"):
            raise self._unexpected('a set such as {"a", "b"}')
        values: set[str] = set()
        while not self.accept("}"):
            if not self.text.startswith(("'", '"'), self.position):
                raise self._unexpected("a string in quotes or '}'")
            values.add(self._read_string())
            if not self.accept(",") and not self.text.startswith("}", self.position):
                raise self._unexpected("',' or '}'")
        return frozenset(values)

    def _advance(self, position: int) -> None:
        self.position = position
        self._skip_space()

    def _skip_space(self) -> None:
        space = _SPACE.match(self.text, self.position)
        assert space is not None
        self.position = space.end()

    def _unexpected(self, expected: str) -> ParseError:
        single = _HALF_OPERATOR.match(self.text, self.position)
        if self.at_end:
            found = "the end"
        elif single is not None:
            message = f"'{single[0]}' is not an operator; write {single[0] * 2}"
            return ParseError(message, position=self.position)
        elif self.text[self.position] in "\r\n":
            found = "a line break (write the selector on one line)"
        else:
            label = _LABEL.match(self.text, self.position)
            found = f"'{label[0] if label else self.text[self.position]}'"
        return ParseError(f"expected {expected}, found {found}", position=self.position)
