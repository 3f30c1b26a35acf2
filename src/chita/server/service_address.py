"""Cluster addresses of Services: given out at creation, as kube-apiserver does.

Check and write happen in one step of the event loop's thread, and the store's list is then
complete but for writes on their way, which this keeps itself; so no address is given twice.
"""

from __future__ import annotations

import hashlib
import ipaddress
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from chita.model.kinds import known_kind
from chita.model.problem import Problem
from chita.server import status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from chita.model.kinds import Kind
    from chita.store.store import Object, Store

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
DUAL = frozenset({"PreferDualStack", "RequireDualStack"})
FAMILIES = {4: "IPv4", 6: "IPv6"}
MAX_CANDIDATES = 65536  # of a large range only so many are tried


class ServiceRange(msgspec.Struct, frozen=True):
    """The ranges that cluster addresses come from, the default family first; may be empty."""

    networks: tuple[str, ...] = ("10.96.0.0/16", "fd00:10:96::/112")


class ServiceAddresses:
    """Gives Services their ``clusterIP``."""

    def __init__(self, ranges: ServiceRange) -> None:
        self._networks: list[Network] = [ipaddress.ip_network(n) for n in ranges.networks]
        self._given: dict[str, str] = {}  # address to namespace/name, of writes on their way

    @contextmanager
    def assigned(self, store: Store, kind: Kind, old: Object | None, new: Object) -> Iterator[None]:
        """Give *new* its addresses if it is a Service, and hold them until it is stored.

        Within, nobody else is given them; after, the stored object speaks for itself.

        Raises:
            RefusedError: 422 when a chosen address is taken or changed, or nothing is free.
        """
        if kind.resource != "services":
            yield
            return
        if old is None:
            self._assign(store, new)
        else:
            self._keep(store, old, new)
        chosen = new["spec"].get("clusterIPs") or ()
        self._given.update(dict.fromkeys(chosen, _owner(new)))
        try:
            yield
        finally:
            for address in chosen:
                self._given.pop(address, None)

    def _assign(self, store: Store, service: Object) -> None:
        """Fill in ``clusterIP``, ``clusterIPs`` and the families of a Service."""
        spec = service["spec"]
        if not self._networks or spec.get("type") == "ExternalName":
            return
        spec.setdefault("ipFamilyPolicy", "SingleStack")
        if spec.get("clusterIP") == "None":
            spec["clusterIPs"] = ["None"]
            spec.setdefault("ipFamilies", [self._family(n) for n in self._wanted(spec)])
            return
        chosen = list(spec.get("clusterIPs") or filter(None, [spec.get("clusterIP")]))
        used = self._used(store)
        for address in chosen:
            if used.get(address, _owner(service)) != _owner(service):
                self._refuse(service, f"{address} is taken by {used[address]}")
        families = {self._family_of(service, address) for address in chosen}
        # One address chosen by hand is enough, unless the families or both of them are asked for.
        is_open = not chosen or spec.get("ipFamilies") or spec["ipFamilyPolicy"] != "SingleStack"
        missing = [n for n in self._wanted(spec) if is_open and self._family(n) not in families]
        chosen += [self._free(network, used, service) for network in missing]
        if not chosen:
            self._refuse(service, f"this cluster has no range of {spec.get('ipFamilies')}")
        spec["clusterIPs"], spec["clusterIP"] = chosen, chosen[0]
        spec["ipFamilies"] = [self._family_of(service, address) for address in chosen]

    def _keep(self, store: Store, old: Object, new: Object) -> None:
        """Keep the addresses that an update leaves out; give a second one if it asks for both."""
        before, spec = old.get("spec") or {}, new.get("spec") or {}
        if spec.get("type") == "ExternalName":
            return
        for field in ("clusterIP", "clusterIPs", "ipFamilyPolicy"):
            if field in before and not spec.get(field):
                spec[field] = before[field]
        becomes_dual = (
            spec.get("ipFamilyPolicy") in DUAL and before.get("ipFamilyPolicy") not in DUAL
        )
        if "ipFamilies" in before and not spec.get("ipFamilies") and not becomes_dual:
            spec["ipFamilies"] = before["ipFamilies"]
        if before.get("clusterIP") and spec.get("clusterIP") != before["clusterIP"]:
            self._refuse(new, "the field is immutable once set; delete and create the Service")
        if not spec.get("clusterIP") or (becomes_dual and spec["clusterIP"] != "None"):
            self._assign(store, new)

    def _wanted(self, spec: dict[str, Any]) -> Sequence[Network]:
        families = spec.get("ipFamilies")
        if families:
            return [n for family in families for n in self._networks if self._family(n) == family]
        if spec.get("ipFamilyPolicy") in DUAL:
            return self._networks
        return self._networks[:1]

    def _used(self, store: Store) -> dict[str, str]:
        used: dict[str, str] = {}
        for stored in store.list("services").items:
            for address in stored.object.get("spec", {}).get("clusterIPs") or ():
                used[address] = f"{stored.key.namespace}/{stored.key.name}"
        return {**self._given, **used}

    def _free(self, network: Network, used: dict[str, str], service: Object) -> str:
        for address in _candidates(network, service["metadata"]):
            if address not in used:
                return address
        self._refuse(service, f"no free address is left in {network}")
        raise AssertionError  # _refuse always raises

    @staticmethod
    def _family(network: Network) -> str:
        return FAMILIES[network.version]

    def _family_of(self, service: Object, address: str) -> str:
        try:
            return FAMILIES[ipaddress.ip_address(address).version]
        except ValueError:
            self._refuse(service, f"{address!r} is no IP address")
            raise

    @staticmethod
    def _refuse(service: Object, message: str) -> None:
        kind = known_kind("v1", "Service")
        name = service["metadata"].get("name", "")
        raise status.invalid(kind, name, [Problem("spec.clusterIPs", message)])


def _owner(service: Object) -> str:
    return f"{service['metadata'].get('namespace')}/{service['metadata'].get('name')}"


def _candidates(network: Network, metadata: dict[str, Any]) -> Iterator[str]:
    """Return addresses of *network*, from a place that depends on the name, without the first.

    A Service that is deleted and made again mostly gets its address back, and the order of
    creation changes nothing.
    """
    size = min(network.num_addresses, MAX_CANDIDATES)
    seed = f"{metadata.get('namespace')}/{metadata.get('name')}".encode()
    start = int.from_bytes(hashlib.sha256(seed).digest()[:4])
    first_usable = 16 if size > 64 else 1  # the first ones are left to be chosen by hand
    span = size - first_usable - 1
    for step in range(max(span, 0)):
        yield str(network[first_usable + (start + step) % span])
