"""What became of each mutant, and the report of it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from convback_tools.report import Report

from mutants import equivalent, trial
from mutants.operators import OPERATORS, Mutant
from mutants.trial import KILLED, NoMutant

DROPPED = ("does not compile", "same program")
NEEDED = 98  # percent
COLUMNS = ("backend", "operator", "mutants", *KILLED, "by verify", "by tests", "survived", "equivalent", "dropped")


@dataclass(frozen=True)
class Row:
    """A mutant and its fate.

    Attributes
    ----------
    verify : str
        One of `KILLED`, "survived", or, for what is no mutant after all, one of `DROPPED`.
    tests : str
        The same from the tests, where they were asked.
    equivalent : str
        Why it cannot give another result, where that is known.
    """

    id: str
    backend: str
    operator: str
    original: str
    changed: str
    verify: str
    tests: str = ""
    equivalent: str = ""
    seconds: float = 0.0


def judge(mutant: Mutant, original: Mapping[str, bytes], with_tests: bool) -> Row:
    """Build a mutant and have it judged; `original` is what the compiler makes of the unchanged backend."""
    started = time.perf_counter()
    verify, tests = "", ""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        try:
            made = trial.overlay(mutant.backend, Path(folder), mutant, original)
        except NoMutant:
            verify = DROPPED[0]
        else:
            same = not mutant.file.endswith(".py") and trial.binaries(made) == original
            verify = DROPPED[1] if same else made.verdict("verify")
            if with_tests and verify == "survived":
                tests = made.verdict("tests")
    return Row(
        mutant.id,
        mutant.backend,
        mutant.operator,
        mutant.original.strip(),
        mutant.changed.strip(),
        verify,
        tests,
        equivalent.reason(mutant) if verify == "survived" and tests in ("", "survived") else "",
        round(time.perf_counter() - started, 1),
    )


def made(rows: Iterable[Row]) -> list[Row]:
    """Those that compile to another program."""
    return [row for row in rows if row.verify not in DROPPED]


def survivors(rows: Iterable[Row]) -> list[Row]:
    """Those that nothing killed, though they may be wrong."""
    return [row for row in rows if row.verify == "survived" and row.tests not in KILLED and not row.equivalent]


def score(rows: Sequence[Row], tests: bool = False) -> float:
    """Percentage that verify, or verify and the tests, kill of the mutants not known to be equivalent."""
    wrong = [row for row in made(rows) if not row.equivalent]
    killed = sum(row.verify in KILLED or (tests and row.tests in KILLED) for row in wrong)
    return 100 * killed / max(1, len(wrong))


def report(rows: Sequence[Row], seconds: float) -> Report:
    """A table of counts for each backend and operator, and below it who survived."""
    backends = list(dict.fromkeys(row.backend for row in rows))
    groups = [(b, o, [r for r in rows if (r.backend, r.operator) == (b, o)]) for b in backends for o in OPERATORS]
    groups += [(b, "all", [r for r in rows if r.backend == b]) for b in backends] + [("all", "all", list(rows))]
    return Report(
        rows=rows,
        title=f"{len(made(rows))} mutants, {seconds:.0f} s",
        columns=COLUMNS,
        cells=[_cells(*group) for group in groups if group[2]],
        notes=[*_stories(rows), _conclusion(rows)],
        extra={"seconds": round(seconds, 1), "by_verify": score(rows), "by_tests": score(rows, tests=True)},
    )


def _cells(backend: str, operator: str, rows: list[Row]) -> list[str]:
    counts = [sum(row.verify == reason for row in rows) for reason in KILLED]
    by_tests = sum(row.tests in KILLED for row in rows)
    equivalents, dropped = sum(bool(row.equivalent) for row in rows), len(rows) - len(made(rows))
    numbers = [len(rows) - dropped, *counts, sum(counts), by_tests, len(survivors(rows)), equivalents, dropped]
    return [backend, operator, *(str(number or "-") for number in numbers)]


def _stories(rows: Sequence[Row]) -> list[str]:
    """Those that verify let live: survivors first, then those that the tests killed, then equivalent ones."""
    told = [(row, "SURVIVED") for row in survivors(rows)]
    told += [(row, f"killed by the tests alone: {row.tests}") for row in rows if row.tests in KILLED]
    told += [(row, f"equivalent: {row.equivalent}") for row in rows if row.equivalent]
    return [f"{row.id} {fate}\n  - {row.original}\n  + {row.changed}" for row, fate in told]


def _conclusion(rows: Sequence[Row]) -> str:
    equivalents = sum(bool(row.equivalent) for row in rows)
    text = f"Of {len(made(rows)) - equivalents} mutants that may be wrong verify kills {score(rows):.1f} %"
    if any(row.tests for row in rows):
        text += f", verify and the tests kill {score(rows, tests=True):.1f} %"
    return f"{text}; {equivalents} more are known to be equivalent."
