"""The webhook over TLS on the loopback, as an API server asks it."""

from __future__ import annotations

import asyncio
import json
import ssl
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from api_clients import free_port
from chita.install.webhook import PATH, server_name
from chita.model.kinds import Kind
from chita.webhook.credentials import Credentials, renewed
from chita.webhook.main import Settings, listening, load

BAD = {
    "apiVersion": "projectcalico.org/v3",
    "kind": "NetworkPolicy",
    "metadata": {"name": "a", "namespace": "shop"},
    "spec": {"selector": "a =="},
}
REVIEW = {
    "apiVersion": "admission.k8s.io/v1",
    "kind": "AdmissionReview",
    "request": {"uid": "u", "operation": "CREATE", "object": BAD},
}


class NoPolicies:
    """Every tier is empty."""

    async def one_in(self, kind: Kind, tier: str) -> str:
        del kind, tier
        return ""


def trusting(held: Credentials) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=held.bundle.decode())


async def asked(port: int, tls: ssl.SSLContext, body: bytes) -> tuple[int, str]:
    """Return the answer on a new connection, to the name that API servers ask for."""
    connector = aiohttp.TCPConnector(ssl=tls, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        url = f"https://127.0.0.1:{port}{PATH}"
        async with session.post(url, data=body, server_hostname=server_name()) as answer:
            return answer.status, await answer.text()


async def exchange(port: int) -> None:
    held = renewed(None, b"", (server_name(),), datetime.now(UTC))
    other = renewed(None, b"", (server_name(),), datetime.now(UTC))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load(context, held.serving)
    runner = await listening(Settings(host="127.0.0.1", port=port), context, NoPolicies())
    try:
        code, text = await asked(port, trusting(held), json.dumps(REVIEW).encode())
        found: dict[str, Any] = json.loads(text)
        assert (200, "u", False) == (code, found["response"]["uid"], found["response"]["allowed"])
        assert found["response"]["status"]["details"]["causes"][0]["field"] == "spec.selector"

        code, text = await asked(port, trusting(held), b"{}")
        assert code == 400
        assert "AdmissionReview" in text

        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await asked(port, trusting(other), b"{}")
        load(context, other.serving)
        assert (await asked(port, trusting(other), b"{}"))[0] == 400
    finally:
        await runner.cleanup()


def test_round_trip_and_a_new_certificate() -> None:
    """A certificate that is loaded is seen by the next connection, with no restart."""
    asyncio.run(exchange(free_port()))
