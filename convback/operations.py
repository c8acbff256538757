"""The functions that a program calls: the forward pass and its gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from convback import arrays, plans
from convback.contract import Array
from convback.errors import ParameterError, quoted
from convback.geometry import Padding, PerAxis

GRADIENTS = ("dx", "dw", "db")


class Gradients(NamedTuple):
    """What `backward` returns: a gradient each, None where it was not needed."""

    dx: Array | None = None
    dw: Array | None = None
    db: Array | None = None


def conv(
    x: Array,
    w: Array,
    b: Array | None = None,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    mode: str = "cross-correlation",
    accuracy: str | None = None,
    backend: str | None = None,
    out: Array | None = None,
) -> Array:
    """Forward pass of a convolution layer, in one, two or three dimensions.

    In two dimensions, with C' = C/groups, F' = F/groups and p the leading padding::

        y[n,f,i,j] = b[f] + sum over c<C',k,l  x[n, (f//F')C'+c, i*sh + k*dh - ph, j*sw + l*dw - pw] * w[f,c,k,l]

    Parameters
    ----------
    x : ndarray of float32 or float64, shape (N, C, *spatial)
    w : ndarray of the same dtype, shape (F, C/groups, *kernel)
    b : ndarray of the same dtype, shape (F,), optional
    stride, dilation : int or sequence of int
        At least 1; one number for all axes, or one an axis. A dilation of 1 means none.
    padding : int, str or sequence
        Zeros around x: a number for all sides, one number an axis, one (lo, hi) pair an axis, or "valid" (none),
        "same" (ceil(x / stride) outputs, an odd zero at the end), "same_lower" (at the start) or "full".
    groups : int
        Number of groups that C and F are divided into.
    mode : {"cross-correlation", "convolution"}
        The first is what neural networks call a convolution. The second flips w, as signal processing does.
    accuracy : {"fast", "strict"}, optional
        Whether the backend `auto` may use transform algorithms, whose error has a bound of its own, or keeps to sums of
        products. Default: `use_accuracy`, else `CONVBACK_ACCURACY`, else "fast".
    backend : str, optional
        Default: `use_backend`, else `set_default_backend`, else `CONVBACK_BACKEND`, else "auto".
    out : ndarray, optional
        Where to write the result, of its shape and dtype, with any strides and byte order. Overwritten, never read.

    Returns
    -------
    ndarray, shape (N, F, *y_spatial)
        `out`, if that was given.

    Raises
    ------
    ShapeError, ParameterError, DTypeError
        If an argument is wrong; nothing has been written then.
    UnknownBackend, BackendUnavailable, UnsupportedProblem
        If the backend that was asked for cannot do it. No other one is tried.
    """
    plan = plans.find("y", (x, w), None, (stride, padding, dilation, groups, mode), accuracy, backend)
    inputs = {"x": x, "w": w}
    if b is not None:
        arrays.common_dtype(x=x, b=b)
        arrays.check_shape("b", b, (w.shape[0],), f"one number a filter of w {w.shape}")
        inputs["b"] = b
    if out is not None:
        _check_outs({"out": (plan, out)}, inputs)
    y = plan(out, x, w)
    if b is not None:
        with np.errstate(all="ignore"):  # as in the backends
            y += b.reshape(-1, *(1,) * (w.ndim - 2))
    return y


def dx(
    dy: Array,
    w: Array,
    x_shape: Sequence[int],
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    mode: str = "cross-correlation",
    accuracy: str | None = None,
    backend: str | None = None,
    out: Array | None = None,
) -> Array:
    """Gradient with respect to the input x of a convolution layer.

    In two dimensions, every output position gives to the inputs that it was made of::

        dx[n, (f//F')C'+c, r, s] accumulates dy[n,f,i,j] * w[f,c,k,l]  at  r = i*sh + k*dh - ph, s = j*sw + l*dw - pw

    Parameters
    ----------
    dy : ndarray of float32 or float64, shape (N, F, *y_spatial)
        Gradient with respect to the output y.
    w : ndarray of the same dtype, shape (F, C/groups, *kernel)
    x_shape : sequence of int
        The whole shape of x, (N, C, *spatial): with a stride, dy alone does not determine it.
    stride, padding, dilation, groups, mode, accuracy, backend, out
        As in `conv`.

    Returns
    -------
    ndarray, shape `x_shape`

    Raises
    ------
    ConvbackError
        As `conv`.
    """
    plan = plans.find("dx", (dy, w), x_shape, (stride, padding, dilation, groups, mode), accuracy, backend)
    if out is not None:
        _check_outs({"out": (plan, out)}, {"dy": dy, "w": w})
    return plan(out, dy, w)


def dw(
    dy: Array,
    x: Array,
    w_shape: Sequence[int],
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    mode: str = "cross-correlation",
    accuracy: str | None = None,
    backend: str | None = None,
    out: Array | None = None,
) -> Array:
    """Gradient with respect to the weights w of a convolution layer.

    In two dimensions::

        dw[f,c,k,l] = sum over n,i,j  dy[n,f,i,j] * x[n, (f//F')C'+c, i*sh + k*dh - ph, j*sw + l*dw - pw]

    Parameters
    ----------
    dy : ndarray of float32 or float64, shape (N, F, *y_spatial)
        Gradient with respect to the output y.
    x : ndarray of the same dtype, shape (N, C, *spatial)
    w_shape : sequence of int
        The whole shape of w, (F, C/groups, *kernel).
    stride, padding, dilation, groups, mode, accuracy, backend, out
        As in `conv`.

    Returns
    -------
    ndarray, shape `w_shape`

    Raises
    ------
    ConvbackError
        As `conv`.
    """
    plan = plans.find("dw", (dy, x), w_shape, (stride, padding, dilation, groups, mode), accuracy, backend)
    if out is not None:
        _check_outs({"out": (plan, out)}, {"dy": dy, "x": x})
    return plan(out, dy, x)


def db(dy: Array, *, backend: str | None = None, out: Array | None = None) -> Array:
    """Gradient with respect to the bias b of a convolution layer.

    In two dimensions::

        db[f] = sum over n,i,j  dy[n,f,i,j]

    Parameters
    ----------
    dy : ndarray of float32 or float64, shape (N, F, *y_spatial)
        Gradient with respect to the output y.
    backend, out
        As in `conv`.

    Returns
    -------
    ndarray, shape (F,)

    Raises
    ------
    ConvbackError
        As `conv`.
    """
    plan = plans.find("db", (dy,), None, (), None, backend)
    if out is not None:
        _check_outs({"out": (plan, out)}, {"dy": dy})
    return plan(out, dy)


def backward(
    dy: Array,
    x: Array,
    w: Array,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    mode: str = "cross-correlation",
    accuracy: str | None = None,
    backend: str | None = None,
    need: Sequence[str] = GRADIENTS,
    out: Gradients | None = None,
) -> Gradients:
    """All gradients of a convolution layer, or those that are needed, in one call.

    Parameters
    ----------
    dy, x, w : ndarray
        As in `dx` and `dw`.
    stride, padding, dilation, groups, mode, accuracy, backend
        As in `conv`.
    need : sequence of {"dx", "dw", "db"}
        Which gradients to compute. At least one.
    out : Gradients, optional
        Where to write them; None in a place means a new array. Only needed gradients may have one.

    Returns
    -------
    Gradients
        Named tuple (dx, dw, db), None where it was not needed.

    Raises
    ------
    ConvbackError
        As `conv`.
    """
    wanted = _checked_need(need)
    outs = _checked_outs(out, wanted)
    parameters = (stride, padding, dilation, groups, mode)
    arrays.common_dtype(dy=dy, x=x, w=w)
    calls: dict[str, Any] = {
        "dx": ((dy, w), x.shape, parameters),
        "dw": ((dy, x), w.shape, parameters),
        "db": ((dy,), None, ()),
    }
    if wanted == ("db",):  # dy is held against x and w all the same
        plans.layer("dw", *calls["dw"])
    found = {op: plans.find(op, *(*calls[op], accuracy, backend)) for op in wanted}
    _check_outs({f"out.{op}": (found[op], outs[op]) for op in wanted}, {"dy": dy, "x": x, "w": w})
    if len(wanted) > 1 and (fused := plans.fused(found)) is not None:
        return Gradients(**fused(outs, dy, x, w))
    return Gradients(**{op: found[op](outs[op], *calls[op][0]) for op in wanted})


def _checked_need(need: Any) -> tuple[str, ...]:
    """The needed gradients, in the order of the result."""
    try:
        names = (need,) if isinstance(need, str) else tuple(need)
    except TypeError:  # not iterable
        names = ()
    if not names or not all(isinstance(name, str) and name in GRADIENTS for name in names):
        raise ParameterError(f"need is {quoted(need)}; expected some of 'dx', 'dw', 'db', at least one")
    return tuple(name for name in GRADIENTS if name in names)


def _checked_outs(out: Any, wanted: tuple[str, ...]) -> dict[str, Array | None]:
    if out is None:
        return dict.fromkeys(wanted)
    if not isinstance(out, Gradients):
        raise ParameterError(f"out is a {type(out).__name__}; expected convback.Gradients(dx=..., dw=..., db=...)")
    for name, array in out._asdict().items():
        if array is not None and name not in wanted:
            raise ParameterError(f"out.{name} is given, but need={wanted} leaves {name} out")
    return {name: getattr(out, name) for name in wanted}


def _check_outs(outs: dict[str, tuple[plans.Plan, Array | None]], inputs: dict[str, Array]) -> None:
    """Check every `out` against its plan, the inputs and the other ones, before anything is written."""
    taken = dict(inputs)
    for name, (plan, out) in outs.items():
        if out is not None:
            arrays.check_out(name, out, plan.shape, plan.dtype, taken)
            taken[name] = out
