"""The short way from a call to a kernel: what was checked and prepared once is found again by the raw arguments.

A call looks for a plan under its arguments as they were given. A hit goes straight to the kernel. A miss walks the
readable path, `_prepare`: it checks the operands, builds the geometry, resolves the backend, and leaves a plan.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable
from typing import Any

import numpy as np

from convback import arrays
from convback.contract import Array, DType, Run, refusal, runner
from convback.errors import ParameterError, ShapeError, UnsupportedProblem, quoted
from convback.geometry import ConvGeometry, Shape
from convback.registry import get_backend
from convback.selection import checked_accuracy, current_accuracy, current_backend, use_accuracy

MODES = ("cross-correlation", "convolution")
CAPACITY = 4096

_plans: dict[Any, Plan] = {}


class Plan:
    """One gradient of one problem on one backend, checked and ready to run."""

    __slots__ = ("any_strides", "backend", "dtype", "flipped", "geom", "run", "shape", "worker")

    def __init__(self, backend: Any, geom: ConvGeometry | None, dtype: DType, shape: Shape, flipped: bool) -> None:
        self.backend = backend
        self.geom = geom
        self.dtype = dtype
        self.shape = shape
        self.flipped = flipped
        self.any_strides = getattr(backend, "LAYOUT", "contiguous") == "any"
        self.run: Any = None
        self.worker: str | None = None  # the backend that does the work, where `backend` passes it on

    def __call__(self, out: Array | None, *operands: Array) -> Array:
        """Run on operands that match the plan; `out` has been checked."""
        result = self.target(out)
        self.run(*[arrays.fitted(operand, self.dtype, self.any_strides) for operand in operands], result)
        return _delivered(result, out)

    def target(self, out: Array | None) -> Array:
        """What the backend writes to: `out` itself where it can, else a new array."""
        if out is not None and arrays.usable_in_place(out, self.dtype):
            return out
        return np.empty(self.shape, self.dtype)


def find(
    op: str, operands: tuple[Any, ...], shape: Any, parameters: tuple[Any, ...], accuracy: Any, backend: Any
) -> Plan:
    """The plan for a call.

    Parameters
    ----------
    op : {"y", "dx", "dw", "db"}
    operands : tuple
        (x, w), (dy, w), (dy, x) or (dy,), as the caller gave them.
    shape : object
        x_shape for "dx", w_shape for "dw", else None.
    parameters : tuple
        (stride, padding, dilation, groups, mode); empty for "db".
    accuracy, backend : object
        As the caller gave them.

    Raises
    ------
    ConvbackError
        As the public functions say.
    """
    backend = current_backend() if backend is None else backend
    accuracy = current_accuracy() if accuracy is None else accuracy
    key = plan = None
    try:
        # Bytes, since as keys 1, 1.0 and True would be equal; format 2, as later ones depend on reference counts.
        numbers = marshal.dumps((shape, parameters), 2)
        key = (op, backend, accuracy, numbers, *[(type(a), a.shape, a.dtype) for a in operands])
        plan = _plans.get(key)
    except (AttributeError, TypeError, ValueError):
        pass  # not to be remembered; mostly an error that _prepare explains
    if plan is None:
        plan = _prepare(op, operands, shape, parameters, accuracy, backend)
        if key is not None and _is_plain((shape, parameters)):
            if len(_plans) >= CAPACITY:
                _plans.clear()
            _plans[key] = plan
    return plan


def _is_plain(value: Any) -> bool:
    """Whether it can be known again by its marshalled bytes: of numbers and arrays of NumPy they tell no dtype."""
    if type(value) in (tuple, list):
        return all(map(_is_plain, value))
    return value is None or type(value) in (int, str)


def layer(op: str, operands: tuple[Any, ...], shape: Any, parameters: tuple[Any, ...]) -> tuple[ConvGeometry, DType]:
    """The geometry and dtype of a call, all operands checked; parameters as in `find`."""
    *numbers, mode = parameters
    names = {"y": ("x", "w"), "dx": ("dy", "w"), "dw": ("dy", "x")}[op]
    dtype = arrays.common_dtype(**dict(zip(names, operands, strict=True)))
    a, b = operands
    x_shape, w_shape = {"y": (a.shape, b.shape), "dx": (shape, b.shape), "dw": (b.shape, shape)}[op]
    geom = ConvGeometry(x_shape, w_shape, *numbers)
    if op != "y":
        arrays.check_shape("dy", a, geom.y_shape, f"which follows from x {geom.x_shape} and w {geom.w_shape}")
    if not isinstance(mode, str) or mode not in MODES:
        raise ParameterError(f"mode is {quoted(mode)}; expected 'cross-correlation' or 'convolution'")
    return geom, dtype


def fused(found: dict[str, Plan]) -> Callable[..., dict[str, Array]] | None:
    """A function of (outs, dy, x, w) that computes all the planned gradients at once, where the backend has one."""
    plan = found.get("dx") or found["dw"]
    geom, worker = plan.geom, plan.worker
    backend = plan.backend if worker is None else get_backend(worker)
    backward = getattr(backend, "backward", None)
    if backward is None or geom is None or geom.is_empty or found.get("dw", plan).worker != worker:
        return None

    def run(outs: dict[str, Array | None], dy: Array, x: Array, w: Array) -> dict[str, Array]:
        if plan.flipped:
            w = flip(w)
        operands = [arrays.fitted(operand, plan.dtype, plan.any_strides) for operand in (dy, x, w)]
        results = {op: its.target(outs[op]) for op, its in found.items()}
        backward(*operands, geom, **{"dx": None, "dw": None, "db": None, **results})
        if plan.flipped and "dw" in results:
            results["dw"][...] = flip(results["dw"]).copy()
        return {op: _delivered(result, outs[op]) for op, result in results.items()}

    return run


def _delivered(result: Array, out: Array | None) -> Array:
    if out is None or out is result:
        return result
    out[...] = result
    return out


def _prepare(
    op: str, operands: tuple[Any, ...], shape: Any, parameters: tuple[Any, ...], accuracy: Any, name: Any
) -> Plan:
    checked_accuracy(accuracy)
    if op == "db":
        return _prepare_db(operands[0], name, accuracy)
    geom, dtype = layer(op, operands, shape, parameters)
    result = {"y": geom.y_shape, "dx": geom.x_shape, "dw": geom.w_shape}[op]
    flipped = parameters[-1] == "convolution"
    plan = Plan(_supporting(name, op, geom, dtype, accuracy), geom, dtype, result, flipped)
    if geom.is_empty:
        plan.run = _zeros
        return plan
    with use_accuracy(accuracy):
        plan.run = runner(plan.backend, op, geom, dtype)
        if hasattr(plan.backend, "chosen"):
            plan.worker = plan.backend.chosen(op, geom, dtype)
    if flipped:
        plan.run = _flipped(plan, op)
    return plan


def _prepare_db(dy: Any, name: Any, accuracy: str) -> Plan:
    dtype = arrays.common_dtype(dy=dy)
    if not 3 <= dy.ndim <= 5:
        raise ShapeError(f"dy has shape {dy.shape}; expected (N, F, *spatial) with one to three spatial axes")
    plan = Plan(_supporting(name, "db", None, dtype, accuracy), None, dtype, (dy.shape[1],), False)
    plan.run = plan.backend.db if dy.size else _zeros
    return plan


def _supporting(name: Any, op: str, geom: ConvGeometry | None, dtype: DType, accuracy: str) -> Any:
    """The backend of that name, if it supports the problem."""
    backend = get_backend(name)
    with use_accuracy(accuracy):
        reason = refusal(backend, op, geom, dtype)
    if reason is not None:
        raise UnsupportedProblem(
            f"backend {name!r} does not support {op} in {dtype} of {geom or 'any layer'}: {reason}", reason
        )
    return backend


def _zeros(*operands_and_out: Array) -> None:
    operands_and_out[-1][...] = 0


def flip(w: Array) -> Array:
    """A view of w rotated by 180 degrees: all spatial axes reversed."""
    reversed_axes: Any = (..., *(slice(None, None, -1),) * (w.ndim - 2))
    view: Array = w[reversed_axes]
    return view


def _flipped(plan: Plan, op: str) -> Run:
    """A true convolution is a cross-correlation with the flipped w; so its dw is the flipped dw."""
    run: Run = plan.run
    if op != "dw":
        return lambda a, w, out: run(a, arrays.fitted(flip(w), plan.dtype, plan.any_strides), out)

    def run_dw(dy: Array, x: Array, out: Array) -> None:
        dw = np.empty_like(out)
        run(dy, x, dw)
        out[...] = flip(dw)

    return run_dw
