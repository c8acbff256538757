"""`convback bench`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path

import click
from click.core import ParameterSource

import convback
from convback.selection import ACCURACIES
from convback_tools import options, report
from convback_tools.benchmark.bench import Settings, bench
from convback_tools.benchmark.earlier import Earlier
from convback_tools.benchmark.earlier import read as earlier_report
from convback_tools.benchmark.machine import Machine, measured
from convback_tools.benchmark.problem import OPS
from convback_tools.benchmark.rows import Row
from convback_tools.benchmark.scaling import LAYER, Growth, exponents, scaled
from convback_tools.benchmark.summary import summaries, vs_baseline, vs_earlier
from convback_tools.progress import progress
from convback_tools.suites import Case
from convback_tools.verification.tasks import DTYPES

DEFAULT_OPS = ("dx", "dw")


@click.command("bench", short_help="Time verified backends side by side.")
@options.backends
@options.cases("seed")
@click.option(
    "--op", "ops", multiple=True, type=click.Choice(OPS),
    help="What to time (repeatable); backward is dx, dw and db in one call.  [default: dx, dw]",
)  # fmt: skip
@click.option(
    "--dtype", "dtypes", multiple=True, type=click.Choice(DTYPES), default=("float32",), show_default=True,
    help="In which dtype (repeatable).",
)  # fmt: skip
@click.option("--threads", type=click.IntRange(1), help="For every backend that heeds it.  [default: all CPUs]")
@click.option(
    "--accuracy", type=click.Choice(ACCURACIES), default=convback.current_accuracy, help="What `auto` may use."
)
@click.option("--baseline", metavar="NAME", help="Ratios refer to this backend.  [default: the first that is usable]")
@click.option(
    "--vs", metavar="NAME",
    help="Time this backend as well, as the baseline and in its best form: for PyTorch the better order of memory. "
    "Without -b, `auto` is held against it.",
)  # fmt: skip
@click.option(
    "--compare", "earlier_path", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
    help="Show what became of the times in this report, which --format json wrote.",
)  # fmt: skip
@click.option(
    "--scaling", is_flag=True,
    help=f"Instead of a suite, one layer with more images and with larger maps, and how its time grows. The layer is "
    f"that of --case.  [default: {LAYER}]",
)  # fmt: skip
@click.option(
    "--plot", "picture", type=options.PictureFile(), metavar="FILE",
    help="Draw the speed-up of each case, and time against the number of products: .png, .svg or .pdf.",
)  # fmt: skip
@click.option("--seconds", default=1.0, show_default=True, type=click.FloatRange(0), help="For each figure.")
@click.option(
    "--rounds", default=30, show_default=True, type=click.IntRange(1), help="Most measurements for each figure."
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of operands and order.")
@options.quiet
@options.output
def command(
    backend_names: tuple[str, ...],
    all_backends: bool,
    suite: str,
    words: tuple[str, ...],
    ops: tuple[str, ...],
    dtypes: tuple[str, ...],
    threads: int | None,
    accuracy: str,
    baseline: str | None,
    vs: str | None,
    earlier_path: Path | None,
    scaling: bool,
    picture: Path | None,
    seconds: float,
    rounds: int,
    seed: int,
    quiet: bool,
    style: str,
    path: Path | None,
) -> int:
    """Time backends side by side, each only after it was verified on the very case.

    The backends take turns in an order that is shuffled every round, so that a machine whose speed drifts treats all
    alike. Ratios are the baseline's shortest time over the backend's: above 1 is faster. A call is the public function
    with memory for its result at hand.

    \b
    Exit codes:
      0  timed
      1  a backend gave wrong results; it is not timed
      2  wrong usage
      3  a backend named by -b is unknown, unavailable or was not timed
      4  nothing was timed

    \b
    Examples:
      convback bench --vs torch --suite layers --plot speed-up.png
      convback bench --scaling --op dx -b cython -b einsum
      convback bench -b cython -b einsum --suite layers --threads 1
      convback bench --case resnet50-res3-3x3 --op backward --baseline cython
    """
    cases, title = options.chosen_cases(suite, words), options.title(suite, words)
    growths: list[Growth] = []
    if scaling:
        layer = _layer(words)
        (cases, growths), title = scaled(layer), f"scaling of {layer.name}"
    if vs is not None and baseline not in (None, vs):
        raise click.UsageError(f"--vs {vs!r} is the baseline, and --baseline {baseline!r} another; give one of them")
    if vs is not None and not all_backends:
        backend_names = tuple(dict.fromkeys((vs, *(backend_names or ("auto",)))))
    names = options.chosen_backends(backend_names, all_backends)
    baseline = vs or baseline
    if baseline is not None and baseline not in names:
        raise click.UsageError(f"--baseline {baseline!r} is not among the backends to time: {', '.join(names)}")
    settings = Settings(
        ops or DEFAULT_OPS, dtypes, threads or convback.get_num_threads(), accuracy, baseline, vs,
        bool(words), seconds, rounds, seed,
    )  # fmt: skip
    earlier = earlier_report(earlier_path) if earlier_path else None
    found: list[Row] = []
    with progress("timing", len(cases) * len(settings.dtypes) * len(settings.ops), quiet) as advance:
        machine = measured(settings.dtypes, settings.threads, names)
        for row in bench(cases, names, settings, machine):
            if not found or (found[-1].case, found[-1].op, found[-1].dtype) != (row.case, row.op, row.dtype):
                advance(f"{row.case} {row.op} {row.dtype}")
            found.append(replace(row, ratio_to_earlier=earlier.ratio(row)) if earlier else row)
    result = _report(found, settings, machine, earlier, growths, title)
    report.write(result, style, path)
    if picture and any(row.status == "timed" for row in found):
        plot = import_module("convback_tools.benchmark.plot")  # only where a picture is wanted
        drawn = plot.figure(found, machine, result.title, [list(growth.sizes) for growth in growths])
        drawn.savefig(picture, dpi=150)
    return _exit_code(found, backend_names)


def _exit_code(found: Sequence[Row], named: Sequence[str]) -> int:
    timed = {row.backend for row in found if row.status == "timed"}
    if any(row.status == "wrong" for row in found):
        return 1
    if not set(named) <= timed:
        return 3
    return 0 if timed else 4


def _layer(words: tuple[str, ...]) -> Case:
    """The layer that is to grow."""
    if click.get_current_context().get_parameter_source("suite") is ParameterSource.COMMANDLINE:
        raise click.UsageError("--scaling times one layer and no suite; name it by --case")
    if len(words) > 1:
        raise click.UsageError(f"--scaling times one layer, and --case names {len(words)}: {', '.join(words)}")
    (layer,) = options.chosen_cases("seed", words or (LAYER,))
    if layer.geom.is_empty:
        raise click.UsageError(f"--scaling needs a layer with products, and {layer.name} has none")
    return layer


def _report(
    found: Sequence[Row],
    settings: Settings,
    machine: Machine,
    earlier: Earlier | None,
    growths: Sequence[Growth],
    title: str,
) -> report.Report:
    threads = "1 thread" if settings.threads == 1 else f"{settings.threads} threads"
    baseline = next((row.baseline for row in found if row.baseline), "baseline")
    summary, compared = summaries(found, vs_baseline), summaries(found, vs_earlier)
    fitted = exponents(found, growths)
    columns = _columns(baseline)
    if earlier is None:
        del columns["vs earlier"]
    reasons = (
        f"{row.status}: {row.backend} {row.op} {row.case}: {row.reason}" for row in found if row.status != "timed"
    )
    notes = [*dict.fromkeys(reasons), str(machine), *(f"vs {baseline}: {line}" for line in summary)]
    if earlier is not None:
        notes += [f"vs {earlier.name}: {line}" for line in compared] or [f"{earlier.name} has none of these rows"]
    notes += map(str, fitted)
    return report.Report(
        rows=found,
        title=f"convback bench: {title}, {threads}, accuracy {settings.accuracy}",
        columns=list(columns),
        cells=[[cell(row) for cell in columns.values()] for row in found if row.status == "timed"],
        notes=notes,
        extra={
            "machine": machine.document(),
            "summary": list(map(asdict, summary)),
            "compared": list(map(asdict, compared)),
            "scaling": list(map(asdict, fitted)),
        },
    )


def _columns(baseline: str) -> dict[str, Callable[[Row], str]]:
    return {
        "case": lambda row: row.case,
        "op": lambda row: row.op,
        "dtype": lambda row: row.dtype,
        "backend": lambda row: f"{row.backend} ({row.reason})" if row.reason else row.backend,
        "min": lambda row: report.duration(row.seconds_min),
        "median": lambda row: report.duration(row.seconds_median),
        "GFLOP/s": lambda row: report.number(row.gflops),
        "of limit": _share,
        f"vs {baseline}": lambda row: report.number(row.ratio_to_baseline),
        "vs earlier": lambda row: report.number(row.ratio_to_earlier),
        "max error": lambda row: report.number(row.max_relative_error, 2),
        "workspace": lambda row: _size(row.workspace_bytes),
    }


def _share(row: Row) -> str:
    return "-" if row.fraction_of_peak is None else f"{100 * row.fraction_of_peak:.3g} % {row.limit}"


def _size(nbytes: int | None) -> str:
    if not nbytes:
        return "-"
    return f"{nbytes / 2**20:.3g} MiB" if nbytes >= 2**20 else f"{nbytes / 2**10:.3g} KiB"
