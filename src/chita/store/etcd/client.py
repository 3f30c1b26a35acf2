"""Requests to etcd's JSON gateway: which endpoint, how long, and what a missing answer means.

A request that changes nothing is asked again, at another endpoint, until its time is over. A write
is sent once: only when it certainly never left, or etcd says that it did nothing, may it go out
again (`EtcdClient.send`). Why the gateway and not gRPC: docs/adr/0022-etcd.md.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

import aiohttp
import msgspec

from chita.errors import EngineError, UncertainError
from chita.store.etcd import wire
from chita.store.etcd.refusals import EtcdRefusedError, NoAnswerError, UnsentError
from chita.store.etcd.settings import names_of
from chita.store.etcd.stream import WatchStream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from chita.store.etcd.settings import EtcdSettings

T = TypeVar("T")
CONNECT_S = 1.0  # a member that takes longer is as good as gone: there are others
PAUSE_S = 0.05  # between two rounds over the endpoints; doubles
MAX_PAUSE_S = 1.0
STATUS = "/v3/maintenance/status"


class EtcdClient:
    """One etcd cluster. Make it inside the event loop that uses it, and close it there.

    Raises:
        InputError: a certificate file is not usable.
    """

    def __init__(self, settings: EtcdSettings) -> None:
        tls = settings.tls()
        connector = aiohttp.TCPConnector(ssl=tls if tls is not None else True, limit=0)
        self._session = aiohttp.ClientSession(connector=connector)
        self._endpoints = list(settings.endpoints)
        self._timeout_s = settings.timeout_s
        self._clusters: dict[str, int] = {}  # by endpoint that was asked who it is

    @property
    def name(self) -> str:
        """What messages call the cluster: its endpoints."""
        return f"etcd ({names_of(self._endpoints)})"

    @property
    def timeout_s(self) -> float:
        """How long one answer may take."""
        return self._timeout_s

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def ask(self, path: str, body: wire.Body, type_: type[T]) -> T:
        """Return the answer to a request that may be repeated; endpoints in turn, `timeout_s` long.

        Raises:
            EtcdRefusedError: etcd says no, and would again.
            EngineError: no endpoint answered; the message names each with its reason.
        """
        clock = asyncio.get_running_loop().time
        end, pause = clock() + self._timeout_s, PAUSE_S
        failures: dict[str, str] = {}
        while True:
            for endpoint in tuple(self._endpoints):
                # Half of the time at most, so that a silent member leaves time for another.
                left = min(end - clock(), self._timeout_s / 2)
                if left <= 0:
                    raise self._unreachable(path, failures)
                try:
                    return await self._post(endpoint, path, body, type_, left)
                except EtcdRefusedError as error:
                    if not error.may_pass:
                        raise
                    failures[endpoint] = str(error)
                except (UnsentError, NoAnswerError) as error:
                    failures[endpoint] = str(error)
                self._put_last(endpoint)
            await asyncio.sleep(min(pause, max(0.0, end - clock())))
            pause = min(pause * 2, MAX_PAUSE_S)

    async def send(self, path: str, body: wire.Body, type_: type[T]) -> T:
        """Return the answer to a write.

        Raises:
            EtcdRefusedError: etcd refused it; nothing was written.
            UncertainError: it was sent and no answer came.
            EngineError: it could not be sent; nothing was written.
        """
        clock = asyncio.get_running_loop().time
        end, pause = clock() + self._timeout_s, PAUSE_S
        failures: dict[str, str] = {}
        while True:
            for endpoint in tuple(self._endpoints):
                left = end - clock()
                if left <= 0:
                    raise self._unreachable(path, failures)
                try:
                    return await self._post(endpoint, path, body, type_, left)
                except UnsentError as error:
                    failures[endpoint] = str(error)
                except NoAnswerError as error:
                    self._put_last(endpoint)
                    raise UncertainError(str(error)) from error
                except EtcdRefusedError as error:
                    if not error.is_overload:
                        if error.is_certain:
                            raise
                        raise UncertainError(str(error)) from error
                    failures[endpoint] = str(error)
                self._put_last(endpoint)
            await asyncio.sleep(min(pause, max(0.0, end - clock())))
            pause = min(pause * 2, MAX_PAUSE_S)

    @asynccontextmanager
    async def watch(self, request: wire.Body) -> AsyncIterator[WatchStream]:
        """Yield the stream of one watch, from the first endpoint that takes it.

        Raises:
            EngineError: none does.
        """
        failures: dict[str, str] = {}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S)
        body = msgspec.json.encode({"create_request": request})
        for endpoint in tuple(self._endpoints):
            try:
                await self._identify(endpoint)
                # The answer's head comes with etcd's first message, so it is waited for.
                async with asyncio.timeout(self._timeout_s):
                    response = await self._session.post(
                        f"{endpoint}/v3/watch", data=body, timeout=timeout
                    )
            except (aiohttp.ClientError, OSError, TimeoutError, UnsentError) as error:
                failures[endpoint] = _reason(error)
                self._put_last(endpoint)
                continue
            try:
                yield WatchStream(endpoint, response.content)
            except NoAnswerError:
                self._put_last(endpoint)
                raise
            finally:
                response.close()
            return
        raise self._unreachable("/v3/watch", failures)

    async def _post(
        self, endpoint: str, path: str, body: wire.Body, type_: type[T], within_s: float
    ) -> T:
        await self._identify(endpoint)
        status, text = await self._exchange(endpoint, path, body, within_s)
        try:
            if status != 200:
                raise EtcdRefusedError(endpoint, wire.decode(text, wire.Refusal))
            return wire.decode(text, type_)
        except msgspec.MsgspecError as error:
            raise NoAnswerError(
                f"{endpoint}: HTTP status {status}, and not etcd's JSON ({error}); is it etcd 3.4 "
                "or newer, and its client port?"
            ) from error

    async def _exchange(
        self, endpoint: str, path: str, body: wire.Body, within_s: float
    ) -> tuple[int, bytes]:
        timeout = aiohttp.ClientTimeout(total=within_s, sock_connect=min(CONNECT_S, within_s))
        try:
            async with self._session.post(
                endpoint + path, data=msgspec.json.encode(body), timeout=timeout
            ) as response:
                return response.status, await response.read()
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise UnsentError(f"{endpoint}: {_reason(error)}") from error
        except TimeoutError as error:
            raise NoAnswerError(f"{endpoint}: no answer within {within_s:.1f} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise NoAnswerError(f"{endpoint}: {_reason(error)}") from error

    async def _identify(self, endpoint: str) -> None:
        """Ask an endpoint once which cluster it is of, before a strange one gets a write.

        Raises:
            UnsentError: it does not answer.
            EngineError: it belongs to another cluster than the others.
        """
        if endpoint in self._clusters:
            return
        try:
            status, text = await self._exchange(endpoint, STATUS, {}, self._timeout_s / 2)
        except NoAnswerError as error:
            raise UnsentError(str(error)) from error
        try:
            cluster = wire.decode(text, wire.Acknowledged).header.cluster_id
        except msgspec.MsgspecError:
            cluster = 0
        if status != 200 or not cluster:
            raise UnsentError(
                f"{endpoint}: HTTP status {status} to {STATUS}, {text[:200]!r}; is it etcd 3.4 or "
                "newer, and its client port?"
            )
        for other, known in self._clusters.items():
            if known != cluster:
                raise EngineError(
                    f"etcd endpoints {other} and {endpoint} belong to different clusters "
                    f"({known:x} and {cluster:x}); give --etcd-endpoints of one"
                )
        self._clusters[endpoint] = cluster

    def _put_last(self, endpoint: str) -> None:
        """Ask the other endpoints first from now on."""
        if self._endpoints[-1] != endpoint:
            self._endpoints.remove(endpoint)
            self._endpoints.append(endpoint)

    def _unreachable(self, path: str, failures: dict[str, str]) -> EngineError:
        reasons: Sequence[str] = sorted(set(failures.values())) or ["no endpoint was tried in time"]
        return EngineError(
            f"{path} of {self.name}: {'; '.join(reasons)}; check that a majority of the members "
            "runs and is reachable from here: etcdctl endpoint status --cluster"
        )


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
