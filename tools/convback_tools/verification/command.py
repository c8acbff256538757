"""`convback verify`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import click

from convback.contract import OPS
from convback_tools import options, report, suites
from convback_tools.progress import progress
from convback_tools.verification import rows as verdicts
from convback_tools.verification.rows import Row
from convback_tools.verification.verify import DTYPES, TIERS, Settings, verify


@click.command("verify", short_help="Prove that backends compute the right gradients.")
@options.backends
@options.cases("quick")
@click.option("--op", "ops", multiple=True, type=click.Choice(OPS), help="Only this gradient (repeatable).")
@click.option("--dtype", "dtypes", multiple=True, type=click.Choice(DTYPES), help="Only this dtype (repeatable).")
@click.option("--tier", "tiers", multiple=True, type=click.Choice(TIERS), help="Only this tier (repeatable).")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the random operands.")
@click.option("--max-macs", default=10**11, show_default=True, type=click.IntRange(1), help="Most products a verdict.")
@click.option(
    "--max-memory", default="4GiB", show_default=True, type=options.BYTES, help="Most memory a verdict, with unit."
)
@click.option("--fail-fast", is_flag=True, help="Stop at the first failed or error row.")
@options.quiet
@options.output
def command(
    backend_names: tuple[str, ...],
    all_backends: bool,
    suite: str,
    words: tuple[str, ...],
    ops: tuple[str, ...],
    dtypes: tuple[str, ...],
    tiers: tuple[str, ...],
    seed: int,
    max_macs: int,
    max_memory: int,
    fail_fast: bool,
    quiet: bool,
    style: str,
    path: Path | None,
) -> int:
    """Prove that backends compute the right gradients.

    Every case of a suite is computed by every backend, for y, dx, dw and db, in float32 and float64, and held against
    an oracle that no backend uses: exactly on random integers, and on real numbers within the rounding bound of a sum
    of products. No tolerance is chosen anywhere.

    Without -b all installed backends are verified, and one that is not usable, or does not support a case, is reported
    but is no failure.

    \b
    Exit codes:
      0  all passed
      1  a row failed or ended in an error
      2  wrong usage
      3  a backend named by -b is unknown, unavailable or ran no case
      4  nothing could be decided

    \b
    Examples:
      convback verify
      convback verify -b cython --suite full
      convback verify --case g2mb1ic4ih10iw12oc6kh3kw2sh2ph1 --op dx
    """
    cases = options.chosen_cases(suite, words)
    settings = Settings(
        ops or OPS, dtypes or DTYPES, tiers or TIERS, seed, backend_names, max_macs=max_macs, max_memory=max_memory
    )
    names = options.chosen_backends(backend_names, all_backends)
    found: list[Row] = []
    questions = len(cases) * len(settings.ops) * len(settings.dtypes) * len(settings.tiers)
    with progress("verifying", questions, quiet) as advance:
        seen = None
        for row in verify(cases, names, settings):
            found.append(row)
            if (question := (row.case, row.op, row.dtype, row.tier)) != seen and row.case is not None:
                advance(f"{row.case} {row.op} {row.dtype}")
                seen = question
            if fail_fast and row.status in ("failed", "error"):
                break
    report.write(_report(found, suites.title(suite, words)), style, path)
    return verdicts.exit_code(found, backend_names)


def _report(found: Sequence[Row], title: str) -> report.Report:
    summary = verdicts.summary(found)
    columns = ["backend", *OPS, "not run", "error/bound"]
    names = sorted({row.backend for row in found})
    return report.Report(
        rows=found,
        title=f"convback verify: {title}",
        columns=columns,
        cells=[_cells(name, [row for row in found if row.backend == name]) for name in names],
        notes=[*_findings(found), *_reasons(found), _conclusion(found, summary)],
        extra={"summary": summary},
    )


def _cells(name: str, of_backend: list[Row]) -> list[str]:
    cells = [name]
    for op in OPS:
        decided = [row for row in of_backend if row.op == op and row.status in ("passed", "failed", "error")]
        bad = sum(row.status != "passed" for row in decided)
        cells.append(f"{bad} of {len(decided)} {report.ALARM}" if bad else f"{len(decided)} ok" if decided else "-")
    undecided = sum(row.status in ("unsupported", "inconclusive", "unavailable") for row in of_backend)
    ratios = [row.error_over_bound for row in of_backend if row.tier == "rounding" and row.error_over_bound is not None]
    return [*cells, str(undecided or "-"), report.number(max(ratios, default=None))]


def _findings(found: Sequence[Row]) -> list[str]:
    """The first failed or error row of each backend and gradient, in full, and how many more there are."""
    lines = []
    for rows in _grouped(found, ("failed", "error"), lambda row: (row.backend, row.op)):
        row = rows[0]
        lines.append(
            f"{row.status.upper()}: {row.backend} {row.op} {row.dtype} ({row.tier}), case {row.case}: {row.reason}"
        )
        if row.worst_index is not None:
            lines.append(f"  worst at {row.op}{list(row.worst_index)}: got {row.got!r}, expected {row.expected!r}")
        lines.append(f"  repeat with: {row.repro}")
        if len(rows) > 1:
            lines.append(f"  {row.backend} {row.op} has {len(rows) - 1} more such rows; --format json lists them")
    return lines


def _reasons(found: Sequence[Row]) -> list[str]:
    """Why rows were not decided: the first reason of each backend and status."""
    lines = []
    for rows in _grouped(found, ("unavailable", "unsupported", "inconclusive"), lambda row: (row.backend, row.status)):
        row = rows[0]
        more = f" (and {len(rows) - 1} more; --format json has the reasons)" if len(rows) > 1 else ""
        subject = f"{row.backend} {row.op} {row.case}: " if row.case else ""
        lines.append(f"{row.status}: {subject}{row.reason}{more}")
    return lines


def _grouped(
    found: Sequence[Row], statuses: Sequence[str], key: Callable[[Row], tuple[str | None, ...]]
) -> list[list[Row]]:
    groups: dict[tuple[str | None, ...], list[Row]] = {}
    for row in found:
        if row.status in statuses:
            groups.setdefault(key(row), []).append(row)
    return list(groups.values())


def _conclusion(found: Sequence[Row], summary: dict[str, int]) -> str:
    counts = ", ".join(f"{count} {status}" for status, count in summary.items() if count) or "nothing was verified"
    escapes = [row.escape_probability for row in found if row.status == "passed" and row.escape_probability is not None]
    if not escapes or summary["failed"] or summary["error"]:
        return f"{counts}."
    return f"{counts}. A wrong bilinear form passes an exact verdict with probability {max(escapes):.1g} at most."
