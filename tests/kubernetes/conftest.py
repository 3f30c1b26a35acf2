"""One real cluster for all tests here: four clouds, five machines, Chita by its manifest."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chita.image import build
from chita.lab.kubernetes.binaries import NEWEST, binaries, cache_folder, go_command, release
from chita.lab.kubernetes.cluster import KubernetesLab

ROOT = Path(__file__).parents[2]
MANIFEST = ROOT / "deploy" / "chita.yaml"


class Told:
    """Tells steps as they end: the first build of Kubernetes takes minutes."""

    def started(self, step: str) -> None:
        """A step begins."""

    def finished(self, step: str, detail: str, seconds: float) -> None:
        """It is done."""
        sys.stderr.write(f"{step}: {seconds:.1f} s {detail}\n")


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Chita's image of this tree, and those that tests run."""
    folder = tmp_path_factory.mktemp("images")
    return [build.chita_image(folder), build.test_images(folder)]


@pytest.fixture(scope="session")
def cluster(images: list[Path]) -> Iterator[KubernetesLab]:
    """The cluster with Chita in it, every node ready."""
    minor = os.environ.get("K8S_VERSION", NEWEST)
    if go_command() is None and not cache_folder(release(minor)).exists():
        pytest.skip("Go is not installed, and Kubernetes is built with it")
    lab = KubernetesLab(binaries(minor), Told())
    try:
        lab.up(images)
        lab.kubectl("apply", "--server-side", "-f", str(MANIFEST))
        wait_until_ready(lab)
        yield lab
    finally:
        if "CHITA_KEEP" not in os.environ:
            lab.down()


def wait_until_ready(lab: KubernetesLab) -> None:
    """Return when every node has the network and every agent is up."""
    lab.kubectl("wait", "--for=condition=Ready", "nodes", "--all", "--timeout=120s", s=130)
    lab.kubectl(
        "-n", "chita-system", "rollout", "status", "ds/chita-agent", "--timeout=120s", s=130
    )
    lab.kubectl(
        "-n", "chita-system", "rollout", "status", "deploy/chita-controller", "--timeout=60s", s=70
    )
    lab.wait("every node has a mesh address", lambda: _all_have_mesh(lab))
    lab.name_machines()


def _all_have_mesh(lab: KubernetesLab) -> bool:
    nodes = lab.get("nodes")["items"]
    return all("chita.dev/mesh-ipv4" in node["metadata"]["annotations"] for node in nodes)
