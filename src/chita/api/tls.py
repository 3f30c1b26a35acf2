"""TLS in a process that keeps many connections open.

asyncio gives each TLS connection a buffer of 256 KB for as long as it lives, and takes another for
each read. An agent has a connection for every kind that it watches, nearly all of them silent for
hours: 7 MB; a server has all of its agents'.
"""

from __future__ import annotations

from asyncio import sslproto

BUFFER_BYTES = 32 * 1024
"""A TLS record is at most 16 KB and a little (RFC 8446 section 5.2), and one read gives one."""


def use_small_buffers() -> None:
    """Give connections that this process opens or takes from now on buffers of `BUFFER_BYTES`."""
    sslproto.SSLProtocol.max_size = BUFFER_BYTES
