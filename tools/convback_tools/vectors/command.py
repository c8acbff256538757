"""`convback vectors`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from convback import ConvbackError
from convback_tools import options, report
from convback_tools.progress import progress
from convback_tools.vectors import cases
from convback_tools.vectors import folder as folders
from convback_tools.vectors.folder import FORMATS, Row


@click.command("vectors", short_help="Write test vectors: layers with right gradients, for any language.")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "--as", "formats", multiple=True, type=click.Choice(FORMATS), help="Only files of this format (repeatable)."
)
@click.option(
    "--case", "words", multiple=True, metavar="WORD",
    help="Instead of all of them, this case: a name such as stride-2 or resnet50-conv1, or a problem word "
    "(repeatable).",
)  # fmt: skip
@click.option(
    "--dtype", type=click.Choice(["float32", "float64"]), default="float32", show_default=True,
    help="The dtype of all arrays.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Write into a folder that is not empty; replace files of the same names.")
@click.option(
    "--max-memory", type=options.BYTES, default="1GiB", show_default=True, help="Refuse cases that may need more."
)
@options.quiet
@options.output
def command(
    folder: Path,
    formats: tuple[str, ...],
    words: tuple[str, ...],
    dtype: str,
    force: bool,
    max_memory: int,
    quiet: bool,
    style: str,
    path: Path | None,
) -> int:
    """Write test vectors to a folder DIR: layers with their operands and the right y, dx, dw and db.

    There are three cases that together see every classic mistake, and one for each feature of a layer. Each is written
    as .npz, as JSON, as raw numbers behind a JSON header (.bin), and as a header for C and C++ (.h). All numbers are
    integers, so small that every sum is exact: compare with ==. The files are the same on every machine. index.json has
    shapes, strides, parameters and checksums; README.txt explains the formats.

    \b
    Examples:
      convback vectors more-vectors
      convback vectors stride-vectors --as json --as h --case stride-2 --case g2mb1ic4ih9oc6kh3sh2
    """
    chosen = tuple(dict.fromkeys(formats)) or FORMATS
    try:
        layers = cases.layers(words)
    except ConvbackError as error:
        raise click.UsageError(str(error)) from None
    vectors = folders.vectors(layers, dtype, chosen, max_memory)
    folders.prepare(folder, force)
    with progress("vectors", len(vectors), quiet) as step:
        rows = folders.write(folder, vectors, chosen, step)
    report.write(_report(folder, rows, len(vectors)), style, path)
    return 0


def _report(folder: Path, rows: Sequence[Row], cases: int) -> report.Report:
    return report.Report(
        rows=rows,
        title=f"convback vectors: {cases} {'case' if cases == 1 else 'cases'} in {folder}",
        columns=["file", "bytes", "what it is for"],
        cells=[[row.file, str(row.bytes), row.about] for row in rows],
        notes=["index.json lists shapes, strides, parameters and checksums; README.txt explains the formats."],
    )
