"""One process for the metadata services of all clouds: ``python -m chita.lab.metadata_server``.

A socket keeps the network namespace it was opened in (docs/adr/0005-lab-pods.md): each cloud's
listens on 169.254.169.254 inside its router, where the nodes' default route leads.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
from collections.abc import Sequence
from pathlib import Path

import msgspec
from aiohttp import web

from chita.lab.metadata import PORT, CloudMetadata, Service
from chita.lab.netns import entered
from chita.lab.places import METADATA_ADDRESS
from chita.lab.underlay import Provider


def open_listener(metadata: CloudMetadata) -> socket.socket:
    """Return a socket that listens in the router's namespace.

    AWS's answers live for one hop unless told otherwise, so that only a node itself gets them, and
    no pod behind its forwarding.

    Raises:
        KernelError: there is no such namespace.
        OSError: the address is not there, or taken.
    """
    with entered(Path(metadata.namespace)):
        listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if metadata.provider is Provider.AWS:
            listener.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
        listener.bind((str(METADATA_ADDRESS), PORT))
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


async def start_service(metadata: CloudMetadata, listener: socket.socket) -> web.AppRunner:
    """Answer on *listener* until the runner that is returned is cleaned up."""
    service = Service(metadata)

    async def answer(request: web.Request) -> web.Response:
        reply = service.answer(
            request.remote or "", request.method, request.path_qs, request.headers
        )
        return web.Response(status=reply.status, body=reply.body.encode(), headers=reply.headers)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    return runner


async def serve(services: Sequence[CloudMetadata]) -> None:
    """Answer for all *services* until the process is told to end."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    runners = [await start_service(metadata, open_listener(metadata)) for metadata in services]
    await stopped.wait()
    for runner in runners:
        await runner.cleanup()


def main() -> None:
    """Run the process."""
    parser = argparse.ArgumentParser(
        prog="python -m chita.lab.metadata_server", description=__doc__
    )
    parser.add_argument("clouds", type=Path, help="JSON file: what to answer, by cloud")
    clouds: Path = parser.parse_args().clouds
    asyncio.run(serve(msgspec.json.decode(clouds.read_bytes(), type=list[CloudMetadata])))


if __name__ == "__main__":
    main()
