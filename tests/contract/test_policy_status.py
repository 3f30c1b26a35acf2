"""A real server: a policy's status names what of it is not enforced, and only the controller's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from api_clients import admin
from chita.api.client import ApiClient
from chita.api.kinds import CALICO
from server_process import ServerProcess, running_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

POLICIES = CALICO["NetworkPolicy"]
HTTP = {"action": "Allow", "http": {"methods": ["GET"]}}
PLAIN = {"action": "Allow", "protocol": "TCP"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with running_server(tmp_path_factory.mktemp("status")) as running:
        yield running


def policy(name: str, *rules: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"ingress": list(rules)},
    }


async def condition(client: ApiClient, name: str, status: str) -> dict[str, Any]:
    """Return the condition of a policy once it has *status*."""
    async with asyncio.timeout(20):
        while True:
            found = await client.get(POLICIES, name, "default")
            for each in found.get("status", {}).get("conditions", []):
                if each["status"] == status:
                    return dict(each)
            await asyncio.sleep(0.02)


def test_a_rule_by_http_is_named_until_it_goes(server: ServerProcess) -> None:
    async def act() -> None:
        async with admin(server) as client:
            stored = await client.create(policy("web", PLAIN, HTTP))
            said = await condition(client, "web", "False")
            assert said["type"] == "Enforced"
            assert said["reason"] == "FieldsNotEnforced"
            assert said["message"].startswith("spec.ingress[1].http: ")
            assert said["observedGeneration"] == stored["metadata"]["generation"] == 1

            mend = {"spec": {"ingress": [PLAIN]}}
            changed = await client.patch(POLICIES, "web", mend, namespace="default")
            assert changed["metadata"]["generation"] == 2
            assert (await condition(client, "web", "True"))["observedGeneration"] == 2

    asyncio.run(act())


def test_a_policy_as_strong_as_it_looks_is_left_alone(server: ServerProcess) -> None:
    """No write, no event: the next policy's status comes, and this one has none."""

    async def act() -> None:
        async with admin(server) as client:
            sound = await client.create(policy("sound", PLAIN))
            await client.create(policy("later", HTTP))
            await condition(client, "later", "False")
            assert await client.get(POLICIES, "sound", "default") == sound

    asyncio.run(act())


def test_what_was_read_may_be_written(server: ServerProcess) -> None:
    """What has a status is valid; a user's status counts for nothing, a node writes none."""

    async def act() -> None:
        async with admin(server) as client:
            await client.create(policy("back", HTTP))
            await condition(client, "back", "False")
            found = await client.get(POLICIES, "back", "default")
            del found["status"]["conditions"][0]
            found["metadata"]["labels"] = {"a": "b"}
            written = await client.update(found)
            assert written["status"]["conditions"]
            assert written["metadata"]["labels"]["a"] == "b"

    asyncio.run(act())
    answer, credentials = server.join("node-1")
    assert answer.status == 200
    path = POLICIES.path("default", "back", "status")
    merge = {"Content-Type": "application/merge-patch+json"}
    refused = server.request("PATCH", path, {"status": {}}, credentials=credentials, headers=merge)
    assert refused.status == 403
