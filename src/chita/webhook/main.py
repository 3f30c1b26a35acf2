"""The webhook as a task: answers reviews over TLS, and keeps its certificates.

It runs in the controller's process, in each replica whether it leads or not, or by itself
(``chita webhook``).
"""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
import tempfile
from pathlib import Path
from typing import Final, NoReturn

import msgspec
from aiohttp import web

from chita.api.auth import ApiConfig
from chita.api.client import ApiClient
from chita.api.tls import use_small_buffers
from chita.errors import EngineError, InputError
from chita.install.webhook import PATH, PORT, server_name
from chita.model.kinds import Kind
from chita.server.pki import Identity
from chita.telemetry.log import logger
from chita.webhook.credentials import Credentials
from chita.webhook.review import Policies, answer, read
from chita.webhook.upkeep import RETRY_S, Upkeep, keep_current

HEALTH: Final = ("/healthz", "/readyz", "/livez")
MAX_BODY_BYTES: Final = 8 * 1024 * 1024
"""An object and the one it replaces, each as large as kube-apiserver takes (3 MiB), and more."""
_LOG = logger("webhook")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How the webhook is reached."""

    host: str = ""
    """Address to listen on; empty: all of both families."""
    port: int = PORT
    names: tuple[str, ...] = ()
    """Whom its certificate is for beside the Service: where a configuration names an URL."""


class StoredPolicies:
    """The policies that the API has."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def one_in(self, kind: Kind, tier: str) -> str:
        """Return ``namespace/name`` of an object of *kind* in *tier*; empty: there is none."""
        found = await self._client.list(kind, field_selector=f"spec.tier={tier}")
        for obj in found.items:
            metadata = obj["metadata"]
            return f"{metadata.get('namespace', '')}/{metadata['name']}".removeprefix("/")
        return ""


async def run(config: ApiConfig, settings: Settings) -> None:
    """Answer reviews as a process of its own until SIGTERM."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with asyncio.TaskGroup() as tasks:
        reviewing = tasks.create_task(keep_reviewing(config, settings=settings), name="webhook")
        await stopped.wait()
        reviewing.cancel()
    _LOG.info("webhook stopped")


async def keep_reviewing(config: ApiConfig, *, settings: Settings) -> NoReturn:
    """Answer reviews until cancelled, with the rights that *config* gives.

    Nothing that goes wrong here ends it: the cluster goes on without a webhook.
    """
    use_small_buffers()
    names = (server_name(), *settings.names)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    is_ready = asyncio.Event()

    def serve(held: Credentials) -> None:
        load(context, held.serving)
        is_ready.set()

    async with ApiClient(config) as client, asyncio.TaskGroup() as tasks:
        upkeep = Upkeep(client, names)
        tasks.create_task(keep_current(upkeep, serve), name="webhook certificates")
        await is_ready.wait()
        runner = await listening(settings, context, StoredPolicies(client))
        _LOG.info("webhook answers", host=settings.host or "*", port=settings.port)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await runner.cleanup()
    raise AssertionError  # all run until they are cancelled


def load(context: ssl.SSLContext, identity: Identity) -> None:
    """Let connections that *context* takes from now on see *identity*.

    The standard library loads pairs from files alone: they are gone again when this returns.
    """
    with tempfile.TemporaryDirectory(prefix="chita-") as directory:
        pair = Path(directory) / "pair.pem"
        pair.touch(mode=0o600)
        pair.write_bytes(identity.certificate + identity.key)
        context.load_cert_chain(pair)


async def listening(
    settings: Settings, context: ssl.SSLContext, policies: Policies
) -> web.AppRunner:
    """Return what serves; a port that is taken is tried again until it is free."""
    runner = web.AppRunner(application(policies), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    while True:
        try:
            site = web.SockSite(runner, _socket(settings), ssl_context=context)
        except EngineError as error:
            _LOG.warning("webhook does not listen", why=str(error))
            await asyncio.sleep(RETRY_S)
            continue
        await site.start()
        return runner


def application(policies: Policies) -> web.Application:
    """Return what answers: reviews at `PATH`, and whether it is alive."""

    async def review(request: web.Request) -> web.Response:
        try:
            body = await answer(read(await request.read()), policies)
        except InputError as error:
            return web.Response(status=400, text=f"{error}\n")
        return web.Response(body=msgspec.json.encode(body), content_type="application/json")

    async def healthy(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    found = web.Application(client_max_size=MAX_BODY_BYTES)
    found.router.add_post(PATH, review)
    for path in HEALTH:
        found.router.add_get(path, healthy)
    return found


def _socket(settings: Settings) -> socket.socket:
    """Return the listening socket.

    Raises:
        EngineError: the address is taken or not ours.
    """
    host, port = settings.host, settings.port
    try:
        if not host and socket.has_dualstack_ipv6():
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise EngineError(
            f"listen on {host or '*'} port {port}: {error}; choose another with --listen"
        ) from error
