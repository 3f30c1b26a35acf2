"""Keeps the certificates: the Secret, the configuration's bundle, and what this process serves.

Every replica does the same, and none leads: what is written follows from what was read, and names
the version that was read. Who loses a race reads again and finds nothing left to do.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NoReturn, Protocol

from chita.errors import ChitaError, ConflictError, NotFoundError
from chita.install.options import NAMESPACE
from chita.install.webhook import CONFIGURATION, NAME, SECRET, WEBHOOK
from chita.model.kinds import Kind
from chita.telemetry.log import logger
from chita.webhook.credentials import Credentials, from_secret, renewed, secret_data

LOOK_S = 60.0
RETRY_S = 5.0
ATTEMPTS = 5
"""Of a look that loses races: with each of them some other replica has gone a step further."""
_LOG = logger("webhook")

Object = dict[str, Any]


class Client(Protocol):
    """What is needed of `chita.api.client.ApiClient`."""

    async def get(self, resource: Kind, name: str, namespace: str = "") -> Object:
        """Return an object; NotFoundError if there is none."""

    async def patch(self, resource: Kind, name: str, body: Any, *, namespace: str = "") -> Object:
        """Merge *body* into an object; ConflictError if it names another version."""


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


class Upkeep:
    """One replica's care for the certificates that all replicas share."""

    def __init__(
        self, client: Client, names: Sequence[str], clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._client = client
        self._names = names
        self._clock = clock

    async def look(self) -> Credentials:
        """Bring Secret and configuration up to date; return what is to be served.

        The bundle is told before anything is served that needs it, but for the very first
        certificate, which nobody trusts before.

        Raises:
            NotFoundError: the Secret or the configuration is gone. ApiError: no answer, no right.
        """
        for _ in range(ATTEMPTS):
            try:
                return await self._looked()
            except ConflictError:
                continue
        raise ConflictError(f"Secret {NAMESPACE}/{NAME} changes all the time")

    async def _looked(self) -> Credentials:
        secret = await self._get(SECRET, NAMESPACE)
        configuration = await self._get(CONFIGURATION)
        found = from_secret(secret.get("data") or {})
        if found is None and secret.get("data"):
            _LOG.warning("secret not usable, made anew", secret=f"{NAMESPACE}/{NAME}")
        held = renewed(found, bundle_of(configuration), self._names, self._clock())
        if held is not found:
            body: Object = {"metadata": _at(secret), "data": secret_data(held)}
            await self._client.patch(SECRET, NAME, body, namespace=NAMESPACE)
            _LOG.info("certificates renewed", secret=f"{NAMESPACE}/{NAME}")
        if bundle_of(configuration) != held.bundle:
            body = {"metadata": _at(configuration), "webhooks": _told(configuration, held.bundle)}
            await self._client.patch(CONFIGURATION, NAME, body)
            _LOG.info("API servers told of the authority", configuration=NAME)
        return held

    async def _get(self, kind: Kind, namespace: str = "") -> Object:
        try:
            return await self._client.get(kind, NAME, namespace)
        except NotFoundError as error:
            raise NotFoundError(
                f"{kind.kind} {NAME} is missing; apply the manifest again: {error}"
            ) from error


async def keep_current(upkeep: Upkeep, serve: Callable[[Credentials], None]) -> NoReturn:
    """Call *serve* with what is to be served whenever it is another, for ever."""
    served: Credentials | None = None
    while True:
        pause_s = LOOK_S
        try:
            held = await upkeep.look()
            if served is None or held.serving != served.serving:
                serve(held)
            served = held
        except (ChitaError, OSError) as error:
            pause_s = LOOK_S if served is not None else RETRY_S
            _LOG.warning("certificates not looked after", why=str(error))
        await asyncio.sleep(pause_s)


def bundle_of(configuration: Object) -> bytes:
    """Return the authorities that *configuration* names, empty for none or no base64."""
    for webhook in configuration.get("webhooks") or []:
        if webhook.get("name") == WEBHOOK:
            text = (webhook.get("clientConfig") or {}).get("caBundle") or ""
            with suppress(ValueError):
                return base64.b64decode(text)
    return b""


def _told(configuration: Object, bundle: bytes) -> list[Object]:
    """Return the webhooks of *configuration*, ours with *bundle*.

    A merge patch replaces lists as a whole (RFC 7396), so all of what was read is in it.
    """
    text = base64.b64encode(bundle).decode()
    return [
        {**each, "clientConfig": {**(each.get("clientConfig") or {}), "caBundle": text}}
        if each.get("name") == WEBHOOK
        else each
        for each in configuration.get("webhooks") or []
    ]


def _at(obj: Object) -> Object:
    """Return the metadata of a patch that wants *obj* as it was read."""
    return {"resourceVersion": obj["metadata"]["resourceVersion"]}
