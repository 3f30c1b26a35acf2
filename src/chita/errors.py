"""The exception tree. Catch the narrowest class; wrap a library's error where it enters.

::

    ChitaError
    ├── InputError              what a user wrote cannot be read or means nothing (exit status 2)
    │   ├── ParseError          a text of one of our languages: selector, address, port range
    │   └── ConvertError        an API object that has no meaning in the model, with its field
    ├── NotFoundError           a named thing that does not exist
    ├── ConflictError           compare-and-swap lost, or a name already taken
    ├── ApiError                the API server refused or did not answer
    │   └── ExpiredError        the resource version is too old (HTTP 410): list again
    ├── KernelError             the kernel refused, with what was asked and its answer
    │   └── UnsupportedError    the kernel or machine lacks a feature, named
    ├── EngineError             an engine (wireguard-go, ...) is missing, died or answered nonsense
    │   └── UncertainError      a write to an engine got no answer: it may have happened, or may yet
    └── ExhaustedError          no free address, block or mesh address
"""

from __future__ import annotations


class ChitaError(Exception):
    """Anything Chita raises on purpose."""


class InputError(ChitaError):
    """What a user wrote cannot be read or means nothing; the message says how to mend it."""


class ParseError(InputError):
    """A text of one of our languages is malformed.

    Attributes:
        position: 0-based offset of the first character that does not fit, or None.
    """

    def __init__(self, message: str, *, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position


class ConvertError(InputError):
    """An API object has no meaning in the model.

    Attributes:
        field: path of the offending field in the object, such as ``spec.ingress[0].protocol``.
    """

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class NotFoundError(ChitaError):
    """A named thing does not exist."""


class ConflictError(ChitaError):
    """Somebody else wrote first: read again and retry, or give up."""


class ApiError(ChitaError):
    """The API server refused or did not answer.

    Attributes:
        status: the HTTP status, or 0 when there was no answer.
        reason: the Kubernetes ``Status.reason``, or a short word of our own.
    """

    def __init__(self, message: str, *, status: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class ExpiredError(ApiError):
    """The resource version is too old to watch from; list again (HTTP 410 Gone)."""


class KernelError(ChitaError):
    """The kernel refused: what failed, on what, its answer.

    Attributes:
        errno: the kernel's error number, or 0 when it is not one.
    """

    def __init__(self, message: str, *, errno: int = 0) -> None:
        super().__init__(message)
        self.errno = errno


class UnsupportedError(KernelError):
    """The kernel or the machine lacks a feature; the message names it and what it is used for."""


class EngineError(ChitaError):
    """An engine is missing, died or answered nonsense; the message names it and the mend."""


class UncertainError(EngineError):
    """A write got no answer: it may have happened, or may yet. Never repeat it; read first."""


class ExhaustedError(ChitaError):
    """Nothing free is left to hand out: an address, a block, a mesh address."""
