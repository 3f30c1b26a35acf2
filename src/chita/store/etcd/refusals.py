"""etcd's refusals, and which of them leave open whether a write happened.

Codes are gRPC's (google/rpc/code.proto), messages those of etcd's ``rpctypes/error.go``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chita.errors import EngineError

if TYPE_CHECKING:
    from chita.store.etcd.wire import Refusal

INVALID, NOT_FOUND, DENIED, EXHAUSTED = 3, 5, 7, 8
PRECONDITION, OUT_OF_RANGE, UNKNOWN_METHOD, UNAUTHENTICATED = 9, 11, 12, 16
CERTAIN = frozenset(
    {
        INVALID,
        NOT_FOUND,
        DENIED,
        EXHAUSTED,
        PRECONDITION,
        OUT_OF_RANGE,
        UNKNOWN_METHOD,
        UNAUTHENTICATED,
    }
)
"""Said before, or in place of, applying a request. All others (a time-out, a change of the leader,
a member that stops) may come after the request went on to other members."""

NO_SPACE = "database space exceeded"
OVERLOAD = "too many requests"
COMPACTED = "has been compacted"
MENDS = {
    NO_SPACE: (
        "the quota of the database is used up: compact (etcdctl compact), then etcdctl defrag "
        "--cluster and etcdctl alarm disarm, or raise --quota-backend-bytes; reading and deleting "
        "go on"
    ),
    "request is too large": "the object is larger than etcd's --max-request-bytes",
    "corrupt": "a member's data is damaged: replace that member",
    "permission denied": "give the server's etcd user readwrite on the prefix",
    "user name is empty": "etcd asks for a user, which its JSON interface takes by password only; "
    "use a cluster that trusts client certificates",
}


class UnsentError(EngineError):
    """A request never left: nothing listens there, or no connection came about."""


class NoAnswerError(EngineError):
    """A request left, and no answer came that could be read."""


class EtcdRefusedError(EngineError):
    """etcd refused a request, with its words and the mend.

    Attributes:
        code: gRPC's status code.
    """

    def __init__(self, endpoint: str, refusal: Refusal) -> None:
        words = refusal.message or f"code {refusal.code}"
        mend = next((mend for part, mend in MENDS.items() if part in words), "")
        super().__init__(f"{endpoint}: {words}" + (f"; {mend}" if mend else ""))
        self.code = refusal.code or refusal.grpc_code
        self._words = words

    @property
    def is_certain(self) -> bool:
        """Whether the request certainly did nothing."""
        return self.code in CERTAIN

    @property
    def is_overload(self) -> bool:
        """Whether it was refused unread, because too much waits already."""
        return self.code == EXHAUSTED and OVERLOAD in self._words

    @property
    def may_pass(self) -> bool:
        """Whether the same request may be answered soon, or by another member."""
        return self.is_overload or not self.is_certain

    @property
    def has_no_space(self) -> bool:
        """Whether the database's quota is used up."""
        return NO_SPACE in self._words

    @property
    def is_compacted(self) -> bool:
        """Whether the revision asked for is no longer there."""
        return COMPACTED in self._words
