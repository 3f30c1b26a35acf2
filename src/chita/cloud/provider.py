"""Discovery: every metadata service that may be there is asked at once, within one second in all.

The services share one address, 169.254.169.254, and differ in paths and headers; so all four are
asked and the one that answers as itself is believed. Nothing here fails: a node without a metadata
service, behind a captive portal or beside a slow one merely knows less.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import msgspec

from chita.cloud import aws, azure, dmi, gcp, openstack
from chita.cloud.facts import NOTHING, CloudFacts, Source, combined

BUDGET_S = 1.0
"""How long discovery takes at most."""

_CONNECT_S = 0.4
"""How long is waited for a connection.

The service is the node's own hypervisor or next hop: it answers in a millisecond. A lost SYN is
repeated after a second (RFC 6298 section 2.1), too late for the budget, so that waiting longer
finds nothing more: it is what a node without a service pays at its start.
"""

_LARGEST_ANSWER_BYTES = 256 * 1024
"""Azure's is 10 KB, GCP's with the project's scripts in it some more."""

_LONGEST_TEXT = 1024


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """Where a node looks for what is said of it."""

    metadata_url: str = "http://169.254.169.254"
    config_drive: Path = Path("/mnt/config")
    """Where the disk labelled ``config-2`` is mounted, if it is."""
    dmi_directory: Path = dmi.DMI_DIRECTORY


async def discover(places: Places = Places()) -> CloudFacts:  # noqa: B008  a frozen value
    """Return what the metadata service, else the config drive, else DMI says; never raises."""
    return combined(
        await _metadata(places.metadata_url),
        _config_drive(places.config_drive),
        dmi.facts(dmi.read(places.dmi_directory)),
    )


async def _metadata(url: str) -> CloudFacts:
    """Return the facts of the first provider, in the order below, that answered as itself."""
    timeout = aiohttp.ClientTimeout(total=BUDGET_S, sock_connect=_CONNECT_S)
    async with aiohttp.ClientSession(
        timeout=timeout, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        service = _Service(session, url)
        tasks = [
            asyncio.create_task(ask(service), name=f"metadata of {name}")
            for name, ask in (
                ("aws", _aws),
                ("gcp", _gcp),
                ("azure", _azure),
                ("openstack", _openstack),
            )
        ]
        try:
            done, _ = await asyncio.wait(tasks, timeout=BUDGET_S)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    answers = (task.result() for task in tasks if task in done)
    return next((facts for facts in answers if facts != NOTHING), NOTHING)


async def _aws(service: _Service) -> CloudFacts:
    ttl = {aws.TOKEN_TTL_HEADER: str(aws.TOKEN_TTL_S)}
    token = await service.text(aws.TOKEN_PATH, ttl, method="PUT")
    if not aws.is_token(token):
        return NOTHING
    headers = {aws.TOKEN_HEADER: token}
    answers = await asyncio.gather(*(service.text(aws.ROOT + key, headers) for key in aws.KEYS))
    texts = dict(zip(aws.KEYS, answers, strict=True))
    if network := aws.vpc_key(texts["mac"]):
        texts[network] = await service.text(aws.ROOT + network, headers)
    return aws.facts(texts)


async def _gcp(service: _Service) -> CloudFacts:
    return gcp.facts(await service.document(gcp.PATH, gcp.HEADERS, answered_with=gcp.HEADERS))


async def _azure(service: _Service) -> CloudFacts:
    instance, load_balancer = await asyncio.gather(
        service.document(azure.INSTANCE_PATH, azure.HEADERS),
        service.document(azure.LOAD_BALANCER_PATH, azure.HEADERS),
    )
    return azure.facts(instance, load_balancer)


async def _openstack(service: _Service) -> CloudFacts:
    meta_data, network_data, public_address = await asyncio.gather(
        service.document(openstack.META_DATA_PATH),
        service.document(openstack.NETWORK_DATA_PATH),
        service.text(openstack.PUBLIC_ADDRESS_PATH),
    )
    return openstack.facts(meta_data, network_data, public_address, source=Source.METADATA)


def _config_drive(mount: Path) -> CloudFacts:
    """Return what OpenStack's disk says, where one is mounted."""
    meta_data, network_data = (
        _file(mount / path.lstrip("/"))
        for path in (openstack.META_DATA_PATH, openstack.NETWORK_DATA_PATH)
    )
    return openstack.facts(meta_data, network_data, source=Source.CONFIG_DRIVE)


def _file(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(_LARGEST_ANSWER_BYTES)
    except OSError:
        return b""


class _Service:
    """A metadata service: answers are small, direct and quick, or none."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def text(
        self, path: str, headers: Mapping[str, str] | None = None, *, method: str = "GET"
    ) -> str:
        """Return an answer of one line; empty when there is none."""
        answer = await self.document(path, headers, method=method)
        if len(answer) > _LONGEST_TEXT:
            return ""
        text = answer.decode("ascii", "replace").strip()
        return text if text.isprintable() else ""

    async def document(
        self,
        path: str,
        headers: Mapping[str, str] | None = None,
        *,
        method: str = "GET",
        answered_with: Mapping[str, str] | None = None,
    ) -> bytes:
        """Return an answer whose headers include *answered_with*; empty when there is none.

        A redirect is refused: no provider's service redirects, captive portals do.
        """
        try:
            async with self._session.request(
                method, self._url + path, headers=headers, allow_redirects=False
            ) as response:
                expected = (answered_with or {}).items()
                if response.status != 200 or any(
                    response.headers.get(name) != value for name, value in expected
                ):
                    return b""
                return await _bounded(response.content)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return b""


async def _bounded(stream: aiohttp.StreamReader) -> bytes:
    """Return the whole of *stream*; empty when it is longer than any provider's answer."""
    answer = bytearray()
    async for chunk in stream.iter_any():
        answer += chunk
        if len(answer) > _LARGEST_ANSWER_BYTES:
            return b""
    return bytes(answer)
