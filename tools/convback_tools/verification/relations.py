"""Metamorphic relations: what must hold between the answers to related problems, with no oracle at all.

Most relations restate the layer as another one (`Restated`): maps take the arrays x, w and y into the related problem,
and others take its results back. A gradient of the related problem, taken back, must be the gradient of this one:
exactly on integers; for a backend that declares an `error_bound`, within both bounds together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np

import convback
from convback import ConvbackError, ConvGeometry
from convback.contract import Array
from convback.geometry import effective_kernel
from convback_tools.verification.challenges import Challenge
from convback_tools.verification.findings import Finding, compare
from convback_tools.verification.question import Question
from convback_tools.verification.respondent import Respondent

Operands: TypeAlias = tuple[Array, ...]
Ask: TypeAlias = Callable[[Question, Operands], Array]
Map: TypeAlias = Callable[[Array], Array]

# The array of the layer that each operand and result is shaped as.
ROLES = {"x": "x", "w": "w", "dy": "y", "y": "y", "dx": "x", "dw": "w", "db": "b"}
THREADS = (1, 2, 3, 7)
EXPONENTS = (3, -5)
GROWTH = 64  # a related problem with more than so many times the products is left out


class Relation(NamedTuple):
    """A name, and the related answer: a function of the question, its operands, and of whoever answers the others.

    `asks` says whether anybody is asked, so that the answer has an error.
    """

    name: str
    related: Callable[[Question, Operands, Ask], Array]
    asks: bool = True


class Unanswered(Exception):
    """The backend does not take the related question."""


class Relations(Challenge):
    """Integers: the answers to related problems must agree."""

    def draw(self) -> Operands:
        return self.question.integers(self.question.generator("relations", self.number))

    def judge(self, answer: Array, respondent: Respondent) -> Finding:
        def ask(question: Question, operands: Operands) -> Array:
            if respondent.refusal(question):
                raise Unanswered
            return respondent.answer(question, operands)

        def bound(question: Question, operands: Operands) -> Array:
            declared = respondent.error_bound(question, operands)
            return np.zeros(question.result_shape) if declared is None else declared

        worst, own_bound = Finding(), bound(self.question, self.operands)
        for name, related, asks in relations(self.question):
            try:
                other = related(self.question, self.operands, ask)
            except Unanswered:
                continue
            other_bound = related(self.question, self.operands, bound) if asks else 0
            found = compare(answer, other, own_bound + other_bound)
            if found.fault:
                found = replace(found, fault=f"the relation '{name}' does not hold: {found.fault}")
            worst = max(worst, found, key=lambda finding: finding.rank)
        return worst


@dataclass(frozen=True)
class Restated:
    """A related problem, and by role (x, w, y, b) how arrays get there and results come back; absent: as they are."""

    geom: ConvGeometry
    into: Mapping[str, Map] = field(default_factory=dict)
    back: Mapping[str, Map] = field(default_factory=dict)

    def __call__(self, question: Question, operands: Operands, ask: Ask) -> Array:
        named = zip(question.operand_names, operands, strict=True)
        there = tuple(np.ascontiguousarray(self._map(self.into, ROLES[name])(a)) for name, a in named)
        return self._map(self.back, ROLES[question.op])(ask(replace(question, geom=self.geom), there))

    @staticmethod
    def _map(maps: Mapping[str, Map], role: str) -> Map:
        return maps.get(role, lambda a: a)


def relations(question: Question) -> Iterator[Relation]:
    """Every relation that says something of the question."""
    g = question.geom
    yield Relation("scaled by powers of two", scaled)
    yield Relation("on 1, 2, 3 and 7 threads", threaded)
    if question.dtype == np.float32:
        yield Relation("float32 = float64", widened)
    if g.N > 1:
        yield Relation("batch split", split)
    if question.op != "db" and set(g.kernel) == set(g.stride) == {1} and not np.any(g.padding):
        yield Relation("1x1 = matrix product", multiplied, asks=False)
    for name, restate in RESTATED.items():
        try:
            restated = restate(g)
        except ConvbackError:  # too large to be addressed
            continue
        if restated is None or restated.geom.macs > GROWTH * g.macs:
            continue
        if question.op != "db" or {"y", "b"} & {*restated.into, *restated.back}:
            yield Relation(name, restated)


def scaled(question: Question, operands: Operands, ask: Ask) -> Array:
    exponents = EXPONENTS[: len(operands)]
    there = tuple(np.ldexp(a, e) for a, e in zip(operands, exponents, strict=True))
    result: Array = np.ldexp(ask(question, there), -sum(exponents))
    return result


def threaded(question: Question, operands: Operands, ask: Ask) -> Array:
    """The first answer that differs from the one on a single thread, else that one."""
    before = convback.get_num_threads()
    answers = []
    try:
        for threads in THREADS:
            convback.set_num_threads(threads)
            answers.append(ask(question, operands))
    finally:
        convback.set_num_threads(before)
    return next((a for a in answers if not np.array_equal(a, answers[0])), answers[0])


def widened(question: Question, operands: Operands, ask: Ask) -> Array:
    return ask(replace(question, dtype=np.dtype(np.float64)), tuple(a.astype(np.float64) for a in operands))


def split(question: Question, operands: Operands, ask: Ask) -> Array:
    g = question.geom
    half = g.N // 2
    parts = []
    for batch in (slice(half), slice(half, None)):
        there = tuple(a if name == "w" else a[batch] for name, a in zip(question.operand_names, operands, strict=True))
        geom = changed(g, x_shape=(len(range(g.N)[batch]), *g.x_shape[1:]))
        parts.append(ask(replace(question, geom=geom), there))
    if question.op in ("y", "dx"):
        return np.concatenate(parts)
    return parts[0] + parts[1]


def multiplied(question: Question, operands: Operands, ask: Ask) -> Array:
    """The gradient by NumPy's product of integer matrices, with (n, g, channel, position) as axes."""
    g = question.geom
    named = dict(zip(question.operand_names, (a.astype(np.int64) for a in operands), strict=True))
    arrays = {
        name: a.reshape(g.groups, g.F // g.groups, g.C // g.groups)
        if name == "w"
        else a.reshape(g.N, g.groups, a.shape[1] // g.groups, -1)
        for name, a in named.items()
    }
    if question.op == "y":
        product = arrays["w"] @ arrays["x"]
    elif question.op == "dx":
        product = arrays["w"].swapaxes(-1, -2) @ arrays["dy"]
    else:
        product = (arrays["dy"] @ arrays["x"].swapaxes(-1, -2)).sum(axis=0)
    return product.reshape(question.result_shape).astype(question.dtype)


def changed(g: ConvGeometry, **parameters: Any) -> ConvGeometry:
    """The geometry with some parameters replaced."""
    names = ("x_shape", "w_shape", "stride", "padding", "dilation", "groups")
    return ConvGeometry(**{name: parameters.get(name, getattr(g, name)) for name in names})


# Restated problems. Each is a function of the geometry; None where it would say nothing.


def permuted(extent: Callable[[ConvGeometry], int], **axes: int) -> Callable[[ConvGeometry], Restated | None]:
    """A cyclic permutation along one axis of each array named, counted where groups are an axis of their own."""

    def restate(g: ConvGeometry) -> Restated | None:
        if extent(g) < 2:
            return None

        def rolled(a: Array, role: str, by: int) -> Array:
            return np.roll(grouped(a, g, role), by, axes[role]).reshape(a.shape)

        into, back = ({role: partial(rolled, role=role, by=by) for role in axes} for by in (1, -1))
        return Restated(g, into, back)

    return restate


def grouped(a: Array, g: ConvGeometry, role: str) -> Array:
    """x and y as (N, G, channel, ...), w as (G, filter, channel, ...), b as (G, filter)."""
    if role in "wb":
        return a.reshape(g.groups, -1, *a.shape[1:])
    return a.reshape(a.shape[0], g.groups, -1, *a.shape[2:])


def dense(g: ConvGeometry) -> Restated | None:
    """One group, whose w is block-diagonal."""
    if g.groups == 1:
        return None
    filters, channels = g.F // g.groups, g.C // g.groups
    of_filter = np.arange(g.F)[:, np.newaxis], (np.arange(g.F) // filters * channels)[:, np.newaxis] + range(channels)

    def into(w: Array) -> Array:
        block_diagonal = np.zeros((g.F, g.C, *g.kernel), w.dtype)
        block_diagonal[of_filter] = w
        return block_diagonal

    geom = changed(g, w_shape=(g.F, g.C, *g.kernel), groups=1)
    return Restated(geom, {"w": into}, {"w": lambda dw: dw[of_filter]})


def reversed_axes(g: ConvGeometry) -> Restated | None:
    """Everything flipped: leading padding is what the last window reads behind x, and inputs it leaves are cut off."""
    reach = [
        (i - 1) * s + effective_kernel(k, d)
        for i, s, k, d in zip(g.y_spatial, g.stride, g.kernel, g.dilation, strict=True)
    ]
    behind = [n - r - lo for n, r, (lo, _) in zip(reach, g.x_spatial, g.padding, strict=True)]
    read = [r + min(0, b) for r, b in zip(g.x_spatial, behind, strict=True)]
    if min(read) < 1:
        return None
    padding = [(max(0, b), lo) for b, (lo, _) in zip(behind, g.padding, strict=True)]
    geom = changed(g, x_shape=(*g.x_shape[:2], *read), padding=padding)

    def flip(a: Array) -> Array:
        return np.flip(a, tuple(range(2, a.ndim)))

    def into_x(x: Array) -> Array:
        part: Any = (..., *map(slice, read))
        return flip(x[part])

    def back_x(dx: Array) -> Array:
        return padded(flip(dx), [(0, r - n) for r, n in zip(g.x_spatial, read, strict=True)])

    return Restated(geom, {"x": into_x, "w": flip, "y": flip}, {"x": back_x, "w": flip, "y": flip})


def transposed(g: ConvGeometry) -> Restated | None:
    """Space with its axes in the opposite order."""
    if g.rank == 1:
        return None

    def transpose(a: Array) -> Array:
        return a.transpose(0, 1, *range(a.ndim - 1, 1, -1))

    there = {name: getattr(g, name)[::-1] for name in ("stride", "padding", "dilation")}
    shapes = {name: (*getattr(g, name)[:2], *getattr(g, name)[:1:-1]) for name in ("x_shape", "w_shape")}
    maps: dict[str, Map] = dict.fromkeys("xwy", transpose)
    return Restated(changed(g, **there, **shapes), maps, maps)


def of_stride_1(g: ConvGeometry) -> Restated | None:
    """dy with zeros between its positions; y is every s-th of all positions."""
    if set(g.stride) == {1}:
        return None
    geom = changed(g, stride=1)
    every: Any = (..., *(slice(None, None, s) for s in g.stride))
    return Restated(geom, {"y": partial(spread, shape=geom.y_shape, places=every)}, {"y": lambda y: y[every]})


def of_dilation_1(g: ConvGeometry) -> Restated | None:
    """A kernel with zeros between its taps."""
    if set(g.dilation) == {1}:
        return None
    kernel = [effective_kernel(k, d) for k, d in zip(g.kernel, g.dilation, strict=True)]
    geom = changed(g, w_shape=(*g.w_shape[:2], *kernel), dilation=1)
    every: Any = (..., *(slice(None, None, d) for d in g.dilation))
    return Restated(geom, {"w": partial(spread, shape=geom.w_shape, places=every)}, {"w": lambda dw: dw[every]})


def of_padding_0(g: ConvGeometry) -> Restated | None:
    """x with its padding written out."""
    if not np.any(g.padding):
        return None
    inside: Any = (..., *(slice(lo, lo + r) for r, (lo, _) in zip(g.x_spatial, g.padding, strict=True)))
    spatial = (lo + r + hi for r, (lo, hi) in zip(g.x_spatial, g.padding, strict=True))
    geom = changed(g, x_shape=(*g.x_shape[:2], *spatial), padding=0)
    return Restated(geom, {"x": partial(padded, pairs=g.padding)}, {"x": lambda dx: dx[inside]})


def of_higher_rank(g: ConvGeometry) -> Restated | None:
    """One more spatial axis, of extent 1."""
    if g.rank == 3:
        return None
    shapes = {name: (*getattr(g, name)[:2], 1, *getattr(g, name)[2:]) for name in ("x_shape", "w_shape")}
    geom = changed(g, **shapes, stride=(1, *g.stride), padding=((0, 0), *g.padding), dilation=(1, *g.dilation))
    return Restated(
        geom, dict.fromkeys("xwy", lambda a: a[:, :, np.newaxis]), dict.fromkeys("xwy", lambda a: a[:, :, 0])
    )


def spread(a: Array, shape: tuple[int, ...], places: Any) -> Array:
    """Zeros of a shape, with the array at some places."""
    result = np.zeros(shape, a.dtype)
    result[places] = a
    return result


def padded(a: Array, pairs: Any) -> Array:
    return np.pad(a, ((0, 0), (0, 0), *pairs))


RESTATED: dict[str, Callable[[ConvGeometry], Restated | None]] = {
    "batch permuted": permuted(lambda g: g.N, x=0, y=0),
    "channels permuted": permuted(lambda g: g.C // g.groups, x=2, w=2),
    "filters permuted": permuted(lambda g: g.F // g.groups, y=2, w=1, b=1),
    "groups permuted": permuted(lambda g: g.groups, x=1, y=1, w=0, b=0),
    "groups = block-diagonal dense": dense,
    "everything flipped": reversed_axes,
    "everything transposed": transposed,
    "stride = zeros in dy": of_stride_1,
    "dilation = zeros in w": of_dilation_1,
    "padding = zeros around x": of_padding_0,
    "one more axis": of_higher_rank,
}
