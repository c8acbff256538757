"""The words of oneDNN: the line of its benchmark, and the numbers that its C++ interface takes."""

from __future__ import annotations

import re
from collections.abc import Iterable

from convback import ConvGeometry
from convback.geometry import AXIS_LETTERS
from convback_tools import notation
from convback_tools.shapes.words.common import Words

CODE = """\
./benchdnn --conv --dir=FWD_B {word}    # y
./benchdnn --conv --dir=BWD_D {word}    # dx
./benchdnn --conv --dir=BWD_WB {word}   # dw and db

// dnnl::convolution_forward, convolution_backward_data and convolution_backward_weights take
dnnl::memory::dims src = {src}, weights = {weights}, bias = {bias}, dst = {dst};
dnnl::memory::dims strides = {strides}, dilates = {dilates}, padding_l = {lo}, padding_r = {hi};"""


def words(geom: ConvGeometry) -> Words:
    """The layer as oneDNN has it."""
    G, word = geom.groups, benchdnn(geom)
    weights = geom.w_shape if G == 1 else (G, geom.F // G, geom.C // G, *geom.kernel)
    code = CODE.format(
        word=word,
        src=braces(geom.x_shape),
        weights=braces(weights),
        bias=braces([geom.F]),
        dst=braces(geom.y_shape),
        strides=braces(geom.stride),
        dilates=braces(d - 1 for d in geom.dilation),
        lo=braces(lo for lo, _ in geom.padding),
        hi=braces(hi for _, hi in geom.padding),
    )
    notes = ["Dilation counts from 0."]
    if G > 1:
        notes.append("The weights have an axis more, (groups, F/groups, C/groups, *kernel), and the same order.")
    return Words("oneDNN", f"benchdnn --conv {word}", code, tuple(notes))


def benchdnn(geom: ConvGeometry) -> str:
    """The problem in benchdnn's own letters: it derives the trailing padding from the output."""
    outputs = "".join(f"o{a}{y}" for a, y in zip(AXIS_LETTERS[-geom.rank :], geom.y_spatial, strict=True))
    return re.sub(r"(oc\d+)", rf"\1{outputs}", re.sub(r"q[dhw]\d+", "", notation.to_word(geom)))


def braces(numbers: Iterable[int]) -> str:
    """Numbers as C and C++ initialise an array with them."""
    return f"{{{', '.join(map(str, numbers))}}}"
