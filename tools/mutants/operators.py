"""The mutation operators, as tables: what is changed into what, one place at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from mutants import sources

TERM = r"(?<![\w.])[\w.]+\b(?:\[[^\]]*\])?"
PRODUCT = rf"{TERM}(?: (?:\*|//|%) {TERM})*"
OPERAND = r"\b(dy|x|w)((?:\[[^\]]*\])?)(?=,.* optimize| \*|$)"

# One taken for the other.
NAMES = (
    "i j", "h i", "k l", "m k", "q r", "c f", "n f", "f0 f", "c_of_group c", "lo hi", "lo _", "x y", "dy x",
    "first last", "start first", "positions taps", "step_h step_i", "channels_of_group filters_of_group",
    "stride dilation", "kernel y", "geom.kernel geom.y_spatial", "geom.x_spatial geom.y_spatial", "height width",
    "depth height", "channels filters", "C F", "N C", "Q R", "H I", "M K", "K L",
)  # fmt: skip


class Operator(NamedTuple):
    """What it does, patterns and what each match becomes ({0} the match, {1} its first group), and where it looks."""

    what: str
    changes: dict[str, tuple[str, ...]]
    view: str = "code"


def _either_way(pairs: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    changes: dict[str, tuple[str, ...]] = {}
    for pair in pairs:
        for old, new in (pair.split(), pair.split()[::-1]):
            pattern = rf"(?<![\w*])(?<!for ){re.escape(old)}\b(?! ?=(?!=))"
            changes[pattern] = (*changes.get(pattern, ()), new)
    return changes


OPERATORS = {
    "bound": Operator(
        "a loop that ends or begins one off",
        {
            r"\b(p?range)\(([^(),]+)(?=\)|, nogil)": ("{1}({2} - 1", "{1}({2} + 1", "{1}(1, {2}"),
            r"\brange\(([^(),]+), ([^(),]+)\)": ("range({1} + 1, {2})", "range({1}, {2} - 1)", "range({1}, {2} + 1)"),
            r"(?<= in )((?!range|prange)\S.*)(?=:$)": ("list({1})[:-1]", "list({1})[1:]"),
        },
    ),
    "compare": Operator(
        "a comparison that takes in or leaves out equality",
        {
            " < ": (" <= ", " >= "),
            " <= ": (" < ",),
            " > ": (" >= ",),
            " >= ": (" > ", " < "),
            " == ": (" != ",),
            " != ": (" == ",),
        },
    ),
    "swap": Operator(
        "two neighbours exchanged: indices, arguments, extents",
        {rf"(?<=[\[( ])(?<!= )(\*?{TERM}), (\*?{TERM})(?=[,)\]]| in | =|$)": ("{2}, {1}",)},
    ),
    "name": Operator("one index, extent or parameter taken for another", _either_way(NAMES)),
    "sign": Operator("plus for minus, minus for plus", {r" \+ ": (" - ",), " - ": (" + ",)}),
    "term": Operator("a term left out", {rf" [+-] {PRODUCT}": ("",), rf"{PRODUCT} \+ ": ("",)}),
    "factor": Operator("a factor left out", {rf" \* {TERM}": ("",), rf"{TERM} \* ": ("",)}),
    "division": Operator(
        "remainder for quotient, ceil for floor, or no division",
        {
            " // ": (" % ",),
            " % ": (" // ",),
            rf"({TERM}) // {TERM}": ("{1}",),
            rf"({TERM}) // ((?!geom\.groups){TERM})": ("({1} + {2} - 1) // {2}",),
            rf" % {TERM}": ("",),
        },
    ),
    "assign": Operator("a sum not accumulated, or subtracted", {r" \+= ": (" = ", " -= ")}),
    "constant": Operator(
        "a constant one off",
        {
            r"(?<![\w.])0\b": ("1",),
            r"(?<![\w.-])1\b": ("0", "2"),
            r"(?<=return -)1\b": ("0",),
            r"(?<![\w.])2\b": ("1", "3"),
            r"(?<![\w.])5\b": ("4", "6"),
            r"(?<!range\()\bLANES\b": ("(LANES - 1)", "(LANES + 1)"),
        },
    ),
    "omit": Operator(
        "a statement left out",
        {
            r"^( *)\w+\[.*\] \+?= .*$": ("{1}pass",),
            r"^( *)out \+= .*$": ("{1}pass",),
            r"^( *)(?!return)[a-z_]+\(.*\)$": ("{1}pass",),
            r"\bcontinue$": ("pass", "break"),
        },
    ),
    "condition": Operator(
        "a condition that always or never holds, or another connective",
        {
            r"^( *)if .+:$": ("{1}if True:", "{1}if False:"),
            r"\breturn ([^\[]+) if .+ else ([^\[]+)$": ("return {1}", "return {2}"),
            r"(?<=\[)([^\[]+) if .+ else (.+)(?= for )": ("{1}", "{2}"),
            r"\bor\b": ("and",),
            r"\band\b": ("or",),
            r"\bnot ": ("",),
        },
    ),
    "reduce": Operator(
        "another reduction",
        {r"\bmin\(": ("max(",), r"\bmax\(": ("min(",), r"\ball\(": ("any(",), r"\bany\(": ("all(",)},
    ),
    "fill": Operator("memory filled with nothing, or with ones", {r"\bzeros\(": ("empty(", "ones(")}),
    "precision": Operator(
        "sums in the narrower dtype",
        {
            r"\bnp\.float64\b": ("np.float32",),
            r"\b(x|out)\.dtype\b": ("np.float32",),
            r"\b(cdef )(real|double)(?=\[LANES\]| result)": ("{1}float",),
        },
        "types",
    ),
    "scale": Operator(
        "a result off by a thousandth",
        {
            r"^( *\w+\[.*\] \+?= |out \+= )(?!0$)(.+)$": ("{1}1.001 * ({2})",),
            r"\breturn (total\(.*\)|result)$": ("return 1.001 * {1}",),
        },
    ),
    "input": Operator(
        "an input written",
        {
            rf"^ *(?:out|total|gradients)\b.* \+?= .*?{OPERAND}.*$": ("{0}; {1}{2} += 1",),
            rf"^ *(?:out|total|gradients)\b.* \+?= .*{OPERAND}.*$": ("{0}; {1}{2} += 1",),
            r"^ *(?:[xy]|lanes)\[.* \+= .*\b([xy])(\[[^\]]*\])$": ("{0}; (<real *> {1}){2} = 0",),
        },
    ),
    "letter": Operator("two letters of an einsum exchanged", {r"([a-z])([a-z])": ("{2}{1}",)}, "strings"),
}


@dataclass(frozen=True)
class Mutant:
    """A backend with one line changed."""

    backend: str
    file: str
    line: int
    column: int
    operator: str
    original: str
    changed: str

    @property
    def id(self) -> str:
        return f"{self.backend}/{self.file}:{self.line}:{self.column} {self.operator}"


def mutants(backend: str) -> Iterator[Mutant]:
    """All mutants of a backend, no two alike."""
    for file in sources.FILES[backend]:
        seen = set()
        for line in sources.lines(sources.package(backend) / file):
            for operator, column, changed in changes(line):
                if changed != line.text and (line.number, changed) not in seen:
                    seen.add((line.number, changed))
                    yield Mutant(backend, file, line.number, column, operator, line.text, changed)


def changes(line: sources.Line) -> Iterator[tuple[str, int, str]]:
    """Operator, column and changed text for each change of a line."""
    for name, operator in OPERATORS.items():
        for pattern, templates in operator.changes.items():
            for match in _matches(pattern, getattr(line, operator.view)):
                groups = [line.text[slice(*match.span(group))] for group in range(match.re.groups + 1)]
                for new in (template.format(*groups) for template in templates):
                    dot = "." if line.text[: match.start()].endswith(".") else ""
                    if name == "name" and dot + new.split(".")[0] not in line.scope:
                        continue
                    yield name, match.start() + 1, line.text[: match.start()] + new + line.text[match.end() :]


def _matches(pattern: str, text: str) -> Iterator[re.Match[str]]:
    """All matches, those that overlap as well."""
    compiled, start = re.compile(pattern), 0
    while match := compiled.search(text, start):
        yield match
        start = match.start() + 1
