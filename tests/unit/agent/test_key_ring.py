"""Keys are made once an epoch, survive a restart, and two are held at most."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest

from chita.agent.key_ring import KeyRing
from chita.desired.tunnels import STATIC_EPOCH
from chita.errors import InputError, KernelError
from chita.fabric.keys import key_fingerprint, public_key


def test_an_epoch_has_one_key_and_the_one_before_stays(tmp_path: Path) -> None:
    ring = KeyRing("n1", tmp_path)
    first = ring.identity(0)
    second = ring.identity(1)

    assert second.previous is not None
    assert (0, first.wireguard_public_key) == (second.previous.epoch, second.previous.public_key)
    assert second == KeyRing("n1", tmp_path).identity(1), "a restart changes nothing"
    assert second == ring.identity(0), "epochs never go back"
    assert public_key(ring.secrets(1).private_key) == second.wireguard_public_key
    modes = {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.glob("wireguard.*.key")}
    assert {0o600} == modes


def test_a_retired_key_is_gone(tmp_path: Path) -> None:
    ring = KeyRing("n1", tmp_path)
    ring.identity(0)
    ring.identity(1)
    ring.retire()
    ring.retire()
    assert ring.identity(1).previous is None
    assert {"wireguard.1.key", "wireguard.static.key"} == {it.name for it in tmp_path.iterdir()}
    with pytest.raises(KernelError, match="epoch 0"):
        ring.secrets(0)


def test_the_key_for_static_peers_stays_for_ever(tmp_path: Path) -> None:
    """Whoever carried a configuration to a router does so once, whatever epoch it is."""
    ring = KeyRing("n1", tmp_path)
    first = ring.identity(0)
    held = ring.secrets(STATIC_EPOCH)

    assert first.static_public_key == public_key(held.private_key)
    assert first.static_public_key == ring.identity(7).static_public_key
    assert first.static_public_key == KeyRing("n1", tmp_path).identity(8).static_public_key
    assert "" == held.preshared_key
    assert first.static_public_key != first.wireguard_public_key


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [
        pytest.param([0, 1, 2], (2, 1), id="one-by-one"),
        pytest.param([0, 2], (2,), id="missed-one-same-device"),
        pytest.param([0, 3], (3, 0), id="missed-two-other-device"),
        pytest.param([7], (7,), id="joined-late"),
    ],
)
def test_two_at_most_and_never_two_for_one_device(
    tmp_path: Path, epochs: list[int], expected: tuple[int, ...]
) -> None:
    ring = KeyRing("n1", tmp_path)
    for epoch in epochs:
        ring.identity(epoch)
    assert expected == ring.epochs == KeyRing("n1", tmp_path).epochs


def preshared(file: Path, number: int, mode: int = 0o600) -> str:
    key = base64.b64encode(bytes([number]) * 32).decode()
    file.touch()
    file.write_text(key + "\n")
    file.chmod(mode)
    return key


def test_a_preshared_key_comes_with_the_next_epoch(tmp_path: Path) -> None:
    """What stands is left alone, so that nodes may be given it one after the other."""
    state, file = tmp_path / "state", tmp_path / "psk"
    bare = KeyRing("n1", state).identity(0)
    first = preshared(file, 1)
    ring = KeyRing("n1", state, file)
    assert (bare, True) == (ring.identity(0), ring.is_preshared_pending)

    changed = ring.identity(1)

    assert (first, "") == (ring.secrets(1).preshared_key, ring.secrets(0).preshared_key)
    assert (key_fingerprint(first), "") == (
        changed.wireguard_preshared,
        changed.previous.preshared if changed.previous else None,
    )
    assert not ring.is_preshared_pending
    preshared(file, 2)
    again = KeyRing("n1", state, file)
    assert (changed, True) == (again.identity(1), again.is_preshared_pending)
    assert 0o600 == stat.S_IMODE((state / "wireguard.1.psk").stat().st_mode)
    assert first not in str(changed)


def test_a_preshared_key_goes_with_the_next_epoch(tmp_path: Path) -> None:
    state, file = tmp_path / "state", tmp_path / "psk"
    preshared(file, 1)
    KeyRing("n1", state, file).identity(0)
    ring = KeyRing("n1", state)
    ring.identity(1)
    ring.retire()
    assert "" == ring.secrets(1).preshared_key
    assert {"wireguard.1.key", "wireguard.static.key"} == {it.name for it in state.iterdir()}


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        pytest.param("c2hvcnQ=", 0o600, "has 32 bytes.*wg genpsk", id="short"),
        pytest.param(base64.b64encode(bytes(32)).decode(), 0o600, "stands for none", id="zero"),
        pytest.param(base64.b64encode(bytes([1]) * 32).decode(), 0o640, "chmod 600", id="open"),
    ],
)
def test_a_useless_preshared_key_is_refused(
    tmp_path: Path, content: str, mode: int, message: str
) -> None:
    file = tmp_path / "psk"
    file.write_text(content)
    file.chmod(mode)
    with pytest.raises(InputError, match=message):
        KeyRing("n1", tmp_path / "state", file)


def test_a_missing_preshared_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="psk: No such file"):
        KeyRing("n1", tmp_path, tmp_path / "psk")


def test_a_damaged_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "wireguard.3.key").write_text("short")
    with pytest.raises(InputError, match=r"wireguard\.3\.key: .*; remove it"):
        KeyRing("n1", tmp_path)
