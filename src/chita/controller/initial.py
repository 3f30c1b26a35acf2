"""Creates the objects that an installation asked for, unless they are there.

Once a start, and only what is missing: an object that somebody changed stays changed, one that
somebody deleted comes back with the next start, as the pools of Calico's agents do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import yaml

from chita.api.watch import Backoff
from chita.errors import ChitaError, ConflictError, InputError
from chita.telemetry.log import logger

RETRY_S = 1.0
LAST_RETRY_S = 30.0
_LOG = logger("controller")

Object = Mapping[str, Any]


class Client(Protocol):
    """What is needed of `chita.api.client.ApiClient`."""

    async def create(self, obj: Object) -> Any:
        """Create *obj*; ConflictError if its name is taken."""


def read_objects(path: Path) -> tuple[Object, ...]:
    """Return the objects of a YAML file.

    Raises:
        InputError: it can't be read, or is no YAML of objects.
    """
    try:
        found = [each for each in yaml.safe_load_all(path.read_text()) if each is not None]
    except OSError as error:
        raise InputError(f"read {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path} is no YAML: {error}") from error
    if not all(isinstance(each, Mapping) for each in found):
        raise InputError(f"{path}: a document is not an object with apiVersion, kind, metadata")
    return tuple(found)


async def create_missing(client: Client, objects: Sequence[Object]) -> None:
    """Create those of *objects* that are not there, in order; try again what is refused.

    Their kinds may not be served yet: the definitions came with the same ``kubectl apply``.
    """
    for obj in objects:
        name = f"{obj['kind']} {obj['metadata']['name']}"
        backoff = Backoff(RETRY_S, LAST_RETRY_S)
        while True:
            try:
                await client.create(obj)
            except ConflictError:
                break
            except ChitaError as error:
                _LOG.warning("initial object not created", object=name, why=str(error))
                await asyncio.sleep(backoff.next_s())
            else:
                _LOG.info("initial object created", object=name)
                break
