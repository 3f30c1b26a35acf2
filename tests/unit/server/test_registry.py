"""The registry's rules on the store in memory: no HTTP, no process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from chita.model.kinds import Kind, known_kind
from chita.model.problem import Problem
from chita.model.validate.objects import validate
from chita.server.registry import Options, Preconditions, Registry
from chita.server.request import Part
from chita.server.service_address import ServiceAddresses, ServiceRange
from chita.server.status import RefusedError
from chita.store.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from chita.store.store import Object


def kind(name: str, version: str = "v1") -> Kind:
    return known_kind(version, name)


V3 = "projectcalico.org/v3"
POD, SERVICE, NODE, NAMESPACE = (kind(k) for k in ("Pod", "Service", "Node", "Namespace"))
POLICY, TIER = kind("NetworkPolicy", V3), kind("Tier", V3)


def object_of(of: Kind, name: str, **rest: Any) -> dict[str, Any]:
    return {"apiVersion": of.api_version, "kind": of.kind, "metadata": {"name": name}, **rest}


def run(scenario: Callable[[Registry], Coroutine[Any, Any, None]], *networks: str) -> None:
    async def body() -> None:
        addresses = ServiceAddresses(ServiceRange(networks or ("10.96.0.0/28", "fd00::/124")))
        registry = Registry(MemoryStore(), validate, addresses)
        await registry.create_built_in()
        await registry.create_built_in()  # a second start finds them
        await scenario(registry)

    asyncio.run(body())


async def refused(work: Coroutine[Any, Any, Any]) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        await work
    return caught.value


def test_create_fills_metadata() -> None:
    async def scenario(registry: Registry) -> None:
        value = object_of(POD, "", spec={"containers": []}, status={"phase": "Running"})
        value["metadata"] = {"generateName": "web-", "resourceVersion": "7", "uid": "mine"}
        stored = await registry.create(POD, "default", value, Options())
        metadata = stored.object["metadata"]

        assert metadata["name"].startswith("web-")
        assert len(metadata["name"]) == len("web-") + 5
        assert metadata["namespace"] == "default"
        assert metadata["uid"] != "mine"
        assert metadata["generation"] == 1
        assert metadata["creationTimestamp"].endswith("Z")
        assert stored.object["status"] == {"phase": "Pending"}
        assert stored.object["spec"]["serviceAccountName"] == "default"

    run(scenario)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({}, {"tier": "default", "types": ["Ingress"]}, id="no-rules"),
        pytest.param({"egress": [{"action": "Allow"}]}, {"types": ["Egress"]}, id="egress-only"),
        pytest.param(
            {"ingress": [{"action": "Allow"}], "egress": [{"action": "Allow"}]},
            {"types": ["Ingress", "Egress"]},
            id="both",
        ),
        pytest.param({"types": ["Egress"]}, {"types": ["Egress"]}, id="as-written"),
        pytest.param({"tier": "kube-admin"}, {"tier": "kube-admin"}, id="tier"),
    ],
)
def test_policy_defaults(spec: Object, expected: Object) -> None:
    async def scenario(registry: Registry) -> None:
        stored = await registry.create(
            POLICY, "default", object_of(POLICY, "p", spec=spec), Options()
        )
        found = stored.object

        assert expected.items() <= found["spec"].items()
        assert found["metadata"]["labels"]["projectcalico.org/tier"] == found["spec"]["tier"]

    run(scenario)


def test_status_and_spec_are_apart() -> None:
    """A write to the object leaves the status, one to the status leaves the rest."""

    async def scenario(registry: Registry) -> None:
        node = object_of(NODE, "n", spec={"a": 1}, status={"phase": "new"})
        made = await registry.create(NODE, "", node, Options())
        assert made.object["status"] == {"phase": "new"}  # a node registers itself

        changed = {**made.copy(), "spec": {"a": 2}, "status": {"phase": "x"}}
        main = await registry.change(NODE, "", "n", lambda _: changed, Options())
        assert (main.object["spec"], main.object["status"]) == ({"a": 2}, {"phase": "new"})
        assert main.object["metadata"]["generation"] == 2

        changed = {**main.copy(), "spec": {"a": 3}, "status": {"phase": "y"}}
        options = Options(part=Part.STATUS)
        status = await registry.change(NODE, "", "n", lambda _: changed, options)
        assert (status.object["spec"], status.object["status"]) == ({"a": 2}, {"phase": "y"})
        assert status.object["metadata"]["generation"] == 2

    run(scenario)


def test_equal_write_is_no_write() -> None:
    async def scenario(registry: Registry) -> None:
        made = await registry.create(NODE, "", object_of(NODE, "n"), Options())
        same = await registry.change(NODE, "", "n", lambda node: node, Options())

        assert same.revision == made.revision == registry.store.revision

    run(scenario)


def test_revision_uid_and_place_must_fit() -> None:
    async def scenario(registry: Registry) -> None:
        made = await registry.create(NODE, "", object_of(NODE, "n"), Options())

        async def put(**metadata: str) -> RefusedError:
            value = object_of(NODE, "n")
            value["metadata"] = {"name": "n", **metadata}
            return await refused(registry.change(NODE, "", "n", lambda _: value, Options()))

        assert (await put(resourceVersion="1")).reason == "Conflict"
        assert (await put(uid="other")).reason == "Conflict"
        assert (await put(name="m")).status == 400
        assert (await put(namespace="default")).status == 400
        wrong = object_of(POD, "n")
        change = registry.change(NODE, "", "n", lambda _: wrong, Options())
        assert (await refused(change)).status == 400
        assert made.revision == registry.store.revision

    run(scenario)


def test_invalid_names_every_field() -> None:
    async def scenario(registry: Registry) -> None:
        value = object_of(POD, "Web_1")
        value["metadata"]["labels"] = {"a b": "x", "ok": "no good"}
        error = await refused(registry.create(POD, "default", value, Options()))

        fields = [cause["field"] for cause in error.details["causes"]]
        assert fields == ["metadata.name", "metadata.labels", "metadata.labels.ok"]
        assert (error.status, error.reason) == (422, "Invalid")
        assert str(error).startswith('Pod "Web_1" is invalid: [metadata.name: Invalid value')

    run(scenario)


def test_the_kinds_own_rules_are_asked() -> None:
    """What validation says becomes the causes of a 422."""

    async def body() -> None:
        def never(_: Object) -> list[Problem]:
            return [Problem("spec.selector", "no")]

        registry = Registry(MemoryStore(), never, ServiceAddresses(ServiceRange(())))
        error = await refused(registry.create(NODE, "", object_of(NODE, "n"), Options()))
        assert str(error) == 'Node "n" is invalid: spec.selector: Invalid value: no'

    asyncio.run(body())


def test_built_in_objects_stay() -> None:
    async def scenario(registry: Registry) -> None:
        delete = registry.delete(TIER, "", "kube-admin", Preconditions(), Options())
        assert (await refused(delete)).status == 403

        def reordered(tier: Object) -> Object:
            return {**tier, "spec": {**tier["spec"], "order": 7}}

        error = await refused(registry.change(TIER, "", "default", reordered, Options()))
        assert error.details["causes"][0]["field"] == "spec.order"

        def emptied(tier: Object) -> Object:
            return {**tier, "spec": {}}

        same = await registry.change(TIER, "", "kube-baseline", emptied, Options())
        assert same.object["spec"] == {"order": 10_000_000, "defaultAction": "Pass"}

    run(scenario)


def test_a_tier_with_policies_stays() -> None:
    async def scenario(registry: Registry) -> None:
        await registry.create(TIER, "", object_of(TIER, "mine", spec={"order": 5}), Options())
        policy = object_of(POLICY, "p", spec={"tier": "mine"})
        await registry.create(POLICY, "default", policy, Options())
        delete = registry.delete(TIER, "", "mine", Preconditions(), Options())
        assert "default/p" in str(await refused(delete))

        await registry.delete(POLICY, "default", "p", Preconditions(), Options())
        await registry.delete(TIER, "", "mine", Preconditions(), Options())

    run(scenario)


def test_deletion_waits_for_finalizers_and_preconditions() -> None:
    async def scenario(registry: Registry) -> None:
        value = object_of(NODE, "n")
        value["metadata"]["finalizers"] = ["example.com/hold"]
        made = await registry.create(NODE, "", value, Options())
        wrong = registry.delete(NODE, "", "n", Preconditions(uid="other"), Options())
        assert (await refused(wrong)).reason == "Conflict"
        old = registry.delete(NODE, "", "n", Preconditions(resource_version="1"), Options())
        assert (await refused(old)).reason == "Conflict"

        uid = made.object["metadata"]["uid"]
        marked = await registry.delete(NODE, "", "n", Preconditions(uid=uid), Options())
        again = await registry.delete(NODE, "", "n", Preconditions(), Options())
        assert marked.is_waiting
        assert again.stored.revision == marked.stored.revision

        def let_go(node: Object) -> Object:
            node["metadata"]["finalizers"] = []
            return node

        await registry.change(NODE, "", "n", let_go, Options())
        with pytest.raises(RefusedError, match="not found"):
            registry.get(NODE, "", "n")

    run(scenario)


def test_namespace_takes_its_content_with_it() -> None:
    """Also when something in it has a finalizer: then both wait."""

    async def scenario(registry: Registry) -> None:
        await registry.create(NAMESPACE, "", object_of(NAMESPACE, "shop"), Options())
        pod = object_of(POD, "p")
        pod["metadata"]["finalizers"] = ["example.com/hold"]
        await registry.create(POD, "shop", pod, Options())
        await registry.create(POD, "shop", object_of(POD, "q"), Options())
        deleted = await registry.delete(NAMESPACE, "", "shop", Preconditions(), Options())

        assert deleted.is_waiting
        assert deleted.stored.object["status"]["phase"] == "Terminating"
        assert [i.key.name for i in registry.store.list("pods").items] == ["p"]
        late = registry.create(POD, "shop", object_of(POD, "r"), Options())
        assert "being terminated" in str(await refused(late))

        def let_go(value: Object) -> Object:
            del value["metadata"]["finalizers"]
            return value

        await registry.change(POD, "shop", "p", let_go, Options())
        with pytest.raises(RefusedError, match="not found"):
            registry.get(NAMESPACE, "", "shop")
        nowhere = registry.create(POD, "shop", object_of(POD, "r"), Options())
        assert (await refused(nowhere)).status == 404

    run(scenario)


def test_dry_run_stores_nothing() -> None:
    async def scenario(registry: Registry) -> None:
        before = registry.store.revision
        made = await registry.create(NODE, "", object_of(NODE, "n"), Options(dry_run=True))

        assert made.object["metadata"]["uid"]
        assert "resourceVersion" not in made.object["metadata"]
        assert registry.store.revision == before

    run(scenario)


def test_service_addresses() -> None:
    """Both families when asked; never twice; kept by an update; refused when taken or used up."""

    async def scenario(registry: Registry) -> None:
        async def create(name: str, **spec: Any) -> Object:
            value = object_of(SERVICE, name, spec={"ports": [{"port": 80}], **spec})
            stored = await registry.create(SERVICE, "default", value, Options())
            found: Object = stored.object["spec"]
            return found

        dual = await create("dual", ipFamilyPolicy="PreferDualStack")
        assert dual["ipFamilies"] == ["IPv4", "IPv6"]
        assert len(dual["clusterIPs"]) == 2
        assert dual["clusterIP"] == dual["clusterIPs"][0]
        headless = await create("headless", clusterIP="None")
        assert headless["clusterIPs"] == ["None"]
        chosen = await create("chosen", clusterIP="10.96.0.3")
        assert chosen["clusterIPs"] == ["10.96.0.3"]
        taken = create("taken", clusterIP=dual["clusterIP"])
        assert "default/dual" in str(await refused(taken))

        def bare(value: Object) -> Object:
            return {**value, "spec": {"ports": [{"port": 81}]}}

        single = await create("single")

        def doubled(value: Object) -> Object:
            spec = {k: v for k, v in value["spec"].items() if k != "ipFamilies"}
            return {**value, "spec": {**spec, "ipFamilyPolicy": "RequireDualStack"}}

        both = await registry.change(SERVICE, "default", "single", doubled, Options())
        assert both.object["spec"]["clusterIP"] == single["clusterIP"]
        assert both.object["spec"]["ipFamilies"] == ["IPv4", "IPv6"]

        kept = await registry.change(SERVICE, "default", "dual", bare, Options())
        assert kept.object["spec"]["clusterIPs"] == dual["clusterIPs"]

        def moved(value: Object) -> Object:
            return {**value, "spec": {"ports": [], "clusterIP": "10.96.0.9"}}

        move = registry.change(SERVICE, "default", "dual", moved, Options())
        assert "immutable" in str(await refused(move))

        for n in range(20):  # a dry run keeps nothing
            value = object_of(SERVICE, f"dry-{n}", spec={"ports": [{"port": 80}]})
            await registry.create(SERVICE, "default", value, Options(dry_run=True))
        given = [(await create(f"s{n}"))["clusterIP"] for n in range(11)]
        assert len({*given, dual["clusterIP"], single["clusterIP"], "10.96.0.3"}) == 14
        assert "no free address" in str(await refused(create("last")))

    run(scenario)
