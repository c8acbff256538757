"""Options that several commands share."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import click

import convback
from convback import ConvbackError
from convback.errors import did_you_mean
from convback.geometry import PADDING_WORDS
from convback_tools import report, suites
from convback_tools.submission import MODES
from convback_tools.suites import Case
from convback_tools.verification.challenges import UNIT_ROUNDOFF

F = TypeVar("F", bound=Callable[..., Any])

PICTURES = (".png", ".svg", ".pdf")

UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}


class _Bytes(click.ParamType[int]):
    name = "bytes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"(\d+)\s*([KMG]?)(i?B)?", str(value).strip(), re.IGNORECASE)
        if not found or int(found[1]) == 0:
            self.fail(f"{value!r} is not an amount of memory; expected a number with a unit, such as 512MiB or 4GiB")
        return int(found[1]) * UNITS[found[2].upper()]


BYTES = _Bytes()


LONGEST_NUMBERS = 100  # characters


class _Numbers(click.ParamType[Any]):
    """A number, or one for each axis, or where `words` are given a pair for each axis, or one of the words."""

    name = "numbers"

    def __init__(self, words: Sequence[str] = ()) -> None:
        self.words = words
        self.forms = "2 or 2,3" + (f", 1:2,0:1 or a word: {', '.join(words)}" if words else "")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        text = value.strip()
        if text in self.words:
            return text
        pairs = re.sub(r"(\d+)\s*:\s*(\d+)", r"(\1,\2)", text)
        try:
            if len(text) > LONGEST_NUMBERS or not re.fullmatch(r"[\d\s,()\[\]]+", pairs):
                raise ValueError
            numbers = ast.literal_eval(f"({pairs.rstrip(', ')},)")
        except (ValueError, SyntaxError):
            self.fail(f"{value!r} is not understood.{did_you_mean(text, self.words)} Expected {self.forms}", param, ctx)
        # One pair is that of a single axis if written 1:2, else it is a number for each axis, as in Python.
        return numbers[0] if len(numbers) == 1 and ":" not in text else numbers


def making(function: F) -> F:
    """--computed-in and --digits: how the numbers of a file were made."""
    function = click.option(
        "--digits", type=click.IntRange(1, 30), help="The numbers of FILE were printed with so many digits."
    )(function)
    return click.option(
        "--computed-in", type=click.Choice(list(UNIT_ROUNDOFF)),
        help="What the numbers of FILE were computed in.  [default: the narrowest dtype of its arrays]",
    )(function)  # fmt: skip


def layer_parameters(function: F) -> F:
    """--stride, --padding, --dilation, --groups and --mode, None where they are not given."""
    for name, kind, text in reversed(
        (
            ("stride", _Numbers(), "Of the layer, such as 2 or 2,3."),
            (
                "padding",
                _Numbers(PADDING_WORDS),
                "Such as 1 or 1,0, or pairs 1:2,0:1, or a word such as same.",
            ),
            ("dilation", _Numbers(), "Such as 2 or 2,3; 1 is none."),
            ("groups", click.IntRange(1), "Of channels and filters."),
            ("mode", click.Choice(MODES), "Whether the layer flips its kernel, as a convolution does."),
        )
    ):
        function = click.option(f"--{name}", type=kind, metavar=None if name == "mode" else name.upper(), help=text)(
            function
        )
    return function


class NewFile(click.Path):
    """A file to be written; that this is possible is found out before the work and not after it."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path: Path = super().convert(value, param, ctx)  # type: ignore[assignment]
        if not path.parent.is_dir():
            self.fail(f"{str(path)!r} cannot be written: there is no folder {str(path.parent)!r}", param, ctx)
        return path


class PictureFile(NewFile):
    """A picture to be drawn by matplotlib; what that needs is found out before the work."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = super().convert(value, param, ctx)
        if path.suffix.lower() not in PICTURES:
            self.fail(f"{str(path)!r} is no {', '.join(PICTURES[:-1])} or {PICTURES[-1]}", param, ctx)
        try:
            import_module("matplotlib")
        except ImportError as error:
            self.fail(f'it needs matplotlib ({error}); pip install "convback[plot]"', param, ctx)
        return path


def backends(function: F) -> F:
    """-b and --all-backends."""
    function = click.option(
        "-b", "--backend", "backend_names", multiple=True, metavar="NAME", help="Only this backend (repeatable)."
    )(function)
    return click.option("--all-backends", is_flag=True, help="All installed backends; so it is without -b.")(function)


def cases(default: str) -> Callable[[F], F]:
    """--suite and --case."""

    def decorate(function: F) -> F:
        names = click.Choice(list(suites.SUITES))
        function = click.option(
            "--case", "words", multiple=True, metavar="WORD",
            help="Instead of a suite, this problem: a word such as g1mb2ic3ih32iw32oc8kh3kw3ph1pw1, or the name of a "
            "layer (repeatable).",
        )(function)  # fmt: skip
        return click.option(
            "--suite", type=names, default=default, show_default=True, help="Which built-in cases to run."
        )(function)

    return decorate


def chosen_cases(suite: str, words: tuple[str, ...]) -> list[Case]:
    """The cases that --suite and --case ask for."""
    try:
        return [suites.case(word) for word in words] or suites.suite(suite)
    except ConvbackError as error:
        raise click.UsageError(str(error)) from None


def text_of(value: Any) -> str:
    """A number, or numbers, as an option takes them."""
    return str(value).replace(" ", "")


def title(suite: str, words: Sequence[str], files: Sequence[Path] = ()) -> str:
    """How a report names the chosen cases."""
    if files:
        return ", ".join(file.name for file in files)
    if words:
        return "1 case" if len(words) == 1 else f"{len(words)} cases"
    return f"suite {suite}"


def chosen_backends(named: tuple[str, ...], all_backends: bool) -> tuple[str, ...]:
    """The backends that -b and --all-backends ask for."""
    if named and all_backends:
        raise click.UsageError("-b and --all-backends exclude each other")
    return tuple(dict.fromkeys(named)) or tuple(convback.backends())


def quiet(function: F) -> F:
    """--quiet."""
    return click.option("--quiet", is_flag=True, help="No progress on stderr.")(function)


def output(function: F) -> F:
    """--format and -o."""
    function = click.option(
        "--format", "style", type=click.Choice(report.FORMATS), default="table", show_default=True,
        help="How to write the results.",
    )(function)  # fmt: skip
    return click.option("-o", "path", type=NewFile(), metavar="FILE", help="Write them to a file, not to stdout.")(
        function
    )
