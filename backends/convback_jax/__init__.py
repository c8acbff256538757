"""JAX on the CPU as a peer: XLA's convolution, and the transposes that JAX derives from it.

y is linear in x and linear in w. dx and dw are the transposes of these two maps, so neither has a formula here.

Every problem is compiled at its first call, which takes far longer than running it. What is compiled takes a megabyte
or more, so only the `PROGRAMS` used last are kept.

XLA fixes its threads when it starts: `convback.get_num_threads()` has no influence on them. A forked child has none of
them, so JAX hangs there if the parent used it. JAX starts at the first question or call, together with all the devices
that it finds. Nothing is computed on them but on the CPU; the environment variable JAX_PLATFORMS=cpu leaves them alone.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, TypeAlias

import numpy as np

from convback import ConvGeometry
from convback.contract import Array, DType
from convback.geometry import Pairs, Shape, effective_kernel

try:
    import jax
except ImportError as error:
    raise ImportError('JAX is not installed; pip install "convback[jax]"') from error

CONTRACT = 1
PROGRAMS = 256

# XLA counts positions in float32, exactly up to 2^24, and for dx up to twice those of x with its padding.
LONGEST = 2**23

Traced: TypeAlias = Any  # a jax.Array with a shape and a dtype, and no numbers yet

ShapeDtypeStruct: Any = jax.ShapeDtypeStruct  # has no types in JAX

# It moved in JAX 0.8.
enable_x64: Any = (jax if hasattr(jax, "enable_x64") else importlib.import_module("jax.experimental")).enable_x64


def supports(op: str, geom: ConvGeometry | None, dtype: DType) -> str | None:
    try:
        cpu()
    except (AssertionError, RuntimeError) as error:
        return f"JAX has no CPU here, which JAX_PLATFORMS can cause: {error!r}"
    if geom is not None and (n := longest(geom)) > LONGEST:
        return f"XLA may miscount {n} positions on an axis; {LONGEST} are safe"
    return None


def info() -> dict[str, str]:
    return {"JAX": jax.__version__, "threads": "chosen by XLA"}


def y(x: Array, w: Array, geom: ConvGeometry, out: Array) -> None:
    run(forward, geom, (x, w), out)


def dx(dy: Array, w: Array, geom: ConvGeometry, out: Array) -> None:
    run(transpose_by_x, geom, (dy, w), out)


def dw(dy: Array, x: Array, geom: ConvGeometry, out: Array) -> None:
    run(transpose_by_w, geom, (dy, x), out)


def db(dy: Array, out: Array) -> None:
    run(total, None, (dy,), out)


def convolution(geom: ConvGeometry, padding: Pairs, x: Traced, w: Traced) -> Traced:
    return jax.lax.conv_general_dilated(
        x,
        w,
        geom.stride,
        padding,
        rhs_dilation=geom.dilation,
        feature_group_count=geom.groups,
        precision="highest",
    )


def forward(geom: ConvGeometry, x: Traced, w: Traced) -> Traced:
    return convolution(geom, geom.padding, x, w)


def transpose_by_w(geom: ConvGeometry, dy: Traced, x: Traced) -> Traced:
    w = ShapeDtypeStruct(geom.w_shape, dy.dtype)
    return jax.linear_transpose(lambda w: forward(geom, x, w), w)(dy)[0]


def transpose_by_x(geom: ConvGeometry, dy: Traced, w: Traced) -> Traced:
    """The transpose for an x that has some of its padding within; what it gives for that is cut off."""
    padding = transposable(geom)
    pairs = zip(geom.padding, padding, strict=True)
    within = [(lo - lo_without, hi - hi_without) for (lo, hi), (lo_without, hi_without) in pairs]
    axes = list(zip(geom.x_spatial, within, strict=True))
    x = ShapeDtypeStruct((geom.N, geom.C, *(lo + r + hi for r, (lo, hi) in axes)), dy.dtype)
    dx = jax.linear_transpose(lambda x: convolution(geom, padding, x, w), x)(dy)[0]
    return dx[(..., *(slice(lo, lo + r) for r, (lo, _) in axes))]


def transposable(geom: ConvGeometry) -> Pairs:
    """As much of the padding as XLA can be trusted with in dx.

    Where an input is padded by p, and the kernel reaches q beyond its first tap, dy is padded by q - p. If this is
    negative, XLA may read beyond the end of a row (openxla/xla issue 48713). If it is zero, it can take an axis with a
    stride and a kernel of 2 for a group, and end the process.
    """
    most = [max(effective_kernel(k, d) - 2, 0) for k, d in zip(geom.kernel, geom.dilation, strict=True)]
    return tuple((min(lo, m), min(hi, m)) for (lo, hi), m in zip(geom.padding, most, strict=True))


def total(_: None, dy: Traced) -> Traced:
    return dy.sum((0, *range(2, dy.ndim)))


def run(function: Callable[..., Traced], geom: ConvGeometry | None, operands: tuple[Array, ...], out: Array) -> None:
    """Write function(geom, *operands) to `out`, whatever the settings of the user's own JAX are, and leaving them."""
    shapes = tuple(a.shape for a in operands)
    with (
        enable_x64(True),  # without it JAX makes float32 of float64
        jax.transfer_guard("allow"),
        jax.disable_jit(False),
        jax.debug_nans(False),
        jax.debug_infs(False),
    ):
        program = compiled(function, geom, shapes, out.dtype)
        out[...] = np.asarray(program(*operands))


@lru_cache(PROGRAMS)
def compiled(
    function: Callable[..., Traced], geom: ConvGeometry | None, shapes: tuple[Shape, ...], dtype: DType
) -> Callable[..., Any]:
    # Ahead of time, since jax.jit by itself would keep thousands of them.
    sharding = jax.sharding.SingleDeviceSharding(cpu())
    operands = [ShapeDtypeStruct(shape, dtype, sharding=sharding) for shape in shapes]
    program: Callable[..., Any] = jax.jit(lambda *operands: function(geom, *operands)).lower(*operands).compile()
    return program


def longest(geom: ConvGeometry) -> int:
    """The largest extent of x with its padding, or a stride or dilation if that is larger."""
    padded = (lo + r + hi for r, (lo, hi) in zip(geom.x_spatial, geom.padding, strict=True))
    return max(*padded, *geom.stride, *geom.dilation)


@cache
def cpu() -> Any:
    return jax.devices("cpu")[0]
