"""The answer to a watch: a line of JSON for each message, as long as the connection lasts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
import msgspec

from chita.store.etcd import wire
from chita.store.etcd.refusals import EtcdRefusedError, NoAnswerError

if TYPE_CHECKING:
    from collections.abc import Sequence


class WatchStream:
    """One watch at one endpoint."""

    def __init__(self, endpoint: str, content: aiohttp.StreamReader) -> None:
        self.endpoint = endpoint
        self._content = content
        self._rest = b""  # the beginning of a line whose end has not come

    async def next(self, within_s: float) -> Sequence[wire.WatchAnswer]:
        """Wait for messages.

        Raises:
            TimeoutError: none came in time; the stream goes on.
            NoAnswerError: the connection is gone.
            EtcdRefusedError: etcd ended the watch.
        """
        while True:
            try:
                async with asyncio.timeout(within_s):
                    # Not readline: it loses what it has when the time is over, and has a limit.
                    chunk = await self._content.readany()
            except (aiohttp.ClientError, ConnectionError) as error:
                raise NoAnswerError(f"{self.endpoint}: watch: {error}") from error
            if not chunk:
                raise NoAnswerError(f"{self.endpoint}: the watch's connection was closed")
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            if lines:
                return [self._answer(line) for line in lines if line]

    def _answer(self, text: bytes) -> wire.WatchAnswer:
        try:
            line = wire.decode(text, wire.WatchLine)
        except msgspec.MsgspecError as error:
            raise NoAnswerError(f"{self.endpoint}: watch: {error}") from error
        if line.error is not None:
            raise EtcdRefusedError(self.endpoint, line.error)
        if line.result is None:
            raise NoAnswerError(f"{self.endpoint}: watch: a message without result")
        return line.result
