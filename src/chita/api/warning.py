"""The warnings of an answer: what its server wants the user to know of what was written.

Source: RFC 7234 section 5.5; Kubernetes KEP-1693 sends code 299, whatever else there is is about
caches and nobody's business here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_WARNING = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")


def texts(values: Iterable[str]) -> list[str]:
    """Return the texts of ``Warning`` headers; one header may have several."""
    return [_ESCAPED.sub(r"\1", found[1]) for value in values for found in _WARNING.finditer(value)]
