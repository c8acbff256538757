"""Every term of one entry of y, dx, dw or db, and every tap that gives it none.

On each axis of space an output position i, a tap k and an input position r meet where

    r = i * stride + k * dilation - p        or, read backwards,        i = (r + p - k * dilation) / stride

An entry gives one of the three (dw its tap, dx its input, y its output); the others are enumerated here, axis by axis.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np

from convback import ConvGeometry, ParameterError, ShapeError
from convback.contract import OPS
from convback.geometry import Shape
from convback_tools.explanation.indices import BY_TAP, FACTORS, entry, in_kernel, index_letters, map_of
from convback_tools.submission import Submission
from convback_tools.verification.question import Question

FORMS = ("gather", "scatter")
PADDING, BORDER, STRIDE = "padding", "border", "stride"  # why a tap gives no term
MOST_TERMS = 200_000


@dataclass(frozen=True)
class Factor:
    """One entry of an operand."""

    name: str
    index: Shape
    value: float

    def __str__(self) -> str:
        return entry(self.name, self.index)


@dataclass(frozen=True)
class Term:
    """A product of factors that an entry sums; c is the channel of w, so of the group.

    Of db, which sums dy alone, c is None and there are neither tap nor input.
    """

    n: int
    f: int
    c: int | None
    output: Shape
    tap: Shape
    input: Shape
    factors: tuple[Factor, ...]
    product: float
    sum: float


@dataclass(frozen=True)
class Missing:
    """A tap (of dw an output position) that gives the entry no term.

    The reason is "padding" where it meets a zero around x, "stride" where (r + p - k d) / s is no whole number, and
    "border" where it is one, but beyond the map of dy.
    """

    index: Shape
    reason: str


@dataclass(frozen=True)
class Explanation:
    """One entry of a result as the sum that it is.

    Attributes
    ----------
    op, index, form : str, tuple of int, str
        The entry; `form` says in which order dx sums.
    layer : Submission
    start : Factor or None
        The bias, which y begins with.
    terms : tuple of Term
    missing : tuple of Missing
    leads : range
        The channels (of y), filters (of dx) or images (of dw and db) that are summed over.
    candidates : int
        How many taps (of dw and db output positions) there are for each of them.
    """

    op: str
    index: Shape
    form: str
    layer: Submission
    start: Factor | None
    terms: tuple[Term, ...]
    missing: tuple[Missing, ...]
    leads: range
    candidates: int

    @property
    def value(self) -> float:
        """The sum of all terms, and of the bias."""
        if self.terms:
            return self.terms[-1].sum
        return self.start.value if self.start else 0.0

    @property
    def reads_backwards(self) -> bool:
        """Whether taps and output positions run in opposite directions: in the gather form of dx."""
        return self.op == "dx" and self.form == "gather"

    @property
    def given(self) -> float | None:
        """What somebody computed for this entry, if its array has the right shape."""
        computed = self.layer.results.get(self.op)
        shape = Question(self.op, self.layer.geom, np.dtype("float64")).result_shape
        return float(computed[self.index]) if computed is not None and computed.shape == shape else None


@dataclass(frozen=True)
class _Meeting:
    """What meets on one axis, or why nothing does."""

    i: int
    k: int
    r: int
    missing: str = ""


def forms(op: str) -> tuple[str, ...]:
    """The forms of a gradient: y, dw and db sum the same in the same order, whoever asks."""
    return FORMS if op == "dx" else FORMS[:1]


def explain(op: str, index: Sequence[int], layer: Submission, form: str = "gather") -> Explanation:
    """All terms of one entry.

    Parameters
    ----------
    op : {"y", "dx", "dw", "db"}
    index : sequence of int
        Of the entry, each counted from 0.
    layer : Submission
        The geometry and the operands.
    form : {"gather", "scatter"}
        In which order dx sums: over f, k, l, or as f, i, j come by. y, dw and db have the first form only.

    Raises
    ------
    ConvbackError
        If there is no such entry, an operand is missing, or nobody could read so many terms.
    """
    if op not in OPS:
        raise ParameterError(f"op is {op!r}; expected one of {OPS}")
    if form not in forms(op):
        raise ParameterError(f"form is {form!r}; expected {' or '.join(map(repr, forms(op)))} of {op}")
    geom = layer.geom
    place = _checked(op, index, geom)
    layer.operands(op)  # says what is missing
    leads = _leads(op, place, geom)
    candidates = prod(geom.kernel if op in BY_TAP else geom.y_spatial)
    if (places := candidates * max(1, len(leads))) > MOST_TERMS:
        raise ParameterError(
            f"{entry(op, place)} sums over {places} places, more than the {MOST_TERMS} that are "
            "listed at most; choose a smaller layer"
        )
    axes = [list(_axis(op, geom, axis, at)) for axis, at in enumerate(standpoint(op, place, layer))]
    start = Factor("b", place[1:2], float(layer.b[place[1]])) if op == "y" and layer.b is not None else None
    found = [meetings for meetings in product(*axes) if not any(m.missing for m in meetings)]
    if form == "scatter":
        found.sort(key=lambda meetings: [m.i for m in meetings])
    terms = tuple(_terms(op, place, layer, product(leads, found), start.value if start else 0.0))
    return Explanation(op, place, form, layer, start, terms, tuple(_missing(op, axes)), leads, candidates)


def _checked(op: str, index: Sequence[int], geom: ConvGeometry) -> Shape:
    shape = Question(op, geom, np.dtype("float64")).result_shape
    names = index_letters(op, geom)
    if len(index) != len(shape):
        many = "1 integer" if len(shape) == 1 else f"{len(shape)} integers"
        given = " ".join(map(str, index)) or "none"
        raise ShapeError(f"{op} has shape {shape}, so its index is {many}, {' '.join(names)}; got {given}")
    for name, value, extent in zip(names, index, shape, strict=True):
        if not 0 <= value < extent:
            why = "; a negative index does not count from the end here" if value < 0 else ""
            valid = f"0 to {extent - 1}" if extent else "nothing, as there is no entry"
            raise ShapeError(f"{op} has shape {shape}, and {name} is {value}; expected {valid}{why}")
    return tuple(index)


def _leads(op: str, place: Shape, geom: ConvGeometry) -> range:
    """The channels, filters or images that are summed over."""
    if op == "y":
        return range(geom.w_shape[1])
    if op == "dx":
        filters, group = geom.F // geom.groups, place[1] // geom.w_shape[1]
        return range(group * filters, (group + 1) * filters)
    return range(geom.N)


def standpoint(op: str, place: Shape, layer: Submission) -> Shape:
    """The output position, tap or input position of an entry."""
    if op == "db":
        return (0,) * layer.geom.rank
    return in_kernel(place[2:], layer) if op == "dw" else place[2:]


def _axis(op: str, geom: ConvGeometry, axis: int, at: int) -> Iterator[_Meeting]:
    """All taps of an axis, or all its output positions, with what they meet where the entry stands at `at`."""
    s, d, (lo, _) = geom.stride[axis], geom.dilation[axis], geom.padding[axis]
    x, y, kernel = geom.x_spatial[axis], geom.y_spatial[axis], geom.kernel[axis]
    if op == "dx":
        for k in range(kernel):
            i, rest = divmod(at + lo - k * d, s)
            yield _Meeting(i, k, at, STRIDE if rest else "" if 0 <= i < y else BORDER)
        return
    pairs = [(at, k) for k in range(kernel)] if op == "y" else [(i, at) for i in range(y)]
    for i, k in pairs:
        r = i * s + k * d - lo
        yield _Meeting(i, k, r, "" if op == "db" or 0 <= r < x else PADDING)


def _missing(op: str, axes: list[list[_Meeting]]) -> Iterator[Missing]:
    for meetings in product(*axes):
        reasons = {m.missing for m in meetings} - {""}
        if reasons:
            # A place between strides does not exist, wherever the other axes lie.
            reason = STRIDE if STRIDE in reasons else reasons.pop()
            yield Missing(tuple(m.i if op == "dw" else m.k for m in meetings), reason)


def _terms(
    op: str, place: Shape, layer: Submission, found: Iterator[tuple[int, tuple[_Meeting, ...]]], total: float
) -> Iterator[Term]:
    for lead, meetings in found:
        n, f, c = batch_filter_channel(op, place, lead, layer.geom)
        output = tuple(m.i for m in meetings)
        tap, into = (tuple(m.k for m in meetings), tuple(m.r for m in meetings)) if op != "db" else ((), ())
        first = {name: map_of(name, n, f, c, layer.geom) for name in FACTORS[op]}
        factors = tuple(_factor(name, first[name], output, tap, into, layer) for name in first)
        value = prod(factor.value for factor in factors)
        total += value
        yield Term(n, f, c, output, tap, into, factors, value, total)


def batch_filter_channel(op: str, place: Shape, lead: int, geom: ConvGeometry) -> tuple[int, int, int | None]:
    """n, f and the channel c of w of the terms of an entry that have this lead."""
    if op == "y":
        return place[0], place[1], lead
    if op == "dx":
        return place[0], lead, place[1] % geom.w_shape[1]
    return lead, place[0], None if op == "db" else place[1]


def _factor(name: str, first: Shape, output: Shape, tap: Shape, into: Shape, layer: Submission) -> Factor:
    index = (*first, *(in_kernel(tap, layer) if name == "w" else output if name == "dy" else into))
    return Factor(name, index, float(getattr(layer, name)[index]))
