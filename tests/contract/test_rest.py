"""The API conventions over HTTPS: lists, pages, tables, watches, refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from server_process import ServerProcess, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

PODS = "/api/v1/namespaces/{}/pods"
MERGE = {"Content-Type": "application/merge-patch+json"}
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with running_server(tmp_path_factory.mktemp("rest")) as running:
        yield running


@pytest.fixture
def pods(server: ServerProcess, request: pytest.FixtureRequest) -> str:
    """Return the collection of a new namespace with five pods, a to e, two of them on n1."""
    name = request.node.originalname.replace("_", "-")[:60].strip("-")
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    server.as_admin("POST", "/api/v1/namespaces", namespace)
    path = PODS.format(name)
    for index, pod in enumerate("abcde"):
        body = pod_named(
            pod, node="n1" if index < 2 else "n2", color="red" if index % 2 else "blue"
        )
        assert server.as_admin("POST", path, body).status == 201
    return path


def pod_named(name: str, *, node: str, color: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"color": color}},
        "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}]},
    }


def names(body: dict[str, Any]) -> list[str]:
    return [item["metadata"]["name"] for item in body["items"]]


def test_pages_show_one_moment(server: ServerProcess, pods: str) -> None:
    """Pages behind the first have its resource version and content, whatever is written between."""
    first = server.as_admin("GET", f"{pods}?limit=2").body
    server.as_admin("DELETE", f"{pods}/d")
    server.as_admin("POST", pods, pod_named("bb", node="n1", color="red"))
    second = server.as_admin("GET", f"{pods}?limit=2&continue={first['metadata']['continue']}").body
    third = server.as_admin("GET", f"{pods}?limit=2&continue={second['metadata']['continue']}").body

    assert [names(page) for page in (first, second, third)] == [["a", "b"], ["c", "d"], ["e"]]
    assert first["metadata"]["remainingItemCount"] == 3
    assert "continue" not in third["metadata"]
    versions = {page["metadata"]["resourceVersion"] for page in (first, second, third)}
    assert len(versions) == 1
    exact = f"{pods}?resourceVersion={versions.pop()}&resourceVersionMatch=Exact"
    assert names(server.as_admin("GET", exact).body) == list("abcde")
    assert names(server.as_admin("GET", pods).body) == ["a", "b", "bb", "c", "e"]


def test_selected_pages(server: ServerProcess, pods: str) -> None:
    """The limit counts selected objects."""
    first = server.as_admin("GET", f"{pods}?limit=2&labelSelector=color%3Dblue").body
    token = first["metadata"]["continue"]
    rest = server.as_admin("GET", f"{pods}?limit=2&labelSelector=color%3Dblue&continue={token}")

    assert (names(first), names(rest.body)) == (["a", "c"], ["e"])
    by_node = server.as_admin("GET", f"{pods}?fieldSelector=spec.nodeName%3Dn1").body
    assert names(by_node) == ["a", "b"]


@pytest.mark.parametrize(
    ("query", "status", "reason"),
    [
        pytest.param("limit=x", 400, "BadRequest", id="limit"),
        pytest.param("continue=zzz", 400, "BadRequest", id="continue"),
        pytest.param("resourceVersion=-1", 400, "BadRequest", id="negative-version"),
        pytest.param("resourceVersion=999999999", 504, "Timeout", id="version-of-the-future"),
        pytest.param("labelSelector=a%20b", 400, "BadRequest", id="labels"),
        pytest.param("fieldSelector=spec.x%3D1", 400, "BadRequest", id="fields"),
        pytest.param("watch=1&sendInitialEvents=true", 422, "Invalid", id="initial-events"),
        pytest.param("includeObject=All", 400, "BadRequest", id="include"),
    ],
)
def test_bad_queries(server: ServerProcess, query: str, status: int, reason: str) -> None:
    answer = server.as_admin("GET", f"/api/v1/pods?{query}")

    assert (answer.status, answer.body["reason"], answer.body["kind"]) == (status, reason, "Status")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        pytest.param("GET", "/api/v1/secrets", 404, id="no-such-kind"),
        pytest.param("GET", "/apis/apps/v1/deployments", 404, id="no-such-group"),
        pytest.param("GET", "/api/v1/pods/x", 404, id="name-without-namespace"),
        pytest.param("GET", "/api/v1/namespaces/default/nodes", 404, id="namespace-of-a-node"),
        pytest.param("GET", "/api/v1/namespaces/default/pods/x/log", 404, id="subresource"),
        pytest.param("PUT", "/api/v1/pods", 405, id="put-collection"),
        pytest.param("POST", "/api/v1/nodes/x", 405, id="post-object"),
        pytest.param("GET", "/", 404, id="root"),
        pytest.param("GET", "/apis/tiers", 404, id="short"),
    ],
)
def test_bad_paths(server: ServerProcess, method: str, path: str, status: int) -> None:
    assert server.as_admin(method, path, {} if method != "GET" else None).status == status


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        pytest.param("application/json", "[]", 400, id="list"),
        pytest.param("application/json", "{", 400, id="broken"),
        pytest.param("application/json", '{"kind":"Pod"}', 400, id="no-version"),
        pytest.param("application/json", '{"apiVersion":"v1","kind":"Node"}', 400, id="other-kind"),
        pytest.param(
            "application/json", '{"apiVersion":"v1","kind":"Pod","metadata":3}', 400, id="metadata"
        ),
        pytest.param("text/xml", "<pod/>", 415, id="xml"),
        pytest.param("application/vnd.kubernetes.protobuf", "nonsense", 400, id="protobuf"),
    ],
)
def test_bad_bodies(server: ServerProcess, content_type: str, body: str, status: int) -> None:
    connection = server.connection(server.admin)
    connection.request("POST", PODS.format("default"), body, {"Content-Type": content_type})
    response = connection.getresponse()
    response.read()
    connection.close()

    assert response.status == status


def test_table_and_metadata_forms(server: ServerProcess, pods: str) -> None:
    """kubectl's table, and objects reduced to their metadata."""
    table = server.as_admin("GET", f"{pods}?limit=1", headers=TABLE).body
    accept = {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
    reduced = server.as_admin("GET", pods, headers=accept).body
    protobuf = {"Accept": "application/vnd.kubernetes.protobuf"}

    columns = [column["name"] for column in table["columnDefinitions"]]
    assert columns == ["Name", "Ready", "Status", "Restarts", "Age", "IP", "Node"]
    (row,) = table["rows"]
    assert row["cells"][:4] == ["a", "0/1", "Pending", 0]
    assert row["object"]["kind"] == "PartialObjectMetadata"
    assert table["metadata"]["remainingItemCount"] == 4
    assert reduced["kind"] == "PartialObjectMetadataList"
    assert all("spec" not in item for item in reduced["items"])
    assert server.as_admin("GET", pods, headers=protobuf).status == 406


def test_watch_with_initial_events(server: ServerProcess, pods: str) -> None:
    """The objects there are, the bookmark that says so, then changes; at the end a bookmark."""
    lines = server.watch_lines(
        f"{pods}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
        "&allowWatchBookmarks=true&timeoutSeconds=1&labelSelector=color%3Dred"
    )
    initial = [next(lines) for _ in range(3)]
    server.as_admin("DELETE", f"{pods}/b")
    rest = list(lines)

    assert [event["type"] for event in initial] == ["ADDED", "ADDED", "BOOKMARK"]
    mark = initial[2]["object"]["metadata"]
    assert mark["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert [event["type"] for event in rest] == ["DELETED", "BOOKMARK"]
    deleted, last = (event["object"]["metadata"]["resourceVersion"] for event in rest)
    assert int(mark["resourceVersion"]) < int(deleted) <= int(last)


def test_watch_of_a_selection(server: ServerProcess, pods: str) -> None:
    """An object that enters the selection is ADDED to this watcher, one that leaves is DELETED."""
    since = server.as_admin("GET", pods).body["metadata"]["resourceVersion"]
    for color in ("red", "red2", "blue"):
        patch = {"metadata": {"labels": {"color": color}}}
        server.as_admin("PATCH", f"{pods}/a", patch, MERGE)
    query = f"watch=1&resourceVersion={since}&timeoutSeconds=1"
    selected = server.watch_lines(f"{pods}?{query}&labelSelector=color%20in%20(red,red2)")
    everything = server.watch_lines(f"{pods}?{query}")

    assert [event["type"] for event in selected] == ["ADDED", "MODIFIED", "DELETED"]
    assert [event["type"] for event in everything] == ["MODIFIED"] * 3


def test_delete_collection_by_selector(server: ServerProcess, pods: str) -> None:
    deleted = server.as_admin("DELETE", f"{pods}?labelSelector=color%3Dblue").body

    assert names(deleted) == ["a", "c", "e"]
    assert names(server.as_admin("GET", pods).body) == ["b", "d"]


def test_status_subresource(server: ServerProcess, pods: str) -> None:
    """The object's path ignores the status, the status' path everything else."""
    both = {"status": {"phase": "Running"}, "spec": {"nodeName": "n9"}}
    main = server.as_admin("PATCH", f"{pods}/a", both, MERGE).body
    status = server.as_admin(
        "PATCH", f"{pods}/b/status", {**both, "spec": {"nodeName": "n8"}}, MERGE
    ).body

    assert (main["status"]["phase"], main["spec"]["nodeName"]) == ("Pending", "n9")
    assert (status["status"]["phase"], status["spec"]["nodeName"]) == ("Running", "n1")
    assert (
        server.as_admin("GET", "/api/v1/namespaces/default/serviceaccounts/default/status").status
        == 404
    )


def test_validation_says_where(server: ServerProcess) -> None:
    """A 422 has a cause for each field, from the model's own rules."""
    policy = {
        "apiVersion": "projectcalico.org/v3",
        "kind": "GlobalNetworkPolicy",
        "metadata": {"name": "bad"},
        "spec": {"selector": "has(", "ingress": [{"action": "Permit"}]},
    }
    answer = server.as_admin("POST", "/apis/projectcalico.org/v3/globalnetworkpolicies", policy)

    fields = {cause["field"] for cause in answer.body["details"]["causes"]}
    assert answer.status == 422
    assert {"spec.selector", "spec.ingress[0].action"} <= fields


def test_discovery_forms(server: ServerProcess) -> None:
    """The aggregated document and the plain ones name the same resources."""
    accept = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
    aggregated = server.as_admin("GET", "/apis", headers=accept).body
    plain = server.as_admin("GET", "/apis").body

    for group in aggregated["items"]:
        name, version = group["metadata"]["name"], group["versions"][0]
        listed = server.as_admin("GET", f"/apis/{name}/{version['version']}").body["resources"]
        found = {r["name"] for r in listed if "/" not in r["name"]}
        assert found == {resource["resource"] for resource in version["resources"]}
    assert [g["name"] for g in plain["groups"]] == [
        g["metadata"]["name"] for g in aggregated["items"]
    ]
