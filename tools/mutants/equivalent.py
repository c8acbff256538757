"""Why some mutants survive: they are no bugs. Each is named by what its line becomes, whatever its number.

Where that is no name, as of `if False:`, the line that it was stands before it, and => between.
"""

from __future__ import annotations

from mutants.operators import Mutant

EQUIVALENT: dict[str, tuple[str, ...]] = {
    "a product or sum has no order": (
        "spatial = (lo + r + hi for r, (hi, lo) in zip(geom.x_spatial, geom.padding, strict=True))",
        "positions = steps(geom.stride, space, geom.y_spatial)",
        "taps = steps(geom.dilation, space, geom.kernel)",
        "return [s * m if extent > 1 else 0 for m, s, extent in zip(strides, multiples, extents, strict=True)]",
        "return [s * m if extent > 1 else 0 for s, m, extent in zip(multiples, strides, extents, strict=True)]",
    ),
    "it divides": ("return (reach + axis.stride - 1) // axis.stride",),
    "the loop for any stride serves for 1": (
        "if stride == 1: => if stride == 0:",
        "if stride == 1: => if False:",
    ),
    "a dot product has as many partial sums as one likes": ("lanes[j % (LANES - 1)] += y[j] * x[j * stride]",),
    "a loop over nothing does nothing": ("if j <= layer.last[l]:",),
    "every row is computed once all the same, in another order": (
        "dx_row(dy, w, layer, out, row // (R * Q * C), row // (R * Q) % C, (row + R - 1) // R % Q, row % R)",
    ),
    "all operands have one dtype": ("for rows in blocks(geom, dy.itemsize):",),
    "padding by nothing is a copy": ("if not np.any(geom.padding): => if False:",),
    "a step that is never taken may have any length": (
        "return [s * m if extent > 1 else 1 for s, m, extent in zip(strides, multiples, extents, strict=True)]",
    ),
}


def reason(mutant: Mutant) -> str:
    """Why a mutant cannot give another result, or nothing."""
    original, changed = mutant.original.strip(), mutant.changed.strip()
    names = {changed, f"{original} => {changed}"}
    return next((why for why, lines in EQUIVALENT.items() if names.intersection(lines)), "")
