"""``chita server``: composes store, registry and HTTP, and runs them until told to stop."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import msgspec
from aiohttp import web

from chita.api.auth import ApiConfig
from chita.api.private_file import write_private
from chita.api.tls import use_small_buffers
from chita.errors import EngineError, InputError
from chita.model.kinds import known_kind
from chita.model.validate.objects import validate
from chita.model.validate.warnings import warnings
from chita.server import pki
from chita.server.app import MAX_BODY_BYTES, App
from chita.server.expiry import expire_events
from chita.server.join import Joining
from chita.server.registry import Registry
from chita.server.rest import Rest
from chita.server.service_address import ServiceAddresses, ServiceRange
from chita.server.users import ADMINS
from chita.store.etcd.settings import EtcdSettings
from chita.store.sqlite import SqliteStore
from chita.telemetry.log import logger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chita.store.store import Store


ADMIN = "admin"
NEIGHBOUR = "chita-server"
DRAIN_S = 2.0  # how long requests may still run after a stop
log = logger("server")


class Endpoint(msgspec.Struct, frozen=True):
    """Where to listen; port 0 takes a free one."""

    host: str
    port: int


class SqliteFile(msgspec.Struct, frozen=True):
    """Objects are in a file of the data directory: the choice for one server."""


StoreSettings = SqliteFile | EtcdSettings


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How one server runs.

    *names* are further host names and addresses that its certificate is good for.
    *inherited_fds* are listening sockets opened before this process started: the lab opens one in
    the machine's namespace and then enters its own.
    """

    data_dir: Path
    listen: tuple[Endpoint, ...] = (Endpoint("127.0.0.1", 6443),)
    inherited_fds: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    kubeconfig: Path | None = None
    join_token: str | None = None
    services: ServiceRange = ServiceRange()
    history_events: int = 10_000
    store: StoreSettings = SqliteFile()


Neighbour = tuple[str, Callable[[ApiConfig], Coroutine[None, None, NoReturn]]]
"""What runs in the server's process as a client of it: its name, and how it starts."""


async def serve(settings: ServerSettings, beside: Sequence[Neighbour] = ()) -> None:
    """Serve until SIGTERM or SIGINT; then end watches, finish requests and close the file.

    What is *beside* it in the process starts once the server can be reached, with an
    administrator's credentials, and is cancelled first.

    Raises:
        EngineError: the data directory, the store or an address can't be used.
        InputError: the join token is too short, or a certificate for etcd is not usable.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    sockets = _sockets(settings)
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise EngineError(f"data directory {settings.data_dir}: {error}") from error
    authority = pki.load_or_make_authority(settings.data_dir)
    store = await _open_store(settings)
    try:
        registry = Registry(store, validate, ServiceAddresses(settings.services))
        await registry.create_built_in()
        joining = Joining(registry, authority)
        if settings.join_token is not None:
            await joining.add_token(settings.join_token, None)
        use_small_buffers()
        runner = await _listen(
            App(Rest(registry, warnings), joining), sockets, _tls(settings, authority)
        )
        _write_kubeconfig(settings, authority, sockets[0])
        log.info("server ready", addresses=[_url(s) for s in sockets], revision=store.revision)
        async with asyncio.TaskGroup() as tasks:
            sweeping = expire_events(registry, known_kind("v1", "Event"))
            running = [tasks.create_task(sweeping, name="event-expiry")]
            config = _neighbours_config(settings, authority, sockets)
            running += [tasks.create_task(start(config), name=name) for name, start in beside]
            await stop.wait()
            for task in running:
                task.cancel()
        store.end_watches()
        await runner.cleanup()
    finally:
        await store.close()


async def _open_store(settings: ServerSettings) -> Store:
    match settings.store:
        case SqliteFile():
            path = settings.data_dir / "chita.db"
            return SqliteStore.open(path, history_events=settings.history_events)
        case EtcdSettings() as etcd:
            # Here: a server on a file does without aiohttp's client.
            from chita.store.etcd.etcd import EtcdStore

            return await EtcdStore.open(etcd, history_events=settings.history_events)


async def _listen(
    app: App, sockets: Sequence[socket.socket], context: ssl.SSLContext
) -> web.ServerRunner:
    loop = asyncio.get_running_loop()

    def make_request(
        message: web.RawRequestMessage,  # type: ignore[name-defined]
        payload: web.StreamReader,  # type: ignore[name-defined]
        protocol: web.RequestHandler,
        writer: web.AbstractStreamWriter,  # type: ignore[name-defined]
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        return web.BaseRequest(
            message, payload, protocol, writer, task, loop, client_max_size=MAX_BODY_BYTES
        )

    server = web.Server(app, request_factory=make_request, access_log=None)
    runner = web.ServerRunner(server, shutdown_timeout=DRAIN_S)
    await runner.setup()
    for listening in sockets:
        await web.SockSite(runner, listening, ssl_context=context).start()
    return runner


def _sockets(settings: ServerSettings) -> list[socket.socket]:
    """Return the listening sockets, inherited ones first.

    Raises:
        EngineError: an address is taken or not ours.
        InputError: there is nothing to listen on.
    """
    sockets = [socket.socket(fileno=fd) for fd in settings.inherited_fds]
    for endpoint in settings.listen:
        family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
        try:
            opened = socket.create_server((endpoint.host, endpoint.port), family=family)
        except OSError as error:
            raise EngineError(
                f"listen on {endpoint.host} port {endpoint.port}: {error}; choose another address"
            ) from error
        sockets.append(opened)
    if not sockets:
        raise InputError("no address to listen on; give --listen HOST:PORT")
    return sockets


def _tls(settings: ServerSettings, authority: pki.Authority) -> ssl.SSLContext:
    """Return the TLS settings: our certificate, and client certificates of our authority only."""
    names = ["localhost", "127.0.0.1", "::1", socket.gethostname(), *settings.names]
    names += [e.host for e in settings.listen if e.host not in {"0.0.0.0", "::"}]  # noqa: S104 - compared, not bound
    identity = authority.server(names)
    certificate, key = settings.data_dir / "server.crt", settings.data_dir / "server.key"
    write_private(certificate, identity.certificate)
    write_private(key, identity.key)
    context = ssl.create_default_context(
        ssl.Purpose.CLIENT_AUTH, cadata=authority.certificate_pem.decode()
    )
    context.load_cert_chain(certificate, key)
    context.verify_mode = ssl.CERT_OPTIONAL  # none at all is 401, but for health and joining
    return context


def _write_kubeconfig(
    settings: ServerSettings, authority: pki.Authority, first: socket.socket
) -> None:
    if settings.kubeconfig is None:
        return
    identity = authority.client(ADMIN, [ADMINS])
    text = pki.kubeconfig(_url(first), authority.certificate_pem, identity)
    try:
        write_private(settings.kubeconfig, text)
    except OSError as error:
        raise EngineError(f"write kubeconfig {settings.kubeconfig}: {error}") from error


def _neighbours_config(
    settings: ServerSettings, authority: pki.Authority, sockets: Sequence[socket.socket]
) -> ApiConfig:
    """Return how a client in this process reaches the server.

    An inherited socket may be in another network namespace: the first of our own is taken.
    """
    own = sockets[len(settings.inherited_fds) :] or sockets
    identity = authority.client(NEIGHBOUR, [ADMINS])
    return ApiConfig(
        server=_url(own[0]),
        ca_pem=authority.certificate_pem.decode(),
        client_certificate_pem=identity.certificate.decode(),
        client_key_pem=identity.key.decode(),
    )


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
