"""A real server process: who may do what, and what a crash and a restart leave."""

from __future__ import annotations

import asyncio
import http.client
import socket
import ssl
import stat
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from chita.server import pki
from server_process import TOKEN, Credentials, ServerProcess, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

PODS = "/api/v1/namespaces/default/pods"
HANDLES = "/apis/projectcalico.org/v3/ipamhandles"
BLOCKS = "/apis/projectcalico.org/v3/ipamblocks"
AFFINITIES = "/apis/projectcalico.org/v3/blockaffinities"
MERGE = {"Content-Type": "application/merge-patch+json"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def node_a(server: ServerProcess) -> Credentials:
    return server.join("node-a")[1]


@pytest.fixture(scope="module")
def node_b(server: ServerProcess) -> Credentials:
    return server.join("node-b")[1]


def object_of(kind: str, name: str, **rest: Any) -> dict[str, Any]:
    api = {"Pod": "v1", "Lease": "coordination.k8s.io/v1", "FabricNode": "chita.dev/v1alpha1"}
    version = api.get(kind, "projectcalico.org/v3")
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **rest}


def pod(name: str, node: str) -> dict[str, Any]:
    spec = {"nodeName": node, "containers": [{"name": "c", "image": "i"}]}
    return object_of("Pod", name, spec=spec)


def fabric_node(name: str) -> dict[str, Any]:
    return object_of(
        "FabricNode",
        name,
        spec={"location": "aws", "interfaces": [], "endpoints": [], "wireMTU": 1500},
    )


def block(node: str, *, third: int = 0, handle: str = "h") -> dict[str, Any]:
    spec = {
        "cidr": f"10.244.{third}.0/26",
        "affinity": f"host:{node}",
        "allocations": [0, *[None] * 63],
        "unallocated": list(range(1, 64)),
        "attributes": [{"handle_id": handle, "secondary": {"node": node}}],
        "strictAffinity": False,
        "deleted": False,
    }
    return object_of("IPAMBlock", f"10-244-{third}-0-26", spec=spec)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        pytest.param("GET", "/healthz", 200, id="health"),
        pytest.param("GET", "/readyz", 200, id="ready"),
        pytest.param("GET", "/version", 200, id="version"),
        pytest.param("GET", "/api/v1/pods", 401, id="list"),
        pytest.param("GET", "/apis", 401, id="discovery"),
        pytest.param("GET", "/openapi/v3", 401, id="openapi"),
        pytest.param("POST", PODS, 401, id="create"),
        pytest.param("DELETE", PODS, 401, id="delete-collection"),
        pytest.param("POST", "/chita/v1/tokens", 401, id="token"),
        pytest.param("POST", "/chita/v1/join", 401, id="join-without-token"),
        pytest.param("GET", "/nowhere", 401, id="unknown-path"),
    ],
)
def test_anonymous(server: ServerProcess, method: str, path: str, expected: int) -> None:
    """Without a certificate there is nothing but health, the version and joining."""
    assert expected == server.request(method, path).status


def test_tls_only(server: ServerProcess) -> None:
    """No plain HTTP, and no certificate that somebody else signed."""
    stranger = pki.load_or_make_authority(server.directory).client("admin", ["system:masters"])
    forged = Credentials(server.directory / "forged.crt", server.directory / "forged.key")
    forged.certificate.write_bytes(stranger.certificate)
    forged.key.write_bytes(stranger.key)
    place = urlsplit(server.url)
    plain = http.client.HTTPConnection(place.netloc, timeout=10)

    with pytest.raises((ssl.SSLError, ConnectionError)):
        server.request("GET", "/healthz", credentials=forged)
    plain.request("GET", "/healthz")
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        plain.getresponse()
    plain.close()


def test_secrets_are_the_owners(server: ServerProcess) -> None:
    """Keys and the administrator's kubeconfig are readable by their owner only."""
    for name in ("data/ca.key", "data/server.key", "data/chita.db", "admin.kubeconfig"):
        assert stat.S_IMODE((server.directory / name).stat().st_mode) & 0o077 == 0, name


def test_join_gives_each_node_its_own_addresses(
    server: ServerProcess, node_a: Credentials, node_b: Credentials
) -> None:
    """A second join keeps them; the certificate works; a wrong token gets nothing."""
    again, _ = server.join("node-a")
    other, _ = server.join("node-b")
    refused, _ = server.join("node-c", token="wrong-token-wrong-token")
    stolen, _ = server.join("node-c", token=TOKEN[:-1])
    node = server.request("GET", "/api/v1/nodes/node-a", credentials=node_a).body

    assert node_b.certificate.exists()
    assert again.body["meshIPv4"] == node["metadata"]["annotations"]["chita.dev/mesh-ipv4"]
    assert again.body["meshIPv6"] == node["metadata"]["annotations"]["chita.dev/mesh-ipv6"]
    assert again.body["meshIPv4"] != other.body["meshIPv4"]
    assert again.body["meshIPv4"].startswith("100.64.0.")
    assert (refused.status, stolen.status) == (401, 401)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("", id="empty"),
        pytest.param("Node_A", id="letters"),
        pytest.param("../../etc", id="path"),
        pytest.param("n" * 60, id="too-long-for-a-certificate"),
    ],
)
def test_join_refuses_a_bad_name(server: ServerProcess, name: str) -> None:
    key_of = server.request(
        "POST",
        "/chita/v1/join",
        {"node": name, "csr": "nonsense"},
        headers={"Authorization": f"Bearer {TOKEN}"},
    )

    assert key_of.status == 400
    assert "node" in key_of.body["message"]


def test_new_token(server: ServerProcess, node_a: Credentials) -> None:
    """An administrator makes tokens, a node does not."""
    made = server.as_admin("POST", "/chita/v1/tokens", {"ttlSeconds": 60})
    expired = server.as_admin("POST", "/chita/v1/tokens", {"ttlSeconds": 0})
    refused = server.request("POST", "/chita/v1/tokens", {}, credentials=node_a)

    assert server.join("node-t", token=made.body["token"])[0].status == 200
    assert server.join("node-u", token=expired.body["token"])[0].status == 401
    assert refused.status == 403


def test_a_node_writes_its_own_objects(server: ServerProcess, node_a: Credentials) -> None:
    server.as_admin("POST", PODS, pod("mine", "node-a"))

    def node(method: str, path: str, body: Any = None, headers: Any = None) -> int:
        return server.request(method, path, body, credentials=node_a, headers=headers).status

    patch = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    assert node("PATCH", "/api/v1/nodes/node-a/status", patch, MERGE) == 200
    note = {"metadata": {"annotations": {"chita.dev/note": "x"}, "labels": {"zone": "z"}}}
    assert node("PATCH", "/api/v1/nodes/node-a", note, MERGE) == 200
    assert node("POST", "/apis/chita.dev/v1alpha1/fabricnodes", fabric_node("node-a")) == 201
    assert node("PATCH", f"{PODS}/mine/status", {"status": {"podIP": "10.244.0.1"}}, MERGE) == 200
    assert node("POST", BLOCKS, block("node-a")) == 201
    assert node("DELETE", f"{BLOCKS}/10-244-0-0-26") == 200
    assert node("GET", "/apis/projectcalico.org/v3/tiers") == 200


def test_a_node_writes_nothing_else(
    server: ServerProcess, node_a: Credentials, node_b: Credentials
) -> None:
    """Each line is refused with 403 and says who, and what."""
    assert node_b.key.exists()
    server.as_admin("POST", PODS, pod("theirs", "node-b"))
    server.as_admin("POST", PODS, pod("own", "node-a"))
    server.as_admin("POST", BLOCKS, block("node-b", third=7))
    affinity = {"state": "confirmed", "node": "node-b", "cidr": "10.244.9.0/26", "deleted": "false"}
    role = {"metadata": {"labels": {"node-role.kubernetes.io/gateway": ""}}}
    mesh = {"metadata": {"annotations": {"chita.dev/mesh-ipv4": "100.64.9.9"}}}
    status = {"status": {"podIP": "10.244.0.2"}}
    attempts: list[tuple[str, str, Any]] = [
        ("PATCH", "/api/v1/nodes/node-b", {"metadata": {"annotations": {"a": "b"}}}),
        ("PATCH", "/api/v1/nodes/node-b/status", {"status": {"phase": "x"}}),
        ("PATCH", "/api/v1/nodes/node-a", role),
        ("PATCH", "/api/v1/nodes/node-a", mesh),
        ("PATCH", "/api/v1/nodes/node-a", {"spec": {"unschedulable": True}}),
        ("DELETE", "/api/v1/nodes/node-a", None),
        ("PATCH", f"{PODS}/theirs/status", status),
        ("PATCH", f"{PODS}/theirs", {"metadata": {"annotations": {"a": "b"}}}),
        ("PATCH", f"{PODS}/own", {"metadata": {"labels": {"app": "admin"}}}),
        ("PATCH", f"{PODS}/own", {"spec": {"nodeName": "node-b"}}),
        ("DELETE", f"{PODS}/own", None),
        ("POST", PODS, pod("new", "node-a")),
        ("POST", "/apis/chita.dev/v1alpha1/fabricnodes", fabric_node("node-b")),
        ("POST", BLOCKS, block("node-b", third=8)),
        ("DELETE", f"{BLOCKS}/10-244-7-0-26", None),
        ("PATCH", f"{BLOCKS}/10-244-7-0-26", {"spec": {"affinity": "host:node-a"}}),
        ("POST", AFFINITIES, object_of("BlockAffinity", "node-b-x", spec=affinity)),
        ("POST", "/apis/projectcalico.org/v3/tiers", object_of("Tier", "mine")),
        ("DELETE", "/apis/projectcalico.org/v3/tiers", None),
    ]

    for method, path, body in attempts:
        headers = MERGE if method == "PATCH" else None
        answer = server.request(method, path, body, credentials=node_a, headers=headers)
        assert answer.status == 403, f"{method} {path} {body}: {answer}"
        assert "node-a" in answer.body["message"]


def test_forbidden_in_kubernetes_words(server: ServerProcess, node_a: Credentials) -> None:
    answer = server.request("DELETE", f"{PODS}/x", credentials=node_a)

    expected = (
        'pods "x" is forbidden: User "system:node:node-a" cannot delete resource "pods" '
        'in API group "" in the namespace "default"'
    )
    assert expected == answer.body["message"]
    assert answer.body["reason"] == "Forbidden"


def test_a_node_borrows_from_anothers_block(
    server: ServerProcess, node_a: Credentials, node_b: Credentials
) -> None:
    """Of another node's block only the allocations change hands."""
    assert node_b.key.exists()
    server.as_admin("POST", BLOCKS, block("node-b", third=3))
    change = {
        "spec": {
            "allocations": [0, 1, *[None] * 62],
            "unallocated": list(range(2, 64)),
            "attributes": [
                {"handle_id": "h", "secondary": {"node": "node-b"}},
                {"handle_id": "mine", "secondary": {"node": "node-a"}},
            ],
        }
    }
    path = f"{BLOCKS}/10-244-3-0-26"

    borrowed = server.request("PATCH", path, change, credentials=node_a, headers=MERGE)
    assert borrowed.status == 200


def test_compare_and_swap_lets_one_win(server: ServerProcess) -> None:
    """Of many updates from one revision exactly one succeeds; the others get 409."""
    made = server.as_admin("POST", HANDLES, object_of("IPAMHandle", "race", spec=handle_spec(0)))

    async def race() -> list[int]:
        async with client(server) as session:

            async def put(number: int) -> int:
                body = {**made.body, "spec": handle_spec(number)}
                async with session.put(f"{server.url}{HANDLES}/race", json=body) as answer:
                    return answer.status

            return await asyncio.gather(*(put(number) for number in range(1, 17)))

    assert sorted(asyncio.run(race())) == [200, *[409] * 15]


def test_patches_of_one_object_all_hold(server: ServerProcess) -> None:
    """A patch names no revision: one that loses a race is applied to what won it."""
    server.as_admin("POST", PODS, pod("busy", "node-a"))

    async def race() -> list[int]:
        async with client(server) as session:

            async def patch(number: int) -> int:
                body = {"metadata": {"annotations": {f"n{number}": "x"}}}
                path = f"{server.url}{PODS}/busy"
                async with session.patch(path, json=body, headers=MERGE) as answer:
                    return answer.status

            return await asyncio.gather(*(patch(number) for number in range(12)))

    assert asyncio.run(race()) == [200] * 12
    assert len(server.as_admin("GET", f"{PODS}/busy").body["metadata"]["annotations"]) == 12


def test_a_member_renews_its_certificate(server: ServerProcess, node_a: Credentials) -> None:
    """With its own certificate a node needs no token, but only for its own name."""
    assert server.join("node-a", token="", credentials=node_a)[0].status == 200
    assert server.join("node-b", token="", credentials=node_a)[0].status == 401


def handle_spec(number: int) -> dict[str, Any]:
    return {"handleID": f"h{number}", "block": {"10.244.0.0/26": 1}, "deleted": False}


def client(server: ServerProcess, credentials: Credentials | None = None) -> aiohttp.ClientSession:
    context = server.tls(credentials or server.admin)
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, limit=32))


def test_kill_in_the_middle_of_writes_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """kill -9 under 32 writers: every object whose create was answered is there afterwards."""
    acknowledged: list[str] = []

    async def write_until_killed(server: ServerProcess) -> None:
        enough = asyncio.Event()
        async with client(server) as session:

            async def writer(number: int) -> None:
                for count in range(1000):
                    name = f"h{number}-{count}"
                    body = object_of("IPAMHandle", name, spec=handle_spec(count))
                    async with session.post(server.url + HANDLES, json=body) as answer:
                        if answer.status == 201:
                            acknowledged.append(name)
                            if len(acknowledged) >= 400:
                                enough.set()

            tasks = [asyncio.create_task(writer(number)) for number in range(32)]
            await asyncio.wait_for(enough.wait(), 30)
            server.kill()
            await asyncio.gather(*tasks, return_exceptions=True)

    with running_server(tmp_path) as server:
        asyncio.run(write_until_killed(server))
    with running_server(tmp_path) as server:
        found = server.as_admin("GET", HANDLES).body

    names = {item["metadata"]["name"] for item in found["items"]}
    assert len(acknowledged) >= 400
    assert set(acknowledged) - names == set()
    revisions = [int(item["metadata"]["resourceVersion"]) for item in found["items"]]
    assert len(set(revisions)) == len(revisions)
    assert max(revisions) <= int(found["metadata"]["resourceVersion"])


def test_watch_resumes_after_a_restart_until_compacted(tmp_path: Path) -> None:
    """The history is in the file: a watcher goes on where it was; too far back is 410."""
    with running_server(tmp_path, "--history", "100") as server:
        for count in range(3):
            body = object_of("IPAMHandle", f"h{count}", spec=handle_spec(count))
            last = server.as_admin("POST", HANDLES, body).body
        server.as_admin("DELETE", f"{HANDLES}/h1")
        since = int(last["metadata"]["resourceVersion"]) - 2
        server.kill()
    with running_server(tmp_path, "--history", "100") as server:
        query = f"{HANDLES}?watch=1&resourceVersion={since}&timeoutSeconds=1"
        resumed = list(server.watch_lines(query))
        for count in range(150):
            patch = {"metadata": {"annotations": {"n": str(count)}}}
            server.as_admin("PATCH", f"{HANDLES}/h0", patch, MERGE)
        too_old = list(server.watch_lines(query))

    seen = [(event["type"], event["object"]["metadata"]["name"]) for event in resumed]
    assert seen == [("ADDED", "h1"), ("ADDED", "h2"), ("DELETED", "h1")]
    assert [event["type"] for event in too_old] == ["ERROR"]
    assert too_old[0]["object"]["code"] == 410
    assert too_old[0]["object"]["reason"] == "Expired"


def test_one_server_per_file(tmp_path: Path) -> None:
    """A second process does not share the file: it says so and ends."""
    with (
        running_server(tmp_path),
        pytest.raises(AssertionError, match="another chita server"),
        running_server(tmp_path),
    ):
        pass


def test_inherited_socket(tmp_path: Path) -> None:
    """A socket that was opened before the process entered its namespace serves as well."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        number = listening.fileno()
        with running_server(tmp_path, "--listen-fd", str(number), pass_fds=[number]) as server:
            port = listening.getsockname()[1]

            assert server.url == f"https://127.0.0.1:{port}"
            assert server.as_admin("GET", "/api/v1/namespaces/default").status == 200


def test_stop_ends_watches_and_leaves_one_file(tmp_path: Path) -> None:
    """SIGTERM: a watcher's stream ends properly, and the WAL is folded into the file."""
    with running_server(tmp_path) as server:
        connection = server.connection(server.admin)
        connection.request(
            "GET",
            f"{PODS}?watch=1&sendInitialEvents=true"
            "&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true",
        )
        response = connection.getresponse()
        first = response.readline()
        server.process.terminate()
        rest = response.read()
        connection.close()
        assert server.process.wait(10) == 0

    assert b"initial-events-end" in first
    assert b"BOOKMARK" in rest
    wal = tmp_path / "data" / "chita.db-wal"
    assert not wal.exists() or wal.stat().st_size == 0
