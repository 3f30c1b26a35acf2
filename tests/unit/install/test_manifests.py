"""What `chita install` prints, and that deploy/ holds it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from chita.cli.commands.install import install
from chita.errors import InputError
from chita.install.manifests import files, initial_objects, manifests
from chita.install.options import NAMESPACE, Encryption, Options
from chita.model.validate.objects import validate
from crd_agreement import disagreement

ROOT = Path(__file__).parents[3]
BOTH = Options(pod_cidrs=("10.244.0.0/16", "fd00:10:244::/56"), encryption=Encryption.ALL)


def named(objects: list[dict[str, Any]], kind: str, name: str = "") -> dict[str, Any]:
    return next(
        each for each in objects if each["kind"] == kind and name in {"", each["metadata"]["name"]}
    )


@pytest.mark.slow
def test_what_is_generated_is_current() -> None:
    """`make manifests` writes them anew."""
    wanted = files()
    found = {path: (ROOT / path).read_text() for path in wanted if (ROOT / path).exists()}
    definitions = {f"deploy/crds/{path.name}" for path in (ROOT / "deploy/crds").iterdir()}

    stale = [path for path in wanted if wanted[path] != found.get(path)]

    assert not stale, f"run make manifests: {stale}"
    assert {path for path in wanted if path.startswith("deploy/crds/")} == definitions


def test_objects_stand_after_what_they_need() -> None:
    """One `kubectl apply -f` creates them in this order, and none is of a kind defined by it."""
    objects = manifests(Options())
    kinds = [each["kind"] for each in objects]
    apis = {each["apiVersion"] for each in objects}

    assert kinds[0] == "Namespace"
    assert kinds.index("ServiceAccount") < kinds.index("DaemonSet")
    assert not apis & {"projectcalico.org/v3", "chita.dev/v1alpha1"}


def test_references_are_there() -> None:
    objects = manifests(Options())
    for kind in ("DaemonSet", "Deployment"):
        workload = named(objects, kind)
        pod = workload["spec"]["template"]["spec"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        selected = workload["spec"]["selector"]["matchLabels"]

        named(objects, "ServiceAccount", pod["serviceAccountName"])
        assert workload["spec"]["template"]["metadata"]["labels"] == selected
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
            assert "/" not in container["image"]
    for binding in [each for each in objects if each["kind"].endswith("Binding")]:
        if "roleRef" in binding:
            named(objects, binding["roleRef"]["kind"], binding["roleRef"]["name"])
    assert named(objects, "ConfigMap")["metadata"]["namespace"] == NAMESPACE


def test_options_are_in_what_is_made_first() -> None:
    initial = yaml.safe_load_all(named(manifests(BOTH), "ConfigMap")["data"]["initial.yaml"])

    assert list(initial) == initial_objects(BOTH)
    assert [
        {"cidr": "10.244.0.0/16", "natOutgoing": True},
        {"cidr": "fd00:10:244::/56", "natOutgoing": True},
        {"encryption": "All"},
    ] == [each["spec"] for each in initial_objects(BOTH)]


def test_what_is_made_first_is_valid() -> None:
    for obj in initial_objects(BOTH):
        assert validate(obj) == []
        assert disagreement(obj, []) == ""


def test_mtu_is_the_agents_option() -> None:
    agent = named(manifests(Options(pod_mtu_bytes=1400)), "DaemonSet")
    arguments = agent["spec"]["template"]["spec"]["containers"][0]["args"]

    assert arguments[-2:] == ["--pod-mtu", "1400"]


@pytest.mark.parametrize(
    ("cidrs", "told"),
    [
        pytest.param((), "no pod network", id="none"),
        pytest.param(("10.0.0.0/16", "10.1.0.0/16"), "two networks of one family", id="two"),
        pytest.param(("10.0.0.1/16",), "host bits set", id="host-bits"),
        pytest.param(("pods",), "not an IP address", id="no-network"),
    ],
)
def test_refused_options(cidrs: tuple[str, ...], told: str) -> None:
    with pytest.raises(InputError, match=told):
        Options(pod_cidrs=cidrs).checked()


@pytest.mark.slow
def test_command_prints_them() -> None:
    arguments = ["--pod-cidr", "10.9.0.0/16", "--image", "chita:x", "--encryption", "All"]
    answer = CliRunner().invoke(install, arguments, catch_exceptions=False)
    printed = list(yaml.load_all(answer.stdout, Loader=yaml.CSafeLoader))

    asked = Options(pod_cidrs=("10.9.0.0/16",), image="chita:x", encryption=Encryption.ALL)
    assert printed == manifests(asked)
