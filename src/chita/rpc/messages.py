"""What is said over the agent's unix socket.

One line of JSON asks, one line answers; a connection carries any number of both, in order. The
CNI shim can't afford a JSON parser (see ``cni.__main__``), so the answer to its question has a
form of its own: `cni_line`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from chita.errors import InputError

MAX_LINE_BYTES = 1 << 24
"""Longest line either side takes: a node state of tens of thousands of set elements fits."""


class CniRequest(msgspec.Struct, frozen=True, tag="cni", tag_field="type"):
    """A CNI call as the runtime made it; nothing in it has been looked at yet."""

    environment: dict[str, str]
    """The variables whose names begin with ``CNI_``."""
    config: str
    """Standard input."""


class StatusRequest(msgspec.Struct, frozen=True, tag="status", tag_field="type"):
    """How the agent is."""


class HistoryRequest(msgspec.Struct, frozen=True, tag="history", tag_field="type"):
    """What its ways to other nodes were like in the last hour."""


class MetricsRequest(msgspec.Struct, frozen=True, tag="metrics", tag_field="type"):
    """Its status as numbers, in Prometheus's text format."""


class NodeStateRequest(msgspec.Struct, frozen=True, tag="nodestate", tag_field="type"):
    """What the node should hold."""


class LinksRequest(msgspec.Struct, frozen=True, tag="links", tag_field="type"):
    """How all nodes reach each other, asked of their agents over the mesh."""


class VersionRequest(msgspec.Struct, frozen=True, tag="version", tag_field="type"):
    """Which Chita the agent runs."""


Question = (
    StatusRequest
    | HistoryRequest
    | MetricsRequest
    | NodeStateRequest
    | LinksRequest
    | VersionRequest
)
"""What a person or another process wants to know."""

Request = CniRequest | Question


class CniAnswer(msgspec.Struct, frozen=True):
    """What the shim is to print, and its exit status: 0 for success, 1 for an error object."""

    status: int
    output: bytes
    """JSON on one line, or nothing."""


class Answer(msgspec.Struct, frozen=True, tag="answer", tag_field="type"):
    """The value asked for, in its own JSON form."""

    value: Any


class Refusal(msgspec.Struct, frozen=True, tag="refusal", tag_field="type"):
    """The question could not be answered."""

    message: str


Reply = CniAnswer | Answer | Refusal

_requests = msgspec.json.Decoder(Request)
_replies = msgspec.json.Decoder(Answer | Refusal)
_encoder = msgspec.json.Encoder()


def encode_request(request: Request) -> bytes:
    """Return *request* as the line that asks it."""
    return _encoder.encode(request) + b"\n"


def decode_request(line: bytes) -> Request:
    """Return what *line* asks.

    Raises:
        InputError: it is no request of ours.
    """
    try:
        request: Request = _requests.decode(line)
    except msgspec.MsgspecError as error:
        raise InputError(f"not a request to the agent: {error}") from error
    return request


def encode_reply(reply: Reply) -> bytes:
    """Return *reply* as a line."""
    if isinstance(reply, CniAnswer):
        return cni_line(reply)
    return _encoder.encode(reply) + b"\n"


def cni_line(answer: CniAnswer) -> bytes:
    """Return the line the shim understands: one digit, its exit status, then its output."""
    return b"%d%b\n" % (answer.status, answer.output)


def decode_cni(line: bytes) -> CniAnswer:
    """Return what the agent answered to a CniRequest.

    Raises:
        InputError: it is no such answer.
    """
    if line[:1] not in (b"0", b"1"):
        raise InputError(f"not an answer to a CNI call: {line[:80]!r}")
    return CniAnswer(int(line[:1]), line[1:].strip())


def decode_reply(line: bytes) -> Answer | Refusal:
    """Return what the agent answered to any other request.

    Raises:
        InputError: it is no such answer.
    """
    try:
        reply: Answer | Refusal = _replies.decode(line)
    except msgspec.MsgspecError as error:
        raise InputError(f"not an answer of the agent: {error}") from error
    return reply
