"""Checks of a caller's arrays, and their conversion to what backends receive."""

from __future__ import annotations

from typing import Any

import numpy as np

from convback.contract import Array, DType
from convback.errors import DTypeError, ParameterError, ShapeError
from convback.geometry import Shape

NATIVE: dict[type, DType] = {kind: np.dtype(kind) for kind in (np.float32, np.float64)}


def common_dtype(**operands: object) -> DType:
    """The one dtype of all operands, in native byte order.

    Raises
    ------
    DTypeError
        If one is not an ndarray of float32 or float64, or if they differ.
    """
    dtypes = {name: _dtype(name, operand) for name, operand in operands.items()}
    if len(set(dtypes.values())) > 1:
        listed = ", ".join(f"{name} is {dtype}" for name, dtype in dtypes.items())
        raise DTypeError(f"{listed}; expected one dtype for all. Convert with .astype")
    return next(iter(dtypes.values()))


def _dtype(name: str, operand: object) -> DType:
    if not isinstance(operand, np.ndarray):
        raise DTypeError(f"{name} is a {type(operand).__name__}; expected a numpy.ndarray. Convert with numpy.asarray")
    if type(operand) is not np.ndarray and isinstance(operand, np.ma.MaskedArray):  # the first np.ma loads a module
        raise DTypeError(f"{name} is a masked array, whose mask would be ignored; fill it first, with .filled(0)")
    native = NATIVE.get(operand.dtype.type)
    if native is None:
        raise DTypeError(f"{name} has dtype {operand.dtype}; expected float32 or float64. Convert with .astype")
    return native


def check_shape(name: str, array: Array, expected: Shape, why: str) -> None:
    """Raise a ShapeError unless the array has the expected shape."""
    if array.shape != expected:
        raise ShapeError(f"{name} has shape {array.shape}; expected {expected}, {why}")


def fitted(operand: Array, dtype: DType, any_strides: bool) -> Array:
    """The operand itself where a backend can take it as it is, else a converted copy."""
    flags = operand.flags
    if flags.aligned and (any_strides or flags.c_contiguous) and operand.dtype == dtype:
        return operand
    return np.array(operand, dtype=dtype, order="C")


def check_out(name: str, out: Any, shape: Shape, dtype: DType, inputs: dict[str, Array]) -> None:
    """Refuse an `out` that cannot take the result.

    Raises
    ------
    DTypeError, ShapeError
        If `out` is not an ndarray of the result's dtype (in any byte order) and shape.
    ParameterError
        If it is read-only, or shares memory with an input or with itself.
    """
    if (found := _dtype(name, out)) != dtype:
        raise DTypeError(f"{name} has dtype {found}; expected {dtype}, that of the operands")
    check_shape(name, out, shape, "the shape of the result")
    if not out.flags.writeable:
        raise ParameterError(f"{name} is read-only; expected an array that can be written")
    owner = out.flags.owndata
    for other, array in inputs.items():
        if owner and array.flags.owndata and array is not out:  # each has memory of its own
            continue
        if np.may_share_memory(out, array) and np.shares_memory(out, array):
            raise ParameterError(f"{name} shares memory with {other}; expected memory of its own. Pass a copy")
    if _overlaps_itself(out):
        raise ParameterError(
            f"{name} has strides {out.strides} for shape {out.shape}, so that several elements share memory; "
            "expected memory of its own for each element"
        )


def usable_in_place(out: Array, dtype: DType) -> bool:
    """Whether a backend can write straight into `out`."""
    return bool(out.flags.carray) and out.dtype == dtype


def _overlaps_itself(array: Array) -> bool:
    if array.flags.c_contiguous or array.size < 2:
        return False
    axes = sorted(
        (abs(stride), extent) for stride, extent in zip(array.strides, array.shape, strict=True) if extent > 1
    )
    span = array.itemsize + sum(stride * (extent - 1) for stride, extent in axes)
    if array.size * array.itemsize > span:
        return True  # more elements than there is room for
    reach = array.itemsize
    for stride, extent in axes:
        if stride < reach:
            break
        reach += stride * (extent - 1)
    else:
        return False  # every axis steps over all that the finer ones cover
    offsets = np.zeros(1, np.int64)
    for stride, extent in axes:
        offsets = np.add.outer(offsets, np.arange(extent) * stride).ravel()
    return int(np.diff(np.sort(offsets)).min()) < array.itemsize
