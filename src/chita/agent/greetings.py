"""Greetings that prove who sent them: each end repeats the number that the other gave it."""

from __future__ import annotations

import os

import msgspec

from chita.fabric.questions import Greeting, Stance

NOBODY = bytes(8)


class _Acquaintance:
    __slots__ = ("heard", "number")

    def __init__(self) -> None:
        self.number = os.urandom(8)
        self.heard = NOBODY


class Taken(msgspec.Struct, frozen=True):
    """What a greeting that came is worth."""

    is_believed: bool
    """Its sender receives what is sent to that node."""
    needs_answer: bool
    """The other end does not know our number, or not for certain that we know its own."""


class Greetings:
    """What this agent and each other have told each other of their numbers, while both run."""

    def __init__(self) -> None:
        self._known: dict[str, _Acquaintance] = {}

    def take(self, node: str, greeting: Greeting) -> Taken:
        """Return what *greeting*, which came from the address of *node*, is worth."""
        known = self._known.setdefault(node, _Acquaintance())
        is_news = known.heard != greeting.number
        known.heard = greeting.number
        is_believed = greeting.heard == known.number
        return Taken(is_believed, is_news or not is_believed)

    def make(self, node: str, stance: Stance, sent_bytes_s: float) -> Greeting:
        """Return what to tell *node*."""
        known = self._known.setdefault(node, _Acquaintance())
        return Greeting(
            number=known.number,
            heard=known.heard,
            stance=stance,
            sent_bytes_s=int(sent_bytes_s),
        )
