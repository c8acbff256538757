"""The rows of an explanation: one for each term."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from convback_tools.explanation.indices import INPUT, OUTPUT, TAP, letters, rotated
from convback_tools.explanation.terms import Explanation, Term


@dataclass(frozen=True, kw_only=True)
class Row:
    """One term; c is the channel of w. Letters that the rank or the gradient does not use are None."""

    term: int
    n: int
    f: int
    c: int | None
    h: int | None = None
    i: int | None = None
    j: int | None = None
    m: int | None = None
    k: int | None = None
    l: int | None = None
    q: int | None = None
    r: int | None = None
    s: int | None = None
    rotated_m: int | None = None
    rotated_k: int | None = None
    rotated_l: int | None = None
    left: str
    left_value: float
    right: str | None = None
    right_value: float | None = None
    product: float
    sum: float


def rows(explanation: Explanation) -> list[Row]:
    """All terms, for programs."""
    return [_row(number, term, explanation) for number, term in enumerate(explanation.terms, 1)]


def _row(number: int, term: Term, explanation: Explanation) -> Row:
    geom = explanation.layer.geom
    at = named_indices(term, explanation)
    if explanation.op == "dx":
        at |= zip((f"rotated_{k}" for k in letters(TAP, geom)), rotated(term.tap, geom), strict=True)
    factors: dict[str, Any] = {}
    for side, factor in zip(("left", "right"), term.factors, strict=False):  # db has only one
        factors |= {side: str(factor), f"{side}_value": factor.value}
    return Row(term=number, product=term.product, sum=term.sum, **at, **factors)


def named_indices(term: Term, explanation: Explanation) -> dict[str, Any]:
    """The indices of a term by their letters."""
    geom = explanation.layer.geom
    at: dict[str, Any] = {"n": term.n, "f": term.f, "c": term.c}
    for triple, position in ((OUTPUT, term.output), (TAP, term.tap), (INPUT, term.input)):
        at |= zip(letters(triple, geom), position, strict=False)  # db has neither tap nor input
    return at


def text(value: float) -> str:
    """A number: an integer as such, any other with seven digits."""
    if isinstance(value, int) or (value.is_integer() and abs(value) < 2**53):
        return str(int(value))
    return f"{value:.7g}"
