"""Predicts how long each candidate takes: a few costs a method, added up.

The constants were fitted, by least squares of relative errors, to what calls took on one core of an AMD Zen 4 with
AVX-512: the suite `layers` and 158 other problems from tiny to awkward, most in both dtypes, 1044 gradients in all.
For 93 % of these, the method that is predicted to be fastest takes at most 5 % longer than the one that is; on average
it takes 2 % longer. For problems that had no part in the fit, it was 90 % and 6 %. A prediction by itself is mostly
right to within a factor of two. `convback tune` measures instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from convback import ConvGeometry
from convback.contract import DType

# Below so many products the compiled methods keep to one thread.
PARALLEL_MACS = 1_000_000

VECTOR_BYTES = 64  # of AVX-512; shorter vectors slow all tiled methods alike

# Seconds. A call is that of the public function; it includes what the core spends.
GEMM_CALL = 1.05e-5
GEMM_VECTOR = 3.35e-10  # a multiplication and addition of two vectors, of which Zen 4 begins one a cycle
GEMM_GATHER_BYTE = 8e-11  # of inputs, which are copied, and of outputs
GEMM_REDUCTION_BYTE = 4.2e-11  # the same for dw
GEMM_SLOT = 9e-10  # an element of w as y and dx pack it, with the zeros that fill up two vectors
GEMM_WEIGHT = 9.5e-10  # an element of dw

LANES_CALL = 9.5e-6
LANES_VECTOR = 3.7e-10  # as GEMM_VECTOR
LANES_TRANSPOSED = 2.6e-9  # a vector of groups of x or y, which lie far apart in memory
LANES_WEIGHT = 1e-9

# One and a half times what was fitted on a Zen 3 with AVX2, whose vectors are half as long.
ROWS_CALL = 1e-5
ROWS_VECTOR = 2.7e-10  # as GEMM_VECTOR
ROWS_SUMS = 10  # in registers at least, so that none waits for the one before
ROWS_CACHED = 192  # planes that are summed, which then take twice as long to come from the cache
ROWS_INPUT = 3.4e-10
ROWS_OUTPUT = 2.2e-9  # a vector of results
ROWS_PLANE = 2.2e-7  # one group of one image

DIRECT_CALL = 9e-6
DIRECT_RESULT_ROW = 1.5e-8
DIRECT_ROW = 4.6e-9  # adding one row of outputs, for one tap and two channels
DIRECT_BYTE = 2.2e-11  # of such a row, which fills vectors
DIRECT_STRIDED = 2.6e-10  # an element of such a row, where they are added one at a time

EINSUM_CALL = 7.2e-5
EINSUM_WINDOW_BYTE = 2e-10  # of the copies of all windows, made on one thread
# Of y or its gradient, which is copied into another order, and of dx. The fit gives a third of this, as most are small;
# where they are large, memory is slow, and the choice matters.
EINSUM_COPIED_BYTE = 2e-10
EINSUM_PRODUCT_BYTE = 6.8e-12  # products by BLAS take twice as long in float64
EINSUM_WEIGHT_BYTE = 5.7e-11

NAIVE_PRODUCT = 1.8e-6

# Fitted to the ratio to `gemm`, in 178 gradients of 33 layers on one core of a Zen 3 with AVX2.
WINOGRAD_CALL = 1e-5
WINOGRAD_VECTOR = 5e-10  # as GEMM_VECTOR, at one of the 36 points of a tile
WINOGRAD_TILE = 6.9e-8  # a vector of channels of a tile of y or x, to the points or back
WINOGRAD_REDUCTION_TILE = 1.8e-7  # the same for dw
WINOGRAD_WEIGHT = 8e-8  # a vector of channels of the nine taps of w or dw

# Such that the faster of `fft` and `depthwise` or `gemm` is chosen, within 5 %, in 38 of 39 problems with kernels of 9
# to 201 taps an axis, measured on one thread of the same machine. The other, rows of float64 with 201 taps, costs 6 %
# more.
FFT_CALL = 1.5e-4
FFT_NUMBER = 6e-11  # a byte of a plane of x, y or w, for each doubling of the plane, to its spectrum or back
FFT_PRODUCT = 2.5e-10  # a byte of a plane of spectra that are multiplied, on one thread


def seconds(name: str, op: str, geom: ConvGeometry, dtype: DType, threads: int) -> float:
    """How long a candidate should take for "y", "dx" or "dw"."""
    return MODELS[name](op, geom, dtype.itemsize, threads if geom.macs >= PARALLEL_MACS else 1)


def by_cost(op: str, geom: ConvGeometry | None, dtype: DType, threads: int) -> list[tuple[str, float | None]]:
    """All candidates with their predicted seconds, the fastest first; without a layer in the order of `MODELS`."""
    if geom is None or geom.is_empty:
        return [(name, None) for name in MODELS]
    predicted = {name: seconds(name, op, geom, dtype, threads) for name in MODELS}
    return [(name, predicted[name]) for name in sorted(predicted, key=predicted.__getitem__)]


def gemm(op: str, geom: ConvGeometry, itemsize: int, threads: int) -> float:
    """Channels of the result fill the vectors, or rows do."""
    width = VECTOR_BYTES // itemsize
    weights, taps = math.prod(geom.w_shape), math.prod(geom.kernel)
    channels = (geom.C if op == "dx" else geom.F) // geom.groups
    fill = channels / rounded(channels, width)
    inputs, outputs = touched(geom), math.prod(geom.y_shape)
    if op == "dw":
        copied = (inputs * (taps > 1) + outputs) * itemsize * GEMM_REDUCTION_BYTE + weights * GEMM_WEIGHT
    else:
        if op == "dx":
            inputs, outputs = outputs, inputs
        slots = weights // channels * rounded(channels, 2 * width)
        copied = (inputs * (taps > 1) + outputs) * itemsize * GEMM_GATHER_BYTE + slots * GEMM_SLOT
    tiles = GEMM_CALL + (geom.macs / width / fill * GEMM_VECTOR + copied) / threads
    return min(tiles, rows(op, geom, itemsize, threads))


def groupwise(op: str, geom: ConvGeometry, itemsize: int, threads: int) -> float:
    """Groups fill the vectors, or rows do."""
    width = VECTOR_BYTES // itemsize
    vectors = rounded(geom.groups, width) / width / geom.groups  # for each group
    transposed = (touched(geom) + math.prod(geom.y_shape)) * vectors
    packed = math.prod(geom.w_shape) * vectors * width
    work = geom.macs * vectors * LANES_VECTOR + transposed * LANES_TRANSPOSED + packed * LANES_WEIGHT
    return min(LANES_CALL + work / threads, rows(op, geom, itemsize, threads))


def rows(op: str, geom: ConvGeometry, itemsize: int, threads: int) -> float:
    """Vectors lie along the rows of y or dx, where these have no gaps."""
    if op == "dw" or (op == "y" and geom.stride[-1] > 1):
        return math.inf
    width, inputs, outputs = VECTOR_BYTES // itemsize, math.prod(geom.x_shape), math.prod(geom.y_shape)
    summed, row, stride = geom.C // geom.groups, geom.y_spatial[-1], (1,) * geom.rank
    if op == "dx":
        inputs, outputs, summed, stride = outputs, inputs, geom.F // geom.groups, geom.stride
        row = -(-geom.x_spatial[-1] // stride[-1])
    vectors, taps, inside = -(-row // width), 1.0, 1.0
    if geom.rank > 1:
        taps = min(4, geom.kernel[-2] / stride[-2])
        padded = sum(geom.padding[-2])
        inside -= padded / (4 * geom.y_spatial[-2] + padded)  # rows of padding are left out
    waiting = max(1, ROWS_SUMS / taps / min(vectors, 4 if taps > 1 else 8))
    cached = 1 + summed * math.prod(geom.kernel[:-2]) / ROWS_CACHED
    products = geom.macs * inside * vectors / row * ROWS_VECTOR * waiting * cached
    touched = inputs * ROWS_INPUT + outputs * vectors / row * ROWS_OUTPUT
    return ROWS_CALL + (products + touched + geom.N * geom.groups * ROWS_PLANE) / threads


def direct(op: str, geom: ConvGeometry, itemsize: int, threads: int) -> float:
    """A loop over rows."""
    element = DIRECT_STRIDED if geom.stride[-1] > 1 else DIRECT_BYTE * itemsize
    rows = {"y": math.prod(geom.y_shape[:-1]), "dx": math.prod(geom.x_shape[:-1]), "dw": 0}[op]
    work = geom.macs * (DIRECT_ROW / geom.y_spatial[-1] + element) + rows * DIRECT_RESULT_ROW
    return DIRECT_CALL + work / threads


def einsum(op: str, geom: ConvGeometry, itemsize: int, threads: int) -> float:
    """Copied windows, and a product of matrices by BLAS."""
    copied = math.prod(geom.y_shape) + (math.prod(geom.x_shape) if op == "dx" else 0)
    copies = windows(geom) * EINSUM_WINDOW_BYTE + copied * EINSUM_COPIED_BYTE
    work = geom.macs * EINSUM_PRODUCT_BYTE + math.prod(geom.w_shape) * EINSUM_WEIGHT_BYTE
    return EINSUM_CALL + (copies + work / threads) * itemsize


def winograd(op: str, geom: ConvGeometry, itemsize: int, threads: int) -> float:
    """36 products for a tile of 4 x 4 outputs."""
    width = VECTOR_BYTES // itemsize
    outputs = geom.x_spatial if op == "dx" else geom.y_spatial
    tiles = geom.N * math.prod(outputs[:-2]) * math.prod(-(-extent // 4) for extent in outputs[-2:])
    summed, across = (geom.C, geom.F) if op == "y" else (geom.F, geom.C)  # the second fills the vectors
    weights = math.prod(geom.kernel[:-2]) * summed * rounded(across, width) / width
    transformed = tiles * (rounded(geom.C, width) + rounded(geom.F, width)) / width
    tile = WINOGRAD_REDUCTION_TILE if op == "dw" else WINOGRAD_TILE
    work = 36 * tiles * weights * WINOGRAD_VECTOR + transformed * tile + weights * WINOGRAD_WEIGHT
    return WINOGRAD_CALL + work / threads


def fft(op: str, geom: ConvGeometry, itemsize: int, threads: int) -> float:
    """Transforms of all planes, whose cost does not depend on the kernel."""
    extents = zip(geom.x_spatial, geom.padding, geom.y_spatial, strict=True)
    numbers = math.prod(max(x + max(pair), y) for x, pair, y in extents)
    filters = geom.F * (geom.C // geom.groups)
    transforms = (geom.N * (geom.C + geom.F) + filters) * math.log2(2 * numbers) * FFT_NUMBER / threads
    return FFT_CALL + (transforms + geom.N * filters * FFT_PRODUCT) * numbers * itemsize


def naive(op: str, geom: ConvGeometry, itemsize: int, threads: int) -> float:
    """The formulas as Python loops."""
    return geom.macs * NAIVE_PRODUCT


def rounded(number: int, step: int) -> int:
    """Up to a multiple of the step."""
    return -(-number // step) * step


def windows(geom: ConvGeometry) -> int:
    """Elements of the windows of all outputs."""
    return geom.N * geom.C * math.prod(geom.y_spatial) * math.prod(geom.kernel)


def touched(geom: ConvGeometry) -> int:
    """Elements of x that windows read: with a stride beyond the kernel not all."""
    return min(math.prod(geom.x_shape), windows(geom))


# Where nothing can be predicted, the first of these that can be loaded; `naive` is what then remains.
MODELS: dict[str, Callable[[str, ConvGeometry, int, int], float]] = {
    "cython": direct, "depthwise": groupwise, "grouped": groupwise, "gemm": gemm, "winograd": winograd,
    "fft": fft, "einsum": einsum, "naive": naive,
}  # fmt: skip
