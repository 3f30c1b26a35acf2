"""Where the files of a lab are."""

from __future__ import annotations

from pathlib import Path

import msgspec

from chita.lab.state import DEFAULT_DIRECTORY


class NodeHome(msgspec.Struct, frozen=True):
    """The directories of one node's agent."""

    directory: Path

    @property
    def state(self) -> Path:
        """Keys, certificate and attachments."""
        return self.directory / "state"

    @property
    def run(self) -> Path:
        """Sockets of the agent and of its engines."""
        return self.directory / "run"

    @property
    def socket(self) -> Path:
        """Where the agent answers."""
        return self.run / "agent.sock"

    @property
    def cni_bin(self) -> Path:
        """Where the CNI binary is installed."""
        return self.directory / "cni" / "bin"

    @property
    def cni_conf(self) -> Path:
        """Where its configuration is."""
        return self.directory / "cni" / "net.d"


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """One lab's files, all below one directory."""

    directory: Path = DEFAULT_DIRECTORY
    api_port: int = 6443
    """Where the API server listens on the machine's loopback."""
    prefix: str = "chita-"
    """What the names of the lab's namespaces begin with."""

    @property
    def server_data(self) -> Path:
        """The API server's database and keys."""
        return self.directory / "server"

    @property
    def ca_file(self) -> Path:
        """The certificate by which nodes know the server."""
        return self.server_data / "ca.crt"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's way in, for kubectl too."""
        return self.directory / "kubeconfig"

    @property
    def join_token(self) -> Path:
        """What lets a node join."""
        return self.directory / "join-token"

    @property
    def pods_socket(self) -> Path:
        """Where the process that listens for all pods is told of them."""
        return self.directory / "pods.sock"

    @property
    def metadata_file(self) -> Path:
        """What the clouds' metadata services answer."""
        return self.directory / "metadata.json"

    def node(self, name: str) -> NodeHome:
        """Return the directories of the agent of *name*."""
        return NodeHome(self.directory / "nodes" / name)
