"""`convback explain`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import click
from click.core import ParameterSource

from convback.contract import OPS
from convback.errors import quoted
from convback_tools import arrayfiles, options, report
from convback_tools.explanation.latex import latex
from convback_tools.explanation.presentation import report_of
from convback_tools.explanation.terms import FORMS, explain, forms
from convback_tools.submission import Submission, on_integers, submission
from convback_tools.suites import Case


class _Index(click.ParamType[int]):
    """An integer of either sign; a misspelled option, which looks like one, is told from it."""

    name = "index"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return int(value)
        except ValueError:
            if value.startswith("-") and ctx is not None:
                known = [name for parameter in ctx.command.params for name in parameter.opts]
                raise click.NoSuchOption(value, possibilities=get_close_matches(value, known), ctx=ctx) from None
            self.fail(f"{quoted(value)} is no integer; an index has one for each axis, such as 0 1 3 4", param, ctx)


class _Source(NamedTuple):
    name: str
    layer: Submission


@click.command(
    "explain", short_help="List every term of one entry.",
    context_settings={"ignore_unknown_options": True},  # so that -1 is an index, which is refused as such
)  # fmt: skip
@click.argument("op", type=click.Choice(OPS))
@click.argument("index", type=_Index(), nargs=-1)
@click.option(
    "--case", "word", metavar="WORD",
    help="The layer: a problem word such as g1mb2ic3ih32iw32oc8kh3kw3ph1pw1, or the name of a layer. Its operands are "
    "small random integers, always the same.",
)  # fmt: skip
@click.option(
    "--file", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
    help=f"Or a file that holds the layer and its operands: {', '.join(arrayfiles.SUFFIXES)}.",
)  # fmt: skip
@click.option(
    "--form", type=click.Choice(FORMS), default=FORMS[0], show_default=True,
    help="Of dx: summed over filters and taps, or as each entry of dy lands on it.",
)  # fmt: skip
@click.option("--all", "everything", is_flag=True, help="Show all terms, however many they are.")
@click.option("--latex", "in_latex", is_flag=True, help="Write the sum as an align* block of LaTeX.")
@click.option(
    "--picture", type=options.PictureFile(), metavar="FILE", help="Draw which entries meet: .svg, .png or .pdf."
)  # fmt: skip
@click.option(
    "--max-memory", type=options.BYTES, default=arrayfiles.MAX_MEMORY, show_default="4GiB", help="For all operands."
)
@options.layer_parameters
@options.output
def command(
    op: str,
    index: tuple[int, ...],
    word: str | None,
    file: Path | None,
    form: str,
    everything: bool,
    in_latex: bool,
    picture: Path | None,
    max_memory: int,
    style: str,
    path: Path | None,
    **chosen: Any,
) -> int:
    """List every term of one entry of y, dx, dw or db.

    INDEX is one integer for each axis, counted from 0: n f i j of y, n c r s of dx, f c k l of dw, f of db; one letter
    less in one dimension, one more in three. Shown are the indices of each term, its factors, their product and the
    running sum, and why other taps give no term: they lie on padding, or between strides.

    \b
    Examples:
      convback explain dx 0 1 3 4 --case seed-8x8
      convback explain dx 0 1 3 4 --case seed-8x8 --form scatter
      convback explain dx 1 2 4 5 --case mixed-10x12 --picture dx.svg
      convback explain dw 0 1 2 2 --file mine.npz
      convback explain y 0 3 1 1 --case g1mb1ic2ih5oc4kh3sh2ph1 --latex
    """
    if form not in forms(op):
        raise click.UsageError(f"--form {form} is of dx; {op} has the gather form only")
    if in_latex and click.get_current_context().get_parameter_source("style") is ParameterSource.COMMANDLINE:
        raise click.UsageError(f"--latex and --format {style} exclude each other")
    source = _source(word, file, max_memory, chosen)
    explanation = explain(op, index, source.layer, form)
    if in_latex:
        report.write_text(latex(explanation, everything), path)
    else:
        report.write(report_of(explanation, source.name, everything), style, path)
    if picture:
        import_module("convback_tools.explanation.picture").save(explanation, source.name, picture)
    return 0


def _source(word: str | None, file: Path | None, max_memory: int, chosen: Mapping[str, Any]) -> _Source:
    if (word is None) == (file is None):
        raise click.UsageError("give the layer, either by --case WORD or by --file FILE")
    if file is not None:
        return _Source(file.name, submission(arrayfiles.read(file, max_memory), **chosen))
    if given := [f"--{name}" for name, value in chosen.items() if name != "mode" and value is not None]:
        raise click.UsageError(f"{' and '.join(given)} go with --file; the word of --case has its parameters in itself")
    (case,) = options.chosen_cases("", (word or "",))
    _check_memory(case, max_memory)
    return _Source(case.name, on_integers(case.geom, chosen["mode"]))


def _check_memory(case: Case, max_memory: int) -> None:
    geom = case.geom
    # Integers are drawn in 64 bits; and counting terms takes a table of positions and taps for each axis.
    tables = max(i * k for i, k in zip(geom.y_spatial, geom.kernel, strict=True))
    needed = 8 * (2 * sum(map(math.prod, (geom.x_shape, geom.w_shape, geom.y_shape))) + tables)
    if needed > max_memory:
        raise click.UsageError(
            f"the operands of {case.name} need {needed / 2**30:.3g} GiB, more than the {max_memory / 2**30:.3g} GiB of "
            "--max-memory; choose a smaller layer, or allow more"
        )
