"""What the words of all libraries share."""

from __future__ import annotations

from dataclasses import dataclass

from convback import ConvGeometry
from convback.geometry import Pairs, Shape, output_extent, same_padding

# Of a layer that `evened` changes.
UNREAD = "No window reads the end of the padding; so padding both ends alike gives the same numbers."


@dataclass(frozen=True)
class Words:
    """A layer as a library has it.

    Attributes
    ----------
    library : str
        Its name.
    layer : str
        The forward pass, on one line.
    code : str
        All of it: y, dx, dw and db from x, w, b and dy.
    notes : tuple of str
        What to know, where the layer is not one call of the library.
    """

    library: str
    layer: str
    code: str
    notes: tuple[str, ...] = ()


def arguments(**values: object) -> str:
    """Keyword arguments as Python writes them."""
    return ", ".join(f"{name}={value}" for name, value in values.items())


def is_even(geom: ConvGeometry) -> bool:
    """Whether both ends of every axis are padded alike, as some libraries want it."""
    return all(lo == hi for lo, hi in geom.padding)


def evened(geom: ConvGeometry) -> ConvGeometry:
    """The same problem padded alike at both ends of the axes where what differs is read by no window."""
    padding = tuple(
        (lo, lo if output_extent(x, k, s, lo, lo, d) == y else hi)
        for x, k, s, (lo, hi), d, y in zip(
            geom.x_spatial, geom.kernel, geom.stride, geom.padding, geom.dilation, geom.y_spatial, strict=True
        )
    )
    return ConvGeometry(geom.x_shape, geom.w_shape, geom.stride, padding, geom.dilation, geom.groups)


def padded(geom: ConvGeometry) -> ConvGeometry:
    """The layer without padding whose x has the zeros around it already."""
    x = (extent + lo + hi for extent, (lo, hi) in zip(geom.x_spatial, geom.padding, strict=True))
    return ConvGeometry((*geom.x_shape[:2], *x), geom.w_shape, geom.stride, 0, geom.dilation, geom.groups)


def leading(geom: ConvGeometry) -> Shape:
    """The padding at the start of each axis."""
    return tuple(lo for lo, _ in geom.padding)


def same(geom: ConvGeometry) -> Pairs:
    """What the padding would be if it were "same"."""
    axes = zip(geom.x_spatial, geom.kernel, geom.stride, geom.dilation, strict=True)
    return tuple(same_padding(*axis, extra_first=False) for axis in axes)


def crop(geom: ConvGeometry, leading_axes: str) -> str:
    """The index that cuts the padding off: `leading_axes`, then the positions of x on every spatial axis."""
    inside = (f"{lo}:{lo + x}" for x, (lo, _) in zip(geom.x_spatial, geom.padding, strict=True))
    return f"[{leading_axes}{', '.join(inside)}]"
