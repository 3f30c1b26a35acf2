"""What an answer other than success, or none at all, means: one of our errors."""

from __future__ import annotations

from typing import Any

import aiohttp
import msgspec

from chita.errors import ApiError, ConflictError, ExpiredError, NotFoundError

UNTRUSTED = "Untrusted"
"""Reason of an ApiError: the server's certificate is not of our CA; waiting mends nothing."""


def no_answer(what: str, error: Exception) -> ApiError:
    """Return the error of a request that the server did not answer, with what would mend it."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return ApiError(
            f"{what}: {error.host}:{error.port} is not trusted: {error.certificate_error}; "
            "use the CA certificate of this server",
            reason=UNTRUSTED,
        )
    return ApiError(f"{what}: no answer: {error!r}", reason="Disconnected")


def refusal(what: str, status: int, content: bytes) -> Exception:
    """Return the error that a Kubernetes Status (or whatever came instead) stands for."""
    try:
        answer = msgspec.json.decode(content, type=dict[str, Any])
    except msgspec.DecodeError:
        answer = {}
    reason = str(answer.get("reason", ""))
    message = str(answer.get("message") or content[:200].decode(errors="replace"))
    text = f"{what}: {status} {message}"
    if status == 404:
        return NotFoundError(text)
    if status == 409:
        return ConflictError(text)
    if status == 410:
        return ExpiredError(text, status=status, reason=reason)
    return ApiError(text, status=status, reason=reason)
