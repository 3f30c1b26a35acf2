"""follow() against servers that do what `chita server` never does, on plain HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from api_clients import free_port, next_batch
from chita.api.auth import ApiConfig
from chita.api.client import ApiClient
from chita.api.kinds import CALICO
from chita.api.watch import Backoff, Interrupted, Listed, Resumed, follow
from chita.server.pki import load_or_make_authority

SETS = CALICO["GlobalNetworkSet"]
LIST = {
    "kind": "List",
    "metadata": {"resourceVersion": "5"},
    "items": [{"metadata": {"name": "x"}}],
}
STATUS_404 = {"kind": "Status", "code": 404, "reason": "NotFound", "message": "not found"}


class Scripted:
    """Answers each list and each watch with the next of its script, the last one for ever."""

    def __init__(self, lists: Sequence[Any], watches: Sequence[Sequence[Any]]) -> None:
        self._lists = list(lists)
        self._watches = [list(watch) for watch in watches]
        self.asked: list[str] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            self.asked.append("list")
            body = self._lists.pop(0) if len(self._lists) > 1 else self._lists[0]
            return web.json_response(body, status=body.get("code", 200))
        self.asked.append("watch")
        events = self._watches.pop(0) if len(self._watches) > 1 else self._watches[0]
        if events and "code" in events[0]:
            return web.json_response(events[0], status=events[0]["code"])
        response = web.StreamResponse()
        await response.prepare(request)
        for event in events:
            await response.write(json.dumps(event).encode() + b"\n")
        return response


@asynccontextmanager
async def serving(
    directory: Path,
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> AsyncIterator[ApiClient]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        # Not used without TLS, but asked for.
        authority = load_or_make_authority(directory).certificate_pem.decode()
        config = ApiConfig(server=f"http://127.0.0.1:{port}", ca_pem=authority)
        async with ApiClient(config) as client:
            yield client
    finally:
        await runner.cleanup()


@pytest.mark.slow
def test_a_kind_that_is_not_known_any_more_keeps_its_objects(tmp_path: Path) -> None:
    """A starting API server answers 404 for custom resources: policies must not vanish by it."""
    script = Scripted(lists=[LIST, STATUS_404], watches=[[STATUS_404], [STATUS_404], []])

    async def act() -> None:
        async with (
            serving(tmp_path, script.answer) as client,
            aclosing(follow(client, SETS)) as batches,
        ):
            assert isinstance(await next_batch(batches), Listed)
            assert isinstance(await next_batch(batches), Interrupted)
            assert isinstance(await next_batch(batches), Interrupted)
            assert isinstance(await next_batch(batches), Resumed)

    asyncio.run(act())
    assert script.asked == ["list", "watch", "watch", "watch"]


@pytest.mark.slow
def test_a_watch_that_nobody_answers_is_an_interruption(tmp_path: Path) -> None:
    """The connection stands, the request is acknowledged, and then nothing: a NAT lost it."""
    script = Scripted(lists=[LIST], watches=[[]])
    silent = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        if "watch" in request.query and not silent.is_set():
            await silent.wait()
        return await script.answer(request)

    async def act() -> None:
        async with (
            serving(tmp_path, answer) as served,
            ApiClient(served.config, timeout_s=0.3) as client,
            aclosing(follow(client, SETS)) as batches,
        ):
            assert isinstance(await next_batch(batches), Listed)
            assert isinstance(await next_batch(batches), Interrupted)
            silent.set()
            assert isinstance(await next_batch(batches), Resumed)

    asyncio.run(act())


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([{"type": "MODIFIED", "object": {}}], id="no-metadata"),
        pytest.param([{"type": "MODIFIED", "object": {"metadata": {}}}], id="no-version"),
        pytest.param([{"type": "ERROR", "object": {"code": "many"}}], id="code-is-no-number"),
        pytest.param([{"object": 1}], id="no-event"),
        pytest.param([{"code": 409, "message": "odd"}], id="conflict"),
        pytest.param([{"code": 503, "message": "starting"}], id="unavailable"),
    ],
)
def test_nonsense_is_an_interruption(tmp_path: Path, events: list[Any]) -> None:
    """Nothing that a server says ends the agent."""
    script = Scripted(lists=[LIST], watches=[events, []])

    async def act() -> None:
        async with (
            serving(tmp_path, script.answer) as client,
            aclosing(follow(client, SETS)) as batches,
        ):
            assert isinstance(await next_batch(batches), Listed)
            assert isinstance(await next_batch(batches), Interrupted)
            assert isinstance(await next_batch(batches), Resumed)

    asyncio.run(act())


@pytest.mark.slow
def test_watches_that_end_at_once_are_not_asked_for_in_a_loop(tmp_path: Path) -> None:
    """Each comes later than the one before: 0.1 to 0.2 s, then 0.2 to 0.4."""
    script = Scripted(lists=[LIST], watches=[[]])

    async def act() -> None:
        async with (
            serving(tmp_path, script.answer) as client,
            aclosing(follow(client, SETS)) as batches,
        ):
            assert isinstance(await next_batch(batches), Listed)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.25):
                    await anext(batches)

    asyncio.run(act())
    assert script.asked.count("watch") <= 3


def test_backoff() -> None:
    """It doubles up to its limit, half of it by chance, and starts anew after success."""
    backoff = Backoff(1.0, 3.0)
    waits = [backoff.next_s() for _ in range(4)]
    limits = [(0.5, 1.0), (1.0, 2.0), (1.5, 3.0), (1.5, 3.0)]

    assert all(low <= wait <= high for wait, (low, high) in zip(waits, limits, strict=True))
    backoff.reset()
    assert backoff.next_s() <= 1.0
