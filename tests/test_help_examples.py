"""The examples that `--help` of a subcommand shows work, as they stand there."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from convback_tools import arrayfiles
from convback_tools.cli import cli
from convback_tools.submission import submission

ROOT = Path(__file__).parents[1]
SHOWN = re.compile(r"^```console\n\$ convback ((?:diagnose|case) [^\n]*)\n(.*?)^```", re.DOTALL | re.MULTILINE)

# Others need a backend of the reader's own, or take long.
COMMANDS = ("backends", "check", "diagnose", "case", "explain", "vectors", "shape")


def examples(name):
    _, _, text = cli.commands[name].help.partition("Examples:")
    return [" ".join(line.split()) for line in re.split(r"\n +(?=convback)", text)[1:]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with test vectors, and a file with a mistake in dx."""
    folder = tmp_path_factory.mktemp("reader")
    written = CliRunner().invoke(cli, ["vectors", str(folder / "vectors"), "--quiet"], standalone_mode=False)
    assert written.return_value == 0
    members = arrayfiles.read(folder / "vectors" / "seed-8x8.npz")
    misread = {**members, "w": members["w"].swapaxes(0, 1).copy()}
    arrayfiles.write(folder / "mine.npz", {**members, "dx": submission(misread).right("dx").astype("float32")})
    return folder


@pytest.mark.parametrize("line", [line for name in COMMANDS for line in examples(name)])
def test_examples_of_help(line, folder, monkeypatch):
    monkeypatch.chdir(folder)
    _, name, *arguments = shlex.split(line)
    result = CliRunner().invoke(cli, [name, *arguments], standalone_mode=False)
    assert result.exception is None, result.output
    wrong = name in ("check", "diagnose") and "mine.npz" in arguments
    assert result.return_value == (1 if wrong else 0), result.output
    assert result.output.strip()


def test_every_command_has_examples():
    assert set(COMMANDS) < set(cli.commands)
    for name in cli.commands:
        assert examples(name), name


@pytest.mark.parametrize("document", ["README.md", "docs/diagnosis.md"])
def test_documents_show_what_is_printed(document, folder, monkeypatch):
    monkeypatch.chdir(folder)
    shown = SHOWN.findall((ROOT / document).read_text(encoding="utf-8"))
    assert shown
    for line, output in shown:
        result = CliRunner().invoke(cli, shlex.split(line), standalone_mode=False)
        assert [row.rstrip() for row in result.stdout.rstrip().splitlines()] == output.rstrip().splitlines()
