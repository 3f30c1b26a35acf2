"""What is installed in the image: no trace of where it was built."""

from __future__ import annotations

from pathlib import Path

from chita.image import packages


def test_the_same_sources_have_one_digest_wherever_they_are(tmp_path: Path) -> None:
    source = packages.checkout()

    first = packages.copy_sources(source, tmp_path / "a")
    second = packages.copy_sources(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b/src/chita/__init__.py").write_text("changed\n")
    third = packages.copy_sources(tmp_path / "b", tmp_path / "c")

    assert first == second != third


def test_commands_of_libraries_go_with_their_records(tmp_path: Path) -> None:
    """A command's first line names the interpreter of the build; its record has a hash of that."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/idna").write_text("#!/somewhere/python\n")
    record = tmp_path / "idna-3.dist-info/RECORD"
    record.parent.mkdir()
    record.write_text("../../bin/idna,sha256=abc,12\nidna/__init__.py,sha256=def,34\n")

    packages.remove_commands(tmp_path)

    assert "idna/__init__.py,sha256=def,34\n" == record.read_text()
    assert not (tmp_path / "bin").exists()
