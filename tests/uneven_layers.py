"""Layers with uneven padding, strides that skip positions, and plain ones, in one to three dimensions."""

from convback_tools import suites

from convback import ConvGeometry

MIXED = suites.case("mixed-10x12").geom
LAYERS = {
    "seed": suites.case("seed-8x8").geom,
    "strided": suites.case("strided-8x8").geom,
    "all parameters, uneven": MIXED,
    "depthwise, uneven": ConvGeometry((2, 3, 9, 8), (6, 1, 4, 3), 1, "same", 1, 3),
    "read by no window": ConvGeometry((2, 3, 5, 4), (4, 3, 1, 1), (2, 3), ((0, 1), (2, 2))),
    "uneven, but not where it is read": ConvGeometry((1, 2, 8, 9), (3, 2, 3, 4), (2, 3), ((1, 0), (0, 1))),
    "padded beyond the kernel": ConvGeometry((1, 2, 3, 4), (2, 2, 2, 2), 2, ((4, 0), (0, 5))),
    "dilated": ConvGeometry((1, 2, 9, 10), (3, 2, 3, 3), 1, (2, 3), (2, 3)),
    "1-D": ConvGeometry((2, 3, 11), (5, 3, 4), 2, ((2, 1),), 2),
    "1-D, uneven": ConvGeometry((3, 4, 17), (6, 2, 4), 1, "same_lower", 1, 2),
    "3-D": ConvGeometry((1, 2, 4, 5, 6), (3, 2, 2, 3, 2), (1, 2, 1), 1),
    "3-D, uneven": ConvGeometry((1, 4, 5, 4, 7), (6, 2, 2, 3, 2), (1, 2, 3), ((1, 0), (2, 1), (0, 3)), (2, 1, 1), 2),
}
