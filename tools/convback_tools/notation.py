"""A problem as one word, in the notation of oneDNN's benchdnn, since bug reports use it.

    g1mb2ic3ih32iw32oc8kh3kw3sh1sw1ph1pw1dh0dw0

g groups · mb batch · ic channels · oc filters · and for each axis d, h, w: i input · o output · k kernel · s stride ·
p leading padding · d dilation, counted from 0. The rules of benchdnn:

- Defaults are g1, mb2, s1, d0. `_` and a final n"name" are ignored.
- A word with only w is one-dimensional, with h two-, with d three-dimensional. An axis none of whose i, k, o stands
  takes all its numbers from the axis before it.
- Padding that is not given follows from o where that stands (evenly, the odd zero at the end), else it is 0.
- The trailing padding is max(0, (o-1)s + k_effective - i - p) where o stands, else it equals the leading one.

Ours in addition: qd, qh, qw, the trailing padding, written where it differs from the leading one.

benchdnn's words for a deconvolution are read too: it is dx of the convolution whose x is its output, so i and o, and ic
and oc, change places.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from convback import ConvGeometry, ParameterError
from convback.geometry import AXIS_LETTERS, effective_kernel

_PAIR = re.compile(r"(g|mb|ic|oc|[ioksdpq][dhw])(\d{1,20})")  # any extent has at most 19 digits


class Problem(NamedTuple):
    """What a word says: the geometry, and the name, where it has one."""

    geom: ConvGeometry
    name: str | None


class _Axis(NamedTuple):
    x: int
    kernel: int
    stride: int
    padding: tuple[int, int]
    dilation: int


def parse(word: str, deconvolution: bool = False) -> Problem:
    """The problem that a word describes; of a deconvolution, the convolution whose dx it is.

    Raises
    ------
    ParameterError
        If the word does not follow the notation, or contradicts itself.
    ShapeError
        If the problem it describes is impossible.
    """
    numbers, name = _numbers(word)
    if deconvolution:
        numbers = _as_convolution(numbers)
    for required in ("ic", "oc"):
        if required not in numbers:
            raise ParameterError(f"problem {word!r} lacks {required!r}; expected a word such as ic3ih32oc8kh3ph1")
    axes = _axes(word, numbers)
    groups = numbers.get("g", 1)
    channels = numbers["ic"]
    if groups and channels % groups:
        raise ParameterError(f"problem {word!r}: g{groups} does not divide ic{channels}")
    x_shape = (numbers.get("mb", 2), channels, *(axis.x for axis in axes))
    w_shape = (numbers["oc"], channels // max(1, groups), *(axis.kernel for axis in axes))
    _, _, stride, padding, dilation = zip(*axes, strict=True)
    geom = ConvGeometry(x_shape, w_shape, stride, padding, dilation, groups)
    _check_outputs(word, numbers, geom)
    return Problem(geom, name)


def to_word(geom: ConvGeometry) -> str:
    """The word of a geometry; `parse` gives the same geometry back."""
    letters = AXIS_LETTERS[-geom.rank :]
    rows = {
        "i": geom.x_spatial,
        "k": geom.kernel,
        "s": geom.stride,
        "p": tuple(lo for lo, _ in geom.padding),
        "d": tuple(d - 1 for d in geom.dilation),
    }
    text = {key: "".join(f"{key}{a}{v}" for a, v in zip(letters, row, strict=True)) for key, row in rows.items()}
    trailing = "".join(f"q{a}{hi}" for a, (lo, hi) in zip(letters, geom.padding, strict=True) if hi != lo)
    return (
        f"g{geom.groups}mb{geom.N}ic{geom.C}{text['i']}oc{geom.F}{text['k']}{text['s']}{text['p']}{trailing}{text['d']}"
    )


def arguments(geom: ConvGeometry) -> dict[str, Any]:
    """The parameters of a geometry, as the functions of convback and `ConvGeometry` take them by name."""
    return {"stride": geom.stride, "padding": geom.padding, "dilation": geom.dilation, "groups": geom.groups}


def _numbers(word: str) -> tuple[dict[str, int], str | None]:
    body, _, name = word.partition("n")  # no key has this letter
    body = body.replace("_", "")
    rest = _PAIR.sub("", body)
    if rest or not body:
        raise ParameterError(
            f"problem {word!r}: {rest or 'nothing'!r} is not understood; expected pairs of letters and number, such as "
            "g1mb2ic3ih32iw32oc8kh3kw3sh1sw1ph1pw1dh0dw0"
        )
    pairs = _PAIR.findall(body)
    if len({letters for letters, _ in pairs}) < len(pairs):
        raise ParameterError(f"problem {word!r} gives a number twice")
    return {letters: int(digits) for letters, digits in pairs}, name.strip('"') or None


def _as_convolution(numbers: dict[str, int]) -> dict[str, int]:
    other = {"i": "o", "o": "i"}
    swapped = {other.get(key[0], key[0]) + key[1:]: number for key, number in numbers.items()}
    for a in AXIS_LETTERS:
        if f"o{a}" in swapped and f"k{a}" in swapped and f"i{a}" not in swapped:
            reach = effective_kernel(swapped[f"k{a}"], swapped.get(f"d{a}", 0) + 1)
            swapped[f"i{a}"] = (swapped[f"o{a}"] - 1) * swapped.get(f"s{a}", 1) + reach - 2 * swapped.get(f"p{a}", 0)
    return swapped


def _axes(word: str, numbers: dict[str, int]) -> list[_Axis]:
    given = [a for a in AXIS_LETTERS if any(key + a in numbers for key in "iko")]
    if not given:
        raise ParameterError(f"problem {word!r} has no spatial axis; expected at least iw and kw, or ih and kh")
    axes: list[_Axis] = []
    for letter in AXIS_LETTERS[AXIS_LETTERS.index(given[0]) :]:
        axes.append(_axis(word, numbers, letter) if letter in given else axes[-1])
    return axes


def _axis(word: str, numbers: dict[str, int], a: str) -> _Axis:
    for key in "ik":
        if key + a not in numbers:
            raise ParameterError(f"problem {word!r} lacks {key + a!r}")
    x, kernel = numbers["i" + a], numbers["k" + a]
    stride, dilation = numbers.get("s" + a, 1), numbers.get("d" + a, 0) + 1
    total = None  # padding of both sides, where the output tells
    if "o" + a in numbers:
        total = (numbers["o" + a] - 1) * stride + effective_kernel(kernel, dilation) - x
    lo = numbers.get("p" + a, max(0, total or 0) // 2)
    hi = numbers.get("q" + a, lo if total is None else max(0, total - lo))
    return _Axis(x, kernel, stride, (lo, hi), dilation)


def _check_outputs(word: str, numbers: dict[str, int], geom: ConvGeometry) -> None:
    for a, y in zip(AXIS_LETTERS[-geom.rank :], geom.y_spatial, strict=True):
        if numbers.get("o" + a, y) != y:
            raise ParameterError(f"problem {word!r} says o{a}{numbers['o' + a]}, but its other numbers give o{a}{y}")
