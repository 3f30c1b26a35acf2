"""What the agent does about its memory when it starts: most of what it makes until then stays.

Python's collector walks all that lives on every full collection, 200 ms with the objects of 10,000
pods: in the middle of a change. Frozen, they are never walked again (``gc.freeze``), and what comes
later is young and quickly walked. Until then walks find nothing and take a fifth of the start, so
they are rare. The C library keeps what the first listing needed for a moment;
``malloc_trim(3)`` gives it back.
"""

from __future__ import annotations

import ctypes
import gc

_STARTING = (50_000, 10, 10)
_RUNNING = gc.get_threshold()


def fill() -> None:
    """Collect rarely until `settle`."""
    gc.set_threshold(*_STARTING)


def settle() -> None:
    """Collect, freeze what is left, and give freed memory back to the kernel."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_RUNNING)
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # not in musl
    if trim is not None:
        trim(0)
