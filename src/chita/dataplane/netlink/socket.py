"""The one door to the kernel's netlink interface: requests, dumps, errors with their reason."""

from __future__ import annotations

import errno
import os
import socket
import struct
from pathlib import Path
from types import TracebackType
from typing import Self

from chita.dataplane.netlink import numbers as nl
from chita.dataplane.netlink.message import attributes, message, messages, string
from chita.dataplane.netlink.namespace import inside
from chita.errors import KernelError, UnsupportedError

_RECEIVE_BYTES = 65536  # the kernel's dumps come in at most 32 KiB (netlink_dump)
_DUMP_TRIES = 10
_UNSUPPORTED = {errno.EOPNOTSUPP, errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT}


class NetlinkSocket:
    """A netlink socket of one namespace, for one thread at a time.

    Blocking: the agent calls what uses it from a worker thread. An answer that does not come
    within *timeout_s* is an error; the kernel answers within microseconds, except where it waits
    for a lock that a namespace's removal holds.
    """

    def __init__(
        self,
        protocol: int = nl.NETLINK_ROUTE,
        *,
        namespace: Path | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        self.namespace = namespace
        self.writes = 0
        """Requests that asked for a change, refused ones too."""
        self._sequence = 0
        self._socket = inside(namespace, lambda: _open(protocol))
        self._socket.settimeout(timeout_s)

    @property
    def port(self) -> int:
        """The socket's netlink port: events that our own requests cause carry it."""
        return int(self._socket.getsockname()[0])

    def request(self, kind: int, flags: int, body: bytes, *, what: str) -> list[bytes]:
        """Send one request and return the bodies of the answer.

        Args:
            kind: such as RTM_NEWROUTE.
            flags: beside NLM_F_REQUEST and NLM_F_ACK.
            body: the fixed part and the attributes.
            what: the request in words, the beginning of an error's message.

        Raises:
            UnsupportedError: the kernel does not know what was asked for.
            KernelError: it refused; `errno` says why.
        """
        # Kinds come in fours: new, delete, get, set (linux/rtnetlink.h).
        self.writes += kind % 4 != 2
        self._send(kind, flags | nl.NLM_F_ACK, body, what)
        bodies, _ = self._answer(what)
        return bodies

    def dump(self, kind: int, body: bytes, *, what: str) -> list[bytes]:
        """Return the bodies of all objects that *kind* asks for, of one moment.

        The kernel says when objects changed during a dump (NLM_F_DUMP_INTR); it is taken again.

        Raises:
            KernelError: refused, or the objects never stopped changing.
        """
        for _ in range(_DUMP_TRIES):
            self._send(kind, nl.NLM_F_DUMP, body, what)
            bodies, interrupted = self._answer(what)
            if not interrupted:
                return bodies
        raise KernelError(f"{what}: changed during each of {_DUMP_TRIES} dumps", errno=errno.EINTR)

    def close(self) -> None:
        """Give the socket back; twice is once."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _send(self, kind: int, flags: int, body: bytes, what: str) -> None:
        self._sequence += 1
        try:
            self._socket.send(message(kind, flags | nl.NLM_F_REQUEST, self._sequence, body))
        except OSError as error:
            raise _refusal(what, error.errno or 0, "") from error

    def _answer(self, what: str) -> tuple[list[bytes], bool]:
        bodies: list[bytes] = []
        interrupted = False
        while True:
            try:
                datagram = self._socket.recv(_RECEIVE_BYTES)
            except TimeoutError as error:
                raise KernelError(f"{what}: no answer", errno=errno.ETIMEDOUT) from error
            except OSError as error:
                raise _refusal(what, error.errno or 0, "") from error
            for kind, flags, sequence, _, body in messages(datagram):
                if sequence != self._sequence:
                    continue  # the rest of an answer that timed out
                interrupted = interrupted or bool(flags & nl.NLM_F_DUMP_INTR)
                if kind in (nl.NLMSG_ERROR, nl.NLMSG_DONE):
                    code = -struct.unpack_from("=i", body)[0] if len(body) >= 4 else 0
                    if code:
                        raise _refusal(what, code, _reason(kind, flags, body))
                    return bodies, interrupted
                bodies.append(body)


def _open(protocol: int) -> socket.socket:
    """Return a bound socket that explains errors and checks requests strictly."""
    try:
        opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    except OSError as error:
        raise UnsupportedError(
            f"open netlink socket of protocol {protocol}: {error.strerror}", errno=error.errno or 0
        ) from error
    for option in (nl.NETLINK_CAP_ACK, nl.NETLINK_EXT_ACK, nl.NETLINK_GET_STRICT_CHK):
        try:
            opened.setsockopt(nl.SOL_NETLINK, option, 1)
        except OSError:  # before 4.3, 4.12 and 4.20: shorter messages, dumps filtered by us
            continue
    opened.bind((0, 0))
    return opened


def _reason(kind: int, flags: int, body: bytes) -> str:
    """Return the kernel's own explanation, if it gave one (NLMSGERR_ATTR_MSG)."""
    if not flags & nl.NLM_F_ACK_TLVS:
        return ""
    offset = 4
    if kind == nl.NLMSG_ERROR:  # the request's header follows; with CAP_ACK nothing of its body
        offset = 20
        if not flags & nl.NLM_F_CAPPED:
            offset = 4 + struct.unpack_from("=I", body, 4)[0]
    found = dict(attributes(body, offset))
    return string(found.get(nl.NLMSGERR_ATTR_MSG, b""))


def _refusal(what: str, code: int, reason: str) -> KernelError:
    name = errno.errorcode.get(code, str(code))
    text = f"{what}: {name} ({reason or os.strerror(code)})"
    return (UnsupportedError if code in _UNSUPPORTED else KernelError)(text, errno=code)
