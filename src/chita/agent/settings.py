"""What an agent is told at its start; everything else it reads from the API."""

from __future__ import annotations

from pathlib import Path

import msgspec


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The agent's command line after parsing."""

    node: str
    """This node's name in the API."""
    server: str = ""
    """Base URL of ``chita server``; empty: *kubeconfig* says."""
    ca_file: Path | None = None
    join_token: str = ""
    """Used once, when the state directory has no client certificate yet."""
    host: str = ""
    """As what it joins: `chita.model.node.EXTERNAL` for a host that runs no pods; empty: a node."""
    kubeconfig: Path | None = None
    preshared_key_file: Path | None = None
    """Holds the key that all nodes have besides their own (``wg genpsk``); None: there is none.

    It counts for keys that are made from now on: see `chita.agent.key_ring`.
    """
    state_dir: Path = Path("/var/lib/chita")
    """Keys, certificate, attachments: what must survive a restart. Mode 0700."""
    run_dir: Path = Path("/run/chita")
    """The agent's socket and those of its engines."""
    pod_mtu_bytes: int | None = None
    """MTU of pods' interfaces; None: the node's wire less VXLAN's overhead."""
    resync_s: float = 60.0
    """How often the kernel is compared with what it should hold when nothing happens, seconds."""
    retry_s: float = 1.0
    """How soon after the kernel refused something it is tried again, seconds."""

    @property
    def socket(self) -> Path:
        """Where the CNI binary and the command line reach this agent."""
        return self.run_dir / "agent.sock"
