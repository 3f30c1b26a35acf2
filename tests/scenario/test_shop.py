"""The default hybrid lab as its user has it: all flows agree, whatever is killed."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chita.lab.attach import attached_pods, pod_key
from chita.lab.cluster import Lab
from chita.lab.faults import AgentKilled, CloudCutOff, LinkDown, PacketLoss, ServerStopped
from chita.lab.faulty import break_lab, heal_lab
from chita.lab.netns import netns_path
from chita.lab.ping import ping
from chita.lab.probe import Allowed, Flow, TimedOut, run_flows
from chita.lab.trial import run_trials
from chita.model.net import TCP
from scenario_lab import LAYOUT, make_lab, namespaces

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(240)]

KINDS = {"routed", "vxlan", "wireguard", "relayed"}


def wait_until(what: str, is_so: Callable[[], bool], *, s: float = 20) -> None:
    """Return when *is_so*; fail after *s* seconds."""
    deadline = time.monotonic() + s
    while not is_so():
        assert time.monotonic() < deadline, f"not {what} after {s} s"
        time.sleep(0.02)


def generation(lab: Lab, node: str) -> str:
    """Return all a node's kernel holds of ours, as text: rules, routes, links, sessions."""
    namespace = netns_path(lab.topology.node(node).namespace)
    parts = [
        ["nft", "-s", "list", "table", "inet", "chita"],
        ["ip", "route", "show", "table", "24482"],
        ["ip", "-6", "route", "show", "table", "24482"],
        ["ip", "-o", "link", "show"],
        ["ip", "neigh", "show", "nud", "permanent"],
    ]
    return "\n".join(
        subprocess.run(
            ["nsenter", f"--net={namespace}", *part], capture_output=True, text=True, check=True
        ).stdout
        for part in parts
    )


def flow(lab: Lab, source: str, destination: str, port: int) -> Flow:
    """Return a TCP flow over IPv4 between two pods named by the start of their names."""
    pods = {pod_key(pod): pod for pod in attached_pods(lab.world.of_kind("Pod"))}
    start = next(key for key in pods if key.startswith(source))
    end = next(key for key in pods if key.startswith(destination))
    cluster = asyncio.run(lab.cluster())
    return Flow(
        namespace=str(netns_path(lab.topology.pod_namespace(pods[start]))),
        destination=cluster.workloads[end].addresses[0],
        protocol=TCP,
        port=port,
    )


def test_every_flow_agrees_and_every_link_carries_its_mtu(shop: Lab) -> None:
    """Model and wire say the same of thousands of flows; all rungs of the ladder are in use."""
    report = run_trials(shop)

    assert [] == report.disagreements
    assert [] == report.broken_links
    assert len(report.flows) > 3000
    assert KINDS == {link.kind for link in report.links}
    assert {"allow", "deny"} == {flow.seen for flow in report.flows}


def test_an_agent_is_small(shop: Lab) -> None:
    """Resident memory at most 80 MB each."""
    sizes = {node.name: shop.status(node.name)["rss_bytes"] for node in shop.topology.nodes}

    assert max(sizes.values()) <= 80e6, sizes


def test_a_killed_agent_loses_no_packet_and_its_successor_writes_nothing(shop: Lab) -> None:
    """The kernel keeps forwarding; a restart adopts what it finds (overview, principle 5)."""
    report = run_trials(shop)
    allowed = next(
        line
        for line in report.flows
        if line.seen == "allow"
        and line.protocol == "TCP"
        and line.outcome == "Allowed"
        and line.family == 4
        and not line.source.startswith("host:")
    )
    pods = {pod_key(pod): pod for pod in attached_pods(shop.world.of_kind("Pod"))}
    node = pods[allowed.source]["spec"]["nodeName"]
    probe = flow(shop, allowed.source, allowed.destination, allowed.port)
    mesh = asyncio.run(shop.cluster()).nodes[node].mesh(4)
    other = next(place for place in shop.topology.nodes if place.name != node)
    assert mesh is not None
    before = generation(shop, node)

    async def traffic() -> int:
        """Ping the node all the while; return how many answers are missing."""
        result = await ping(netns_path(other.namespace), mesh, count=2000, timeout_s=1.0)
        return result.sent - result.received

    async def kill_and_restart() -> int:
        pinging = asyncio.create_task(traffic())
        await asyncio.to_thread(break_lab, shop, AgentKilled(node))
        outcomes = await asyncio.to_thread(run_flows, [probe] * 50)
        assert all(isinstance(outcome, Allowed) for outcome in outcomes)
        await asyncio.to_thread(heal_lab, shop)
        return await pinging

    lost = asyncio.run(kill_and_restart())

    assert 0 == lost
    assert 0 == shop.status(node)["writes"]
    assert before == generation(shop, node)


def test_agents_resume_their_watches_when_the_server_comes_back(shop: Lab) -> None:
    """A killed server: flows go on; afterwards a change arrives, and nothing was listed again."""
    break_lab(shop, ServerStopped())
    report_links = shop.status("aws-1")
    wait_until("interrupted", lambda: bool(shop.status("aws-1")["interrupted"]))
    assert report_links["in_sync"]
    heal_lab(shop)
    wait_until("heard again", lambda: not shop.status("aws-1")["interrupted"])

    report = run_trials(shop)

    assert [] == report.disagreements


def test_a_policy_changes_the_wire_and_back(shop: Lab) -> None:
    """Applied with the real kubectl, in force on every node, gone again when deleted."""
    report = run_trials(shop)
    allowed = next(
        line
        for line in report.flows
        if line.seen == "allow"
        and line.protocol == "TCP"
        and line.outcome == "Allowed"
        and line.family == 4
        and not line.source.startswith("host:")
    )
    probe = flow(shop, allowed.source, allowed.destination, allowed.port)
    deny = {
        "apiVersion": "projectcalico.org/v3",
        "kind": "GlobalNetworkPolicy",
        "metadata": {"name": "emergency-stop"},
        "spec": {
            "tier": "security",  # the first of the shop's tiers: nothing allows before it
            "order": 0.5,
            "selector": "all()",
            "types": ["Ingress"],
            "ingress": [{"action": "Deny", "protocol": "TCP"}],
        },
    }
    kubectl("apply", "-f", "-", text=json.dumps(deny))
    wait_until("denied", lambda: isinstance(run_flows([probe], timeout_s=0.3)[0], TimedOut))
    kubectl("delete", "globalnetworkpolicies.projectcalico.org", "emergency-stop")
    wait_until("allowed", lambda: isinstance(run_flows([probe], timeout_s=0.3)[0], Allowed))


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(LinkDown("gcp-2"), id="link"),
        pytest.param(CloudCutOff("azure"), id="cloud"),
        pytest.param(PacketLoss("openstack", 60), id="loss"),
    ],
)
def test_a_fault_is_seen_and_healed(shop: Lab, fault: Any) -> None:
    """What is broken shows as lost pings; healing brings every node back."""
    break_lab(shop, fault)
    victim = {"link": "gcp-2", "cloud": "azure-1", "loss": "openstack-1"}[
        str(fault.__struct_config__.tag).split("-", maxsplit=1)[0].replace("packet", "loss")
    ]
    mesh = asyncio.run(shop.cluster()).nodes[victim].mesh(4)
    assert mesh is not None
    far = netns_path(shop.topology.node("aws-1").namespace)

    broken = asyncio.run(ping(far, mesh, count=10, timeout_s=0.2))
    healed = heal_lab(shop)

    assert broken.received < broken.sent
    assert [fault] == healed
    wait_until("healed", lambda: asyncio.run(ping(far, mesh, count=5, timeout_s=0.5)).received == 5)


def test_kubectl_lists_pods_with_their_addresses(shop: Lab) -> None:
    """The kubeconfig that `lab up` writes serves the real kubectl."""
    listed = json.loads(kubectl("get", "pods", "-A", "-o", "json"))

    addressed = [pod for pod in listed["items"] if pod["status"].get("podIPs")]
    assert len(attached_pods(shop.world.of_kind("Pod"))) == len(addressed)


def test_a_node_can_not_write_another_nodes_record(shop: Lab) -> None:
    """Only the node itself writes its FabricNode."""
    home = shop.layout.node("gcp-1")
    answer = subprocess.run(
        [
            KUBECTL, "--server", f"https://127.0.0.1:{LAYOUT.api_port}",
            "--certificate-authority", str(LAYOUT.ca_file),
            "--client-certificate", str(home.state / "node.pem"),
            "--client-key", str(home.state / "node.pem"),
            "--kubeconfig", "/dev/null",
            "delete", "fabricnode", "aws-1",
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert 1 == answer.returncode
    assert "forbidden" in answer.stderr.lower()


KUBECTL = str(Path(__file__).parents[2] / ".venv/bin/kubectl")


def kubectl(*arguments: str, text: str = "") -> str:
    """Run the real kubectl against the lab; return what it prints."""
    answer = subprocess.run(
        [KUBECTL, "--kubeconfig", str(LAYOUT.kubeconfig), *arguments],
        input=text, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert 0 == answer.returncode, answer.stderr
    return answer.stdout


def test_down_leaves_nothing() -> None:
    """No namespace, file or process, after everything above."""
    lab = make_lab()
    lab.down()

    assert [] == namespaces()
    assert not LAYOUT.directory.exists()
