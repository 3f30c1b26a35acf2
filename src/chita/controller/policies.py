"""Tells in a policy's status what of it no node enforces.

A condition in the Kubernetes manner (API conventions, "Typical status properties")::

    type: Enforced
    status: "False"
    reason: FieldsNotEnforced
    message: "spec.ingress[0].http: is not enforced yet, so the rule allows nothing; ..."

A policy about which there never was anything to say has no condition and costs no write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from typing import Any, NoReturn

from chita.api.client import ApiClient, Object
from chita.api.kinds import CALICO, Resource
from chita.api.watch import Batch, Changed, Listed, follow
from chita.errors import ChitaError, ConflictError, NotFoundError
from chita.model.validate.enforcement import unenforced
from chita.telemetry.log import logger

POLICIES = (CALICO["NetworkPolicy"], CALICO["GlobalNetworkPolicy"])

ENFORCED = "Enforced"
RETRY_S = 10.0
MESSAGE_LENGTH = 32_768
"""Of a condition's message (k8s.io/apimachinery metav1.Condition)."""

_LOG = logger("controller")


async def keep_told(client: ApiClient, resource: Resource) -> NoReturn:
    """Keep the condition of every policy of *resource* true, for ever.

    After a write that failed all is listed again, a little later.
    """
    while True:
        try:
            async with aclosing(follow(client, resource)) as batches:
                async for batch in batches:
                    await _tell(client, batch)
        except ChitaError as error:
            _LOG.warning("status not written", kind=resource.kind, why=str(error))
            await asyncio.sleep(RETRY_S)


async def _tell(client: ApiClient, batch: Batch) -> None:
    match batch:
        case Listed(resource, items):
            policies = items
        case Changed(resource, policy):
            policies = [policy]
        case _:
            return
    for policy in policies:
        conditions = changed_conditions(policy, datetime.now(UTC))
        if conditions is not None:
            await _write(client, resource, policy["metadata"], conditions)


async def _write(
    client: ApiClient, resource: Resource, metadata: Mapping[str, Any], conditions: list[Object]
) -> None:
    body = {
        "metadata": {"resourceVersion": metadata["resourceVersion"]},
        "status": {"conditions": conditions},
    }
    # It is another by now, or gone: the watch tells of that too.
    with suppress(ConflictError, NotFoundError):
        await client.patch(
            resource,
            metadata["name"],
            body,
            namespace=metadata.get("namespace", ""),
            subresource="status",
        )


def changed_conditions(policy: Mapping[str, Any], now: datetime) -> list[Object] | None:
    """Return the conditions that *policy* should have; None if it has them.

    Those of other types stay. The time is that of the last change of ``status``.
    """
    found = (policy.get("status") or {}).get("conditions") or []
    others = [each for each in found if each.get("type") != ENFORCED]
    before = next((each for each in found if each.get("type") == ENFORCED), None)
    problems = unenforced(policy)
    if before is None and not problems:
        return None
    status = "False" if problems else "True"
    since = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    if before is not None and before.get("status") == status:
        since = before.get("lastTransitionTime", since)
    condition = {
        "type": ENFORCED,
        "status": status,
        "reason": "FieldsNotEnforced" if problems else "AllFieldsEnforced",
        "message": "; ".join(map(str, problems))[:MESSAGE_LENGTH],
        "observedGeneration": policy["metadata"].get("generation", 0),
        "lastTransitionTime": since,
    }
    return None if condition == before else [*others, condition]
