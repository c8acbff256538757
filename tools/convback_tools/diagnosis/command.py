"""`convback diagnose`."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import click

from convback_tools import arrayfiles, notation, options, report
from convback_tools.checking.judgement import Judge
from convback_tools.diagnosis.catalogue import candidates
from convback_tools.diagnosis.diagnose import diagnosis
from convback_tools.diagnosis.explanations import possible_pairs
from convback_tools.diagnosis.presentation import presented
from convback_tools.progress import progress
from convback_tools.submission import submission


@click.command("diagnose", short_help="Name the mistake in a gradient that is wrong.")
@click.argument("file", type=click.Path(path_type=Path))
@options.layer_parameters
@options.making
@click.option("--deep", is_flag=True, help="Try pairs of mistakes as well, where no single one explains a result.")
@click.option("--max-macs", default=10**9, show_default=True, type=click.IntRange(1), help="Most products.")
@click.option("--max-memory", type=options.BYTES, default="4GiB", show_default=True, help="Most memory for the arrays.")
@click.option(
    "--picture", type=options.PictureFile(), metavar="IMAGE", help="Draw the errors: .png, .svg or .pdf.",
)  # fmt: skip
@options.quiet
@options.output
def command(
    file: Path,
    computed_in: str | None,
    digits: int | None,
    deep: bool,
    max_macs: int,
    max_memory: int,
    picture: Path | None,
    quiet: bool,
    style: str,
    path: Path | None,
    **parameters: Any,
) -> int:
    """Name the mistake in a gradient that is wrong.

    FILE (.npz, .json or .bin) holds x, w, dy and any of y, dx, dw and db; b, and the parameters of the layer, unless
    they are given as options. Each result that is wrong is compared with what every mistake of a catalogue would have
    made of these very operands. What explains it is named, with what was computed, what should be, and what to change;
    and with all other mistakes that would give the same numbers. A right result is called right.

    \b
    Exit codes:
      0  all is right
      1  a result is wrong
      2  wrong usage, or a file that cannot be read
      4  nothing could be decided

    \b
    Examples:
      convback diagnose mine.npz
      convback diagnose mine.npz --deep --format json
      convback diagnose vectors/seed-8x8.npz
    """
    given = submission(arrayfiles.read(file, max_memory), **parameters)
    pairs = sum(len(possible_pairs(list(candidates(op, given.geom.rank)))) for op in given.results) if deep else 0
    with progress("diagnosing", pairs, quiet) as advance:
        diagnosed = diagnosis(given, Judge(computed_in, digits, max_macs), deep, advance)
    title = f"{file.name}, {notation.to_word(given.geom)}"
    report.write(presented(diagnosed, title), style, path)
    if picture:
        drawing = import_module("convback_tools.diagnosis.picture")  # needs matplotlib
        drawing.figure(diagnosed, title).savefig(picture, dpi=150)
    if diagnosed.findings:
        return 1
    return 0 if diagnosed.is_right else 4
