"""What the agent does once about its memory: after the first sync most of what it holds stays.

Python's collector walks all that lives on every full collection, 200 ms with the objects of 10,000
pods: in the middle of a change. Frozen, they are never walked again (``gc.freeze``), and what comes
later is young and quickly walked. The C library keeps what the first listing needed for a moment;
``malloc_trim(3)`` gives it back.
"""

from __future__ import annotations

import ctypes
import gc


def settle() -> None:
    """Collect, freeze what is left, and give freed memory back to the kernel."""
    gc.collect()
    gc.freeze()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # not in musl
    if trim is not None:
        trim(0)
