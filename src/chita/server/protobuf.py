"""Kubernetes' protobuf bodies, of the few kinds that ``kubectl create`` sends in no other form.

kubectl 1.37 writes typed objects (``create namespace``, ``create service``) as protobuf and does
not fall back. The tables below are fields of k8s.io/api's ``generated.proto``; the envelope is
runtime.Unknown behind four magic bytes (k8s.io/apimachinery/pkg/runtime/serializer/protobuf).
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

import msgspec

from chita.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CONTENT_TYPE = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\x00"


class Scalar(Enum):
    """How the bytes of a field are read."""

    TEXT = "text"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    TIME = "time"
    MICRO_TIME = "micro-time"
    INT_OR_STRING = "int-or-string"
    TEXT_MAP = "text-map"
    BYTES = "bytes"


class Message(msgspec.Struct, frozen=True):
    """A message: its fields by number."""

    fields: Mapping[int, FieldRule]


class FieldRule(msgspec.Struct, frozen=True):
    """One field's JSON name and type."""

    name: str
    type: Scalar | Message = Scalar.TEXT
    is_list: bool = False


def _message(**fields: tuple[int, Scalar | Message] | int) -> Message:
    """Return a message; a field is a number (text), or a number with a type."""
    rules = {}
    for name, given in fields.items():
        number, type_ = (given, Scalar.TEXT) if isinstance(given, int) else given
        rules[number] = FieldRule(name.removesuffix("_list"), type_, name.endswith("_list"))
    return Message(rules)


_INTEGER, _BOOLEAN, _MAP = Scalar.INTEGER, Scalar.BOOLEAN, Scalar.TEXT_MAP
_OWNER = _message(
    kind=1, name=3, uid=4, apiVersion=5, controller=(6, _BOOLEAN), blockOwnerDeletion=(7, _BOOLEAN)
)
_METADATA = _message(
    name=1,
    generateName=2,
    namespace=3,
    uid=5,
    resourceVersion=6,
    generation=(7, _INTEGER),
    creationTimestamp=(8, Scalar.TIME),
    deletionTimestamp=(9, Scalar.TIME),
    labels=(11, _MAP),
    annotations=(12, _MAP),
    ownerReferences_list=(13, _OWNER),
    finalizers_list=14,
)
_NAMED = _message(name=1)
_SERVICE_PORT = _message(
    name=1,
    protocol=2,
    port=(3, _INTEGER),
    targetPort=(4, Scalar.INT_OR_STRING),
    nodePort=(5, _INTEGER),
    appProtocol=6,
)
_SERVICE_SPEC = _message(
    ports_list=(1, _SERVICE_PORT),
    selector=(2, _MAP),
    clusterIP=3,
    type=4,
    externalIPs_list=5,
    sessionAffinity=7,
    loadBalancerIP=8,
    loadBalancerSourceRanges_list=9,
    externalName=10,
    externalTrafficPolicy=11,
    publishNotReadyAddresses=(13, _BOOLEAN),
    ipFamilyPolicy=17,
    clusterIPs_list=18,
    ipFamilies_list=19,
    loadBalancerClass=21,
    internalTrafficPolicy=22,
)
_LEASE_SPEC = _message(
    holderIdentity=1,
    leaseDurationSeconds=(2, _INTEGER),
    acquireTime=(3, Scalar.MICRO_TIME),
    renewTime=(4, Scalar.MICRO_TIME),
    leaseTransitions=(5, _INTEGER),
)
_ENVELOPE = _message(typeMeta=(1, _message(apiVersion=1, kind=2)), raw=(2, Scalar.BYTES))
_KINDS: dict[str, Message] = {
    "Namespace": _message(metadata=(1, _METADATA), spec=(2, _message(finalizers_list=1))),
    "ServiceAccount": _message(
        metadata=(1, _METADATA),
        secrets_list=(2, _message(kind=1, namespace=2, name=3)),
        imagePullSecrets_list=(3, _NAMED),
        automountServiceAccountToken=(4, _BOOLEAN),
    ),
    "Service": _message(metadata=(1, _METADATA), spec=(2, _SERVICE_SPEC)),
    "Lease": _message(metadata=(1, _METADATA), spec=(2, _LEASE_SPEC)),
    "DeleteOptions": _message(
        gracePeriodSeconds=(1, _INTEGER),
        preconditions=(2, _message(uid=1, resourceVersion=2)),
        propagationPolicy=4,
        dryRun_list=5,
    ),
}


def decode(body: bytes) -> dict[str, Any]:
    """Return the object in *body* as its JSON form.

    Raises:
        InputError: it is not Kubernetes protobuf, or of a kind that must be sent as JSON.
    """
    if not body.startswith(MAGIC):
        raise InputError("the body is no Kubernetes protobuf: it does not begin with k8s\\0")
    try:
        envelope = _decode(_ENVELOPE, body[len(MAGIC) :])
        head = envelope.get("typeMeta", {})
        message = _KINDS.get(head.get("kind", ""))
        if message is None:
            raise InputError(
                f"{head.get('kind')}: protobuf is read for {', '.join(sorted(_KINDS))} only; send "
                "JSON, with kubectl: create -f FILE or apply -f FILE"
            )
        return {**head, **_decode(message, envelope.get("raw", b""))}
    except (IndexError, UnicodeDecodeError, TypeError, AttributeError) as error:
        raise InputError(f"the body is malformed protobuf: {error}") from error


def _decode(message: Message, body: bytes) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for number, raw in _wire_fields(body):
        rule = message.fields.get(number)
        if rule is None:
            continue
        value = _value(rule.type, raw)
        if rule.is_list:
            result.setdefault(rule.name, []).append(value)
        elif rule.type is Scalar.TEXT_MAP:
            result.setdefault(rule.name, {}).update(value)
        elif rule.type is Scalar.BOOLEAN or value not in ("", None, {}, 0):
            # Go writes the zero values that its JSON leaves out.
            result[rule.name] = value
    return result


def _wire_fields(body: bytes) -> Iterator[tuple[int, Any]]:
    """Return each field's number with its integer or bytes (protobuf encoding, wire types)."""
    position = 0
    while position < len(body):
        tag, position = _varint(body, position)
        match tag & 7:
            case 0:
                value, position = _varint(body, position)
                yield tag >> 3, value
            case 2:
                size, position = _varint(body, position)
                if position + size > len(body):
                    raise IndexError("a field is longer than the body")
                yield tag >> 3, body[position : position + size]
                position += size
            case 1 | 5 as fixed:
                position += 8 if fixed == 1 else 4
            case other:
                raise IndexError(f"wire type {other}")


def _varint(body: bytes, position: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = body[position]
        result |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return result, position
        shift += 7
        if shift > 63:
            raise IndexError("an integer of more than 64 bits")


def _value(type_: Scalar | Message, raw: Any) -> Any:  # noqa: PLR0911 - one return per type
    match type_:
        case Message():
            return _decode(type_, raw)
        case Scalar.TEXT:
            return raw.decode()
        case Scalar.INTEGER:
            return raw - (1 << 64) if raw >> 63 else raw
        case Scalar.BOOLEAN:
            return bool(raw)
        case Scalar.TEXT_MAP:
            pair = _decode(_message(key=1, value=2), raw)
            return {pair.get("key", ""): pair.get("value", "")}
        case Scalar.INT_OR_STRING:
            found = _decode(_message(type=(1, _INTEGER), intVal=(2, _INTEGER), strVal=3), raw)
            return found.get("strVal", "") if found.get("type") else found.get("intVal", 0)
        case Scalar.TIME | Scalar.MICRO_TIME:
            return _time(type_, _decode(_message(seconds=(1, _INTEGER), nanos=(2, _INTEGER)), raw))
        case Scalar.BYTES:
            return raw


def _time(type_: Scalar, parts: dict[str, int]) -> str | None:
    seconds = parts.get("seconds")
    if seconds is None or seconds < 0:  # Go's zero time lies before 1970
        return None
    moment = datetime.fromtimestamp(seconds, UTC)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    micro = f".{parts.get('nanos', 0) // 1000:06d}" if type_ is Scalar.MICRO_TIME else ""
    return f"{text}{micro}Z"
