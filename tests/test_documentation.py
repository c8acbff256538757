"""What the documents show is true."""

import re
import subprocess
import sys
import textwrap
from pathlib import Path

from convback_tools.verification import case_files

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def blocks(text, language):
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(block) for block in found]


def test_readme_begins_with_the_two_commands():
    first_screen = README.splitlines()[:25]
    assert "$ pip install . && convback verify --all-backends" in first_screen
    assert '$ pip install ".[test]" && pytest' in first_screen


def test_readme_shows_the_help_that_there_is():
    shown = dict(re.findall(r"```console\n\$ convback ?([^\n]*?) ?--help\n(.*?)```", README, re.DOTALL))
    assert set(shown) >= {"", "verify", "bench", "tune"}
    for arguments, text in shown.items():
        line = [sys.executable, "-m", "convback_tools", *arguments.split(), "--help"]
        result = subprocess.run(line, capture_output=True, text=True, check=True, env={"COLUMNS": "80"})
        assert text.strip() == result.stdout.replace("python -m convback_tools", "convback").strip()


def test_readme_examples_run(python):
    example, refused = blocks(README, "python")
    call, error = refused.splitlines()
    code = f"import traceback\n{example}\ntry:\n    {call.removeprefix('>>> ')}\nexcept Exception as e: print(repr(e))"
    result = python(code)
    kind, _, message = error.removeprefix("convback.errors.").partition(": ")
    assert result.out.strip() == f"{kind}({message!r})", result.err


def test_the_guide_makes_a_backend(command, kit, tmp_path):
    """Its two files, as they stand there; an install would put the entry point where we write it."""
    (project,), (module,) = blocks(GUIDE, "toml"), blocks(GUIDE, "python")
    group, entry = re.search(r'\[project.entry-points."(.*)"\]\n(\w+ = "\w+")', project).groups()
    (tmp_path / "convback_mine.py").write_text(module)
    metadata = tmp_path / "convback_mine-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: convback-mine\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{group}]\n{entry.replace(chr(34), '')}\n")
    result = command("verify", "-b", "mine", "--format", "json", plugins=[tmp_path])
    assert result.code == 0, result.out + result.err
    assert result.json["summary"]["passed"] > 200
    assert {row["reason"] for row in result.json["rows"] if row["status"] == "unsupported"} == {
        "it has no forward pass",
        "only two-dimensional layers without groups",
    }
    conforms = kit("--convback-backend=mine", plugins=[tmp_path]).out.splitlines()[-1].partition(" in ")[0]
    counts = result.json["summary"]
    for shown in (f"\n{counts['passed']} passed (", f", {counts['unsupported']} unsupported.", f"\n{conforms}"):
        assert shown in GUIDE


def test_the_guide_shows_what_a_mistake_looks_like(kit, write_plugin):
    (module,) = blocks(GUIDE, "python")
    right, wrong = "out[:, :, k, l] = ", "out[:, :, k, l] += "
    assert right in module
    result = kit("--convback-backend=mine", "-x", plugins=[write_plugin("mine", module.replace(right, wrong))])
    told = (line for line in result.out.splitlines() if line.startswith(("mine-", "  worst at")))
    wrong, worst = dict.fromkeys(told)  # where CI is set, pytest tells it twice
    assert f"\n{wrong}\n{worst.partition(', expected')[0]}" in GUIDE


def test_the_case_that_the_documents_show_is_one(tmp_path):
    (line,) = blocks((ROOT / "docs" / "verification.md").read_text(encoding="utf-8"), "json")
    (tmp_path / "cases").write_text(line)
    (case,) = case_files.read(tmp_path / "cases", ("float32",))
    assert (case.name, case.geom.y_shape) == ("strided", (2, 6, 4, 8))
