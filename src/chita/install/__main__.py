"""``python -m chita.install``: write what is generated into the repository (`make manifests`)."""

from __future__ import annotations

from pathlib import Path

from chita.install.manifests import files


def main() -> None:
    """Write all files below the current directory; definitions of kinds that went, go."""
    written = files()
    for old in Path("deploy/crds").glob("*.yaml"):
        if str(old) not in written:
            old.unlink()
    for path, text in written.items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text)


if __name__ == "__main__":
    main()
