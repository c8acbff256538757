"""Mistakes with where taps land: stride, dilation, padding, what is cut off, and windows that overwrite each other."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from convback.contract import Array
from convback.geometry import Shape, effective_kernel
from convback_tools.diagnosis.candidates import PRODUCTS, Candidate
from convback_tools.diagnosis.task import EVERYTHING, Task

DX, DW = ("dx",), ("dw",)


def candidates(rank: int) -> Iterator[Candidate]:
    """All of them, for so many spatial axes."""
    yield from _strides()
    yield from _dilations()
    yield from _paddings()
    yield from _sizes()
    if rank > 1:
        yield from _swapped_axes()


def _strides() -> Iterator[Candidate]:
    yield Candidate(
        "dx.stride_ignored", "dy is not spread out by the stride", "dx = FC(dy, R(T(w)))", DX,
        before=_unit_stride,
    )  # fmt: skip
    yield Candidate(
        "dx.stride_ignored", "dy is repeated s times, where zeros should stand between", "dx = FC(repeat(dy), R(T(w)))",
        DX, before=_repeated,
    )  # fmt: skip
    yield Candidate(
        "dx.stride_ignored", "s zeros stand between the entries of dy, where s-1 should",
        "dx[n,c,r] at r = i*(s+1) + k*d - p", DX,
        before=_spread_too_far,
    )  # fmt: skip
    yield Candidate(
        "dw.stride_dilation_swapped", "the correlation of x with dy keeps the stride of the layer, and its dilation",
        "dw[f,c,k] sums dy[n,f,i] * x[n,c,i*d + k*s - p]", DW,
        before=lambda t: t.changed(stride=t.rule.dilation, dilation=t.rule.stride),
    )  # fmt: skip
    yield Candidate(
        "dw.stride_dilation_swapped", "dy is not spread out by the stride",
        "dw[f,c,k] sums dy[n,f,i] * x[n,c,i + k*d - p]", DW,
        before=_unit_stride,
    )  # fmt: skip
    yield Candidate(
        "dx.overwritten", "windows overwrite each other: = for += in the scatter",
        "dx[n,c,r] = dy[n,f,i] * w[f,c,k], summed over f, of the last window i that covers r", DX, instead=_last_window,
    )  # fmt: skip
    yield Candidate(
        "dx.overwritten", "windows and filters overwrite each other: = for += in the scatter",
        "dx[n,c,r] = dy[n,f,i] * w[f,c,k] of the last filter and the last window i that covers r", DX,
        instead=_last_window_of_last_filter,
    )  # fmt: skip


def _dilations() -> Iterator[Candidate]:
    yield Candidate(
        "any.dilation_ignored", "the kernel is not dilated", "r = i*s + k - p for r = i*s + k*d - p", PRODUCTS,
        before=lambda t: t.changed(dilation=ones(t)) if max(t.rule.dilation) > 1 else None,
    )  # fmt: skip
    yield Candidate(
        "any.dilation_ignored", "d zeros stand between the taps, where d-1 should", "r = i*s + k*(d+1) - p", PRODUCTS,
        before=lambda t: t.changed(dilation=tuple(d + 1 for d in t.rule.dilation)) if max(t.rule.kernel) > 1 else None,
    )  # fmt: skip


def _paddings() -> Iterator[Candidate]:
    yield Candidate(
        "dx.padding_not_cropped", "the padding is still there", "dx[n,c,r] at r = i*s + k*d", DX, before=_uncropped
    )
    yield Candidate(
        "dx.padding_not_cropped", "the padding is cut off at the end alone", "dx[n,c,r] at r = i*s + k*d", DX,
        before=_unpadded,
    )  # fmt: skip
    yield Candidate(
        "dx.padding_not_cropped", "the padding is cut off at the start alone", "dx[n,c,r] at r = i*s + k*d - 2p", DX,
        before=lambda t: t.changed(lo=tuple(map(sum, t.geom.padding))),
    )  # fmt: skip
    yield Candidate(
        "dx.padding_not_cropped",
        "[p:-p] with p = 0 cuts off everything",
        "dx = padded[p:-p]",
        DX,
        after=_cut_to_nothing,
    )
    yield Candidate(
        "dx.same_padding_side", "leading and trailing padding are exchanged", "r = i*s + k*d - p_hi", PRODUCTS,
        before=lambda t: t.changed(lo=tuple(hi for _, hi in t.geom.padding)),
    )  # fmt: skip
    yield Candidate(
        "dw.padding_missing", "x is not padded", "dw[f,c,k] sums dy[n,f,i] * x[n,c,i*s + k*d]", DW,
        before=_unpadded,
    )  # fmt: skip
    yield Candidate(
        "dw.padding_missing", "x is not padded, and so fewer taps fit; zeros stand in the others",
        "dw[f,c,k] sums dy[n,f,i] * x[n,c,i*s + k*d] for k up to K-1-2p", DW, before=_unpadded,
        after=_short_of_padding,
    )  # fmt: skip
    yield Candidate(
        "dw.padding_missing", "x is padded twice", "dw[f,c,k] sums dy[n,f,i] * x[n,c,i*s + k*d - 2p]", DW,
        before=lambda t: t.changed(lo=tuple(2 * p for p in t.rule.lo)),
    )  # fmt: skip


def _sizes() -> Iterator[Candidate]:
    yield Candidate(
        "any.leftover", "windows are laid from the end, where the last (H+2p-k) % s rows belong to none",
        "r = i*s + k*d - p + leftover", PRODUCTS, before=lambda t: t.changed(lo=_less(t.rule.lo, leftover(t))),
    )  # fmt: skip
    yield Candidate(
        "any.leftover", "the last (H+2p-k) % s rows, which no window reads, are left out",
        "dx has (O-1)s + K - 2p rows", DX, before=_without_leftover,
    )  # fmt: skip
    yield Candidate(
        "any.leftover", "the rows that no window reads give further taps", "dw has K + (H+2p-K) % s taps", DW,
        before=_more_taps,
    )  # fmt: skip
    yield Candidate(
        "any.leftover", "of the further taps that the leftover rows give, the first are cut off",
        "dw[k + leftover] stands at k", DW, before=_more_taps,
        after=_first_cut_off,
    )  # fmt: skip
    yield Candidate(
        "dx.valid_or_same_for_full", "the correlation is 'same', not 'full': all is off by (K-1)/2",
        "r = i*s + k*d - p - (K-1)//2", DX, before=_half_a_kernel,
    )  # fmt: skip
    yield Candidate(
        "dx.valid_or_same_for_full", "the correlation is 'same', not 'full', and zeros fill up what is missing",
        "r = i*s + k*d - p - (K-1)//2, for r below the extent of D(dy)", DX, before=_half_a_kernel,
        after=lambda dx, t: _filled_up(dx, spread(t)),
    )  # fmt: skip
    yield Candidate(
        "dx.valid_or_same_for_full", "the correlation is 'valid', not 'full', and zeros fill up what is missing",
        "r = i*s + k*d - p - (K-1), where the rotated kernel lies inside D(dy)", DX, before=_a_kernel,
        after=lambda dx, t: _filled_up(dx, _less(spread(t), tuple(k - 1 for k in reach(t)))),
    )  # fmt: skip
    yield Candidate(
        "dx.scatter_without_offset", "all windows are added at one place: the result has the size of the kernel",
        "dx[n,c,k] sums dy[n,f,i] * w[f,c,k] over f and i", DX,
        before=lambda t: t.changed(inputs=reach(t), stride=zeros(t), lo=zeros(t)),
    )  # fmt: skip
    yield Candidate(
        "dx.scatter_without_offset", "all windows are added at one place, the first corner",
        "dx[n,c,k] sums dy[n,f,i] * w[f,c,k] over f and i", DX,
        before=lambda t: t.changed(stride=zeros(t), lo=zeros(t)),
    )  # fmt: skip


def _swapped_axes() -> Iterator[Candidate]:
    for name, field in (("stride", "stride"), ("padding", "lo"), ("dilation", "dilation")):
        yield Candidate(
            "any.height_width_swapped", f"the {name} of rows is used for columns, and the other way round",
            f"{name}: (h, w) for (w, h)", PRODUCTS,
            before=partial(_swapped, field=field),
        )  # fmt: skip
    for name, ops in (("dy", ("dx", "dw")), ("x", ("y", "dw")), ("w", ("y", "dx"))):
        yield Candidate(
            "any.height_width_swapped", f"{name} is read with its height for its width",
            f"{name}[.,.,j,i] for {name}[.,.,i,j], counted by the other extent", ops,
            before=partial(_misread, name=name),
        )  # fmt: skip
    yield Candidate(
        "any.height_width_swapped", "rows and columns of the result are exchanged", "result[.,.,s,r]", PRODUCTS,
        after=lambda result, t: result.swapaxes(-1, -2),
    )  # fmt: skip


def zeros(t: Task) -> Shape:
    return (0,) * t.geom.rank


def ones(t: Task) -> Shape:
    return (1,) * t.geom.rank


def reach(t: Task) -> Shape:
    """The extents that the dilated kernel covers."""
    return tuple(map(effective_kernel, t.rule.kernel, t.rule.dilation))


def spread(t: Task) -> Shape:
    """The extents of D(dy), less the padding, which is cut off."""
    axes = zip(t.rule.outputs, t.rule.stride, t.geom.padding, strict=True)
    return tuple((y - 1) * s + 1 - sum(pair) for y, s, pair in axes)


def leftover(t: Task) -> Shape:
    """Rows of the padded input behind the last window, on each axis."""
    axes = zip(t.rule.inputs, t.geom.padding, reach(t), t.geom.stride, strict=True)
    return tuple((x + sum(pair) - k) % s for x, pair, k, s in axes)


def _less(extents: Shape, by: Shape) -> Shape:
    return tuple(extent - less for extent, less in zip(extents, by, strict=True))


def _unit_stride(t: Task) -> Task | None:
    return t.changed(stride=ones(t)) if max(t.rule.stride) > 1 else None


def _unpadded(t: Task) -> Task:
    return t.changed(lo=zeros(t))


def _spread_too_far(t: Task) -> Task | None:
    return t.changed(stride=tuple(s + (s > 1) for s in t.rule.stride)) if max(t.rule.stride) > 1 else None


def _repeated(t: Task) -> Task | None:
    if max(t.rule.stride) == 1:
        return None
    dy = t.dy
    for axis, s in enumerate(t.rule.stride, 2):
        dy = np.repeat(dy, s, axis)
    return t.changed(dy=dy, outputs=dy.shape[2:], stride=ones(t))


def _uncropped(t: Task) -> Task:
    padded = tuple(x + sum(pair) for x, pair in zip(t.rule.inputs, t.geom.padding, strict=True))
    return t.changed(inputs=padded, lo=zeros(t))


def _cut_to_nothing(dx: Array, t: Task) -> Array | None:
    slices = tuple(slice(0) if pair[1] == 0 else slice(None) for pair in t.geom.padding)
    return dx[(*EVERYTHING, *slices)] if any(pair[1] == 0 for pair in t.geom.padding) else None


def _short_of_padding(dw: Array, t: Task) -> Array:
    return _filled_up(dw, tuple(k - sum(pair) for k, pair in zip(t.rule.kernel, t.geom.padding, strict=True)))


def _filled_up(result: Array, extents: Shape) -> Array:
    """Zeros beyond these extents."""
    kept = (*EVERYTHING, *(slice(max(0, extent)) for extent in extents))
    filled = np.zeros_like(result)
    filled[kept] = result[kept]
    return filled


def _without_leftover(t: Task) -> Task | None:
    return t.changed(inputs=_less(t.rule.inputs, leftover(t))) if any(leftover(t)) else None


def _more_taps(t: Task) -> Task | None:
    extra = leftover(t)
    if not any(extra) or max(t.rule.dilation) > 1:
        return None
    return t.changed(kernel=tuple(k + m for k, m in zip(t.rule.kernel, extra, strict=True)))


def _first_cut_off(dw: Array, t: Task) -> Array:
    return dw[(*EVERYTHING, *(slice(m, None) for m in leftover(t)))]


def _half_a_kernel(t: Task) -> Task:
    return t.changed(lo=tuple(p + (k - 1) // 2 for p, k in zip(t.rule.lo, reach(t), strict=True)))


def _a_kernel(t: Task) -> Task:
    return t.changed(lo=tuple(p + k - 1 for p, k in zip(t.rule.lo, reach(t), strict=True)))


def _misread(t: Task, name: str) -> Task:
    """Rows as long as columns are, and then exchanged."""
    a = getattr(t, name)
    return t.changed(**{name: a.reshape(*a.shape[:-2], a.shape[-1], a.shape[-2]).swapaxes(-1, -2)})


def _swapped(t: Task, field: str) -> Task:
    extents = getattr(t.rule, field)
    return t.changed(**{field: (*extents[:-2], extents[-1], extents[-2])})


def _last_window(t: Task) -> Array:
    """For each input, the product of the largest output that meets it: that of the smallest tap."""
    dx = np.zeros((t.dy.shape[0], t.groups * t.w.shape[1], *t.rule.inputs))
    for inputs, part in reversed(list(t.dx_parts())):
        dx[inputs] = part
    return dx


def _last_window_of_last_filter(t: Task) -> Array | None:
    filters = t.w.shape[0] // t.groups
    if filters < 2:
        return None
    last: Any = np.arange(t.w.shape[0]) % filters == filters - 1
    return _last_window(t.changed(w=t.w * last.reshape(-1, *(1,) * (t.w.ndim - 1))))
