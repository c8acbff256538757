"""JAX on the CPU as a peer: XLA's convolution, and the transposes that JAX derives from it.

y is linear in x and linear in w, so dx and dw are the transposes of these two maps, and neither has a formula here.

Every problem is compiled at its first call, which takes far longer than running it. A compiled one keeps about a
megabyte, so only the `PROGRAMS` used last are kept.

XLA fixes its threads when it starts: `convback.get_num_threads()` has no influence on them. JAX starts at the first
question or call, with all the devices that it finds; only the environment variable JAX_PLATFORMS=cpu keeps it from
those other than the CPU, which compute nothing here.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, TypeAlias

import numpy as np

from convback import ConvGeometry
from convback.contract import Array, DType
from convback.geometry import Shape

try:
    import jax
except ImportError as error:
    raise ImportError('JAX is not installed; pip install "convback[jax]"') from error

CONTRACT = 1
PROGRAMS = 256

Traced: TypeAlias = Any  # a jax.Array that has a shape and a dtype and no numbers yet

ShapeDtypeStruct: Any = jax.ShapeDtypeStruct  # whose types are not given

# A context manager: the user's own setting stays as it is. JAX 0.8 moved it.
enable_x64: Any = (jax if hasattr(jax, "enable_x64") else importlib.import_module("jax.experimental")).enable_x64


def supports(op: str, geom: ConvGeometry | None, dtype: DType) -> str | None:
    try:
        cpu()
    except RuntimeError as error:
        return f"JAX has no CPU here: {error}"
    return None


def info() -> dict[str, str]:
    return {"JAX": jax.__version__, "threads": "chosen by XLA"}


def y(x: Array, w: Array, geom: ConvGeometry, out: Array) -> None:
    run(convolution, geom, (x, w), out)


def dx(dy: Array, w: Array, geom: ConvGeometry, out: Array) -> None:
    run(transpose_by_x, geom, (dy, w), out)


def dw(dy: Array, x: Array, geom: ConvGeometry, out: Array) -> None:
    run(transpose_by_w, geom, (dy, x), out)


def db(dy: Array, out: Array) -> None:
    run(total, None, (dy,), out)


def convolution(geom: ConvGeometry, x: Traced, w: Traced) -> Traced:
    return jax.lax.conv_general_dilated(
        x,
        w,
        geom.stride,
        geom.padding,
        rhs_dilation=geom.dilation,
        feature_group_count=geom.groups,
        precision="highest",
    )


def transpose_by_x(geom: ConvGeometry, dy: Traced, w: Traced) -> Traced:
    x = ShapeDtypeStruct(geom.x_shape, dy.dtype)
    return jax.linear_transpose(lambda x: convolution(geom, x, w), x)(dy)[0]


def transpose_by_w(geom: ConvGeometry, dy: Traced, x: Traced) -> Traced:
    w = ShapeDtypeStruct(geom.w_shape, dy.dtype)
    return jax.linear_transpose(lambda w: convolution(geom, x, w), w)(dy)[0]


def total(_: None, dy: Traced) -> Traced:
    return dy.sum((0, *range(2, dy.ndim)))


def run(function: Callable[..., Traced], geom: ConvGeometry | None, operands: tuple[Array, ...], out: Array) -> None:
    """Write function(geom, *operands) to `out`."""
    shapes = tuple(a.shape for a in operands)
    with enable_x64(True):  # without it JAX makes float32 of float64
        out[...] = np.asarray(compiled(function, geom, shapes, out.dtype)(*jax.device_put(operands, cpu())))


@lru_cache(PROGRAMS)
def compiled(
    function: Callable[..., Traced], geom: ConvGeometry | None, shapes: tuple[Shape, ...], dtype: DType
) -> Callable[..., Any]:
    # Not jax.jit alone, as its own cache has no such bound.
    sharding = jax.sharding.SingleDeviceSharding(cpu())
    operands = [ShapeDtypeStruct(shape, dtype, sharding=sharding) for shape in shapes]
    program: Callable[..., Any] = jax.jit(lambda *operands: function(geom, *operands)).lower(*operands).compile()
    return program


@cache
def cpu() -> Any:
    return jax.devices("cpu")[0]
