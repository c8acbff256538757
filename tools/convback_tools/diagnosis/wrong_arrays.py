"""Mistakes with whole arrays: axes in another order, the batch, groups, buffers, activations, and sums over axes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from operator import attrgetter

import numpy as np

from convback.contract import Array
from convback.operations import GRADIENTS
from convback_tools.diagnosis.candidates import PRODUCTS, Candidate, by_group, flipped, only
from convback_tools.diagnosis.task import Task
from convback_tools.submission import RESULTS

OPERANDS = {"x": ("y", "dw"), "dy": GRADIENTS, "w": ("y", "dx")}  # and the results that follow from each


def candidates(rank: int) -> Iterator[Candidate]:
    """All of them; the number of spatial axes makes no difference."""
    yield Candidate(
        "dw.flipped", "the gradient of the rotated kernel, or dy and x exchanged in the correlation",
        "dw[f,c,k] stands at K-1-k", ("dw",), after=lambda dw, t: flipped(dw),
    )  # fmt: skip
    yield Candidate(
        "any.convolution_forward", "the forward pass is a true convolution, with the kernel rotated",
        "y[n,f,i] sums x[n,c,r] * w[f,c,K-1-k]", ("y",), before=lambda t: t.changed(w=flipped(t.w)),
    )  # fmt: skip
    yield from _orders()
    yield from _batches()
    yield from _groups()
    yield from _biases()
    yield from _buffers()
    yield from _activations()


def _orders() -> Iterator[Candidate]:
    for name, ops in OPERANDS.items():
        yield Candidate(
            "any.layout", f"{name} is read as if its channels stood last", f"{name} as (N, *spatial, C) in memory", ops,
            before=partial(_read_channels_last, name=name),
        )  # fmt: skip
    yield Candidate(
        "any.layout", "the result has its channels last", "result[n,r,c] for result[n,c,r]", PRODUCTS,
        after=lambda a, t: np.moveaxis(a, 1, -1),
    )  # fmt: skip
    yield Candidate(
        "any.layout", "the result has its channels last in memory, and was reshaped",
        "result[n,r,c], counted as result[n,c,r]", ("y", "dx"),
        after=lambda a, t: np.moveaxis(a, 1, -1).reshape(a.shape),
    )  # fmt: skip
    yield Candidate(
        "any.layout", "the result is read as if its channels stood last", "result as (N, *spatial, C) in memory",
        PRODUCTS, after=lambda a, t: channels_last_misread(a),
    )  # fmt: skip
    yield Candidate(
        "any.layout", "filters and channels of dw are exchanged", "dw[c,f,k] for dw[f,c,k]", ("dw",),
        after=lambda dw, t: dw.swapaxes(0, 1),
    )  # fmt: skip
    yield Candidate(
        "any.layout", "all axes are in reverse order, as column-major arrays are read", "result[s,r,c,n]", PRODUCTS,
        after=lambda a, t: a.T,
    )  # fmt: skip
    yield Candidate(
        "any.layout", "the result is stored by columns and read by rows", "reshape(order='F')", PRODUCTS,
        after=lambda a, t: a.ravel(order="F").reshape(a.shape),
    )  # fmt: skip
    yield Candidate(
        "any.im2col_order", "dy is reshaped to (F, N·I), where its axes should be transposed first",
        "dy.reshape(F, -1) for dy.transpose(1,0,2,3).reshape(F, -1)", GRADIENTS,
        before=lambda t: t.changed(dy=first_two_misread(t.dy)) if t.dy.shape[0] > 1 else None,
    )  # fmt: skip
    yield Candidate(
        "any.im2col_order", "columns of dy stand in another order than those of x: images last, not first",
        "dy.transpose(1,2,3,0).reshape(F, -1)", ("dx", "dw"), before=_images_last,
    )  # fmt: skip
    yield Candidate(
        "any.im2col_order", "w is reshaped to (C·K, F), where it should be transposed",
        "w.reshape(-1, F) for w.reshape(F, -1).T", ("y", "dx"), before=_kernel_matrix_misread,
    )  # fmt: skip
    yield Candidate(
        "any.im2col_order", "the columns hold channels last, and dw was reshaped as if first",
        "dw[f,k,c], counted as dw[f,c,k]", ("dw",), after=lambda dw, t: np.moveaxis(dw, 1, -1).reshape(dw.shape),
    )  # fmt: skip
    yield Candidate(
        "any.im2col_order", "the result (C, N, ...) is reshaped to (N, C, ...), where it should be transposed",
        "result[c,n,r], counted as result[n,c,r]", ("y", "dx"),
        after=lambda a, t: a.swapaxes(0, 1).reshape(a.shape) if a.shape[0] > 1 else None,
    )  # fmt: skip


def _batches() -> Iterator[Candidate]:
    for what, index, n in (("last", -1, "N-1"), ("first", 0, "0")):
        yield Candidate(
            "any.batch", f"only the {what} image counts", f"n = {n} alone", GRADIENTS,
            before=partial(_one_image, index=index),
        )  # fmt: skip
    yield Candidate(
        "any.batch", "the sum over the batch stands in every image", "dx[n] sums dx over n", ("dx",),
        after=lambda dx, t: np.broadcast_to(dx.sum(axis=0), dx.shape) if dx.shape[0] > 1 else None,
    )  # fmt: skip


def _groups() -> Iterator[Candidate]:
    yield Candidate(
        "any.groups", "each group takes the block of the next", "block g+1 of the kernel, or of x, for block g",
        PRODUCTS, before=_next_group,
    )  # fmt: skip
    yield Candidate(
        "any.groups", "all groups take the block of the first", "block 0 of the kernel, or of x, for block g", PRODUCTS,
        before=_first_group,
    )  # fmt: skip
    yield Candidate(
        "any.groups", "filter f belongs to group f % G, where it should to f // F'", "f % G for f // F'", PRODUCTS,
        before=_dealt_filters, after=_dealt_back,
    )  # fmt: skip
    yield Candidate(
        "any.groups", "channel c belongs to group c % G, where it should to c // C'", "c % G for c // C'", PRODUCTS,
        before=_dealt_channels, after=_channels_dealt_back,
    )  # fmt: skip


def _biases() -> Iterator[Candidate]:
    sums: tuple[tuple[str, str, Callable[[Array], Array]], ...] = (
        ("all is summed but the batch", "db[n] = sum of dy[n,f,i] over f and i", lambda dy: over(dy, 1, 2)),
        ("positions are summed, but not the batch", "db[n,f] = sum of dy[n,f,i] over i", lambda dy: over(dy, 2)),
        ("the batch is summed, but not the positions", "db[f,i] = sum of dy[n,f,i] over n", lambda dy: dy.sum(axis=0)),
        ("the last axis is not summed", "db[f,j] = sum of dy[n,f,i,j] over n and i", _all_but_the_last),
        ("every filter gets the sum of all", "db[f] = sum of dy[n,f,i] over n, f and i",
         lambda dy: np.full(dy.shape[1], dy.sum())),
        ("only the first position counts", "db[f] = sum of dy[n,f,0] over n",
         lambda dy: dy.reshape(*dy.shape[:2], -1)[:, :, 0].sum(axis=0)),
    )  # fmt: skip
    for what, formula, summed in sums:
        yield Candidate("db.axes", what, formula, ("db",), instead=partial(_of_dy, summed=summed))


def _of_dy(t: Task, summed: Callable[[Array], Array]) -> Array:
    return summed(t.dy)


def over(dy: Array, *axes: int) -> Array:
    """Summed over these axes, of which 2 stands for all spatial ones."""
    total: Array = dy.sum(axis=tuple(a for a in range(dy.ndim) if min(a, 2) in axes))
    return total


def _all_but_the_last(dy: Array) -> Array:
    total: Array = dy.sum(axis=(0, *range(2, dy.ndim - 1)))
    return total


def _buffers() -> Iterator[Candidate]:
    for op, name in (("dx", "x"), ("dw", "w"), ("db", "b")):
        yield Candidate(
            "any.buffer_not_zeroed", f"{op} is added to a copy of {name}", f"{op} = {name} + {op}", (op,),
            instead=attrgetter(name), added=True,
        )  # fmt: skip
    yield Candidate(
        "any.buffer_not_zeroed", "the result is added to a buffer that holds a constant", "result + constant", RESULTS,
        instead=lambda t: np.ones_like(t.result()), added=True,
    )  # fmt: skip
    yield Candidate(
        "any.alias", "x was overwritten by dx before dw was computed", "dw = dw(dy, dx)", ("dw",),
        before=lambda t: t.changed(x=t.changed(op="dx").result()),
    )  # fmt: skip


def _activations() -> Iterator[Candidate]:
    """dy is the gradient with respect to y: what follows y in the network is no part of this layer."""
    for name, derivative in DERIVATIVES.items():
        yield Candidate(
            "any.activation", f"dy is multiplied by the derivative of {name} at y once more",
            f"{name}'(y) * dy for dy", GRADIENTS, before=partial(_derived_again, derivative=derivative),
        )  # fmt: skip
        yield Candidate(
            "any.activation", f"dx is multiplied by the derivative of {name} at x",
            f"{name}'(x) * dx for dx", ("dx",), after=partial(_derived_at_x, derivative=derivative),
        )  # fmt: skip
    yield Candidate(
        "check.kink", "half the gradient where a ReLU stands at 0, as central differences have it there",
        "dy * (y > 0) + dy/2 * (y == 0)", GRADIENTS, before=_at_the_kink,
    )  # fmt: skip


def _sigmoid(a: Array) -> Array:
    result: Array = 0.5 * (1 + np.tanh(0.5 * a))
    return result


DERIVATIVES: dict[str, Callable[[Array], Array]] = {
    "ReLU": lambda a: (a > 0).astype(np.float64),
    "the sigmoid": lambda a: _sigmoid(a) * (1 - _sigmoid(a)),
    "the sigmoid, taken from its own values,": lambda a: a * (1 - a),
    "tanh": lambda a: 1 - np.tanh(a) ** 2,
    "tanh, taken from its own values,": lambda a: 1 - a * a,
}


def _forward(t: Task) -> Array:
    return t.changed(op="y").result()


def _derived_again(t: Task, derivative: Callable[[Array], Array]) -> Task:
    return t.changed(dy=t.dy * derivative(_forward(t)))


def _derived_at_x(dx: Array, t: Task, derivative: Callable[[Array], Array]) -> Array:
    return dx * derivative(t.x)


def _at_the_kink(t: Task) -> Task | None:
    y = _forward(t)
    return t.changed(dy=t.dy * np.where(y == 0, 0.5, y > 0)) if (y == 0).any() else None


def channels_last_misread(a: Array) -> Array:
    """The same memory, counted as if the second axis came last."""
    return np.moveaxis(a.reshape(a.shape[0], *a.shape[2:], a.shape[1]), -1, 1)


def _read_channels_last(t: Task, name: str) -> Task:
    return t.changed(**{name: channels_last_misread(getattr(t, name))})


def first_two_misread(a: Array) -> Array:
    """The same memory, counted as if the first two axes were exchanged."""
    return a.reshape(a.shape[1], a.shape[0], *a.shape[2:]).swapaxes(0, 1)


def _one_image(t: Task, index: int) -> Task | None:
    return t.changed(dy=only(t.dy, 0, index)) if t.dy.shape[0] > 1 else None


def _images_last(t: Task) -> Task | None:
    if t.dy.shape[0] == 1:
        return None
    columns = np.moveaxis(t.dy, 0, -1)  # (F, *I, N), in memory
    return t.changed(dy=columns.reshape(t.dy.shape[1], t.dy.shape[0], *t.dy.shape[2:]).swapaxes(0, 1))


def _kernel_matrix_misread(t: Task) -> Task:
    filters, *rest = t.w.shape
    return t.changed(w=np.moveaxis(t.w.reshape(*rest, filters), -1, 0))


def _next_group(t: Task) -> Task | None:
    if t.groups == 1:
        return None
    if t.op == "dw":
        return t.changed(x=np.roll(t.x, -t.x.shape[1] // t.groups, axis=1))
    return t.changed(w=np.roll(t.w, -t.w.shape[0] // t.groups, axis=0))


def _first_group(t: Task) -> Task | None:
    if t.groups == 1:
        return None
    if t.op == "dw":
        channels = t.x.shape[1] // t.groups
        return t.changed(x=np.concatenate([t.x[:, :channels]] * t.groups, axis=1))
    grouped = by_group(t.w, t.groups)
    return t.changed(w=np.broadcast_to(grouped[:1], grouped.shape).reshape(t.w.shape))


def _dealt(extent: int, groups: int) -> Array:
    """The members of group 0, then those of group 1 and so on, where member m belongs to group m % G."""
    dealt: Array = np.arange(extent).reshape(-1, groups).T.ravel()
    return dealt


def _dealt_filters(t: Task) -> Task | None:
    order = _dealt(t.w.shape[0], t.groups)
    return t.changed(dy=t.dy[:, order], w=t.w[order], b=t.b[order]) if t.groups > 1 else None


def _dealt_back(result: Array, t: Task) -> Array:
    if t.op == "dx":
        return result
    return _undealt(result, 1 if t.op == "y" else 0, t.w.shape[0], t.groups)


def _dealt_channels(t: Task) -> Task | None:
    return t.changed(x=t.x[:, _dealt(t.x.shape[1], t.groups)]) if t.groups > 1 else None


def _channels_dealt_back(result: Array, t: Task) -> Array:
    return _undealt(result, 1, t.x.shape[1], t.groups) if t.op == "dx" else result


def _undealt(result: Array, axis: int, extent: int, groups: int) -> Array:
    return np.take(result, np.argsort(_dealt(extent, groups)), axis)
