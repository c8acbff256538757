"""The words of PyTorch, which pads both ends of an axis alike."""

from __future__ import annotations

from convback import ConvGeometry
from convback.geometry import effective_kernel
from convback_tools.shapes.words.common import (
    UNREAD,
    Words,
    arguments,
    crop,
    evened,
    is_even,
    leading,
    padded,
    same,
)

CODE = """\
import torch
import torch.nn.functional as F

layer = dict({layer})
{pad}y = F.conv{rank}d({x}, w, b, **layer)
dx = torch.nn.grad.conv{rank}d_input({x}.shape, w, dy, **layer){crop}
dw = torch.nn.grad.conv{rank}d_weight({x}, w.shape, dy, **layer)
db = dy.sum({axes})

# dx is also what the transposed layer makes of dy.
same_dx = F.conv_transpose{rank}d(dy, w, output_padding={leftover}, **layer){crop}"""


def words(geom: ConvGeometry) -> Words:
    """The layer as PyTorch has it."""
    rank, called = geom.rank, evened(geom)
    uneven = not is_even(called)
    if uneven:
        called = padded(geom)
    layer = arguments(
        stride=called.stride, padding=leading(called), dilation=called.dilation, groups=called.groups
    )  # fmt: skip
    module = f"torch.nn.Conv{rank}d({geom.C}, {geom.F}, {geom.kernel}, {layer})"
    zeros = tuple(side for pair in reversed(geom.padding) for side in pair)
    if uneven:
        module = f"torch.nn.Sequential(torch.nn.ZeroPad{rank}d({zeros}), {module})"
    code = CODE.format(
        rank=rank,
        layer=layer,
        pad=f"x_padded = F.pad(x, {zeros})  # the last axis comes first\n" if uneven else "",
        x="x_padded" if uneven else "x",
        crop=crop(geom, ":, :, ") if uneven else "",
        axes=(0, *range(2, 2 + rank)),
        leftover=_leftover(called),
    )
    return Words("PyTorch", module, code, tuple(_notes(geom, uneven)))


def _leftover(geom: ConvGeometry) -> tuple[int, ...]:
    axes = zip(geom.x_spatial, geom.padding, geom.kernel, geom.stride, geom.dilation, strict=True)
    return tuple((x + lo + hi - effective_kernel(k, d)) % s for x, (lo, hi), k, s, d in axes)


def _notes(geom: ConvGeometry, uneven: bool) -> list[str]:
    notes = []
    if uneven:
        notes.append("It pads both ends of an axis alike; so x is padded beforehand and dx cropped afterwards.")
        if geom.padding == same(geom) and max(geom.stride) == 1:
            notes.append(f'torch.nn.Conv{geom.rank}d with padding="same" pads so by itself.')
    elif not is_even(geom):
        notes.append(UNREAD)
    return notes
