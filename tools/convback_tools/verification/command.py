"""`convback verify`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from convback.contract import OPS
from convback_tools import options, report
from convback_tools.progress import progress
from convback_tools.suites import Case
from convback_tools.verification import case_files
from convback_tools.verification import rows as verdicts
from convback_tools.verification.answers import Answer
from convback_tools.verification.case_files import Item
from convback_tools.verification.presentation import presented
from convback_tools.verification.processes import verify_apart
from convback_tools.verification.refusals import Refusal
from convback_tools.verification.tasks import DTYPES, TIERS, Settings, Task, examinations
from convback_tools.verification.verify import verify


@click.command("verify", short_help="Prove that backends compute the right gradients.")
@options.backends
@options.cases("quick")
@click.option(
    "--cases", "files", multiple=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
    help="Instead of a suite, the cases of this file (repeatable); docs/verification.md describes its forms.",
)  # fmt: skip
@click.option("--op", "ops", multiple=True, type=click.Choice(OPS), help="Only this gradient (repeatable).")
@click.option("--dtype", "dtypes", multiple=True, type=click.Choice(DTYPES), help="Only this dtype (repeatable).")
@click.option(
    "--tier", "tiers", multiple=True, type=click.Choice(TIERS),
    help="Only this tier (repeatable).  [default: what suits the size of a case]",
)  # fmt: skip
@click.option("--relations", is_flag=True, help="Compare the answers to related problems as well.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the random operands.")
@click.option(
    "--max-macs", default=10**9, show_default=True, type=click.IntRange(1),
    help="Most products for an oracle; a larger case goes to the adjoint tier.",
)  # fmt: skip
@click.option(
    "--max-memory", default="4GiB", show_default=True, type=options.BYTES,
    help="Most memory for a question, without what the backend itself takes.",
)  # fmt: skip
@click.option(
    "--max-draws", type=click.IntRange(1),
    help="Most draws of integers.  [default: until an error escapes with probability 2^-40 at most]",
)  # fmt: skip
@click.option("--isolate", is_flag=True, help="Each backend in a process of its own, so that it may crash or hang.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="So many such processes at once.")
@click.option(
    "--timeout", type=click.FloatRange(0, min_open=True), default=300.0, show_default=True,
    help="Seconds for a question, with --isolate or --jobs.",
)  # fmt: skip
@click.option("--fail-fast", is_flag=True, help="Stop at the first failed or error row.")
@options.quiet
@options.output
def command(
    backend_names: tuple[str, ...],
    all_backends: bool,
    suite: str,
    words: tuple[str, ...],
    files: tuple[Path, ...],
    isolate: bool,
    jobs: int,
    timeout: float,
    fail_fast: bool,
    quiet: bool,
    style: str,
    path: Path | None,
    **chosen: Any,
) -> int:
    """Prove that backends compute the right gradients.

    Every case of a suite is computed by every backend, for y, dx, dw and db, in float32 and float64, and held against
    an oracle that no backend uses: exactly on random integers, and on real numbers within the rounding bound of a sum
    of products. Cases too large for an oracle are held to the adjoint identities, exactly. No tolerance is chosen
    anywhere; docs/verification.md says what each tier proves.

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
      convback verify -b cython --suite full --jobs 2
      convback verify -b mine --isolate --relations
      convback verify --case g2mb1ic4ih10iw12oc6kh3kw2sh2ph1 --op dx
    """
    names = options.chosen_backends(backend_names, all_backends)
    settings = Settings(
        **{name: value or getattr(Settings, name) for name, value in chosen.items()}, patient=bool(words)
    )
    items = _items(suite, words, files, settings)
    tasks = [task for item in items for task in _tasks(item, settings)]
    rows = (
        verify_apart(tasks, names, settings, jobs, timeout) if isolate or jobs > 1 else verify(tasks, names, settings)
    )
    found = [item.row() for item in items if isinstance(item, Refusal)]
    with progress("verifying", len(tasks) * (len(names) if isolate or jobs > 1 else 1), quiet) as advance:
        seen = None
        for row in rows:
            found.append(row)
            if (question := (row.case, row.op, row.dtype, row.tier)) != seen and row.case is not None:
                advance(f"{row.case} {row.op} {row.dtype}")
                seen = question
            if fail_fast and row.status in ("failed", "error"):
                break
    report.write(presented(found, options.title(suite, words, files)), style, path)
    return verdicts.exit_code(found, backend_names)


def _items(suite: str, words: tuple[str, ...], files: tuple[Path, ...], settings: Settings) -> Sequence[Item]:
    if not files:
        return options.chosen_cases(suite, words)
    if words:
        raise click.UsageError("--case and --cases exclude each other")
    return [item for file in files for item in case_files.read(file, settings.dtypes)]


def _tasks(item: Item, settings: Settings) -> Iterable[Task]:
    if isinstance(item, Case):
        return examinations([item], settings)
    return [item] if isinstance(item, Answer) and item.question.op in settings.ops else []
