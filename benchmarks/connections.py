"""Connections made, accepted and reset as fast as they go: the two ends that `traffic` starts.

    connections.py accept               on all of PORTS, until it is ended
    connections.py connect ADDRESS      for as many seconds as each line read says; prints how many

A process of its own for each end, so that it can be pinned and its processor time told.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import sys
import time

from policy_node import PORTS

IN_FLIGHT = 64
RESET = (1).to_bytes(4, sys.byteorder) + bytes(4)
"""struct linger: a close resets. The client sees the end at once; neither side keeps TIME_WAIT."""


def main() -> None:
    """Be one of the ends."""
    match sys.argv[1:]:
        case ["accept"]:
            accept_connections()
        case ["connect", address]:
            for line in sys.stdin:
                print(count_connections(address, float(line)), flush=True)
        case _:
            raise SystemExit("usage: connections.py accept | connect ADDRESS")


def accept_connections() -> None:
    """Accept on PORTS and reset each connection at once."""
    poll = select.epoll()
    listeners: dict[int, socket.socket] = {}
    for port in PORTS:
        listener = socket.create_server(("", port), backlog=1024)
        listener.setblocking(False)
        # Accepted sockets inherit it.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        listeners[listener.fileno()] = listener
        poll.register(listener, select.EPOLLIN)
    print("listening", flush=True)
    while True:
        for descriptor, _ in poll.poll():
            listener = listeners[descriptor]
            try:
                while True:
                    listener.accept()[0].close()
            except BlockingIOError:
                pass


def count_connections(address: str, seconds: float) -> int:
    """Return how many connections were made and reset by the other side within *seconds*."""
    poll = select.epoll()
    live: dict[int, socket.socket] = {}
    opened = done = 0

    def connect() -> None:
        nonlocal opened
        fresh = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        fresh.connect_ex((address, PORTS[opened % len(PORTS)]))
        live[fresh.fileno()] = fresh
        # Nothing asked for: the end of a connection is always told, its beginning is not.
        poll.register(fresh, 0)
        opened += 1

    for _ in range(IN_FLIGHT):
        connect()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for descriptor, _ in poll.poll(0.1):
            with live.pop(descriptor) as ended_:
                why = ended_.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if why != errno.ECONNRESET:
                raise SystemExit(f"connection to {address}: {os.strerror(why)}")
            done += 1
            connect()
    for left in live.values():
        left.close()
    poll.close()
    return done


if __name__ == "__main__":
    main()
