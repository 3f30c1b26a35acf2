"""The specification's error codes, and ours from 100 on."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from chita.errors import ChitaError


class ErrorCode(IntEnum):
    """SPEC 1.1 section 5; 1 to 99 are the specification's."""

    INCOMPATIBLE_VERSION = 1
    UNSUPPORTED_FIELD = 2
    UNKNOWN_CONTAINER = 3
    INVALID_ENVIRONMENT = 4
    IO_FAILURE = 5
    DECODING_FAILURE = 6
    INVALID_CONFIG = 7
    TRY_AGAIN_LATER = 11
    NOT_AVAILABLE = 50
    """STATUS: no ADD can be served."""
    LIMITED_CONNECTIVITY = 51
    """STATUS: nor may the pods that are there be well connected."""
    KERNEL = 100
    """The kernel refused; the message has its answer."""
    INVALID_ANNOTATION = 101
    """An annotation of the pod or its namespace can't be read."""
    NOT_AS_ADDED = 102
    """CHECK: what ADD made is not there any more, or differs."""


class CniError(ChitaError):
    """An answer other than success.

    Attributes:
        code: which kind; what the runtime does next depends on it.
    """

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def error_json(error: CniError, version: str) -> bytes:
    """Return the specification's error object, on one line."""
    return msgspec.json.encode(
        {"cniVersion": version, "code": int(error.code), "msg": f"chita: {error}"}
    )
