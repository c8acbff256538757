"""A test vector as a header of C99 and C++11, for programs that read no files."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from convback import ParameterError
from convback.contract import Array
from convback_tools.submission import MODES
from convback_tools.vectors import words
from convback_tools.vectors.cases import Layer, Vector

WIDTH = 100
C_TYPES = {"float32": ("float", "f"), "float64": ("double", "")}


def check(layer: Layer) -> None:
    """Refuse a layer that C cannot say.

    Raises
    ------
    ParameterError
        If one of its arrays is empty.
    """
    g = layer.geom
    if 0 in (*g.x_shape, *g.w_shape, *g.y_shape):
        raise ParameterError(f"case {layer.name!r} has empty arrays, and C has none; leave h out of --as")


def text(vector: Vector) -> str:
    """The header of a vector, with the formula in a comment."""
    name = identifier(vector.layer.name)
    guard = f"CONVBACK_{name.upper()}_H"
    parts = [
        _comment(vector.layer),
        f"#ifndef {guard}\n#define {guard}\n",
        "\n".join(_constants(vector.layer, name)) + "\n",
        *(_array(f"{name}_{key}", array) for key, array in vector.arrays.items()),
        "#endif",
    ]
    return "\n".join(parts) + "\n"


def identifier(name: str) -> str:
    """A name as C takes it; a digit in front gets a letter before it."""
    word = re.sub(r"\W", "_", name)
    return f"n{word}" if word[0].isdigit() else word


def _comment(layer: Layer) -> str:
    intro = f"{layer.name}: {layer.about}. A test vector of a convolution layer, written by convback."
    lines = [*textwrap.wrap(intro, WIDTH), "", *words.formula(layer).splitlines()]
    return "\n".join(["/*", *(f" * {line}".rstrip() for line in lines), " */"])


def _constants(layer: Layer, name: str) -> Iterator[str]:
    g, macro = layer.geom, name.upper()
    flips = int(layer.mode == MODES[1])
    numbers = {"RANK": g.rank, "N": g.N, "C": g.C, "F": g.F, "GROUPS": g.groups, "TRUE_CONVOLUTION": flips}
    for key, value in numbers.items():
        yield f"#define {macro}_{key} {value}"
    yield f"static const long long {name}_stride[{g.rank}] = {_braces(g.stride)};"
    yield f"static const long long {name}_padding[{g.rank}][2] = {_braces(g.padding)};  /* before, after */"
    yield f"static const long long {name}_dilation[{g.rank}] = {_braces(g.dilation)};"


def _array(name: str, array: Array) -> str:
    c_type, suffix = C_TYPES[array.dtype.name]
    strides = [step // array.itemsize for step in array.strides]
    values = ", ".join(f"{int(value)}.0{suffix}" for value in array.ravel())
    return (
        f"static const long long {name}_shape[{array.ndim}] = {_braces(array.shape)};\n"
        f"static const long long {name}_strides[{array.ndim}] = {_braces(strides)};\n"
        f"static const {c_type} {name}[{array.size}] = {{\n"
        + textwrap.fill(values, WIDTH, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)
        + "\n};\n"
    )


def _braces(values: Sequence[Any]) -> str:
    inner = (_braces(value) if isinstance(value, Sequence) else str(value) for value in values)
    return f"{{{', '.join(inner)}}}"
