"""One AdmissionReview, from body to body: what ``chita validate`` says, in the API server's words.

Source: ``admission.k8s.io/v1`` (k8s.io/api/admission/v1/types.go); the ``status`` of a refusal is
the one that `chita.server` would have answered, so that ``kubectl`` prints the same fields.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from chita.errors import ChitaError, InputError
from chita.install.webhook import TIERED
from chita.model.kinds import Kind, find_kind
from chita.model.validate.objects import validate
from chita.model.validate.warnings import warnings
from chita.server import builtin, status, warning

Object = dict[str, Any]

_OUR_GROUPS: Final = frozenset({"projectcalico.org", "chita.dev"})
_API_VERSION: Final = "admission.k8s.io/v1"
_KIND: Final = "AdmissionReview"


class Request(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What is asked: an object as it would be stored, and as it is."""

    uid: str
    operation: str
    object: Object | None = None
    old_object: Object | None = None


class Review(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The body of a review."""

    api_version: str
    kind: str
    request: Request


class Policies(Protocol):
    """Which policies there are."""

    async def one_in(self, kind: Kind, tier: str) -> str:
        """Return ``namespace/name`` of an object of *kind* in *tier*; empty: there is none.

        Raises:
            ChitaError: nobody can say at the moment.
        """


def read(body: bytes) -> Request:
    """Return what is asked.

    Raises:
        InputError: *body* is no AdmissionReview of the version that was registered.
    """
    try:
        review = msgspec.json.decode(body, type=Review)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise InputError(f"no AdmissionReview: {error}; send {_API_VERSION}") from error
    if (review.api_version, review.kind) != (_API_VERSION, _KIND):
        raise InputError(
            f"{review.kind} of {review.api_version!r} is not reviewed; send {_KIND} of "
            f"{_API_VERSION}"
        )
    return review.request


async def answer(request: Request, policies: Policies) -> Object:
    """Return the AdmissionReview that answers *request*."""
    kind, _ = _which(request)
    if kind is None or kind.group not in _OUR_GROUPS:
        return _answered(request, None, [])
    if request.operation == "DELETE":
        return _answered(request, await _kept(request, policies), [])
    if request.object is None:
        return _answered(request, None, [])
    return _written(request, kind, request.object)


def _written(request: Request, kind: Kind, obj: Object) -> Object:
    """Return the answer to a CREATE or UPDATE of *obj*."""
    metadata = _part(obj, "metadata")
    if metadata.get("deletionTimestamp") or _is_untouched(obj, request.old_object):
        # What was stored before there was a webhook can still lose its finalizers, and go.
        return _answered(request, None, [])
    found = validate(obj)
    if found:
        return _answered(request, status.invalid(kind, str(metadata.get("name") or ""), found), [])
    return _answered(request, None, warning.texts(warnings(obj)))


async def _kept(request: Request, policies: Policies) -> status.RefusedError | None:
    """Return why the object must stay, None if it may go."""
    kind, name = _which(request)
    if kind is None or kind.resource != builtin.TIER:
        return None
    if builtin.is_built_in(kind, name):
        return status.forbidden(kind, name, builtin.STAYS)
    for held in TIERED:
        try:
            found = await policies.one_in(held, name)
        except ChitaError as error:
            why = f"whether it still has policies can't be told now ({error}); try again"
            return status.forbidden(kind, name, why)
        if found:
            return status.forbidden(kind, name, builtin.holds(f"{held.resource} {found}"))
    return None


def _which(request: Request) -> tuple[Kind | None, str]:
    """Return the kind and name of what is written or deleted; None for a kind not known."""
    obj = request.object if request.object is not None else request.old_object
    if obj is None:
        return None, ""
    kind = find_kind(str(obj.get("apiVersion")), str(obj.get("kind")))
    return kind, str(_part(obj, "metadata").get("name") or "")


def _is_untouched(new: Object, old: Object | None) -> bool:
    """Whether an update leaves all that validation reads as it was."""
    return old is not None and _judged(new) == _judged(old)


def _judged(obj: Object) -> tuple[Object, Any, Any]:
    body = {field: part for field, part in obj.items() if field not in {"metadata", "status"}}
    metadata = _part(obj, "metadata")
    return body, metadata.get("labels") or {}, metadata.get("annotations") or {}


def _part(obj: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    part = obj.get(field)
    return part if isinstance(part, Mapping) else {}


def _answered(request: Request, no: status.RefusedError | None, told: Sequence[str]) -> Object:
    response: Object = {"uid": request.uid, "allowed": no is None}
    if no is not None:
        response["status"] = status.status_of(no)
    if told:
        response["warnings"] = list(told)
    return {"apiVersion": _API_VERSION, "kind": _KIND, "response": response}
