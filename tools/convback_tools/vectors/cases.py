"""The layers that test vectors are written for, and a layer with its numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from convback import ConvGeometry, ParameterError
from convback.contract import Array
from convback_tools import integers, notation, suites
from convback_tools.notation import arguments
from convback_tools.submission import MODES, OPERANDS, RESULTS, submission

INDEX = "index"  # the name of the file that lists the others
LONGEST_NAME = 100  # file systems end at 255, and identifiers of a header are made from it


@dataclass(frozen=True)
class Layer:
    """A layer to write a test vector for: its name, what it can show, its geometry and mode."""

    name: str
    about: str
    geom: ConvGeometry
    mode: str = MODES[0]

    @property
    def word(self) -> str:
        """The layer as one word."""
        return notation.to_word(self.geom)

    @property
    def parameters(self) -> dict[str, Any]:
        """All parameters written out, so that a reader needs no defaults."""
        return {**arguments(self.geom), "mode": self.mode}

    @property
    def numbers(self) -> int:
        """How many there are in all arrays of its vector."""
        g = self.geom
        return 2 * sum(map(math.prod, (g.x_shape, g.w_shape, g.y_shape, (g.F,))))


@dataclass(frozen=True)
class Vector:
    """A layer with operands x, w, dy and b, and the right y, dx, dw and db."""

    layer: Layer
    arrays: dict[str, Array]

    @property
    def members(self) -> dict[str, Any]:
        """What its files hold: arrays and parameters."""
        return {**self.arrays, **self.layer.parameters}


def vector(layer: Layer, dtype: str) -> Vector:
    """The numbers of a layer.

    Raises
    ------
    ParameterError
        If its sums are too long to be exact in the dtype.
    """
    operands = integers.integer_operands(layer.geom, dtype=dtype)
    question = submission({**operands, **layer.parameters})
    right = {op: question.right(op).astype(dtype) for op in RESULTS}
    return Vector(layer, {name: operands[name] for name in OPERANDS} | right)


def layers(words: Sequence[str]) -> list[Layer]:
    """The layers that --case asks for, by word or name; without any, all of ours.

    Raises
    ------
    ConvbackError
        If a word is not understood, two are named alike, or a name is no name of a file.
    """
    own = {layer.name: layer for layer in (*_discriminating(), *_features())}
    chosen = [own.get(word) or _other(word) for word in words] or list(own.values())
    taken = {INDEX}
    for layer in chosen:
        if layer.name.lower() in taken:  # some file systems take no notice of upper and lower case
            raise ParameterError(f"the name {layer.name!r} of a case is taken; give each a name of its own")
        taken.add(layer.name.lower())
    return chosen


def _other(word: str) -> Layer:
    name, geom = suites.case(word)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name) or len(name) > LONGEST_NAME:
        raise ParameterError(
            f"case {word!r} cannot name files; end it with a name of at most {LONGEST_NAME} letters, digits and -_. "
            'in quotes, as in ic3ih8oc4kh3n"mine"'
        )
    return Layer(name, "as asked for", geom)


def _discriminating() -> list[Layer]:
    about = {
        "mixed-10x12": "all extents differ, every parameter is set, and on each axis to another number",
        "strided-8x8": "square, as many filters as channels, stride and padding",
        "seed-8x8": "square, as many filters as channels, no parameter: hides many mistakes",
    }
    return [Layer(case.name, about[case.name], case.geom) for case in suites.discriminating()]


def _features() -> list[Layer]:
    """One feature each, all else plain; the extents differ, so that none can be taken for another."""
    return [
        Layer("plain", "no parameter, all extents differ", ConvGeometry((2, 3, 5, 6), (4, 3, 3, 2))),
        Layer("one-dimension", "one spatial axis", ConvGeometry((2, 3, 8), (4, 3, 5))),
        Layer("three-dimensions", "three spatial axes", ConvGeometry((2, 3, 3, 4, 5), (4, 3, 2, 2, 3))),
        Layer("single", "one image, one channel, one filter", ConvGeometry((1, 1, 4, 5), (1, 1, 2, 3))),
        Layer("kernel-1x1", "the kernel has one tap", ConvGeometry((2, 3, 4, 5), (6, 3, 1, 1))),
        Layer("kernel-covers-all", "one position: a dense layer", ConvGeometry((2, 3, 4, 5), (6, 3, 4, 5))),
        Layer("stride-2", "windows two apart, no remainder", ConvGeometry((2, 3, 7, 8), (4, 3, 3, 2), 2)),
        Layer("remainder", "the last row and column meet no window", ConvGeometry((2, 3, 8, 9), (4, 3, 3, 2), 2)),
        Layer("stride-beyond-kernel", "windows with gaps between", ConvGeometry((2, 4, 8, 9), (3, 4, 2, 1), (3, 2))),
        Layer("padding-uneven", "four sides differ", ConvGeometry((2, 3, 5, 6), (4, 3, 4, 5), 1, ((0, 1), (3, 2)))),
        Layer("padding-same", '"same": y as large as x / stride', ConvGeometry((2, 3, 5, 6), (4, 3, 4, 3), 2, "same")),
        Layer("dilation-2", "taps two apart", ConvGeometry((2, 3, 7, 8), (4, 3, 3, 2), 1, 0, 2)),
        Layer("groups-2", "two groups", ConvGeometry((3, 4, 5, 7), (6, 2, 3, 2), 1, 0, 1, 2)),
        Layer("depthwise", "each channel has two filters", ConvGeometry((2, 3, 5, 7), (6, 1, 3, 2), 1, 0, 1, 3)),
        Layer("true-convolution", "the kernel is flipped", ConvGeometry((2, 3, 6, 5), (4, 3, 2, 3)), MODES[1]),
    ]  # fmt: skip
