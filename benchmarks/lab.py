"""What the lab's user waits for: bring-up, report, and how soon a policy is in every kernel.

    sudo .venv/bin/python benchmarks/lab.py [--changes 100]

A change is one GlobalNetworkPolicy that all pods are selected by, alternately with one and with
another port, written through the API. It has arrived on a node when the node's kernel announces
the commit of a new ruleset generation (NFT_MSG_NEWGEN, linux/netfilter/nf_tables.h), heard on a
netlink socket opened in the node's namespace: nothing is polled, no process started. The time runs
from before the request is sent until the last of all nodes has committed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import select
import socket
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from chita.api.client import ApiClient
from chita.api.kinds import CALICO
from chita.lab.cluster import Lab
from chita.lab.netns import entered, netns_path
from chita.lab.trial import run_trials
from scenario_lab import LAYOUT, make_lab, namespaces

NAME = "benchmark"
NETLINK_NETFILTER, NFNLGRP_NFTABLES = 12, 7  # linux/netlink.h, linux/netfilter/nfnetlink.h
TIMEOUT_S = 5.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--changes", type=int, default=100)
    options = parser.parse_args()
    lab = make_lab()
    started = time.perf_counter()
    lab.up([])
    up_s = time.perf_counter() - started
    try:
        report = run_trials(lab)
        total_s = time.perf_counter() - started
        delays = asyncio.run(propagation(lab, options.changes))
        memory = {
            node.name: round(lab.status(node.name)["rss_bytes"] / 1e6, 1)
            for node in lab.topology.nodes
        }
    finally:
        stopping = time.perf_counter()
        lab.down()
        down_s = time.perf_counter() - stopping
    result = {
        "up_s": round(up_s, 1),
        "up_and_report_s": round(total_s, 1),
        "down_s": round(down_s, 1),
        "left_behind": [
            *namespaces(),
            *([str(LAYOUT.directory)] if LAYOUT.directory.exists() else []),
        ],
        "flows": len(report.flows),
        "disagreements": len(report.disagreements),
        "policy_to_all_kernels_ms": quantiles(delays),
        "agent_rss_mb": {"max": max(memory.values()), "median": statistics.median(memory.values())},
    }
    print(json.dumps(result, indent=2))
    return 0


async def propagation(lab: Lab, changes: int) -> list[float]:
    """Return the time from each write to the last node's commit, milliseconds."""
    listeners = [listener(netns_path(node.namespace)) for node in lab.topology.nodes]
    delays: list[float] = []
    async with lab.client() as client:
        try:
            await client.create(policy(10_000))
            await asyncio.to_thread(wait_for_commits, listeners)
            for number in range(changes):
                started = time.perf_counter()
                await write(client, 10_000 + number % 2 + 1)
                await asyncio.to_thread(wait_for_commits, listeners)
                delays.append((time.perf_counter() - started) * 1000)
        finally:
            await client.delete(CALICO["GlobalNetworkPolicy"], NAME)
            for each in listeners:
                each.close()
    return delays


async def write(client: ApiClient, port: int) -> None:
    body = {"spec": policy(port)["spec"]}
    await client.patch(CALICO["GlobalNetworkPolicy"], NAME, body)


def policy(port: int) -> dict[str, Any]:
    rule = {"action": "Allow", "protocol": "TCP", "destination": {"ports": [port]}}
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "GlobalNetworkPolicy",
        "metadata": {"name": NAME},
        "spec": {"order": 5000, "selector": "all()", "types": ["Ingress"], "ingress": [rule]},
    }


def listener(namespace: Path) -> socket.socket:
    """Return a socket that hears each nftables commit in *namespace*."""
    with entered(namespace):
        opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
    opened.bind((0, 1 << (NFNLGRP_NFTABLES - 1)))
    opened.setblocking(False)
    return opened


def wait_for_commits(listeners: list[socket.socket]) -> None:
    """Return when every socket has heard a commit; drop what they heard.

    Raises:
        TimeoutError: one has not.
    """
    waiting = set(listeners)
    deadline = time.perf_counter() + TIMEOUT_S
    while waiting:
        ready, _, _ = select.select(list(waiting), [], [], max(0, deadline - time.perf_counter()))
        if not ready:
            raise TimeoutError(f"{len(waiting)} nodes have not committed after {TIMEOUT_S} s")
        waiting -= set(ready)
    for each in listeners:
        try:
            while each.recv(1 << 16):
                pass
        except BlockingIOError:
            continue


def quantiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "median": round(statistics.median(ordered), 1),
        "p99": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))], 1),
        "max": round(ordered[-1], 1),
        "count": len(ordered),
    }


if __name__ == "__main__":
    sys.exit(main())
