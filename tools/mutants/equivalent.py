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
