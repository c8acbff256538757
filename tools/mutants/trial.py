"""Builds a mutant beside the real package, and lets `convback verify` and the tests judge it."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from unittest.mock import patch

from mutants import sources
from mutants.operators import Mutant

ROOT = Path(__file__).parents[2]
MEMORY = 8 * 2**20  # KiB
SECONDS = {"verify": 60, "tests": 600}  # some 20 times what the unchanged backend takes
KILLED = ("wrong", "error", "crash", "timeout")


class NoMutant(Exception):
    """It does not compile, or the compiler makes the same program of it."""


@dataclass(frozen=True)
class Overlay:
    """A folder with a changed copy of one backend, which wins over the installed one."""

    folder: Path
    backend: str

    @property
    def package(self) -> Path:
        return self.folder / sources.package(self.backend).name

    def run(self, what: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Run Python on it, within limits of memory and time: a wrong kernel may do anything."""
        seconds = SECONDS[what]
        limits = f'ulimit -c 0; ulimit -v {MEMORY}; ulimit -t {seconds}; exec "$@"'
        environment = {
            **os.environ, "PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1", "OPENBLAS_NUM_THREADS": "1",
            "CONVBACK_ISA": "base",  # the only variant that is compiled; an editable install would lend its others
        }  # fmt: skip
        line = ["sh", "-c", limits, "sh", sys.executable, "-P", *command]
        options = {"cwd": ROOT if what == "tests" else self.folder, "env": environment, "timeout": 4 * seconds}
        return subprocess.run(line, capture_output=True, text=True, errors="replace", **options)  # type: ignore[call-overload,no-any-return]

    def verdict(self, what: str) -> str:
        """One of `KILLED`, or "survived"."""
        judged = sources.JUDGED.get(self.backend, (self.backend,))
        named = [word for name in judged for word in ("-b", name)]
        verify = ("-m", "convback_tools", "verify", *named, "--fail-fast", "--quiet")
        ignored = ("-p", "no:cacheprovider", "--ignore=tests/test_mutants.py")
        tests = ("-m", "pytest", "-x", "-q", *ignored, "-k", " or ".join(judged), "tests")
        try:
            finished = self.run(what, *(verify if what == "verify" else tests))
        except subprocess.TimeoutExpired:
            return "timeout"
        if finished.returncode == 0:
            return "survived"
        if finished.returncode < 0:
            return "timeout" if finished.returncode in (-signal.SIGXCPU, -signal.SIGKILL) else "crash"
        return "wrong" if re.search("FAILED|AssertionError", finished.stdout) else "error"

    def wins(self) -> bool:
        """Whether Python imports this copy."""
        name = self.package.name
        finished = self.run("verify", "-c", f"import {name}; print({name}.__file__)")
        return finished.stdout.strip() == str(self.package / "__init__.py")


def overlay(
    backend: str, folder: Path, mutant: Mutant | None = None, compiled: Mapping[str, bytes] | None = None
) -> Overlay:
    """A copy of a backend with a mutant's change, compiled if need be: where only Python changed, `compiled` is taken.

    Raises
    ------
    NoMutant
        If it does not compile.
    """
    made = Overlay(folder, backend)
    shutil.copytree(sources.package(backend), made.package, ignore=shutil.ignore_patterns("*.so", "*.c", "__pycache__"))
    if mutant is not None:
        path = made.package / mutant.file
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        lines[mutant.line - 1] = mutant.changed + "\n"
        path.write_text("".join(lines), encoding="utf-8")
        if path.suffix == ".py":
            _check(path)
            for name, content in (compiled or {}).items():
                (made.package / name).write_bytes(content)
            if compiled is not None:
                return made
    for path in made.package.glob("*_base.pyx"):  # of the variants for instruction sets the one that runs anywhere
        _compile(path)
    return made


def binaries(made: Overlay) -> dict[str, bytes]:
    """What the compiler made: the same for two sources means that no test can tell them apart."""
    return {path.name: path.read_bytes() for path in made.package.glob("*.so")}


def _check(path: Path) -> None:
    try:
        compile(path.read_text(encoding="utf-8"), path, "exec")
    except SyntaxError as error:
        raise NoMutant(f"it does not compile: {error}") from None


def _compile(path: Path) -> None:
    """As setup.py does, but quicker. Relative paths, so that the same source gives the same bytes anywhere."""
    flags = (word for name, value in _directives().items() for word in ("-X", f"{name}={value}"))
    compiler = (sysconfig.get_config_var("CC") or "cc").split()
    built = path.stem + sysconfig.get_config_var("EXT_SUFFIX")
    include = sysconfig.get_path("include")
    source = f"{path.stem}.c"
    for command in (
        [sys.executable, "-m", "cython", *flags, path.name],
        [*compiler, "-shared", "-fPIC", "-w", "-O1", "-fno-math-errno", "-fopenmp", "-I", include, source, "-o", built],
    ):
        finished = subprocess.run(command, cwd=path.parent, capture_output=True, text=True)
        if finished.returncode:
            raise NoMutant(f"it does not compile: {finished.stderr.strip()[-200:]}")
    path.with_name(source).unlink()


@cache
def _directives() -> dict[str, object]:
    """The directives that setup.py builds with."""
    with patch("setuptools.setup"), patch("Cython.Build.cythonize"):
        directives: dict[str, object] = runpy.run_path(str(ROOT / "setup.py"))["DIRECTIVES"]
    return directives
