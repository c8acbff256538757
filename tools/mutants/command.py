"""`python tools/mutants`."""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
from convback_tools import report
from convback_tools.progress import progress

from mutants import results, sources, trial
from mutants.operators import OPERATORS, Mutant, mutants


@click.command()
@click.option("--backend", "-b", "backends", multiple=True, type=click.Choice(list(sources.FILES)), help="(repeatable)")
@click.option("--jobs", default=os.cpu_count() or 1, show_default=True, type=click.IntRange(1), help="At a time.")
@click.option("--limit", type=click.IntRange(1), help="Only so many, drawn at random.")
@click.option("--seed", default=0, show_default=True, help="Of that drawing.")
@click.option("--with-tests", is_flag=True, help="Run the tests on those that verify lets live.")
@click.option("--list", "only_list", is_flag=True, help="Show operators and mutants, and do nothing.")
@click.option("-o", "path", type=click.Path(dir_okay=False, path_type=Path), help="Write all rows there, as JSON.")
def main(
    backends: tuple[str, ...],
    jobs: int,
    limit: int | None,
    seed: int,
    with_tests: bool,
    only_list: bool,
    path: Path | None,
) -> None:
    """Make wrong kernels out of our own backends, and see whether `convback verify` finds them out.

    The exit code is 1 if it kills fewer than 98 % of them.
    """
    chosen = [mutant for backend in backends or sources.FILES for mutant in mutants(backend)]
    if limit is not None and limit < len(chosen):
        chosen = sorted(random.Random(seed).sample(chosen, limit), key=chosen.index)
    if only_list:
        show(chosen)
        return
    started = time.perf_counter()
    originals = {name: original(name, with_tests) for name in dict.fromkeys(mutant.backend for mutant in chosen)}
    with ThreadPoolExecutor(jobs) as pool, progress("mutants", len(chosen), quiet=False) as advance:

        def fate(mutant: Mutant) -> results.Row:
            row = results.judge(mutant, originals[mutant.backend], with_tests)
            advance(mutant.id)
            return row

        rows = list(pool.map(fate, chosen))
    summary = results.report(rows, time.perf_counter() - started)
    report.write(summary, "table", None)
    if path is not None:
        report.write(summary, "json", path)
    sys.exit(results.score(rows) < results.NEEDED)


def original(backend: str, with_tests: bool) -> dict[str, bytes]:
    """Make sure that the unchanged backend passes in a mutant's place; what the compiler makes of it."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        made = trial.overlay(backend, Path(folder))
        if not made.wins():
            raise click.ClickException(f"Python does not import the copy of {backend} in {folder}")
        for judge in ("verify", "tests") if with_tests else ("verify",):
            if (verdict := made.verdict(judge)) != "survived":
                raise click.ClickException(f"the unchanged backend {backend!r} does not pass, {judge} says {verdict!r}")
        return trial.binaries(made)


def show(chosen: list[Mutant]) -> None:
    """List operators and mutants."""
    for name, operator in OPERATORS.items():
        click.echo(f"{name:10} {operator.what}")
    for mutant in chosen:
        click.echo(f"{mutant.id}\n  - {mutant.original.strip()}\n  + {mutant.changed.strip()}")
    click.echo(f"{len(chosen)} mutants")
