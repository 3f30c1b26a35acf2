"""Rules over several fields of an Underlay, as the lab reads it (`chita.lab.underlay`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from chita.model.net import Cidr
from chita.model.problem import Problem

Raw = Mapping[str, Any]

_SWITCHES: Final = {
    "aws": "sourceDestinationCheck",
    "gcp": "canIPForward",
    "azure": "canIPForward",
    "openstack": "portSecurity",
}
"""The field with which a provider's users turn the check of addresses off."""


def underlay_problems(obj: Raw) -> Iterator[Problem]:
    """Yield what is wrong with an Underlay: whose network it is, its switch and its ranges."""
    spec = obj.get("spec") or {}
    provider = spec.get("provider")
    if provider is None and not spec.get("externalHosts"):
        yield Problem("spec.provider", "is missing, and required unless there are externalHosts")
    own = _SWITCHES.get(str(provider))
    for field in sorted(set(_SWITCHES.values())):
        if provider is not None and spec.get(field) is not None and field != own:
            mend = f"write {own}" if own else "remove it: its network checks no addresses"
            yield Problem(f"spec.{field}", f"{provider} has no such switch; {mend}")
    families = [Cidr.parse(text).family for text in spec.get("privateCIDRs") or []]
    if len(set(families)) != len(families):
        yield Problem("spec.privateCIDRs", "has two ranges of one family; write one of each")
