"""docs/gradients.md: the examples give what it says, links lead somewhere, the pictures are what the script draws."""

from __future__ import annotations

import contextlib
import doctest
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from convback_tools.diagnosis.catalogue import CATALOGUE

import convback

DOCS = Path(__file__).parents[1] / "docs"
CHAPTER = DOCS / "gradients.md"
TEXT = CHAPTER.read_text(encoding="utf-8")
PICTURES = sorted(path.name for path in (DOCS / "pictures").glob("*.svg"))


def code(language: str) -> str:
    """All code in a language, with empty lines for the rest, so that errors name the right line."""
    kept = []
    inside = False
    for line in TEXT.splitlines():
        fence = line.startswith("```")
        kept.append(line if inside and not fence else "")
        inside = (not inside and line == f"```{language}") if fence else inside
    return "\n".join(kept)


class Run(NamedTuple):
    """A run of the examples: the folder with the files that they left, and what failed."""

    folder: Path
    result: doctest.TestResults
    report: str


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("chapter")
    parsed = doctest.DocTestParser().get_doctest(code("pycon"), {}, CHAPTER.name, str(CHAPTER), 0)
    report: list[str] = []
    with contextlib.chdir(folder):
        result = doctest.DocTestRunner(verbose=False).run(parsed, out=report.append)
    return Run(folder, result, "".join(report))


def test_examples_give_what_the_text_says(run: Run) -> None:
    assert run.result.failed == 0, run.report
    assert run.result.attempted > 50


def test_commands_print_what_the_text_shows(run: Run, command: Callable[..., Any]) -> None:
    """Every line that is shown is printed, in this order; others may stand between them."""
    shown = re.findall(r"^```console\n\$ convback (.*)\n([^`]*)^```", TEXT, re.M)
    assert shown
    for arguments, lines in shown:
        assert lines, arguments
        result = command(*shlex.split(arguments), cwd=run.folder, env={"COLUMNS": "200"})
        printed = iter([line.rstrip() for line in result.out.splitlines()])
        missing = [line for line in lines.splitlines() if line.rstrip() not in printed]
        assert not missing, result.out + result.err


def test_links_and_pictures_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", TEXT)
    anchors = {
        re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.*)$", TEXT, re.M)
    }
    assert len(links) > 8
    for path, _, anchor in (link.partition("#") for link in links):
        assert (CHAPTER.parent / path).exists(), path
        assert path or anchor in anchors, anchor
    assert set(PICTURES) == {Path(link).name for link in links if link.endswith(".svg")}


def test_every_mistake_of_the_catalogue_is_listed_once() -> None:
    ids = re.findall(r"^\| `([a-z]+\.[a-z0-9_]+)` \|", TEXT, re.M)
    assert sorted(ids) == sorted(CATALOGUE)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("matplotlib")
    folder = tmp_path_factory.mktemp("pictures")
    subprocess.run([sys.executable, DOCS / "pictures" / "make.py", folder], check=True)
    return folder


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_what_the_script_draws(drawn: Path, name: str) -> None:
    committed, fresh = ((folder / name).read_text(encoding="utf-8") for folder in (DOCS / "pictures", drawn))
    made_by, made_now = (re.search(r"Matplotlib v[^,]*", text) for text in (committed, fresh))
    assert made_by is not None
    assert made_now is not None
    if made_by.group() != made_now.group():
        pytest.skip(f"drawn by {made_by.group()}, and {made_now.group()} may write the same picture in other words")
    assert committed == fresh, "run python docs/pictures/make.py"


MAIN = r"""
#include <cstdio>
int main() {
    Tensor dy(1, std::vector<Matrix>(4, Matrix(6, std::vector<double>(6))));
    Tensor w(4, std::vector<Matrix>(4, Matrix(3, std::vector<double>(3))));
    for (int m = 0; m < 144; ++m) {
        w[m / 36][m / 9 % 4][m / 3 % 3][m % 3] = m * 7 % 19 - 9;
        dy[0][m / 36][m / 6 % 6][m % 6] = m * 5 % 13 - 6;
    }
    const Tensor dx = input_gradient(dy, w);
    for (const auto& map : dx[0]) for (const auto& row : map) for (double v : row) std::printf("%.17g\n", v);
}
"""


def test_the_loops_in_cpp_compute_dx(tmp_path: Path) -> None:
    compiler = shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        pytest.skip("there is no C++ compiler")
    source, program = tmp_path / "dx.cpp", tmp_path / "dx"
    source.write_text(code("cpp") + MAIN, encoding="utf-8")
    subprocess.run([compiler, "-std=c++11", "-Wall", "-Werror", source, "-o", program], check=True)
    numbers = subprocess.run([program], check=True, capture_output=True, text=True).stdout.split()
    w = (np.arange(144) * 7 % 19 - 9.0).reshape(4, 4, 3, 3)
    dy = (np.arange(144) * 5 % 13 - 6.0).reshape(1, 4, 6, 6)
    dx = convback.dx(dy, w, (1, 4, 8, 8))
    assert np.array_equal(np.array(numbers, float).reshape(dx.shape), dx)
