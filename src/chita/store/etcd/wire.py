"""What etcd's JSON gateway says and hears: the parts of its v3 API that the store uses.

Names are those of etcd's ``rpc.proto``. The gateway writes protobuf's JSON mapping: 64-bit numbers
as strings, bytes as base64, and leaves out what has its default value.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

Body = dict[str, Any]
T = TypeVar("T")


class Header(msgspec.Struct, frozen=True):
    """Who answered, and the revision of its store then."""

    cluster_id: int = 0
    member_id: int = 0
    revision: int = 0


class KeyValue(msgspec.Struct, frozen=True, kw_only=True):
    """One version of one key."""

    key: bytes = b""
    value: bytes = b""
    create_revision: int = 0
    mod_revision: int = 0


class RangeAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Keys in order; *more* when a limit cut them off."""

    header: Header = Header()
    kvs: tuple[KeyValue, ...] = ()
    more: bool = False


class OpAnswer(msgspec.Struct, frozen=True):
    """What one operation of a transaction answered; only ranges are of interest."""

    response_range: RangeAnswer | None = None


class TxnAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Whether all comparisons held, and the answers of the branch that ran."""

    header: Header = Header()
    succeeded: bool = False
    responses: tuple[OpAnswer, ...] = ()

    def newest(self, index: int) -> int:
        """Return the revision of the key that operation *index* read, 0 when there is none."""
        answer = self.responses[index].response_range
        return answer.kvs[0].mod_revision if answer is not None and answer.kvs else 0


class Acknowledged(msgspec.Struct, frozen=True):
    """The answer to an operation that says nothing but that it was done."""

    header: Header = Header()


class WatchEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One change; a deletion's *kv* has only key and revision."""

    type: str = "PUT"
    kv: KeyValue
    prev_kv: KeyValue | None = None

    @property
    def is_deletion(self) -> bool:
        """Whether the key is gone."""
        return self.type == "DELETE"


class WatchAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a watch."""

    header: Header = Header()
    created: bool = False
    canceled: bool = False
    compact_revision: int = 0
    cancel_reason: str = ""
    events: tuple[WatchEvent, ...] = ()


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A gRPC error as the gateway tells it; *code* is gRPC's status code."""

    message: str = ""
    code: int = 0
    grpc_code: int = 0


class WatchLine(msgspec.Struct, frozen=True):
    """One line of a watch's stream."""

    result: WatchAnswer | None = None
    error: Refusal | None = None


def decode(text: bytes, type_: type[T]) -> T:
    """Return *text* as a value; numbers may come as strings.

    Raises:
        msgspec.MsgspecError: it is something else.
    """
    return msgspec.json.decode(text, type=type_, strict=False)


def range_of(key: bytes, **options: Any) -> Body:
    """Return a request for one key."""
    return {"key": key, **options}


def range_from(prefix: bytes, start: bytes = b"", **options: Any) -> Body:
    """Return a request for all keys that begin with *prefix*, from *start* on."""
    return {"key": start or prefix, "range_end": behind(prefix), **options}


def put(key: bytes, value: bytes) -> Body:
    """Return the operation that writes a key."""
    return {"request_put": {"key": key, "value": value}}


def remove(key: bytes) -> Body:
    """Return the operation that deletes a key."""
    return {"request_delete_range": {"key": key}}


def read(key: bytes) -> Body:
    """Return the operation that reads a key's revision."""
    return {"request_range": {"key": key, "keys_only": True}}


def is_at(key: bytes, revision: int) -> Body:
    """Return the comparison that a key was last written at *revision*; 0: that there is none."""
    return {"key": key, "target": "MOD", "result": "EQUAL", "mod_revision": revision}


def is_before(key: bytes, revision: int) -> Body:
    """Return the comparison that a key was last written before *revision*, or is not there."""
    return {"key": key, "target": "MOD", "result": "LESS", "mod_revision": revision}


def behind(prefix: bytes) -> bytes:
    """Return the first key behind all that begin with *prefix*, which ends with a slash."""
    return prefix[:-1] + bytes([prefix[-1] + 1])
