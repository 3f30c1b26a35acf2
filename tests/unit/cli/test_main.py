"""The command line as a whole: every command has help, an example that runs, and its page."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from chita.cli.diagnostics import diagnostic, print_diagnostic, references
from chita.cli.main import COMMANDS, root
from chita.cli.reference import reference_page
from chita.errors import ChitaError, ConvertError, ExpiredError, InputError, NotFoundError
from goldens import GOLDEN

DOCS = Path(__file__).parents[3] / "docs"
PURE = frozenset({"validate", "selector", "convert", "explain", "render", "plan", "version"})


def commands() -> Iterator[tuple[str, click.Command]]:
    context = click.Context(root)
    for name in COMMANDS:
        command = root.get_command(context, name)
        assert command is not None
        yield name, command
        if isinstance(command, click.Group):
            yield from ((f"{name} {inner}", found) for inner, found in command.commands.items())


def examples() -> Iterator[str]:
    for command in (root, *[command for _, command in commands()]):
        yield from re.findall(r"^ +(chita .*)$", command.help or "", re.MULTILINE)


@pytest.mark.parametrize("example", sorted(set(examples())))
def test_example(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pure commands answer; of the others the options at least exist."""
    words = shlex.split(example)[1:]
    asks_the_cluster = words[0] in {"explain", "plan", "render"} and "-f" not in words
    if words[0] in PURE and not asks_the_cluster:
        _write_files(tmp_path)
        monkeypatch.chdir(tmp_path)
        result = CliRunner().invoke(root, words)
        assert result.exit_code in {0, 1}, result.output
        return
    command = root.get_command(click.Context(root), words[0])
    if isinstance(command, click.Group):
        command = command.commands[words[1]]
    assert command is not None
    known = {option for each in command.params for option in each.opts}
    used = {word for word in words[: _end_of_options(words)] if word.startswith("-")}
    assert used <= known


def _end_of_options(words: list[str]) -> int:
    return words.index("--") if "--" in words else len(words)


def _write_files(where: Path) -> None:
    """Write the files that examples name."""
    shutil.copy(GOLDEN / "cli/shop.yaml", where / "world.yaml")
    for name in ("network-policies", "policies", "new-policy", "old-policy"):
        shutil.copy(GOLDEN / "cli/policies.yaml", where / f"{name}.yaml")
    flow = {"from": "shop/web", "to": "shop/db", "port": 5432, "protocol": "TCP"}
    (where / "flows.json").write_text(json.dumps([flow]))


@pytest.mark.parametrize(
    ("name", "command"), [pytest.param(*pair, id=pair[0]) for pair in commands()]
)
def test_help(name: str, command: click.Command) -> None:
    """Every command says what it does, and shows an example unless it takes nothing."""
    assert command.help, name
    is_plain = all(each.name == "output" for each in command.params)
    if not (is_plain or isinstance(command, click.Group)):
        assert "Example:" in command.help, name
    for option in command.params:
        if isinstance(option, click.Option) and name.split(maxsplit=1)[0] in PURE:
            assert option.help, f"{name} {option.opts}"


def test_table_says_what_the_commands_say() -> None:
    """The table has a line for each, no longer than a line, and its command exists."""
    for entry in COMMANDS.values():
        assert entry.help.endswith(".")
        assert len(entry.help) <= 60


def test_reference_page_is_current() -> None:
    """Regenerate with ``python -m chita.cli.reference > docs/reference/cli.md``."""
    assert (DOCS / "reference/cli.md").read_text(encoding="utf-8") == reference_page()


@pytest.mark.slow
def test_help_imports_no_command() -> None:
    """``chita --help`` stays fast: it needs click and nothing of ours but the table."""
    program = (
        "import sys\nfrom chita.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print([name for name in sys.modules if name.startswith(('chita.', 'msgspec', 'yaml'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = done.stdout.splitlines()[-1]

    assert "['chita.cli', 'chita.errors', 'chita.cli.main']" == loaded


@pytest.mark.parametrize(
    ("error", "reference"),
    [
        pytest.param(InputError("x"), "input-not-usable", id="input"),
        pytest.param(ConvertError("x", field="spec"), "object-without-meaning", id="subclass"),
        pytest.param(NotFoundError("x"), "not-found", id="not-found"),
        pytest.param(ExpiredError("x"), "version-expired", id="nearest"),
        pytest.param(ChitaError("x"), "failed", id="any"),
    ],
)
def test_diagnostic(error: ChitaError, reference: str) -> None:
    assert reference == diagnostic(error).reference


def test_diagnostic_in_print(capsys: pytest.CaptureFixture[str]) -> None:
    """The message and the stable reference, how to mend it, where to read on."""
    print_diagnostic(NotFoundError("there is no pod a/b"))

    assert capsys.readouterr().err == (
        "error: there is no pod a/b [not-found]\n"
        "  hint: check the name; chita get lists what there is\n"
        "  see: docs/reference/errors.md#not-found\n"
    )


def test_every_reference_is_documented() -> None:
    """A link that is printed leads somewhere."""
    page = (DOCS / "reference/errors.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (\S+)$", page, re.MULTILINE)

    assert sorted(references()) == sorted(headings)


def test_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends a command without a traceback, with the status shells expect."""

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("chita.cli.commands.render.load_world", interrupt)
    result = CliRunner().invoke(root, ["render", "-f", "x", "--node", "n"])

    assert 130 == result.exit_code


def test_unknown_command() -> None:
    result = CliRunner().invoke(root, ["nosuch"])

    assert 2 == result.exit_code
    assert "No such command" in result.stderr
