"""Mistakes with the kernel in dx: its rotation, its axes, its sum over filters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from convback.contract import Array
from convback.geometry import Shape
from convback_tools.diagnosis.candidates import Candidate, by_group, flipped, only
from convback_tools.diagnosis.task import Task

DX = ("dx",)


def candidates(rank: int) -> Iterator[Candidate]:
    """All of them, for so many spatial axes."""
    yield Candidate(
        "dx.no_rotation", "the kernel is not rotated, or rotated and then convolved",
        "dx = FC(D(dy), T(w)): dx[n,c,r] sums dy[n,f,i] * w[f,c,K-1-k]", DX,
        before=lambda t: t.changed(w=flipped(t.w)),
    )  # fmt: skip
    yield Candidate(
        "dx.channels_not_swapped", "filters and channels of the rotated kernel are not exchanged",
        "dx = FC(D(dy), R(w)): dx[n,c,r] sums dy[n,f,i] * w[c,f,k]", DX, before=_channels_not_swapped,
    )  # fmt: skip
    yield Candidate(
        "dx.channels_not_swapped", "neither are they exchanged, nor is the kernel rotated",
        "dx = FC(D(dy), w): dx[n,c,r] sums dy[n,f,i] * w[c,f,K-1-k]", DX, before=_neither,
    )  # fmt: skip
    yield from _flips(rank)
    for what, index in (("last", -1), ("first", 0)):
        yield Candidate(
            "dx.filters_not_summed", f"only the {what} filter of each group counts: = for += over f",
            f"dx[n,c,r] sums dy[n,f,i] * w[f,c,k] for the {what} f alone", DX,
            before=partial(_one_filter, index=index),
        )  # fmt: skip
    yield Candidate(
        "dx.filters_not_summed", "channel c takes filter c alone",
        "dx[n,c,r] sums dy[n,c,i] * w[c,c,k]", DX, before=_diagonal,
    )  # fmt: skip
    yield Candidate(
        "dx.filters_not_summed", "channels are summed, and all get the same",
        "dx[n,c,r] sums dy[n,f,i] * w[f,c',k] over f and c'", DX,
        before=lambda t: t.changed(w=np.broadcast_to(t.w.sum(axis=1, keepdims=True), t.w.shape)),
    )  # fmt: skip
    yield Candidate(
        "dx.weights_already_updated", "the weights were updated before dx was computed",
        "dx = dx(dy, w - lr * dw)", DX,
        before=lambda t: t.changed(w=t.changed(op="dw").result()), added=True,
    )  # fmt: skip
    yield Candidate(
        "any.alias", "w was overwritten by dw before dx was computed", "dx = dx(dy, dw)", DX,
        before=lambda t: t.changed(w=t.changed(op="dw").result()),
    )  # fmt: skip
    yield Candidate(
        "any.alias", "the kernel is rotated in place, so that every other image finds it rotated back",
        "dx[n] = FC(D(dy[n]), T(w)) for odd n", DX, instead=_rotated_again,
    )  # fmt: skip


def _flips(rank: int) -> Iterator[Candidate]:
    """Partial and other rotations. A kernel that is rotated along all axes but some is the right one flipped there."""
    names = ("depth", "rows", "columns")[-rank:]
    for axis in range(2, 2 + rank) if rank > 1 else ():
        others = tuple(a for a in range(2, 2 + rank) if a != axis)
        yield Candidate(
            "dx.flip_axes", f"the kernel is reversed along {names[axis - 2]} alone",
            "dx = FC(D(dy), flip(T(w))) along one axis", DX,
            before=partial(_flipped_along, axes=others),
        )  # fmt: skip
        if rank == 3:
            yield Candidate(
                "dx.flip_axes", f"the kernel is not reversed along {names[axis - 2]}",
                "dx = FC(D(dy), flip(T(w))) along two axes", DX,
                before=partial(_flipped_along, axes=(axis,)),
            )  # fmt: skip
    yield Candidate(
        "dx.flip_axes", "all axes of the kernel are reversed, those of filters and channels as well",
        "dx[n,c,r] sums dy[n,f,i] * w[F-1-f,C-1-c,k]", DX, before=lambda t: t.changed(w=flipped(t.w, 0, 1)),
    )  # fmt: skip
    if rank > 1:
        yield Candidate(
            "dx.flip_axes", "the kernel is turned by 90 degrees, not by 180",
            "dx = FC(D(dy), rot90(T(w)))", DX,
            before=lambda t: _square(t, lambda w: flipped(np.rot90(w, 1, (-2, -1)), -2, -1)),
        )  # fmt: skip
        yield Candidate(
            "dx.flip_axes", "the kernel is turned by 270 degrees, not by 180",
            "dx = FC(D(dy), rot270(T(w)))", DX,
            before=lambda t: _square(t, lambda w: flipped(np.rot90(w, 3, (-2, -1)), -2, -1)),
        )  # fmt: skip
        yield Candidate(
            "dx.flip_axes", "rows and columns of the kernel are transposed, not reversed",
            "dx = FC(D(dy), transpose(T(w)))", DX,
            before=lambda t: _square(t, lambda w: flipped(w.swapaxes(-1, -2), -2, -1)),
        )  # fmt: skip
        yield Candidate(
            "dx.flip_axes", "rows and columns of the kernel are transposed and reversed",
            "dx = FC(D(dy), R(transpose(T(w))))", DX, before=lambda t: _square(t, lambda w: w.swapaxes(-1, -2)),
        )  # fmt: skip


def _flipped_along(t: Task, axes: Shape) -> Task:
    return t.changed(w=flipped(t.w, *axes))


def _square(t: Task, turned: Callable[[Array], Array]) -> Task | None:
    return t.changed(w=turned(t.w)) if t.w.shape[-1] == t.w.shape[-2] else None


def _channels_not_swapped(t: Task) -> Task:
    """Filters are counted by the axis of channels, in memory: with as many of both, that axis itself."""
    grouped = by_group(t.w, t.groups)
    filters, channels = grouped.shape[1:3]
    misread = grouped.reshape(t.groups, channels, filters, *grouped.shape[3:]).swapaxes(1, 2)
    return t.changed(w=misread.reshape(t.w.shape))


def _neither(t: Task) -> Task:
    swapped = _channels_not_swapped(t)
    return swapped.changed(w=flipped(swapped.w))


def _one_filter(t: Task, index: int) -> Task | None:
    grouped = by_group(t.w, t.groups)
    return t.changed(w=only(grouped, 1, index).reshape(t.w.shape)) if grouped.shape[1] > 1 else None


def _diagonal(t: Task) -> Task | None:
    grouped = by_group(t.w, t.groups)
    if grouped.shape[1] < 2 or grouped.shape[1] != grouped.shape[2]:
        return None
    eye = np.eye(grouped.shape[1]).reshape(1, *grouped.shape[1:3], *(1,) * (grouped.ndim - 3))
    return t.changed(w=(grouped * eye).reshape(t.w.shape))


def _rotated_again(t: Task) -> Array | None:
    if t.dy.shape[0] < 2:
        return None
    result, other = t.result(), t.changed(w=flipped(t.w)).result()
    result[1::2] = other[1::2]
    return result
