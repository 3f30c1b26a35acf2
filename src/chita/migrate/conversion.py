"""The objects to apply: what Calico was told, as ours, with the same meaning for every flow.

Nothing is weakened on the way: an object that is not valid here is left out only if leaving it out
is said (`Conversion.findings`), and what is left out because somebody else makes it (profiles of
namespaces, Calico's own Nodes) is made by that somebody here too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from chita.convert.documents import Entry, Object
from chita.migrate.addresses import AddressState, address_state
from chita.migrate.export import Export
from chita.migrate.finding import Effect, Finding, finding
from chita.migrate.policy_names import key_of, short_names
from chita.model.validate.objects import validate

_ADDRESS_KINDS: Final = frozenset({"IPAMBlock", "BlockAffinity", "IPAMHandle"})
NOT_CARRIED: Final = {
    "Node": "Kubernetes' Node says what it says; nothing here reads Calico's",
    "ClusterInformation": "it describes the installation of Calico",
    "CalicoNodeStatus": "it asks Calico's daemon how it is; here: chita status",
}
"""Kinds that are not carried over, and why."""
_ORDER: Final = (
    "Tier", "IPPool", "IPReservation", "IPAMConfiguration", "FelixConfiguration",
    "KubeControllersConfiguration", "BGPConfiguration", "BGPFilter", "BGPPeer", "Profile",
    "GlobalNetworkSet", "NetworkSet", "HostEndpoint",
)  # fmt: skip
"""What others refer to comes first: policies name tiers, host endpoints profiles."""


class Conversion(msgspec.Struct, frozen=True, kw_only=True):
    """What to apply, and what of the export is not in it."""

    objects: tuple[Object, ...]
    addresses: AddressState
    findings: tuple[Finding, ...] = ()


def conversion(export: Export) -> Conversion:
    """Return the objects that do here what those of *export* did."""
    findings: list[Finding] = []
    names = short_names(export.entries)
    objects: list[Object] = []
    for entry in sorted(export.calico, key=_rank):
        if entry.kind in _ADDRESS_KINDS:
            continue
        if left := list(_left_out(entry)):
            findings += left
            continue
        raw = entry.raw
        if (short := names.get(key_of(entry))) is not None:
            raw = {**raw, "metadata": {**raw["metadata"], "name": short}}
            message = f"is called {short} here, as it was written"
            findings.append(finding(Effect.KEPT, entry, "metadata.name", message))
        objects.append(raw)
    addresses = address_state(export)
    return Conversion(
        objects=(*objects, *addresses.objects()),
        addresses=addresses,
        findings=(*findings, *addresses.findings),
    )


def _rank(entry: Entry) -> int:
    return _ORDER.index(entry.kind) if entry.kind in _ORDER else len(_ORDER)


def _left_out(entry: Entry) -> Iterator[Finding]:
    """Yield why *entry* is not carried over; nothing for one that is."""
    if (reason := NOT_CARRIED.get(entry.kind)) is not None:
        yield finding(Effect.IGNORED, entry, "", reason)
    elif _is_derived(entry):
        reason = "is made of its namespace, service account or pod, here as there"
        yield finding(Effect.KEPT, entry, "", reason)
    else:
        for problem in validate(entry.raw):
            yield finding(Effect.REFUSED, entry, problem.field, problem.message)


def _is_derived(entry: Entry) -> bool:
    """Whether Calico's API shows *entry* without anybody having written it."""
    match entry.kind:
        case "Profile":
            return (
                entry.name.startswith(("kns.", "ksa."))
                or entry.name == "projectcalico-default-allow"
            )
        case "WorkloadEndpoint":
            spec = entry.raw.get("spec")
            return isinstance(spec, dict) and spec.get("orchestrator") == "k8s"
        case "NetworkPolicy":
            # Calico lists Kubernetes' policies among its own, by names that nobody else may use.
            return entry.name.startswith("knp.default.")
        case _:
            return False
