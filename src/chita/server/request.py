"""A request's path and query, read once into what the API conventions call the request info.

Paths: ``/api/v1[/namespaces/NS]/PLURAL[/NAME[/status]]`` and ``/apis/GROUP/VERSION/...`` alike.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from chita.model.kinds import Kind
from chita.server import status
from chita.server.kinds import kind_at

if TYPE_CHECKING:
    from collections.abc import Mapping


class Verb(StrEnum):
    """The verbs of Kubernetes' authorization."""

    GET = "get"
    LIST = "list"
    WATCH = "watch"
    CREATE = "create"
    UPDATE = "update"
    PATCH = "patch"
    DELETE = "delete"
    DELETE_COLLECTION = "deletecollection"


class Part(StrEnum):
    """Which part of an object a write goes to."""

    OBJECT = ""
    STATUS = "status"


READS = frozenset({Verb.GET, Verb.LIST, Verb.WATCH})
TRUE = frozenset({"true", "1", "t", "T", "TRUE", "True"})  # as Go's strconv.ParseBool


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What a request is about. *name* is empty for a collection."""

    verb: Verb
    kind: Kind
    namespace: str
    name: str
    part: Part


def target(method: str, path: str, query: Mapping[str, str]) -> Target:
    """Return what a request is about.

    Raises:
        RefusedError: 404 for a path that means no kind, 405 for a verb it does not have.
    """
    parts = [part for part in path.split("/") if part]
    if len(parts) >= 3 and parts[0] == "api":
        group, version, rest = "", parts[1], parts[2:]
    elif len(parts) >= 4 and parts[0] == "apis":
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        raise status.no_such_path(path)
    namespace = ""
    if rest[0] == "namespaces" and len(rest) >= 3 and rest[2] != Part.STATUS:
        namespace, rest = rest[1], rest[2:]
    kind = kind_at(group, version, rest[0])
    if kind is None or (namespace and not kind.is_namespaced) or len(rest) > 3:
        raise status.no_such_path(path)
    name = rest[1] if len(rest) > 1 else ""
    if name and kind.is_namespaced and not namespace:
        raise status.no_such_path(path)
    part = Part.OBJECT
    if len(rest) == 3:
        if rest[2] != Part.STATUS or not kind.has_status:
            raise status.no_such_path(path)
        part = Part.STATUS
    return Target(
        verb=_verb(method, name, part, query), kind=kind, namespace=namespace, name=name, part=part
    )


def _verb(  # noqa: PLR0911 - one return per verb
    method: str, name: str, part: Part, query: Mapping[str, str]
) -> Verb:
    match method, bool(name):
        case "GET" | "HEAD", False:
            return Verb.WATCH if is_true(query, "watch") else Verb.LIST
        case "GET" | "HEAD", True:
            return Verb.GET
        case "POST", False:
            return Verb.CREATE
        case "PUT", True:
            return Verb.UPDATE
        case "PATCH", True:
            return Verb.PATCH
        case "DELETE", True if part is Part.OBJECT:
            return Verb.DELETE
        case "DELETE", False:
            return Verb.DELETE_COLLECTION
        case _:
            raise status.method_not_allowed(method)


def is_true(query: Mapping[str, str], name: str) -> bool:
    """Whether a query parameter is set to true."""
    return query.get(name, "") in TRUE


def number(query: Mapping[str, str], name: str, default: int = 0) -> int:
    """Return a query parameter that is a number of 0 or more.

    Raises:
        RefusedError: 400 when it is something else.
    """
    text = query.get(name, "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit():
        raise status.bad_request(f"{name}: {text!r} is not a number of 0 or more")
    return int(text)
