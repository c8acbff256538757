"""Which stride, padding and dilation lead from the shapes of x and w to the shape of y.

On one axis a stride s and a dilation d need a padding, of both sides together, of

    (y - 1) * s + effective_kernel - x  to  that + s - 1

Of how it is divided shapes say nothing; only the usual divisions are proposed: evenly, else with the odd zero at the
end ("same") or at the start ("same_lower").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, product
from typing import Any, NamedTuple, TypeAlias

from convback import ConvGeometry, ShapeError
from convback.geometry import Padding, PerAxis, Shape, effective_kernel, same_padding

STRIDES, DILATIONS = range(1, 9), range(1, 5)  # and a stride as long as the kernel, whose windows do not overlap
PADDINGS = 64  # sums of padding that are tried for each of them
MIXED = 8  # options of each axis that are combined with those of others unlike them
STRIDES_MIXED = 4  # options of each axis that are combined with those of others of the same rule


class _Option(NamedTuple):
    """What one axis may have; `kinds` are the rules that its padding follows."""

    stride: int
    padding: tuple[int, int]
    dilation: int
    kinds: frozenset[Any]

    @property
    def difficulty(self) -> tuple[int, ...]:
        """Orders options, simplest first."""
        lo, hi = self.padding
        return self.dilation, int(lo != hi), self.stride, int(self.kinds.isdisjoint(("valid", "half"))), lo + hi, lo


Options: TypeAlias = tuple[_Option, ...]  # of every axis


def parameters(
    x: Sequence[int],
    w: Sequence[int],
    y: Sequence[int],
    *,
    stride: PerAxis | None = None,
    padding: Padding | None = None,
    dilation: PerAxis | None = None,
) -> list[ConvGeometry]:
    """Layers that give a y of this shape from x and w of these shapes, simplest first; parameters that are given stay.

    Raises
    ------
    ShapeError
        If the shapes cannot fit, whatever the parameters.
    ParameterError
        If a parameter that is given is of wrong form.
    """
    x, w, y = tuple(x), tuple(w), tuple(y)
    groups = _groups(x, w, y)
    ones = (1,) * len(x)
    given = ConvGeometry(  # refuses wrong forms
        ones,
        ones,
        1 if stride is None else stride,
        0 if padding is None else padding,
        1 if dilation is None else dilation,
    )
    axes = []
    for at, (X, K, I) in enumerate(zip(x[2:], w[2:], y[2:], strict=True)):
        strides = sorted({*STRIDES, K}) if stride is None else [given.stride[at]]
        dilations = [given.dilation[at]] if dilation is not None else DILATIONS if K > 1 else [1]
        fixed = padding if padding is None or isinstance(padding, str) else (given.padding[at],)
        options = (_options(X, K, I, s, d, fixed) for s, d in product(strides, dilations))
        axes.append(sorted(chain.from_iterable(options), key=lambda option: option.difficulty))
    layers = {*_uniform(axes), *product(*(axis[:MIXED] for axis in axes))}
    return [_geometry(x, w, layer, groups) for layer in sorted(layers, key=_difficulty)]


def _groups(x: Shape, w: Shape, y: Shape) -> int:
    shapes = f"x {x}, w {w} and y {y}"
    if not len(x) == len(w) == len(y) or not 3 <= len(x) <= 5:
        raise ShapeError(f"the shapes are {shapes}; expected as many axes, 3 to 5, (N, C, *spatial) of x")
    for name, at, other, there in (("N", 0, x, "x"), ("F", 1, (0, w[0]), "w")):
        if y[at] != other[at]:
            raise ShapeError(f"the shapes are {shapes}: {name} is {y[at]} in y and {other[at]} in {there}")
    groups, rest = divmod(x[1], w[1]) if w[1] else (1, x[1])
    if rest or not groups or w[0] % groups:
        raise ShapeError(f"the shapes are {shapes}: C is {x[1]}, in groups of {w[1]} channels, which share F = {w[0]}")
    if min(y[2:]) < 1 or min(w[2:]) < 1:
        raise ShapeError(f"the shapes are {shapes}; expected spatial extents of at least 1 in w and y")
    return groups


def _options(X: int, K: int, I: int, s: int, d: int, fixed: Padding | None) -> Iterator[_Option]:
    """Paddings of one axis: the usual ones, or the one that is given, if it fits."""
    for padding in _usual_paddings(X, K, I, s, d) if fixed is None else [fixed]:
        try:
            axis = ConvGeometry((1, 1, X), (1, 1, K), s, padding, d)
        except ShapeError:  # the kernel exceeds the padded input
            continue
        if axis.y_spatial == (I,):
            yield _Option(s, axis.padding[0], d, frozenset(_kinds(X, K, s, d, axis.padding[0])))


def _usual_paddings(X: int, K: int, I: int, s: int, d: int) -> Iterator[Padding]:
    reach = effective_kernel(K, d)
    least = (I - 1) * s + reach - X
    for total in range(max(0, least), least + min(s, PADDINGS)):
        for lo in sorted({total // 2, total - total // 2}):
            if max(lo, total - lo) <= reach:  # more than the kernel is hardly meant
                yield ((lo, total - lo),)


def _kinds(X: int, K: int, s: int, d: int, pair: tuple[int, int]) -> Iterator[Any]:
    lo, hi = pair
    reach = effective_kernel(K, d)
    yield pair
    if lo == hi == 0:
        yield "valid"
    if lo == hi and 2 * lo == reach - 1:
        yield "half"
    if lo == hi == reach - 1:
        yield "full"
    for word in ("same", "same_lower"):
        if pair == same_padding(X, K, s, d, extra_first=word == "same_lower"):
            yield word


def _uniform(axes: list[list[_Option]]) -> Iterator[Options]:
    """Layers the padding of all whose axes follows the same rule, and whose dilation is the same."""
    by_rule: list[dict[Any, list[_Option]]] = [{} for _ in axes]
    for rules, options in zip(by_rule, axes, strict=True):
        for option in options:
            for kind in option.kinds:
                rules.setdefault((option.dilation, kind), []).append(option)
    for rule in by_rule[0]:
        if all(rule in rules for rules in by_rule):
            yield from product(*(rules[rule][:STRIDES_MIXED] for rules in by_rule))


def _difficulty(layer: Options) -> tuple[Any, ...]:
    """Orders layers, simplest first: axes that follow one rule, then what is harder on the hardest axis."""
    strides, _, dilations, kinds = zip(*layer, strict=True)
    mixed = (len(set(strides)) > 1) + (len(set(dilations)) > 1) + (not frozenset.intersection(*kinds))
    return mixed, sorted((option.difficulty for option in layer), reverse=True), [option[:3] for option in layer]


def _geometry(x: Shape, w: Shape, layer: Options, groups: int) -> ConvGeometry:
    stride, padding, dilation, _ = zip(*layer, strict=True)
    return ConvGeometry(x, w, stride, padding, dilation, groups)
