"""`convback check`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from convback_tools import arrayfiles, notation, options, report
from convback_tools.checking import rows as verdicts
from convback_tools.checking.judgement import Judge
from convback_tools.checking.own_forward import OwnForwardTrials
from convback_tools.checking.presentation import presented
from convback_tools.checking.program import Program, program
from convback_tools.checking.rows import Row
from convback_tools.checking.trials import ExactTrials, Trials
from convback_tools.progress import progress
from convback_tools.submission import MODES, PARAMETERS, submission
from convback_tools.verification.tasks import DTYPES as OPERAND_DTYPES

OF_FILES = ("computed_in", "digits", "stride", "padding", "dilation", "groups")
OF_PROGRAMS = (
    "suite", "words", "via", "own_forward", "draws", "seed", "dtype", "no_bias", "timeout", "keep", "quiet",
)  # fmt: skip
MAX_MEMORY_OF_PROGRAMS = 2**28
FORMATS = [suffix.removeprefix(".") for suffix in arrayfiles.SUFFIXES]


@click.command("check", short_help="Check gradients of your own, in a file or by your program.")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@options.layer_parameters
@options.making
@click.option("--cmd", metavar="COMMAND", help="In place of FILE, a program with {in} and {out} for its two files.")
@options.cases("discriminating")
@click.option(
    "--via", type=click.Choice(FORMATS), default=FORMATS[0], show_default=True, help="Format of these two files."
)
@click.option(
    "--own-forward", is_flag=True,
    help="Take the program's y as right, and hold dx, dw and db to it: for layers of any other kind.",
)  # fmt: skip
@click.option(
    "--draws", default=2, show_default=True, type=click.IntRange(1), help="Runs of a case, each on other integers."
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Number of the first draw.")
@click.option(
    "--dtype", default=OPERAND_DTYPES[0], show_default=True, type=click.Choice(OPERAND_DTYPES), help="Of the operands."
)
@click.option("--no-bias", is_flag=True, help="Give the program no b.")
@click.option(
    "--timeout", type=click.FloatRange(0, min_open=True), default=10.0, show_default=True,
    help="Seconds for a run of the program.",
)  # fmt: skip
@click.option(
    "--keep", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
    help="Keep the files of cases that did not pass, with the right results, for `convback diagnose`.",
)  # fmt: skip
@click.option(
    "--max-macs", default=Judge.max_macs, show_default=True, type=click.IntRange(1),
    help="Most products for the oracle; a larger layer is inconclusive.",
)  # fmt: skip
@click.option(
    "--max-memory", type=options.BYTES,
    help="Most memory for the arrays, and the largest file that the program may write.  [default: 4GiB for FILE, "
    "256MiB for --cmd]",
)  # fmt: skip
@options.quiet
@options.output
@click.pass_context
def command(
    context: click.Context, /, file: Path | None, cmd: str | None, style: str, path: Path | None, **chosen: Any
) -> int:
    """Check gradients of your own.

    FILE (.npz, .json or .bin) holds x, w, dy and any of y, dx, dw and db; b, and the parameters of the layer, unless
    they are given as options. Integers must be met exactly, other numbers within the error that rounding can explain.

    --cmd './mycnn {in} {out}' runs your own program instead, on integers that we choose: it reads x, w, dy, b and the
    parameters from one file, and writes any of y, dx, dw and db to the other, which are compared bit for bit. By exit
    code 77 it skips a case. docs/checking.md describes the files, byte by byte.

    \b
    Exit codes:
      0  all is right
      1  a result is wrong, or the program failed
      2  wrong usage, or a file that cannot be read, or a program that cannot be started
      4  nothing could be decided

    \b
    Examples:
      convback check vectors/seed-8x8.npz
      convback check mine.npz
      convback check mine.npz --computed-in float32 --format json
    """
    if (file is None) == (cmd is None):
        raise click.UsageError("expected either a FILE or --cmd './mycnn {in} {out}'")
    _refuse_given(context, OF_PROGRAMS if file else OF_FILES, "--cmd" if file else "a FILE")
    rows, title = _of_file(file, **chosen) if file else _of_program(cmd or "", **chosen)
    report.write(presented(rows, title), style, path)
    return verdicts.exit_code(rows)


def _refuse_given(context: click.Context, names: Sequence[str], owner: str) -> None:
    """Options that would be ignored are not passed over in silence."""
    for parameter in context.command.params:
        if parameter.name in names and context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{parameter.opts[-1]} goes with {owner}")


def _of_file(
    file: Path, max_memory: int | None, max_macs: int, computed_in: str | None, digits: int | None, **chosen: Any
) -> tuple[list[Row], str]:
    parameters = {name: chosen[name] for name in PARAMETERS}
    given = submission(arrayfiles.read(file, max_memory or arrayfiles.MAX_MEMORY), **parameters)
    words = [f"--{name}={options.text_of(value)}" for name, value in parameters.items() if value is not None]
    advice = f"to find the mistake, run: {shlex.join(['convback', 'diagnose', str(file), *words])}"
    rows = [
        replace(row, reason=f"{row.reason}; {advice}") if row.status == "failed" else row
        for row in Judge(computed_in, digits, max_macs).rows(given, file.name)
    ]
    return rows, f"{file.name}, {notation.to_word(given.geom)}"


def _of_program(
    cmd: str, suite: str, words: tuple[str, ...], max_memory: int | None, via: str, timeout: float, **chosen: Any
) -> tuple[list[Row], str]:
    cases = options.chosen_cases(suite, words)
    trials = _trials(program(cmd, f".{via}", timeout, max_memory or MAX_MEMORY_OF_PROGRAMS), **chosen)
    rows: list[Row] = []
    with progress("checking", len(cases), chosen["quiet"]) as advance:
        for case in cases:
            rows += trials.rows(case)
            advance(case.name)
    return rows, f"{cmd}, {options.title(suite, words)}"


def _trials(
    asked: Program, own_forward: bool, no_bias: bool, mode: str | None, keep: Path | None, **chosen: Any
) -> Trials:
    if keep:
        try:
            keep.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise click.UsageError(f"--keep: {str(keep)!r} cannot be made: {error.strerror}") from None
    common = {name: chosen[name] for name in ("draws", "seed", "dtype", "max_macs")}
    kind = OwnForwardTrials if own_forward else ExactTrials
    return kind(asked, mode=mode or MODES[0], has_bias=not no_bias, keep=keep, **common)
