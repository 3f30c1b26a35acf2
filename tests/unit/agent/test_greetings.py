"""A greeting is believed only from who receives what is sent to the address it bears."""

from __future__ import annotations

import msgspec

from chita.agent.greetings import NOBODY, Greetings
from chita.fabric.questions import Stance


def test_two_know_each_other_after_three_greetings() -> None:
    a, b = Greetings(), Greetings()
    first = b.take("a", a.make("b", Stance.HOLD, 1.0))
    second = a.take("b", b.make("a", Stance.NONE, 0.0))
    third = b.take("a", a.make("b", Stance.HOLD, 1.0))
    fourth = a.take("b", b.make("a", Stance.HOLD, 0.0))

    assert (first.is_believed, first.needs_answer) == (False, True)
    assert (second.is_believed, second.needs_answer) == (True, True)
    assert (third.is_believed, third.needs_answer) == (True, False)
    assert (fourth.is_believed, fourth.needs_answer) == (True, False)


def test_who_does_not_hear_our_number_is_not_believed() -> None:
    """Another node writes a's address into its greetings, and guesses."""
    a, b, forger = Greetings(), Greetings(), Greetings()
    for _ in range(2):
        b.take("a", a.make("b", Stance.HOLD, 1.0))
        a.take("b", b.make("a", Stance.HOLD, 1.0))
    forged = forger.make("b", Stance.NONE, 0.0)

    assert forged.heard == NOBODY
    assert not b.take("a", forged).is_believed
    assert not b.take("a", msgspec.structs.replace(forged, heard=forged.number)).is_believed
