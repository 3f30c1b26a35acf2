"""A real agent process in a namespace of its own, with a real server: start, heal, stop."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_process import NODE, AgentProcess, as_admin, node_with_neighbours, wait_until
from chita.dataplane.netlink.rules import OURS
from chita.dataplane.nftables.nfnetlink import Nfnetlink
from chita.dataplane.nftables.objects import TABLE
from chita.dataplane.nftables.transaction import AddTable, DeleteTable
from chita.lab.netns import entered, start_in
from chita.rpc.client import call_cni
from chita.rpc.messages import CniRequest
from network_namespace import fresh_namespaces, needs_root, ping, run_inside

pytestmark = [pytest.mark.kernel, pytest.mark.slow, needs_root]

RULESET_HEALED_S = 0.15
"""How long a node may be without its ruleset: 50 ms, with a margin of three for a noisy machine."""


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    """An agent in sync; a test leaves it so."""
    with node_with_neighbours(tmp_path_factory.mktemp("agent")) as running:
        running.start()
        running.wait_in_sync()
        wait_until(lambda: _record(running) is not None)
        yield running


def _record(agent: AgentProcess) -> object | None:
    path = "/apis/chita.dev/v1alpha1/fabricnodes"
    items = as_admin(agent.space, agent.server, "GET", path)["items"]
    return next((item for item in items if item["metadata"]["name"] == NODE), None)


def test_one_neighbour_a_rung(agent: AgentProcess) -> None:
    """VXLAN inside the location, WireGuard to the other, a route to each block."""
    kinds = {name: path["kind"] for name, path in agent.status()["paths"].items()}

    assert {"n2": "vxlan", "n3": "wireguard"} == kinds
    assert {"10.244.1.0/26", "10.244.2.0/26", "10.244.3.0/26"} <= agent.state()["routes"].keys()
    assert ("n3", None) in [(p["node"], p["handshake_age_s"]) for p in agent.status()["peers"]]


def has_route(space: Path) -> bool:
    return "10.244.2.0/26" in run_inside(space, "ip", "route", "show", "table", str(OURS.table))


def has_vxlan(space: Path) -> bool:
    return "chita-vxlan" in run_inside(space, "ip", "-br", "link") and has_route(space)


def has_table(space: Path) -> bool:
    return f"inet {TABLE}" in run_inside(space, "nft", "list", "tables")


def has_all_chains(space: Path) -> bool:
    return has_table(space) and "hook forward" in run_inside(
        space, "nft", "list", "table", "inet", TABLE
    )


def has_mesh_address(space: Path) -> bool:
    return "100.64.0.1" in run_inside(space, "ip", "address", "show", "dev", "chita-vxlan")


@pytest.mark.parametrize(
    ("command", "is_healed"),
    [
        pytest.param(
            ["ip", "route", "del", "10.244.2.0/26", "table", str(OURS.table)],
            has_route,
            id="route-removed",
        ),
        pytest.param(["ip", "link", "del", "chita-vxlan"], has_vxlan, id="vxlan-deleted"),
        pytest.param(
            ["ip", "address", "flush", "dev", "chita-vxlan", "scope", "global"],
            has_mesh_address,
            id="address-removed",
        ),
        pytest.param(["nft", "delete", "table", "inet", TABLE], has_table, id="table-deleted"),
        pytest.param(["nft", "flush", "ruleset"], has_all_chains, id="everything-flushed"),
    ],
)
def test_what_others_break_is_healed_at_once(
    agent: AgentProcess, command: list[str], is_healed: Callable[[Path], bool]
) -> None:
    """Not at the next comparison, which is a minute away."""
    assert is_healed(agent.space)

    run_inside(agent.space, *command)

    assert wait_until(lambda: is_healed(agent.space), agent.log) < 5


def test_a_deleted_ruleset_is_back_at_once(agent: AgentProcess) -> None:
    """Without it nothing is enforced: the median of ten times is a few hundredths of a second."""
    with entered(agent.space):
        vandal = Nfnetlink()
    times = []
    for _ in range(10):
        # Past the pause that keeps a vandal from keeping the agent busy.
        _let_pass(0.3)
        generation = vandal.read_generation()
        began = time.perf_counter()
        vandal.commit((AddTable(), DeleteTable()))
        wait_until(lambda gone=generation + 1: vandal.read_generation() > gone, agent.log)  # type: ignore[misc]
        times.append(time.perf_counter() - began)
    vandal.close()

    assert statistics.median(times) < RULESET_HEALED_S, times
    assert has_all_chains(agent.space)


def test_a_killed_wireguard_go_is_started_again(agent: AgentProcess) -> None:
    """Its device goes with it, and the routes over the device with that."""
    pid_file = agent.directory / "run" / "chita-wg0.pid"
    if not pid_file.exists():
        pytest.skip("WireGuard is the kernel's here: there is no wireguard-go")
    first = pid_file.read_text()

    os.kill(json.loads(first)["pid"], signal.SIGKILL)

    def is_back() -> bool:
        routes = run_inside(agent.space, "ip", "route", "show", "table", str(OURS.table))
        return pid_file.exists() and pid_file.read_text() != first and "chita-wg0" in routes

    wait_until(is_back, agent.log)
    assert "n3" in [peer["node"] for peer in agent.wait_in_sync()["peers"]]


def test_its_own_changes_are_no_news(agent: AgentProcess) -> None:
    """A policy that comes costs one sync: the agent does not hear its own writes as others'."""
    agent.wait_in_sync()
    before = _quiet(agent)
    policies = "/apis/projectcalico.org/v3/globalnetworksets"
    body = {
        "apiVersion": "projectcalico.org/v3",
        "kind": "GlobalNetworkSet",
        "metadata": {"name": "news"},
        "spec": {"nets": ["198.51.100.0/24"]},
    }
    as_admin(agent.space, agent.server, "POST", policies, body)
    wait_until(lambda: agent.status()["syncs"] > before["syncs"], agent.log)

    after = _quiet(agent)

    assert before["syncs"] + 1 == after["syncs"]


def _let_pass(seconds: float) -> None:
    """Return when *seconds* have passed in which nothing shall happen, or anything may."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > end)


def _quiet(agent: AgentProcess) -> dict[str, int]:
    """Return the status once two in a row, half a second apart, are of the same sync."""
    while True:
        one = agent.status()
        _let_pass(0.5)
        if one["syncs"] == agent.status()["syncs"]:
            return one


def call(agent: AgentProcess, command: str, pod: str, netns: Path) -> dict[str, Any]:
    """Call CNI as the shim does, for the container named as its pod; it must succeed."""
    environment = {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": pod,
        "CNI_NETNS": str(netns),
        "CNI_IFNAME": "eth0",
        "CNI_PATH": "/nowhere",
        "CNI_ARGS": f"K8S_POD_NAMESPACE=default;K8S_POD_NAME={pod}",
    }
    config = {"cniVersion": "1.1.0", "name": "net", "type": "chita-cni"}
    answer = call_cni(agent.socket, CniRequest(environment=environment, config=json.dumps(config)))
    assert answer.status == 0, answer.output
    found: dict[str, Any] = json.loads(answer.output) if answer.output else {}
    return found


def _ruleset(agent: AgentProcess) -> str:
    return run_inside(agent.space, "nft", "list", "table", "inet", TABLE)


def test_a_pod_comes_and_goes(agent: AgentProcess) -> None:
    """Its policy is in the kernel when ADD returns; the API hears of it; others learn nothing old.

    A restart in between knows it again and writes nothing.
    """
    path = "/api/v1/namespaces/default/pods"
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web"},
        "spec": {"nodeName": NODE, "containers": [{"name": "main", "image": "x"}]},
    }
    with fresh_namespaces(1) as (inside,):
        as_admin(agent.space, agent.server, "POST", path, body)
        result = call(agent, "ADD", "web", inside)
        address = result["ips"][0]["address"].partition("/")[0]
        device = result["interfaces"][0]["name"]
        try:
            assert device in _ruleset(agent)
            assert address in _ruleset(agent)
            told = as_admin(agent.space, agent.server, "GET", f"{path}/web")
            assert address == told["status"]["podIP"]

            agent.wait_in_sync()
            agent.end(signal.SIGKILL)
            agent.start()
            status = agent.wait_in_sync()
            assert (1, 0) == (status["endpoints"], status["writes"])
            ping(agent.space, address)
        finally:
            call(agent, "DEL", "web", inside)
        wait_until(lambda: address not in _ruleset(agent), agent.log)
        # A later copy of the pod that still has the address changes nothing here.
        stale = {"status": {"podIP": address, "podIPs": [{"ip": address}]}}
        copy = as_admin(agent.space, agent.server, "GET", f"{path}/web") | stale
        del copy["metadata"]["resourceVersion"]  # the agent may write in between
        as_admin(agent.space, agent.server, "PUT", f"{path}/web/status", copy)
        _quiet(agent)
        assert address not in _ruleset(agent)
        as_admin(agent.space, agent.server, "DELETE", f"{path}/web")


def test_a_deleted_or_changed_record_comes_back(agent: AgentProcess) -> None:
    """Without it no other node finds the way here."""
    path = f"/apis/chita.dev/v1alpha1/fabricnodes/{NODE}"
    as_admin(agent.space, agent.server, "DELETE", path)
    wait_until(lambda: _record(agent) is not None, agent.log)
    spoiled = as_admin(agent.space, agent.server, "GET", path)
    good = dict(spoiled["spec"])
    spoiled["spec"]["location"] = "elsewhere"

    as_admin(agent.space, agent.server, "PUT", path, spoiled)

    wait_until(lambda: as_admin(agent.space, agent.server, "GET", path)["spec"] == good, agent.log)


def test_a_restarted_agent_writes_nothing(agent: AgentProcess) -> None:
    """It adopts all that it finds, tunnels included, and publishes nothing that is published."""
    agent.wait_in_sync()
    before = agent.kernel()
    record = _record(agent)
    agent.end(signal.SIGKILL)

    agent.start()
    status = agent.wait_in_sync()

    assert 0 == status["writes"]
    assert before == agent.kernel()
    assert record == _record(agent)


def test_a_stopped_agent_leaves_the_kernel_and_ends_at_once(agent: AgentProcess) -> None:
    before = agent.kernel()

    took = agent.end(signal.SIGTERM)

    assert took < 1
    assert agent.process is not None
    assert agent.process.returncode == 0, agent.log.read_text()
    assert before == agent.kernel()
    assert not agent.socket.exists()
    agent.start()
    agent.wait_in_sync()


def test_an_agent_that_starts_without_an_api_keeps_what_the_kernel_holds(
    agent: AgentProcess,
) -> None:
    """It waits for the API: it knows nothing, so it changes nothing, and it still stops at once."""
    before = agent.kernel()
    agent.server.process.send_signal(signal.SIGSTOP)
    try:
        agent.end(signal.SIGKILL)
        agent.start()
        wait_until(agent.status_or_none, agent.log)
        status = agent.status()

        assert not status["in_sync"]
        assert 0 == status["writes"] == status["syncs"]
        assert before == agent.kernel()
        assert agent.end(signal.SIGTERM) < 1
        assert before == agent.kernel()
    finally:
        agent.server.process.send_signal(signal.SIGCONT)
    agent.start()
    assert 0 == agent.wait_in_sync()["writes"]


def test_a_socket_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    """A mistake of the command line is a diagnostic and status 2, not a traceback."""
    with node_with_neighbours(tmp_path) as agent:
        agent.start("--run-dir", str(tmp_path / ("long" * 30)))
        assert agent.process is not None

        assert 2 == agent.process.wait(20)
        said = agent.log.read_text()
        assert "choose another path" in said
        assert "Traceback" not in said


def test_without_policy_no_way_is_opened(tmp_path: Path) -> None:
    """Another process owns a table of our name (NFT_TABLE_F_OWNER): our commits are refused.

    Until it is gone the agent opens no tunnel and no route, and says why.
    """
    with node_with_neighbours(tmp_path) as agent:
        owner = start_in(
            agent.space, ["nft", "-i"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        try:
            assert owner.stdin is not None
            owner.stdin.write(f"add table inet {TABLE} {{ flags owner; }}\n")
            owner.stdin.flush()
            wait_until(lambda: has_table(agent.space))
            agent.start()
            wait_until(lambda: agent.status_or_none().get("refused"), agent.log)
            status = agent.status()

            assert {"policy"} == status["refused"].keys()
            assert not status["in_sync"]
            assert "" == run_inside(
                agent.space, "ip", "route", "show", "table", "all", "proto", str(OURS.protocol)
            )
            assert "chita-" not in run_inside(agent.space, "ip", "-br", "link")
        finally:
            owner.kill()
            owner.wait(10)
            if owner.stdin is not None:
                owner.stdin.close()
        agent.wait_in_sync()
        assert has_all_chains(agent.space)
        assert has_vxlan(agent.space)
