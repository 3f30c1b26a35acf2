"""Label maps, and the keys that policy reads besides a pod's own labels.

A pod's *effective* labels are its own plus those its profiles apply; its own win (v3 Profile,
``labelsToApply``). Namespace labels arrive with the prefix ``pcns.``, those of the service account
with ``pcsa.``, so that ``namespaceSelector`` and ``serviceAccounts`` become plain selectors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Labels = Mapping[str, str]

NAMESPACE = "projectcalico.org/namespace"
ORCHESTRATOR = "projectcalico.org/orchestrator"
SERVICE_ACCOUNT = "projectcalico.org/serviceaccount"
NAME = "projectcalico.org/name"
TIER = "projectcalico.org/tier"
NAMESPACE_PREFIX = "pcns."
SERVICE_ACCOUNT_PREFIX = "pcsa."


def namespace_profile(namespace: str) -> str:
    """Return the name of the profile that every endpoint of *namespace* has (``kns.``)."""
    return f"kns.{namespace}"


def service_account_profile(namespace: str, name: str) -> str:
    """Return the name of the profile of a service account (``ksa.``)."""
    return f"ksa.{namespace}.{name}"


def inherit(own: Labels, applied: Iterable[Labels]) -> dict[str, str]:
    """Return the effective labels: *own* over what each profile applies, earlier profiles first."""
    effective: dict[str, str] = {}
    for labels in applied:
        for key, value in labels.items():
            effective.setdefault(key, value)
    effective.update(own)
    return effective
