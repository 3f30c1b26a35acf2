"""The inputs that Felix's own benchmark of its calculation measures itself with, as our model.

``felix/calc/calc_graph_bench_test.go`` upstream describes them: endpoints in 100 namespaces, each
with five labels of ten to forty values and one of 31 marker labels, 200 of them local; and either
policies for endpoints with a marker, whose five rules each name another marker, or network sets of
1 to 1,000 addresses with a policy each, which applies to every endpoint.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, cycle
from sys import intern

from chita.model.cluster import Entity
from chita.model.endpoint import NetworkSet, Profile, WorkloadEndpoint
from chita.model.labels import NAME, NAMESPACE_PREFIX, namespace_profile
from chita.model.net import Address, Cidr
from chita.model.policy import Action, Direction, EntityRule, Policy, PolicyKind, Rule
from chita.model.selector_parse import parse_selector

LOCAL = "localhost"
REMOTE = "remotehost"
LOCAL_ENDPOINTS = 200
NAMESPACES = 100
FIRST_ADDRESS = 0x0A000001
SET_SIZES = (1, 1, 1, 1, 2, 3, 4, 5, 100, 1000)
_WORDS = (
    "calico/FizzBuzz",
    "calico/BoffBip",
    "calico/Bazzle",
    "calico/Razzle",
    "calico/DoopDeeDoo",
    "calico/SOME_LABEL",
    "calico/BORED_NOW",
)
MARKERS = (
    *("FOO_BAR", "FOO_BAR", "BIFF_BOP", *_WORDS, "MyMarkerLabel"),
    *(f"x{word}" for word in ("FOO_BAR", "BIFF_BOP", *_WORDS)),
    *(f"yx{word}" for word in ("MyMarkerLabel", "FOO_BAR", "BIFF_BOP", *_WORDS, "MyMarkerLabel")),
)
"""31 places, two of them twice, as upstream has them."""


def marker_policies(endpoints: int, policies: int) -> Iterator[Entity]:
    """Yield the input with *policies* of five rules by marker label."""
    for number in range(policies):
        rules = [f"has({MARKERS[(number + rule) % len(MARKERS)]})" for rule in range(5)]
        yield _policy(f"tag-pol-{number}", f"has({MARKERS[number % len(MARKERS)]})", rules)
    yield from _profiles()
    yield from _endpoints(endpoints)


def network_sets(endpoints: int, sets: int) -> Iterator[Entity]:
    """Yield the input with *sets* network sets and a policy for each."""
    yield from _profiles()
    yield from _endpoints(endpoints)
    first = FIRST_ADDRESS
    for number, size in zip(range(sets), cycle(SET_SIZES), strict=False):
        name = f"network-set-{number}"
        nets = tuple([Cidr(4, first + offset, 32) for offset in range(size)])
        yield NetworkSet(namespace="", name=name, labels={"network-set-name": name}, nets=nets)
        first += size
        yield _policy(f"network-set-pol-{number}", "all()", [f"network-set-name == '{name}'"])


def _policy(name: str, selector: str, sources: list[str]) -> Policy:
    entities = [EntityRule(selector=parse_selector(source)) for source in sources]
    return Policy(
        kind=PolicyKind.GLOBAL_NETWORK_POLICY,
        namespace="",
        name=name,
        selector=parse_selector(selector),
        types=frozenset(Direction),
        ingress=tuple([Rule(action=Action.ALLOW, source=each) for each in entities]),
    )


def _profiles() -> Iterator[Profile]:
    for number in range(NAMESPACES):
        name = f"namespace-{number}"
        yield Profile(name=namespace_profile(name), labels_to_apply={NAMESPACE_PREFIX + NAME: name})


def _endpoints(remote: int) -> Iterator[WorkloadEndpoint]:
    seeds = count(1)
    for node, number in ((REMOTE, remote), (LOCAL, LOCAL_ENDPOINTS)):
        for ordinal in range(number):
            yield _endpoint(node, ordinal, next(seeds))


def _endpoint(node: str, ordinal: int, seed: int) -> WorkloadEndpoint:
    namespace = f"namespace-{ordinal % NAMESPACES}"
    # Equal texts are one, as conversion leaves them (and upstream's uniquelabels).
    labels = {intern(f"one-in-{n}"): intern(f"value-{seed % n}") for n in (10, 11, 20, 30, 40)}
    labels[MARKERS[seed % len(MARKERS)]] = "true"
    return WorkloadEndpoint(
        namespace=intern(namespace),
        name=f"{node}-wep-{ordinal}",
        node=node,
        interface=f"cali{seed:08x}",
        labels=labels,
        addresses=(Address(4, FIRST_ADDRESS + seed - 1),),
        profiles=(intern(namespace_profile(namespace)),),
    )
