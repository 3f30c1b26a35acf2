"""ApiClient: the one way to kube-apiserver and to ``chita server``, which it can't tell apart."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec

from chita.api.auth import ApiConfig
from chita.api.kinds import Resource, resource_of
from chita.api.refusals import no_answer, refusal
from chita.api.warning import texts
from chita.errors import ApiError
from chita.telemetry.log import logger

Object = dict[str, Any]

MAX_SEGMENT_BYTES = 1220
"""1280 less the headers of IPv6 and TCP."""

KEEPALIVE_S = 20
"""Before a silent connection is asked whether it is still there: no NAT forgets TCP as soon."""

PAGE_SIZE = 500
"""Objects a list asks for at once, as client-go does."""

_LOG = logger("api")


def _logged(text: str) -> None:
    _LOG.warning("the server warns", text=text)


_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


class PatchType(StrEnum):
    """How a patch is written: the media type of the request."""

    MERGE = "application/merge-patch+json"
    JSON = "application/json-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"
    APPLY = "application/apply-patch+yaml"


class ObjectList(msgspec.Struct, frozen=True):
    """A consistent list and the version to watch on from."""

    items: list[Object]
    resource_version: str


class Page(msgspec.Struct, frozen=True):
    """A part of a consistent list."""

    items: list[Object]
    resource_version: str
    is_last: bool


class WatchEvent(msgspec.Struct, frozen=True):
    """One line of a watch: ADDED, MODIFIED, DELETED or BOOKMARK."""

    type: str
    object: Object


class ApiClient:
    """A session with one API server. Use it as an async context manager, in one event loop."""

    def __init__(
        self,
        config: ApiConfig,
        *,
        timeout_s: float = 15.0,
        on_warning: Callable[[str], None] = _logged,
    ) -> None:
        """Take what is told each warning of the server about what was written."""
        self.config = config
        """Whom it talks to, and as whom."""
        self._on_warning = on_warning
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None
        self._tls: ssl.SSLContext | None = None

    async def __aenter__(self) -> Self:
        self._tls = self.config.ssl_context()
        connector = aiohttp.TCPConnector(ssl=self._tls, limit=0, socket_factory=_connection)
        self._session = aiohttp.ClientSession(
            self.config.server,
            connector=connector,
            headers={"Accept": "application/json", **self.config.headers()},
            json_serialize=_text,
        )
        return self

    def renew(self, config: ApiConfig) -> None:
        """Prove who we are by *config*'s certificate from the next connection on.

        Connections that stand go on with the one before.

        Raises:
            InputError: certificate and key do not belong together.
        """
        if self._tls is not None:
            config.prove(self._tls)
        self.config = config

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, resource: Resource, name: str, namespace: str = "") -> Object:
        """Return one object.

        Raises:
            NotFoundError: there is none. ApiError: anything else.
        """
        return await self._json("GET", resource.path(namespace, name))

    async def list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> ObjectList:
        """Return all objects of a collection, read page by page at one version."""
        items: list[Object] = []
        version = ""
        async with aclosing(
            self.pages(
                resource, namespace, label_selector=label_selector, field_selector=field_selector
            )
        ) as pages:
            async for page in pages:
                items += page.items
                version = page.resource_version
        return ObjectList(items, version)

    async def pages(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncGenerator[Page, None]:
        """Yield a collection page by page, all of one version, so that it is never held whole.

        Raises:
            ExpiredError: the version was forgotten meanwhile; begin again.
        """
        query = {"limit": str(PAGE_SIZE)}
        if label_selector:
            query["labelSelector"] = label_selector
        if field_selector:
            query["fieldSelector"] = field_selector
        while True:
            page = await self._json("GET", resource.path(namespace), query=query)
            items: list[Object] = page.get("items") or []
            for item in items:
                # Items of a list leave out what the list's own kind says; ours always say it.
                item.setdefault("apiVersion", resource.api_version)
                item.setdefault("kind", resource.kind)
            metadata = page["metadata"]
            more = metadata.get("continue", "")
            yield Page(items, metadata.get("resourceVersion", ""), is_last=not more)
            if not more:
                return
            query["continue"] = more

    async def table(
        self, resource: Resource, namespace: str = "", name: str = "", *, label_selector: str = ""
    ) -> Object:
        """Return a collection or one object as the server tabulates it (meta.k8s.io/v1 Table)."""
        query = {"labelSelector": label_selector} if label_selector else None
        return await self._json("GET", resource.path(namespace, name), query=query, accept=_TABLE)

    async def create(self, obj: Mapping[str, Any]) -> Object:
        """Create *obj*; return it as stored.

        Raises:
            ConflictError: its name is taken. ApiError: refused; the message names the fields.
        """
        return await self._json("POST", resource_of(obj).path(_namespace(obj)), body=obj)

    async def update(self, obj: Mapping[str, Any], subresource: str = "") -> Object:
        """Replace *obj*, whose ``resourceVersion`` must still be the stored one.

        Raises:
            ConflictError: somebody else wrote first. NotFoundError: it is gone.
        """
        name = obj["metadata"]["name"]
        path = resource_of(obj).path(_namespace(obj), name, subresource)
        return await self._json("PUT", path, body=obj)

    async def patch(  # noqa: PLR0913 - the parts of a patch request
        self,
        resource: Resource,
        name: str,
        body: Any,
        *,
        namespace: str = "",
        subresource: str = "",
        patch_type: PatchType = PatchType.MERGE,
        query: Mapping[str, str] | None = None,
    ) -> Object:
        """Patch one object; return it as stored."""
        return await self._json(
            "PATCH",
            resource.path(namespace, name, subresource),
            body=body,
            query=query,
            content_type=patch_type,
        )

    async def delete(
        self, resource: Resource, name: str, namespace: str = "", *, resource_version: str = ""
    ) -> None:
        """Delete one object, if it is still at *resource_version* when that is given.

        Raises:
            NotFoundError: it is not there. ConflictError: it is at another version.
        """
        body: Object = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if resource_version:
            body["preconditions"] = {"resourceVersion": resource_version}
        await self._json("DELETE", resource.path(namespace, name), body=body)

    async def post(self, path: str, body: Mapping[str, Any]) -> Object:
        """Send *body* to a path that is no resource, such as the join endpoint."""
        return await self._json("POST", path, body=body)

    @asynccontextmanager
    async def watch(
        self, resource: Resource, resource_version: str, *, timeout_s: int = 300
    ) -> AsyncIterator[AsyncIterator[WatchEvent]]:
        """Watch a collection after *resource_version*: entered once the server has accepted.

        What it gives is what happens, until the server ends it.

        Raises:
            ExpiredError: the version is too old; list again. ApiError: the connection broke.
        """
        query = {
            "watch": "1",
            "resourceVersion": resource_version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(timeout_s),
        }
        quiet = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=timeout_s + 15)
        what = f"watch {resource.plural}"
        try:
            # Silence is what a watch is made of, but only once the server has accepted it.
            async with asyncio.timeout(self._timeout.total):
                response = await self._open.get(resource.path(), params=query, timeout=quiet)
            async with response:
                if response.status != 200:
                    raise refusal(what, response.status, await response.read())
                yield _events(what, response.content)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise no_answer(what, error) from error

    @property
    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise ApiError("the API client is not open", reason="Closed")
        return self._session

    async def _json(  # noqa: PLR0913 - the parts of a request
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Object:
        what = f"{method} {path}"
        headers = {"Accept": accept}
        if body is not None:
            headers["Content-Type"] = content_type
        try:
            async with self._open.request(
                method,
                path,
                params=query,
                data=None if body is None else msgspec.json.encode(body),
                headers=headers,
                timeout=self._timeout,
            ) as response:
                content = await response.read()
                warnings = texts(response.headers.getall("Warning", []))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise no_answer(what, error) from error
        if response.status >= 300:
            raise refusal(what, response.status, content)
        for warning in warnings:
            self._on_warning(warning)
        try:
            decoded: Object = msgspec.json.decode(content, type=dict)
        except msgspec.DecodeError as error:
            raise ApiError(f"{what}: the answer is not JSON: {error}", status=200) from error
        return decoded


def _connection(
    info: tuple[
        socket.AddressFamily | int,
        socket.SocketKind | int,
        int,
        str,
        tuple[Any, ...],
    ],
) -> socket.socket:
    """Return a socket that works over every network, and notices when it does not any more.

    Its segments, both ways, fit every network that carries IPv6: some clouds drop larger packets
    without a word (Azure above 1400), and the way to the API must work before anything can be known
    of the path (RFC 8200 section 5, RFC 6691).

    A watch may be silent for minutes and is only read from. A NAT on the way that was restarted, or
    has forgotten it, would leave it waiting for ever: keepalives (RFC 9293 section 3.8.4) keep the
    mapping, or are refused by the server, who does not know the new one.
    """
    family, kind, protocol, _, _ = info
    opened = socket.socket(family, kind, protocol)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, MAX_SEGMENT_BYTES)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_S)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_S // 4)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
    # Also what was sent and is not acknowledged: else the kernel goes on for a quarter of an hour.
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 2 * KEEPALIVE_S * 1000)
    return opened


async def _events(what: str, content: aiohttp.StreamReader) -> AsyncIterator[WatchEvent]:
    """Yield the events of a watch, one JSON object a line."""
    rest = b""
    async for chunk in content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line:
                yield _event(what, line)


def _event(what: str, line: bytes) -> WatchEvent:
    try:
        event = msgspec.json.decode(line, type=WatchEvent)
    except msgspec.DecodeError as error:
        raise ApiError(f"{what}: not a watch event: {error}", reason="Malformed") from error
    if event.type == "ERROR":
        code = event.object.get("code")
        status = code if isinstance(code, int) else 0
        raise refusal(what, status, msgspec.json.encode(event.object))
    metadata = event.object.get("metadata")
    if not isinstance(metadata, dict) or "resourceVersion" not in metadata:
        raise ApiError(f"{what}: an event without a resourceVersion", reason="Malformed")
    return event


def _namespace(obj: Mapping[str, Any]) -> str:
    return str(obj["metadata"].get("namespace", ""))


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
