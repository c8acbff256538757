"""`convback tune`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

import convback
from convback import choices
from convback_tools import options, report
from convback_tools.benchmark.bench import Settings
from convback_tools.progress import progress
from convback_tools.tuning.rows import Tuned
from convback_tools.tuning.tune import OPS, remembered, tune
from convback_tools.verification.tasks import DTYPES


@click.command("tune", short_help="Measure which backend is fastest here, for `auto` to remember.")
@options.cases("layers")
@click.option(
    "--op", "ops", multiple=True, type=click.Choice(OPS), default=OPS, help="Only this gradient (repeatable)."
)
@click.option(
    "--dtype", "dtypes", multiple=True, type=click.Choice(DTYPES), default=("float32",), show_default=True,
    help="In which dtype (repeatable).",
)  # fmt: skip
@click.option(
    "--threads", type=click.IntRange(1), help="With so many threads; it counts for that number.  [default: all CPUs]"
)
@click.option("--seconds", default=0.5, show_default=True, type=click.FloatRange(0), help="For each candidate.")
@click.option("--list", "listing", is_flag=True, help="Measure nothing; show what is remembered.")
@click.option("--forget", is_flag=True, help="Measure nothing; delete what is remembered.")
@options.quiet
@options.output
def command(
    suite: str,
    words: tuple[str, ...],
    ops: tuple[str, ...],
    dtypes: tuple[str, ...],
    threads: int | None,
    seconds: float,
    listing: bool,
    forget: bool,
    quiet: bool,
    style: str,
    path: Path | None,
) -> int:
    """Measure which backend is fastest for given problems on this machine.

    The candidates of `auto` are timed as `convback bench` times them, only those that pass verification. The times are
    remembered in the user's cache folder, or that of CONVBACK_CACHE, and `auto` goes by them from then on: on this
    processor, with this number of threads and this version of convback. A process that runs already keeps its choices.

    \b
    Exit codes:
      0  tuned, listed or forgotten
      1  a backend gave wrong results; it is not timed
      2  wrong usage, or nothing can be remembered
      4  nothing was timed

    \b
    Examples:
      convback tune --threads 1
      convback tune --case resnet50-res3-3x3 --op dx --dtype float64
      convback tune --list --format json
    """
    if listing and forget:
        raise click.UsageError("--list and --forget exclude each other")
    if forget:
        click.echo(f"convback tune: {_counted(choices.forget())} forgotten", err=True)
        return 0
    if listing:
        report.write(_inventory(), style, path)
        return 0
    cases = options.chosen_cases(suite, words)
    settings = Settings(
        ops,
        dtypes,
        threads or convback.get_num_threads(),
        convback.current_accuracy(),
        baseline=None,
        patient=bool(words),
        seconds=seconds,
    )
    found: list[Tuned] = []
    with progress("tuning", len(cases) * len(dtypes) * len(ops), quiet) as advance:
        for row in tune(cases, settings):
            advance(f"{row.case} {row.op} {row.dtype}")
            found.append(row)
    report.write(_report(found, settings, options.title(suite, words)), style, path)
    if any("wrong: " in row.reason for row in found):
        return 1
    return 0 if any(row.backend for row in found) else 4


def _counted(number: int) -> str:
    return "1 choice" if number == 1 else f"{number} choices"


def _report(found: Sequence[Tuned], settings: Settings, title: str) -> report.Report:
    threads = "1 thread" if settings.threads == 1 else f"{settings.threads} threads"
    changed = sum(row.backend not in (None, row.before) for row in found)
    return report.Report(
        rows=found,
        title=f"convback tune: {title}, {threads}",
        columns=["case", "op", "dtype", "fastest", "min", "auto chose", "min"],
        cells=[
            [
                row.case, row.op, row.dtype, row.backend or "-", report.duration(row.seconds), row.before or "-",
                report.duration(row.before_seconds),
            ]
            for row in found
        ],
        notes=[
            *(f"{row.status}: {row.op} {row.case}: {row.reason}" for row in found if row.reason),
            f"{_counted(sum(row.backend is not None for row in found))} remembered, {changed} of them new to auto.",
        ],
    )  # fmt: skip


def _inventory() -> report.Report:
    rows = remembered()
    others = sum(not row.counts for row in rows)
    return report.Report(
        rows=rows,
        title=f"convback tune: {_counted(len(rows))} remembered",
        columns=["case", "op", "dtype", "threads", "fastest", "min", "counts"],
        cells=[
            [
                row.case, row.op, row.dtype, str(row.threads), row.backend, report.duration(row.seconds),
                "yes" if row.counts else "no",
            ]
            for row in rows
        ],
        notes=[f"{others} do not count: they are of another processor, or of another version."] if others else [],
    )  # fmt: skip
