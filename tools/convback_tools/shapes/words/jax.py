"""The words of JAX, whose general convolution is also its own gradient."""

from __future__ import annotations

from convback import ConvGeometry
from convback.geometry import Pairs, effective_kernel
from convback_tools.shapes.words.common import Words, arguments

CODE = """\
import jax
from jax import lax

layout = dict(feature_group_count={groups}, dimension_numbers={axes})


def layer(x, w, b):
    y = lax.conv_general_dilated(x, w, {layer}, **layout)
    return y + b.reshape({b})


y, gradients = jax.vjp(layer, x, w, b)
dx, dw, db = gradients(dy)

# dx written out: zeros between the rows of dy, the kernel rotated, filters and channels of each group swapped.
rotated = lax.rev(w, {spatial}).reshape({grouped}).swapaxes(1, 2).reshape({swapped})
same_dx = lax.conv_general_dilated(
    dy, rotated, {dx}, **layout
)"""


def words(geom: ConvGeometry) -> Words:
    """The layer as JAX has it."""
    space = "DHW"[-geom.rank :]
    layout = {"groups": geom.groups, "axes": (f"NC{space}", f"OI{space}", f"NC{space}")}
    layer = arguments(window_strides=geom.stride, padding=geom.padding, rhs_dilation=geom.dilation)
    ones = (1,) * geom.rank
    dx = arguments(
        window_strides=ones, padding=_padding_of_dy(geom), lhs_dilation=geom.stride, rhs_dilation=geom.dilation
    )
    G, F, C = geom.groups, geom.F // geom.groups, geom.C // geom.groups
    code = CODE.format(
        **layout,
        layer=layer,
        b=(-1, *ones),
        spatial=tuple(range(2, 2 + geom.rank)),
        grouped=(G, F, C, *geom.kernel),
        swapped=(G * C, F, *geom.kernel),
        dx=dx,
    )
    line = "lax.conv_general_dilated(x, w, {layer}, feature_group_count={groups}, dimension_numbers={axes})"
    return Words("JAX", line.format(layer=layer, **layout), code)


def _padding_of_dy(geom: ConvGeometry) -> Pairs:
    """Around dy with zeros between its rows, so that x comes out; less than none crops."""
    axes = zip(geom.x_spatial, geom.y_spatial, geom.kernel, geom.stride, geom.dilation, geom.padding, strict=True)
    return tuple((effective_kernel(k, d) - 1 - lo, x - 1 - (y - 1) * s + lo) for x, y, k, s, d, (lo, _) in axes)
