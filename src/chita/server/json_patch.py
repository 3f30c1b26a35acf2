"""JSON patch (RFC 6902) over JSON pointers (RFC 6901)."""

from __future__ import annotations

import copy
from typing import Any

from chita.model.problem import Problem
from chita.server import status

MAX_OPERATIONS = 10_000  # as kube-apiserver


def apply_json_patch(value: Any, operations: list[Any]) -> Any:
    """Return *value* after all operations; *value* may be altered.

    Raises:
        RefusedError: 422 for an operation that can't be done; then nothing of the patch holds.
    """
    if len(operations) > MAX_OPERATIONS:
        raise _refused(0, f"{len(operations)} operations; at most {MAX_OPERATIONS}")
    for index, operation in enumerate(operations):
        try:
            value = _apply(value, operation)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise _refused(index, f"{operation!r}: {error}") from error
    return value


def _apply(value: Any, operation: dict[str, Any]) -> Any:
    path = _tokens(operation["path"])
    match operation["op"]:
        case "add":
            return _add(value, path, operation["value"])
        case "remove":
            return _remove(value, path)
        case "replace":
            _find(value, path)
            return (
                _add(_remove(value, path), path, operation["value"]) if path else operation["value"]
            )
        case "move":
            source = _tokens(operation["from"])
            moved = _find(value, source)
            return _add(_remove(value, source), path, moved)
        case "copy":
            return _add(value, path, copy.deepcopy(_find(value, _tokens(operation["from"]))))
        case "test":
            if _find(value, path) != operation["value"]:
                raise ValueError("test failed")
            return value
        case other:
            raise ValueError(f"unknown op {other!r}")


def _tokens(pointer: str) -> list[str]:
    if pointer and not pointer.startswith("/"):
        raise ValueError(f"{pointer!r} is no JSON pointer: it starts with '/'")
    # RFC 6901 section 4: ~1 first, then ~0.
    return [t.replace("~1", "/").replace("~0", "~") for t in pointer.split("/")[1:]]


def _index(items: list[Any], token: str, limit: int) -> int:
    if token == "-":  # noqa: S105 - of a JSON pointer
        return len(items)
    if not token.isascii() or not token.isdigit() or (len(token) > 1 and token[0] == "0"):
        raise ValueError(f"{token!r} is no list index")
    if int(token) > limit:
        raise IndexError(f"index {token} of a list of {len(items)}")
    return int(token)


def _find(value: Any, path: list[str]) -> Any:
    for token in path:
        if isinstance(value, list):
            value = value[_index(value, token, len(value) - 1)]
        elif isinstance(value, dict):
            value = value[token]
        else:
            raise TypeError(f"{token!r} is looked up in something that is no object or list")
    return value


def _add(value: Any, path: list[str], new: Any) -> Any:
    if not path:
        return new
    parent, last = _find(value, path[:-1]), path[-1]
    if isinstance(parent, list):
        parent.insert(_index(parent, last, len(parent)), new)
    elif isinstance(parent, dict):
        parent[last] = new
    else:
        raise TypeError(f"{last!r} is added to something that is no object or list")
    return value


def _remove(value: Any, path: list[str]) -> Any:
    if not path:
        return None
    parent, last = _find(value, path[:-1]), path[-1]
    if isinstance(parent, list):
        del parent[_index(parent, last, len(parent) - 1)]
    else:
        del parent[last]
    return value


def _refused(index: int, message: str) -> status.RefusedError:
    problem = Problem(f"patch[{index}]", message)
    return status.RefusedError(
        f"the server rejected our request due to an error in our request: {problem}",
        status=422,
        reason="Invalid",
        details={
            "causes": [{"reason": "FieldValueInvalid", "message": message, "field": problem.field}]
        },
    )
