"""Memory at the start: rare walks while it fills, and the usual ones afterwards."""

from __future__ import annotations

import gc

from chita.agent import memory


def test_the_usual_collections_are_back_when_the_start_is_over() -> None:
    """What lives by then is never walked again; what comes later is collected as ever."""
    usual = gc.get_threshold()
    try:
        memory.fill()
        assert gc.get_threshold()[0] > usual[0]

        memory.settle()

        assert usual == gc.get_threshold()
        assert gc.get_freeze_count()
    finally:
        gc.unfreeze()
        gc.set_threshold(*usual)
