"""The socket to nf_tables: batches in, answers out. The only raw netlink of this package.

A socket belongs to the network namespace in which it was opened.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence

from chita.dataplane.netlink.message import attributes, messages, string
from chita.dataplane.nftables.attributes import Flag, Message, batch_mark, message
from chita.dataplane.nftables.transaction import (
    Operation,
    Transaction,
    render_transaction,
)
from chita.dataplane.nftables.wire import Encoded, encode
from chita.errors import KernelError, UnsupportedError

_NETLINK_NETFILTER = 12
_SOL_NETLINK, _CAP_ACK, _EXT_ACK = 270, 10, 11
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_ERROR, _DONE, _HAS_TLVS = 2, 3, 0x200
"""NLMSG_ERROR, NLMSG_DONE, NLM_F_ACK_TLVS."""
_RECEIVE_BYTES = 1 << 16
_TIMEOUT_S = 30
"""A commit waits for the kernel's lock: another's very large ruleset may hold it for seconds."""


class Nfnetlink:
    """One netlink socket of family netfilter. Not for two threads at once."""

    def __init__(self) -> None:
        """Open the socket in the calling thread's network namespace.

        Raises:
            UnsupportedError: the kernel has no netfilter netlink.
        """
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
        except OSError as error:
            raise UnsupportedError(
                f"open a netfilter netlink socket, which policy needs: {error}; "
                "load the kernel module nfnetlink"
            ) from error
        self._socket.bind((0, 0))
        self._socket.settimeout(_TIMEOUT_S)
        self._socket.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _EXT_ACK, 1)
        self._seq = 0
        self._send_bytes = 0

    @property
    def port(self) -> int:
        """The socket's netlink port: announcements of its commits carry it."""
        port: int = self._socket.getsockname()[0]
        return port

    def commit(self, transaction: Transaction) -> None:
        """Make all of *transaction* take effect at once.

        Raises:
            KernelError: refused; the message has the first operation refused and why.
        """
        steps = list(encode(transaction))
        if steps:
            self._commit(steps, f"nftables transaction of {len(transaction)} operations")

    def commit_messages(self, messages: Sequence[Encoded], *, what: str) -> None:
        """Make all of *messages* take effect at once: what no `Transaction` says, another table.

        Raises:
            KernelError: refused.
        """
        self._commit([(None, each) for each in messages], what)

    def _commit(self, steps: Sequence[tuple[Operation | None, Encoded]], what: str) -> None:
        batch, operations = self._batch(steps)
        self._make_room(len(batch))
        try:
            self._socket.send(batch)
            self._await_answer(operations)
        except OSError as error:
            raise KernelError(f"{what}: {error}", errno=error.errno or 0) from error

    def _batch(
        self, steps: Sequence[tuple[Operation | None, Encoded]]
    ) -> tuple[bytes, dict[int, Operation | None]]:
        """Return the batch and its operations by sequence number."""
        first = self._seq + 1
        operations: dict[int, Operation | None] = {}
        pieces = [batch_mark(Message.BATCH_BEGIN, first)]
        last = first + len(steps)
        for seq, (step, (kind, flags, content)) in enumerate(steps, start=first + 1):
            # One acknowledgement, of the last message, comes after the commit; errors come anyway.
            asked = flags | Flag.ACK if seq == last else flags
            pieces.append(message(kind, asked, seq, content))
            operations[seq] = step
        self._seq = last + 1
        pieces.append(batch_mark(Message.BATCH_END, self._seq))
        return b"".join(pieces), operations

    def _make_room(self, size: int) -> None:
        """Let a message of *size* bytes be sent: the kernel takes a batch in one piece only."""
        if size > self._send_bytes:
            self._send_bytes = 2 * size + (1 << 16)
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, self._send_bytes)
            # Refusals may be as many as messages.
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, self._send_bytes)

    def _await_answer(self, operations: dict[int, Operation | None]) -> None:
        refused: KernelError | None = None
        begin, last = min(operations) - 1, max(operations)
        while True:
            for kind, flags, seq, _, body in messages(self._socket.recv(_RECEIVE_BYTES)):
                if kind != _ERROR or not begin <= seq <= last:
                    continue
                number = -struct.unpack_from("=i", body)[0]
                if number and refused is None:
                    refused = _refusal(operations.get(seq), number, _explanation(body, flags))
                if seq in (begin, last):
                    if refused is not None:
                        self._drain()
                        raise refused
                    return

    def _drain(self) -> None:
        """Read what else was answered, so that the next transaction does not."""
        self._socket.setblocking(False)
        try:
            while self._socket.recv(_RECEIVE_BYTES):
                pass
        except BlockingIOError:
            pass
        finally:
            self._socket.settimeout(_TIMEOUT_S)

    def read_generation(self) -> int:
        """Return the number of the last commit, anybody's, in this namespace.

        Raises:
            KernelError: no answer.
        """
        self._seq += 1
        try:
            self._socket.send(message(Message.GETGEN, 0, self._seq))
            while True:
                for kind, _, seq, _, body in messages(self._socket.recv(_RECEIVE_BYTES)):
                    if kind == Message.NEWGEN and seq == self._seq:
                        # nfgenmsg, then NFTA_GEN_ID, the first attribute.
                        generation: int = struct.unpack_from("!I", body, 8)[0]
                        return generation
        except OSError as error:
            raise KernelError(
                f"read nftables generation: {error}", errno=error.errno or 0
            ) from error

    def get(self, kind: Message, attributes: bytes, *, what: str) -> bytes:
        """Return the body of the one thing that *kind* asks for.

        Raises:
            KernelError: refused, ENOENT where there is no such thing.
        """
        self._seq += 1
        try:
            self._socket.send(message(kind, 0, self._seq, attributes))
            while True:
                bodies, _ = _told(self._socket.recv(_RECEIVE_BYTES), self._seq, what)
                if bodies:
                    return bodies[0]
        except OSError as error:
            raise KernelError(f"{what}: {error}", errno=error.errno or 0) from error

    def dump(self, kind: Message, attributes: bytes, *, what: str) -> Iterator[list[bytes]]:
        """Yield the bodies of what *kind* asks for, some at a time, as the kernel tells them.

        Raises:
            InterruptedDumpError: something was committed meanwhile: what was told is of no moment.
            KernelError: refused, ENOENT where there is no such thing.
        """
        self._seq += 1
        begun, ended = self._seq, False
        try:
            self._socket.send(message(kind, Flag.DUMP, begun, attributes))
            while not ended:
                bodies, ended = _told(self._socket.recv(_RECEIVE_BYTES), begun, what)
                yield bodies
        except InterruptedDumpError:
            self._drain()
            raise
        except KernelError:
            ended = True
            raise
        except OSError as error:
            raise KernelError(f"{what}: {error}", errno=error.errno or 0) from error
        finally:
            if not ended and self._socket.fileno() >= 0:
                # Whoever asked lost interest; the kernel takes no other request before.
                self._drain()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class InterruptedDumpError(KernelError):
    """What was to be read changed while it was read: read it again."""


def _told(answer: bytes, seq: int, what: str) -> tuple[list[bytes], bool]:
    """Return the bodies in one datagram of a dump, and whether it was the last."""
    bodies: list[bytes] = []
    for kind, flags, of, _, body in messages(answer):
        if of != seq:
            continue
        if flags & Flag.DUMP_INTERRUPTED:
            raise InterruptedDumpError(f"{what}: it changed meanwhile", errno=errno.EINTR)
        if kind in (_ERROR, _DONE):
            number = -struct.unpack_from("=i", body)[0]
            if number:
                name = errno.errorcode.get(number, str(number))
                raise KernelError(f"{what}: {name} ({os.strerror(number)})", errno=number)
            return bodies, True
        bodies.append(body)
    return bodies, False


def _explanation(body: bytes, flags: int) -> str:
    """Return the kernel's words about an error, where it has any (NLMSGERR_ATTR_MSG)."""
    if not flags & _HAS_TLVS:
        return ""
    # They follow the error number and the header of what was sent (NETLINK_CAP_ACK).
    return string(dict(attributes(body, 20)).get(1, b""))


def _refusal(step: Operation | None, number: int, words: str) -> KernelError:
    name = errno.errorcode.get(number, str(number))
    reason = words or os.strerror(number)
    what = "as a whole"
    if step is not None:
        what = f"at '{render_transaction((step,)).partition(chr(10))[0][:200]}'"
    mend = "; run as root, with CAP_NET_ADMIN" if number == errno.EPERM else ""
    return KernelError(f"nftables transaction {what}: {name} ({reason}){mend}", errno=number)
