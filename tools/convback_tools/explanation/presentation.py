"""An explanation as rows and as a report."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from convback_tools import report
from convback_tools.explanation import formulas
from convback_tools.explanation.indices import (
    FACTORS,
    INPUT,
    LEADS,
    OUTPUT,
    TAP,
    entry,
    index_letters,
    is_flipped,
    kernel_letters,
    letters,
    place_letters,
    rotated,
    turned,
)
from convback_tools.explanation.rows import named_indices, rows, text
from convback_tools.explanation.terms import BORDER, PADDING, STRIDE, Explanation, Missing, Term

SHOWN = 64  # terms that a table has room for
ENDS = 12  # shown of each end of a longer list
NAMED = 12  # missing taps that a note names one by one

ROTATION = (
    "The scatter form needs no rotation; the gather form reads the kernel backwards: tap k meets i = (r + p - k*d)/s."
)
CORRELATION = (
    "The gather form is the full correlation of dy, with s-1 zeros between its entries, with the kernel turned by 180 "
    "degrees, whose axes f and c change places."
)
CONVOLUTION = "This layer is a true convolution: its tap k stands in w at K-1-k."
FORWARDS = "So the gather form reads w as it stands, from its first entry to its last."

WHY = {
    STRIDE: "the stride skips them, as (r + p - k*d)/s is no whole number on some axis",
    BORDER: "they would meet dy beyond its border, where no window begins",
    PADDING: "they meet padding, where x is 0",
}


def report_of(explanation: Explanation, source: str, everything: bool) -> report.Report:
    """The report of an entry.

    Parameters
    ----------
    explanation : Explanation
    source : str
        Where the layer comes from: a case or a file.
    everything : bool
        Whether the table shows all terms, however many they are.
    """
    columns, lines = _columns(explanation), notes(explanation, source)
    cells = [[text(value) for value in line] for line in _lines(explanation, shown(explanation.terms, everything))]
    if hidden := len(explanation.terms) - len(cells):
        cells.insert(ENDS, ["..."] + [""] * (len(columns) - 1))
        lines.insert(0, f"{hidden} terms are not shown; --all shows them, and --format json has them.")
    form = f", {explanation.form} form" if explanation.op == "dx" else ""
    return report.Report(
        rows=rows(explanation),
        title=f"convback explain: {entry(explanation.op, explanation.index)} of {source}{form}",
        columns=columns,
        cells=cells,
        notes=lines,
        extra=_document(explanation, source),
    )


def shown(terms: Sequence[Term], everything: bool) -> list[tuple[int, Term]]:
    """The terms that people see, numbered from 1: all, or the first and the last ones."""
    numbered = list(enumerate(terms, 1))
    return numbered if everything or len(terms) <= SHOWN else numbered[:ENDS] + numbered[-ENDS:]


def _derived(explanation: Explanation) -> list[str]:
    """The letters that follow from those that are summed over."""
    geom = explanation.layer.geom
    if explanation.op == "db":
        return []
    return list(letters(OUTPUT if explanation.reads_backwards else INPUT, geom))


def _summed(explanation: Explanation) -> tuple[str, ...]:
    return formulas.summed(explanation.op, explanation.form, explanation.layer.geom)


def _columns(explanation: Explanation) -> list[str]:
    backwards = map(turned, letters(TAP, explanation.layer.geom)) if explanation.reads_backwards else ()
    factors = _headers(explanation)
    product = ["product"] if len(factors) > 1 else []
    return ["term", *_summed(explanation), *backwards, *_derived(explanation), *factors, *product, "sum"]


def _headers(explanation: Explanation) -> list[str]:
    """The factors, with the indices that are the same in all terms as numbers."""
    layer, geom = explanation.layer, explanation.layer.geom
    known: dict[str, Any] = dict(zip(index_letters(explanation.op, geom), explanation.index, strict=True))
    if explanation.op == "dx":
        known["c"] %= geom.w_shape[1]
    headers = []
    for name in FACTORS[explanation.op]:
        index = [known.get(letter, letter) for letter in index_letters(name, geom)]
        if name == "x":
            index[1] = _channel(known["f"] // (geom.F // geom.groups) * geom.w_shape[1], index[1])
        elif name == "w":
            index[2:] = kernel_letters(layer)
        headers.append(entry(name, index))
    return headers


def _channel(first: int, c: int | str) -> int | str:
    """The channel of x at c of a group whose channels begin with `first`."""
    if isinstance(c, int):
        return first + c
    return f"{first}+{c}" if first else c


def _lines(explanation: Explanation, numbered: Sequence[tuple[int, Term]]) -> Iterator[list[Any]]:
    for number, term in numbered:
        at = named_indices(term, explanation)
        summed, derived = ([at[letter] for letter in row] for row in (_summed(explanation), _derived(explanation)))
        backwards = rotated(term.tap, explanation.layer.geom) if explanation.reads_backwards else ()
        values = [factor.value for factor in term.factors]
        product = [term.product] if len(values) > 1 else []
        yield [number, *summed, *backwards, *derived, *values, *product, term.sum]


def headline(explanation: Explanation) -> str:
    """An entry, its value, and of how many terms it is the sum."""
    named, start = entry(explanation.op, explanation.index), explanation.start
    count = len(explanation.terms)
    many = "1 term" if count == 1 else f"{count or 'no'} terms"
    bias = f" and {start} = {text(start.value)}" if start else ""
    return f"{named} = {text(explanation.value)}, the sum of {many}{bias}"


def notes(explanation: Explanation, source: str) -> list[str]:
    """The lines below the table."""
    lines = [
        f"Formula: {formulas.plain(explanation.op, explanation.form, explanation.layer)}",
        f"{headline(explanation)}.",
        *_missing_notes(explanation),
    ]
    if explanation.op == "dx":
        lines.append(ROTATION)
    if is_flipped(explanation.layer) and explanation.op != "db":
        lines.append(f"{CONVOLUTION} {FORWARDS}" if explanation.reads_backwards else CONVOLUTION)
    elif explanation.reads_backwards:
        lines.append(CORRELATION)
    if explanation.given is not None:
        lines.append(f"{source} has {entry(explanation.op, explanation.index)} = {text(explanation.given)}.")
    return lines


def _missing_notes(explanation: Explanation) -> Iterator[str]:
    for reason in (STRIDE, BORDER, PADDING):
        missing = [place for place in explanation.missing if place.reason == reason]
        if missing:
            yield f"{_counted(missing, explanation)} {WHY[reason]}{_listed(missing, explanation)}."


def _counted(missing: Sequence[Missing], explanation: Explanation) -> str:
    what = "output position" if explanation.op == "dw" else "tap"
    plural = "" if explanation.candidates == 1 else "s"
    return f"No term from {len(missing)} of {explanation.candidates} {what}{plural} of each {LEADS[explanation.op]}:"


def _listed(missing: Sequence[Missing], explanation: Explanation) -> str:
    if len(missing) > NAMED:
        return ""
    letters_of_place = ",".join(place_letters(explanation.op, explanation.layer.geom))
    return f"; {letters_of_place} = {'  '.join(','.join(map(str, place.index)) for place in missing)}"


def _document(explanation: Explanation, source: str) -> dict[str, Any]:
    start = explanation.start
    return {
        "source": source,
        "op": explanation.op,
        "index": list(explanation.index),
        "form": explanation.form,
        "formula": formulas.plain(explanation.op, explanation.form, explanation.layer),
        "terms": len(explanation.terms),
        "bias": _finite(start.value if start else None),
        "sum": _finite(explanation.value),
        "given": _finite(explanation.given),
        "candidates": explanation.candidates,
        "missing": {
            reason: {"count": count, "index": [list(m.index) for m in explanation.missing if m.reason == reason]}
            for reason, count in Counter(m.reason for m in explanation.missing).items()
        },
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
