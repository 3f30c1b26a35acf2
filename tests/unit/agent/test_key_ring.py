"""Keys are made once an epoch, survive a restart, and two are held at most."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from chita.agent.key_ring import KeyRing
from chita.errors import InputError, KernelError
from chita.fabric.keys import public_key


def test_an_epoch_has_one_key_and_the_one_before_stays(tmp_path: Path) -> None:
    ring = KeyRing("n1", tmp_path)
    first = ring.identity(0)
    second = ring.identity(1)

    assert second.previous is not None
    assert (0, first.wireguard_public_key) == (second.previous.epoch, second.previous.public_key)
    assert second == KeyRing("n1", tmp_path).identity(1), "a restart changes nothing"
    assert second == ring.identity(0), "epochs never go back"
    assert public_key(ring.private_key(1)) == second.wireguard_public_key
    modes = {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.glob("wireguard.*.key")}
    assert {0o600} == modes


def test_a_retired_key_is_gone(tmp_path: Path) -> None:
    ring = KeyRing("n1", tmp_path)
    ring.identity(0)
    ring.identity(1)
    ring.retire()
    ring.retire()
    assert ring.identity(1).previous is None
    assert ["wireguard.1.key"] == [file.name for file in tmp_path.iterdir()]
    with pytest.raises(KernelError, match="epoch 0"):
        ring.private_key(0)


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


def test_a_damaged_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "wireguard.3.key").write_text("short")
    with pytest.raises(InputError, match=r"wireguard\.3\.key: .*; remove it"):
        KeyRing("n1", tmp_path)
