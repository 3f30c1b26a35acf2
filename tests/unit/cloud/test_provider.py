"""Discovery against services that answer well, badly, slowly or not at all, on the loopback."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from chita.cloud.facts import CloudFacts, Source
from chita.cloud.provider import BUDGET_S, Places, discover

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]

UUID = "7f1c2f9e-0d55-4f6c-8f0a-000000000001"
TOKEN = "AQAEAHXD4z2mPvA5bq0kZMZ1b0Q8tW=="


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[str]:
    """Yield the URL of a service on the loopback."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    try:
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def discovered(answer: Answer, directory: Path = Path("/nonexistent")) -> CloudFacts:
    async def run() -> CloudFacts:
        async with serving(answer) as url:
            return await discover(places(directory, url))

    return asyncio.run(run())


def places(directory: Path, url: str) -> Places:
    return Places(
        metadata_url=url, config_drive=directory / "config", dmi_directory=directory / "dmi"
    )


def of_paths(texts: Mapping[str, str], **headers: str) -> Answer:
    """Return a service that has *texts* by path, for those who ask with *headers*."""
    asked_with = {name.replace("_", "-"): value for name, value in headers.items()}

    async def answer(request: web.Request) -> web.Response:
        if any(request.headers.get(name) != value for name, value in asked_with.items()):
            raise web.HTTPForbidden
        if request.path_qs not in texts:
            raise web.HTTPNotFound
        return web.Response(text=texts[request.path_qs])

    return answer


async def aws(request: web.Request) -> web.Response:
    """Answer as IMDSv2 does: nothing without a token."""
    texts = {
        "placement/region": "eu-west-1",
        "placement/availability-zone": "eu-west-1a",
        "local-ipv4": "10.0.0.11",
        "public-ipv4": "203.0.113.11",
        "mac": "02:00:00:00:00:01",
        "network/interfaces/macs/02:00:00:00:00:01/vpc-id": "vpc-1",
    }
    if request.method == "PUT" and request.path == "/latest/api/token":
        assert int(request.headers["X-aws-ec2-metadata-token-ttl-seconds"]) <= 21600
        return web.Response(text=TOKEN)
    if request.headers.get("X-aws-ec2-metadata-token") != TOKEN:
        raise web.HTTPUnauthorized
    key = request.path.removeprefix("/latest/meta-data/")
    if key not in texts:
        raise web.HTTPNotFound
    return web.Response(text=texts[key])


async def gcp(request: web.Request) -> web.Response:
    """Answer as GCP does: to those who ask with its header, and with it."""
    if request.headers.get("Metadata-Flavor") != "Google":
        raise web.HTTPForbidden
    document = {
        "zone": "projects/1/zones/europe-west4-a",
        "networkInterfaces": [{"ip": "10.0.0.11", "mtu": 1460}],
    }
    return web.json_response(document, headers={"Metadata-Flavor": "Google"})


AZURE = of_paths(
    {
        "/metadata/instance?api-version=2021-02-01": json.dumps(
            {
                "compute": {"azEnvironment": "AzurePublicCloud", "location": "westeurope"},
                "network": {
                    "interface": [{"ipv4": {"ipAddress": [{"privateIpAddress": "10.3.0.11"}]}}]
                },
            }
        ),
        "/metadata/loadbalancer?api-version=2020-10-01": json.dumps(
            {
                "loadbalancer": {
                    "publicIpAddresses": [
                        {"frontendIpAddress": "203.0.113.31", "privateIpAddress": "10.3.0.11"}
                    ]
                }
            }
        ),
    },
    Metadata="true",
)

OPENSTACK = of_paths(
    {
        "/openstack/latest/meta_data.json": json.dumps({"uuid": UUID}),
        "/openstack/latest/network_data.json": json.dumps({"links": [{"mtu": 1450}]}),
        "/latest/meta-data/public-ipv4": "203.0.113.41",
    }
)


@pytest.mark.parametrize(
    ("service", "location", "public", "mtu"),
    [
        pytest.param(aws, "aws-eu-west-1", "203.0.113.11", None, id="aws"),
        pytest.param(gcp, "gcp-europe-west4", None, 1460, id="gcp"),
        pytest.param(AZURE, "azure-westeurope", "203.0.113.31", None, id="azure"),
        pytest.param(OPENSTACK, "", "203.0.113.41", 1450, id="openstack"),
    ],
)
def test_each_provider_is_known_by_its_own_way(
    service: Answer, location: str, public: str | None, mtu: int | None
) -> None:
    """Paths, headers and tokens are the provider's; another's answers are not taken for its."""
    facts = discovered(service)

    assert location == facts.location
    assert public == (str(facts.public_addresses.value[0]) if facts.public_addresses else None)
    assert mtu == (facts.wire_mtu_bytes.value if facts.wire_mtu_bytes else None)
    assert facts.provider is not None
    assert Source.METADATA is facts.provider.source


async def portal(_request: web.Request) -> web.Response:
    """Answer everything with the page of a captive portal."""
    return web.Response(text="<html>Log in</html>", content_type="text/html")


async def redirecting(request: web.Request) -> web.Response:
    """Redirect to a place that would answer as AWS."""
    if request.path.startswith("/login"):
        return await aws(request.clone(rel_url=request.path.removeprefix("/login")))
    raise web.HTTPFound(f"/login{request.path_qs}")


async def endless(request: web.Request) -> web.StreamResponse:
    """Answer with more than anybody's memory, as GCP."""
    response = web.StreamResponse(headers={"Metadata-Flavor": "Google"})
    await response.prepare(request)
    while True:
        await response.write(b" " * 65536)


async def failing(_request: web.Request) -> web.Response:
    raise web.HTTPServiceUnavailable


async def without_flavor(request: web.Request) -> web.Response:
    """Answer GCP's question without the header that says who answers."""
    answer = await gcp(request)
    del answer.headers["Metadata-Flavor"]
    return answer


@pytest.mark.parametrize(
    "service",
    [
        pytest.param(portal, id="captive-portal"),
        pytest.param(redirecting, id="redirect"),
        pytest.param(endless, id="endless"),
        pytest.param(failing, id="refused"),
        pytest.param(without_flavor, id="not-google"),
        pytest.param(of_paths({}), id="nothing-there"),
    ],
)
def test_what_is_no_metadata_is_not_believed(service: Answer) -> None:
    assert CloudFacts() == discovered(service)


@pytest.mark.slow
def test_a_slow_service_costs_a_second() -> None:
    async def slow(_request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    started = time.monotonic()
    facts = discovered(slow)

    assert CloudFacts() == facts
    assert time.monotonic() - started < BUDGET_S + 0.5


@pytest.mark.slow
def test_one_provider_that_answers_is_enough() -> None:
    """The others' paths may hang for ever: what one said is not lost."""

    async def half(request: web.Request) -> web.StreamResponse:
        if request.path.startswith("/computeMetadata"):
            return await gcp(request)
        await asyncio.Event().wait()
        raise AssertionError

    assert "gcp-europe-west4" == discovered(half).location


def test_nobody_listens(tmp_path: Path) -> None:
    """Refused at once; then the config drive, and DMI for what that does not say."""
    drive = tmp_path / "config/openstack/latest"
    drive.mkdir(parents=True)
    (drive / "meta_data.json").write_text(json.dumps({"uuid": UUID, "availability_zone": "z"}))
    (drive / "network_data.json").write_text(json.dumps({"links": [{"mtu": 1442}]}))

    facts = asyncio.run(discover(places(tmp_path, "http://127.0.0.1:9")))

    known: dict[str, Any] = {"zone": facts.zone, "mtu": facts.wire_mtu_bytes}
    assert {"zone": ("z", "config drive"), "mtu": (1442, "config drive")} == {
        name: (fact.value, fact.source) for name, fact in known.items()
    }


def test_the_firmware_knows_the_provider_alone(tmp_path: Path) -> None:
    (tmp_path / "dmi").mkdir()
    (tmp_path / "dmi/sys_vendor").write_text("Amazon EC2\n")

    facts = asyncio.run(discover(places(tmp_path, "http://127.0.0.1:9")))

    assert facts.provider is not None
    assert ("aws", Source.DMI, "") == (facts.provider.value, facts.provider.source, facts.location)
