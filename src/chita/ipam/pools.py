"""Which pools a workload may get its addresses from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from chita.errors import ExhaustedError, InputError, ParseError
from chita.model.ippool import IPPool, PoolUse
from chita.model.net import Address, Cidr, Family
from chita.model.selector import matches

_POOLS: dict[Family, str] = {
    4: "cni.projectcalico.org/ipv4pools",
    6: "cni.projectcalico.org/ipv6pools",
}
_ADDRESSES = "cni.projectcalico.org/ipAddrs"
_FAMILIES = "cni.projectcalico.org/ipFamilies"
_FAMILY_NAMES: dict[str, Family] = {"IPv4": 4, "IPv6": 6}


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What a pod, its namespace and the network configuration ask for, resolved."""

    families: tuple[Family, ...] | None = None
    """None: each family that has a pool."""
    pools: dict[Family, tuple[str, ...]] = {}
    """Pool names or CIDRs by family; a family without an entry takes any pool."""
    addresses: tuple[Address, ...] = ()
    """Fixed addresses, at most one a family."""


def wish(
    pod: Mapping[str, str], namespace: Mapping[str, str], configured: Wish | None = None
) -> Wish:
    """Return what the annotations of a pod and its namespace ask for, over what is *configured*.

    Pod beats namespace beats configuration, each annotation for itself (v3 CNI reference).

    Raises:
        InputError: an annotation is not a JSON list of what it should list.
    """
    base = configured or Wish()
    pools = dict(base.pools)
    for family, key in _POOLS.items():
        named = _texts(pod, key) or _texts(namespace, key)
        if named:
            pools[family] = named
    families: tuple[Family, ...] | None = base.families
    if names := _texts(pod, _FAMILIES):
        unknown = [name for name in names if name not in _FAMILY_NAMES]
        if unknown:
            raise InputError(f"annotation {_FAMILIES}: '{unknown[0]}' is not IPv4 or IPv6")
        families = tuple(_FAMILY_NAMES[name] for name in names)
    try:
        addresses = tuple(Address.parse(text) for text in _texts(pod, _ADDRESSES))
    except ParseError as error:
        raise InputError(f"annotation {_ADDRESSES}: {error}") from error
    if len({address.family for address in addresses}) != len(addresses):
        raise InputError(f"annotation {_ADDRESSES}: at most one address of each family")
    return Wish(families=families, pools=pools, addresses=addresses or base.addresses)


def _texts(annotations: Mapping[str, str], key: str) -> tuple[str, ...]:
    """Return the JSON list of strings under *key*; empty when there is none."""
    if key not in annotations:
        return ()
    try:
        value = json.loads(annotations[key])
    except ValueError:
        value = None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InputError(
            f'annotation {key}: write a JSON list of strings such as ["a"], '
            f"not '{annotations[key]}'"
        )
    return tuple(value)


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """For whom pools are looked up."""

    node_labels: Mapping[str, str] = {}
    namespace_labels: Mapping[str, str] = {}
    use: PoolUse = PoolUse.WORKLOAD


def qualified(
    pools: Iterable[IPPool], family: Family, named: Sequence[str], place: Place
) -> list[IPPool]:
    """Return the pools of *family* that *place* may allocate from, in the order to try.

    A pool must be enabled, allow the use, and select the node and the namespace. One with
    ``assignmentMode: Manual`` takes part only when *named*. Named pools come in the order named,
    others by name (v3 IPPool; Calico's pool selection).
    """
    fit = {
        pool.name: pool
        for pool in sorted(pools, key=lambda pool: pool.name)
        if pool.cidr.family == family
        and not pool.disabled
        and place.use in pool.allowed_uses
        and matches(pool.node_selector, place.node_labels)
        and (
            pool.namespace_selector is None
            or matches(pool.namespace_selector, place.namespace_labels)
        )
    }
    if not named:
        return [pool for pool in fit.values() if not pool.manual]
    by_cidr = {str(pool.cidr): pool for pool in fit.values()}
    found = [fit.get(name) or by_cidr.get(_canonical(name)) for name in named]
    return [pool for pool in found if pool]


def chosen(pools: Sequence[IPPool], asked: Wish, place: Place) -> dict[Family, tuple[IPPool, ...]]:
    """Return where each family's address may come from; a family without entry gets none.

    A family that is asked for (by name, by pools, by a fixed address) must have a pool; of the
    others those that have one take part. Fixed addresses alone are all that the pod gets.

    Raises:
        ExhaustedError: a family that was asked for has no pool, or there is none at all.
    """
    fixed = tuple(address.family for address in asked.addresses)
    wanted = asked.families or fixed
    found: dict[Family, tuple[IPPool, ...]] = {}
    for family in wanted or _POOLS:
        fit = qualified(pools, family, asked.pools.get(family, ()), place)
        if fit:
            found[family] = tuple(fit)
        elif family in wanted or asked.pools.get(family):
            raise ExhaustedError(f"no IPPool for IPv{family} may be used here: {_MEND}")
    if not found:
        raise ExhaustedError(f"no IPPool may be used here: {_MEND}")
    return found


_MEND = (
    "check the pools' disabled, allowedUses, nodeSelector and namespaceSelector, and which pools "
    "the pod, its namespace or the CNI configuration name"
)


def _canonical(text: str) -> str:
    """Return a CIDR in its canonical text; anything else as it is."""
    try:
        return str(Cidr.parse(text))
    except ParseError:
        return text
