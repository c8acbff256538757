"""What the files say of themselves: the formulas, and a page for somebody who finds the folder."""

from __future__ import annotations

from convback_tools.submission import MODES
from convback_tools.vectors.cases import Layer

COMPARE = "exact integers, compare with =="

README = f"""\
Test vectors for the gradients of convolution layers, written by convback.

Each file NAME.npz, NAME.json, NAME.bin or NAME.h holds the same numbers of one layer:

  x, w, b, dy      operands: input, weights, bias, and the gradient of the loss by y
  y, dx, dw, db    right results: forward pass, and the gradients by x, w and b
  stride, padding, dilation, groups, mode

All numbers are integers, and so small that every sum is exact in any order. So give x, w, b and dy to your layer, and
compare with ==; no tolerance is needed.

  .npz   NumPy: numpy.load
  .json  {{"x": {{"shape": [...], "dtype": "float32", "data": [...]}}, ..., "stride": [1, 1], ...}}, row-major
  .bin   8 bytes: length of a header, little-endian; the header, JSON; then the numbers, little-endian and row-major.
         The layout is that of safetensors, so its libraries read it. Parameters stand in "__metadata__".
  .h     C99 and C++11: arrays to include

index.json lists for each case the shapes, strides in elements, parameters, how the numbers were made, and the SHA-256
of each file and of each array (its numbers as little-endian bytes, row-major).

"padding" has a pair for each axis: zeros before and after. "mode" is "{MODES[0]}", as in networks, or
"{MODES[1]}", where the kernel is flipped.

To have your own dx, dw and db judged, put them in place of the right ones in a file, and run `convback check FILE`.
"""


def formula(layer: Layer) -> str:
    """What y, dx, dw and db are, in the indices of the layer's dimensions."""
    rank = layer.geom.rank
    outputs, taps, inputs = (list(letters[-rank:]) for letters in ("hij", "mkl", "qrs"))
    i, k, r = (",".join(letters) for letters in (outputs, taps, inputs))
    meet = [
        f"{at} = {out}*stride[{axis}] + {tap}*dilation[{axis}] - padding[{axis}][0]"
        for axis, (at, out, tap) in enumerate(zip(inputs, outputs, taps, strict=True))
    ]
    lines = [
        f"y[n,f,{i}] = b[f] + sum over c,{k} of x[n,c',{r}] * w[f,c,{k}]",
        f"dx[n,c',{r}] = sum of dy[n,f,{i}] * w[f,c,{k}] over all f,{i},{k} that meet there",
        f"dw[f,c,{k}] = sum over n,{i} of dy[n,f,{i}] * x[n,c',{r}]",
        f"db[f] = sum over n,{i} of dy[n,f,{i}]",
        "with c < C/groups, c' = f / (F/groups) * (C/groups) + c, where / of integers rounds down, and",
        *meet,
        "What lies outside of x counts as 0.",
    ]
    if layer.mode == MODES[1]:
        lines.append("This is a true convolution: read w and dw with their taps in reverse order, the last one first.")
    return "\n".join([*lines, "Arrays are row-major, the last index runs fastest. Integers: compare with ==."])
