"""Refusals in Kubernetes' words: the ``Status`` object that every error answer is.

Reasons and messages follow k8s.io/apimachinery/pkg/api/errors, which clients match on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chita.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chita.model.kinds import Kind
    from chita.model.problem import Problem


class RefusedError(ApiError):
    """A request that is answered with a ``Status`` of failure.

    Attributes:
        details: the Status' ``details``: name, group, kind, causes.
    """

    def __init__(
        self, message: str, *, status: int, reason: str, details: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message, status=status, reason=reason)
        self.details = details or {}


def status_of(error: ApiError) -> dict[str, Any]:
    """Return the ``Status`` object of *error*."""
    details = error.details if isinstance(error, RefusedError) else {}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": str(error),
        "reason": error.reason,
        **({"details": details} if details else {}),
        "code": error.status,
    }


def success(kind: Kind, name: str, uid: str) -> dict[str, Any]:
    """Return the ``Status`` that answers a finished deletion."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {"name": name, "group": kind.group, "kind": kind.plural, "uid": uid},
    }


def _details(kind: Kind, name: str) -> dict[str, Any]:
    return {"name": name, "group": kind.group, "kind": kind.plural}


def not_found(kind: Kind, name: str) -> RefusedError:
    """404: no such object."""
    return RefusedError(
        f'{kind.resource} "{name}" not found',
        status=404,
        reason="NotFound",
        details=_details(kind, name),
    )


def no_such_path(path: str) -> RefusedError:
    """404: no such URL, so no such kind."""
    return RefusedError(
        f"the server could not find the requested resource ({path})",
        status=404,
        reason="NotFound",
    )


def already_exists(kind: Kind, name: str) -> RefusedError:
    """409: a create of a name that is taken."""
    return RefusedError(
        f'{kind.resource} "{name}" already exists',
        status=409,
        reason="AlreadyExists",
        details=_details(kind, name),
    )


def conflict(kind: Kind, name: str, why: str = "") -> RefusedError:
    """409: the object is not the one the writer knew."""
    why = why or (
        "the object has been modified; please apply your changes to the latest version "
        "and try again"
    )
    return RefusedError(
        f'Operation cannot be fulfilled on {kind.resource} "{name}": {why}',
        status=409,
        reason="Conflict",
        details=_details(kind, name),
    )


def invalid(kind: Kind, name: str, problems: Sequence[Problem]) -> RefusedError:
    """422: the object means nothing, with a cause for each field."""
    texts = [f"{p.field}: Invalid value: {p.message}" for p in problems]
    text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    causes = [
        {"reason": "FieldValueInvalid", "message": f"Invalid value: {p.message}", "field": p.field}
        for p in problems
    ]
    return RefusedError(
        f'{kind.kind} "{name}" is invalid: {text}',
        status=422,
        reason="Invalid",
        details={"name": name, "group": kind.group, "kind": kind.kind, "causes": causes},
    )


def forbidden(kind: Kind, name: str, why: str) -> RefusedError:
    """403: the object or the user does not allow it."""
    return RefusedError(
        f'{kind.resource} "{name}" is forbidden: {why}',
        status=403,
        reason="Forbidden",
        details=_details(kind, name),
    )


def unauthorized() -> RefusedError:
    """401: nobody we know."""
    return RefusedError("Unauthorized", status=401, reason="Unauthorized")


def bad_request(message: str) -> RefusedError:
    """400: the request itself can't be read."""
    return RefusedError(message, status=400, reason="BadRequest")


def method_not_allowed(method: str) -> RefusedError:
    """405: the path exists, the verb does not."""
    return RefusedError(
        f"the server does not allow this method on the requested resource ({method})",
        status=405,
        reason="MethodNotAllowed",
    )


def unsupported_media_type(given: str, allowed: Sequence[str]) -> RefusedError:
    """415: a body or patch type that the kind does not take."""
    return RefusedError(
        f"the body of the request was in an unknown format ({given}) - accepted media types "
        f"include: {', '.join(allowed)}",
        status=415,
        reason="UnsupportedMediaType",
    )
