"""Bringing the lab up and down as users do: interrupted, twice, where it can't run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from chita.lab.cluster import Lab
from chita.lab.trial import run_trials
from chita.lab.world import read_world
from scenario_lab import EXAMPLES, LAYOUT, Quiet, make_lab, namespaces

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(240)]

UP = """
import sys
from contextlib import suppress
from pathlib import Path
from scenario_lab import make_lab
make_lab(Path(sys.argv[1])).up([sys.argv[1]])
"""
WORLD = EXAMPLES / "single-cloud.yaml"


def start_up() -> subprocess.Popen[bytes]:
    """Start bringing a lab up in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.Popen(
        [sys.executable, "-c", UP, str(WORLD)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def lab_processes() -> list[str]:
    """Return the command lines of processes that name the scenario lab's directory."""
    found: list[str] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if str(LAYOUT.directory) in line:
                found.append(line)
    return found


@pytest.mark.parametrize("seconds", [0.6, 1.1, 1.8, 3.0, 4.5])
def test_down_is_clean_after_up_was_killed(seconds: float) -> None:
    """Whatever step it was in, one `down` removes every trace."""
    process = start_up()
    try:
        # A fast machine may be done by the last moment: that must go without a trace as well.
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=seconds)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()

    make_lab(WORLD).down()

    assert [] == namespaces()
    assert not LAYOUT.directory.exists()
    assert [] == lab_processes()


def test_up_twice_replaces_the_first() -> None:
    """The second finds the first's namespaces and processes, and removes them."""
    first, second = make_lab(WORLD), make_lab(WORLD)
    try:
        first.up([str(WORLD)])
        old = first.processes.find("server")
        second.up([str(WORLD)])
        new = second.processes.find("server")
        assert old is not None
        assert new is not None
        assert old.pid != new.pid
        assert second.describe()["processes"]["pods"] == "running"
    finally:
        second.down()

    assert [] == namespaces()


def chita(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line, as nobody when asked to by ``user``."""
    return subprocess.run(
        [sys.executable, "-m", "chita", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
        timeout=60,
    )


def test_without_root_it_says_so() -> None:
    """Nothing is made; the message has the mend."""
    nobody = 65534
    answer = subprocess.run(
        [shutil.which("setpriv") or "setpriv", f"--reuid={nobody}", f"--regid={nobody}",
         "--clear-groups", sys.executable, "-m", "chita", "lab", "up"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert 2 == answer.returncode
    assert "root" in answer.stderr
    assert "sudo" in answer.stderr


def test_a_missing_program_is_named_with_its_package(tmp_path: Path) -> None:
    """PATH has ip and nft, but no wireguard-go."""
    for program in ("ip", "nft"):
        found = shutil.which(program)
        assert found is not None
        (tmp_path / program).symlink_to(found)

    answer = chita("lab", "up", PATH=str(tmp_path))

    assert 2 == answer.returncode
    assert "wireguard-go is not installed" in answer.stderr
    assert "apt-get install" in answer.stderr


def test_a_bad_document_is_named_and_the_rest_comes_up(tmp_path: Path) -> None:
    """File, document, kind, name, field, what is wrong; nothing is widened by it."""
    bad = tmp_path / "bad.yaml"
    bad.write_text(
        "apiVersion: projectcalico.org/v3\n"
        "kind: GlobalNetworkPolicy\n"
        "metadata: {name: broken}\n"
        "spec: {selector: 'app ==', ingress: [{action: Allow}]}\n"
    )
    answer = chita("validate", "-f", str(bad))

    assert 1 == answer.returncode
    assert "bad.yaml" in answer.stdout + answer.stderr
    assert "spec.selector" in answer.stdout + answer.stderr
    lab = Lab(read_world([WORLD, bad]), LAYOUT, Quiet())
    try:
        lab.up([])
        assert ["GlobalNetworkPolicy broken"] == [text.partition(":")[0] for text in lab.refused]
        assert [] == run_trials(lab).disagreements
    finally:
        lab.down()


def test_a_missing_kernel_feature_is_named_with_its_mend(tmp_path: Path) -> None:
    """An `ip` that can't make VXLAN devices stands for a kernel that can't."""
    real = shutil.which("ip")
    for program in ("nft", "wireguard-go"):
        found = shutil.which(program)
        assert found is not None
        (tmp_path / program).symlink_to(found)
    stand_in = tmp_path / "ip"
    stand_in.write_text(
        "#!/bin/sh\n"
        "lines=$(/bin/cat)\n"
        'case "$lines" in *vxlan*) echo "RTNETLINK answers: Operation not supported" >&2; exit 2;;'
        " esac\n"
        f'printf "%s\\n" "$lines" | {real} "$@"\n'
    )
    stand_in.chmod(0o755)

    answer = chita("lab", "up", PATH=str(tmp_path))

    assert 2 == answer.returncode
    assert "VXLAN" in answer.stderr
    assert "modprobe vxlan" in answer.stderr
