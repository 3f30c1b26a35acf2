"""Renews the client certificate of a running agent, well before it ends.

A member proves itself by the certificate that it has, so no token is needed; one that let it expire
must join again. Key and certificate are new together and stand in one file: a crash leaves the old
pair or the new one, never half of each.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import msgspec
from cryptography import x509

from chita.agent.identity import admission, credentials_file, parted
from chita.agent.settings import AgentSettings
from chita.api.client import ApiClient
from chita.api.private_file import write_private
from chita.errors import ChitaError, InputError
from chita.telemetry.log import logger

LIFE_USED = 2 / 3
"""After how much of its life a certificate is renewed: the rest is for a server that is away."""
LOOK_S = 3600.0
"""How often it is looked at again: the clock may step."""
RETRY_S = 60.0

_LOG = logger("renewal")


async def keep_renewed(settings: AgentSettings, client: ApiClient) -> NoReturn:
    """Renew the node's certificate when it is due, for ever; *client* uses each new one."""
    file = credentials_file(settings)
    while True:
        try:
            wait_s = due_in_s(file, datetime.now(UTC))
            if wait_s <= 0:
                end = await renew(settings.node, client, file)
                _LOG.info("client certificate renewed", until=f"{end:%Y-%m-%d}")
                continue
        except (ChitaError, OSError) as error:
            _LOG.warning("client certificate not renewed", why=str(error))
            wait_s = RETRY_S
        await asyncio.sleep(min(wait_s, LOOK_S))


def due_in_s(file: Path, now: datetime) -> float:
    """Return in how many seconds the certificate in *file* is to be renewed; below 0: it is late.

    Raises:
        InputError: there is no certificate in it.
        OSError: it cannot be read.
    """
    try:
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
    except ValueError as error:
        raise InputError(f"{file} is not readable ({error}); remove it and join again") from error
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return (begin + (end - begin) * LIFE_USED - now).total_seconds()


async def renew(node: str, client: ApiClient, file: Path) -> datetime:
    """Get a new certificate for a new key into *file* and to *client*; return when it ends.

    Raises:
        ApiError: the server refused or did not answer; all stays as it was.
        InputError: what it answered is no certificate for our key.
        OSError: *file* cannot be written.
    """
    pair = await admission(client, node)
    certificate, key = parted(pair)
    config = msgspec.structs.replace(
        client.config, client_certificate_pem=certificate, client_key_pem=key
    )
    config.ssl_context()  # the two belong together, or this says that they do not
    write_private(file, pair.encode())
    client.renew(config)
    return x509.load_pem_x509_certificate(certificate.encode()).not_valid_after_utc
