"""Puts cases with random integers to a user's program, and judges what it gives bit for bit."""

from __future__ import annotations

import math
import re
import shlex
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from convback import ConvGeometry, ParameterError
from convback.contract import Array
from convback_tools import arrayfiles
from convback_tools.checking.judgement import Judge
from convback_tools.checking.program import STDERR, STDOUT, Program, Skipped, Trouble
from convback_tools.checking.rows import Row
from convback_tools.integers import integer_operands, largest
from convback_tools.notation import arguments
from convback_tools.submission import MODES, RESULTS, submission
from convback_tools.suites import Case

FOLDERS = "convback-"  # how the names of temporary folders begin
LONGEST_NAME = 200  # of a file; systems take 255 bytes
WIDENED = 8  # bytes of an element once it is float64, in which all is judged


@dataclass(frozen=True)
class Evidence:
    """What a program was given and what it gave, with the verdicts; and the right results, where they are known."""

    rows: list[Row]
    members: Mapping[str, Any]
    results: Mapping[str, Array] = field(default_factory=dict)
    right: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Trials(ABC):
    """How cases are put to a program; what is made of its answers, subclasses say.

    Attributes
    ----------
    program : Program
    draws : int
        How many times with other integers.
    seed : int
        Number of the first draw.
    dtype : str
        Of the operands.
    mode : str
        Whether the layer flips its kernel.
    has_bias : bool
        Whether the layer adds b to y.
    max_macs : int
        The most products that the oracle computes.
    keep : Path or None
        Folder for the files of what did not pass.
    """

    program: Program
    draws: int = 2
    seed: int = 0
    dtype: str = "float32"
    mode: str = MODES[0]
    has_bias: bool = True
    max_macs: int = Judge.max_macs
    keep: Path | None = None

    @abstractmethod
    def face(self, case: Case, members: dict[str, Any], folder: Path, seed: int) -> Evidence:
        """Run the program on a draw, and judge; Trouble and Skipped may be raised."""

    def rows(self, case: Case) -> list[Row]:
        """A row for each result, of the first draw in which one does not pass; or one that says why there are none."""
        shapes = (case.geom.x_shape, case.geom.w_shape, case.geom.y_shape)
        if (needed := WIDENED * sum(map(math.prod, shapes))) > self.program.max_memory:
            reason = f"operands of {needed} bytes are more than --max-memory {self.program.max_memory}"
            return [_without_result(case, "inconclusive", reason)]
        try:
            largest(case.geom, self.dtype)
        except ParameterError as error:
            return [_without_result(case, "inconclusive", str(error))]
        for draw in range(self.draws):
            rows = self._draw(case, self.seed + draw)
            if any(row.status != "passed" for row in rows):
                break
        return rows

    def _draw(self, case: Case, seed: int) -> list[Row]:
        members = self._members(case.geom, seed)
        with tempfile.TemporaryDirectory(prefix=FOLDERS, ignore_cleanup_errors=True) as name:
            folder = Path(name)
            try:
                evidence = self.face(case, members, folder, seed)
            except Skipped as skipped:
                return [_without_result(case, "unsupported", str(skipped))]
            except Trouble as trouble:
                evidence = Evidence([_without_result(case, "error", str(trouble))], members)
            if self.keep and any(row.status != "passed" for row in evidence.rows):
                _keep(evidence, self.keep / file_name(case.name), self.program, folder)
        return [self._advised(row) if row.status == "failed" else row for row in evidence.rows]

    def _members(self, geom: ConvGeometry, seed: int) -> dict[str, Any]:
        """What the in-file holds."""
        operands = integer_operands(geom, seed, self.dtype)
        if not self.has_bias:
            del operands["b"]
        return {**operands, **arguments(geom), "mode": self.mode}

    def _advised(self, row: Row) -> Row:
        advice = "--keep DIR keeps its files, for `convback diagnose`"
        if self.keep:
            kept = self.keep / f"{file_name(row.case)}.npz"
            advice = f"to find the mistake, run: convback diagnose {shlex.quote(str(kept))}"
        return replace(row, reason=f"{row.reason}; {advice}")


class ExactTrials(Trials):
    """Every result must be what integer arithmetic gives."""

    def face(self, case: Case, members: dict[str, Any], folder: Path, seed: int) -> Evidence:
        results = self.program.run(folder, members)
        given = submission({**members, **results})
        rows = Judge(self.dtype, max_macs=self.max_macs).rows(given, case.name)
        if all(row.status == "passed" for row in rows) or case.geom.macs > self.max_macs:
            return Evidence(rows, members, results)
        return Evidence(rows, members, results, {op: given.right(op).astype(self.dtype) for op in RESULTS})


def file_name(case: str) -> str:
    """The name of a case where it is one of a file."""
    return re.sub(r"[^\w.-]", "_", case)[:LONGEST_NAME]


def _without_result(case: Case, status: str, reason: str) -> Row:
    return Row(case.name, None, None, None, status, reason=reason)


def _keep(evidence: Evidence, stem: Path, program: Program, folder: Path) -> None:
    """Leave the files of a case as they were, and beside them all in one, and the right results."""
    try:
        _copy_files(stem, program, folder)
    except OSError as error:
        raise ParameterError(f"--keep: {str(stem.parent)!r} cannot be written: {error.strerror}") from None
    arrayfiles.write(Path(f"{stem}.npz"), {**evidence.members, **evidence.results})
    if evidence.right:
        arrayfiles.write(Path(f"{stem}.right.npz"), {**evidence.members, **evidence.right})


def _copy_files(stem: Path, program: Program, folder: Path) -> None:
    for source, suffix in (
        (program.source(folder), f".in{program.suffix}"),
        (program.target(folder), f".out{program.suffix}"),
        (folder / STDOUT, ".stdout.txt"),
        (folder / STDERR, ".stderr.txt"),
    ):
        if source.is_file() and source.stat().st_size:
            shutil.copyfile(source, f"{stem}{suffix}")
