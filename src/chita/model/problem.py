"""What is wrong with a field of an API object: the form in which validation answers."""

from __future__ import annotations

import msgspec


class Problem(msgspec.Struct, frozen=True):
    """One reason why an object is refused.

    *field* is the path in the object, such as ``spec.ingress[0].source.nets[1]``, empty for the
    object itself; *message* names the value, the rule and the mend.
    """

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message
