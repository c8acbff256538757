"""PyTorch on the CPU as a peer: the kernels behind its convolution layers and their backward pass.

y is `torch.convolution`, dx and dw are `aten::convolution_backward`, called as autograd would, and db is `Tensor.sum`.
PyTorch pads both ends of an axis alike. Where the ends differ, x is padded beforehand and dx cropped afterwards.

PyTorch has one number of threads for all that it does. It is set to `convback.get_num_threads()`, and stays so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from convback import ConvGeometry, get_num_threads
from convback.contract import Array, DType
from convback.geometry import Shape

try:
    import torch
except ImportError as error:
    raise ImportError('PyTorch is not installed; pip install "convback[torch]"') from error

CONTRACT = 1

# For dx in float32. oneDNN has been seen to crash from 1024 on, the earlier the more channels there are.
LARGEST_STRIDE = 512

Tensor: TypeAlias = Any  # so that types can be checked without PyTorch


def supports(op: str, geom: ConvGeometry | None, dtype: DType) -> str | None:
    if op == "dx" and geom is not None and dtype.itemsize == 4 and max(geom.stride) > LARGEST_STRIDE:
        return f"with a stride above {LARGEST_STRIDE}, PyTorch may end the process"
    return None


def info() -> dict[str, str]:
    return {"PyTorch": str(torch.__version__), "threads": str(get_num_threads())}


def y(x: Array, w: Array, geom: ConvGeometry, out: Array) -> None:
    use_threads()
    deliver(torch.convolution(padded(tensor(x), geom), tensor(w), None, *parameters(geom)), out)


def dx(dy: Array, w: Array, geom: ConvGeometry, out: Array) -> None:
    use_threads()
    w_tensor = tensor(w)
    x_tensor = w_tensor.new_empty(padded_shape(geom))  # PyTorch wants it, for its shape only
    dx, _, _ = convolution_backward(tensor(dy), x_tensor, w_tensor, None, *parameters(geom), (True, False, False))
    deliver(cropped(dx, geom), out)


def dw(dy: Array, x: Array, geom: ConvGeometry, out: Array) -> None:
    use_threads()
    x_tensor = padded(tensor(x), geom)
    w_tensor = x_tensor.new_empty(geom.w_shape)  # likewise
    _, dw, _ = convolution_backward(tensor(dy), x_tensor, w_tensor, None, *parameters(geom), (False, True, False))
    deliver(dw, out)


def db(dy: Array, out: Array) -> None:
    use_threads()
    deliver(tensor(dy).sum((0, *range(2, dy.ndim))), out)


def variants(op: str, geom: ConvGeometry, operands: tuple[Array, ...]) -> dict[str, Callable[[], Any]]:
    """As PyTorch's own users have it: in either order of memory, with operands that were brought into it beforehand."""
    use_threads()
    formats = {"contiguous": torch.contiguous_format}
    if geom.rank > 1:
        formats["channels_last"] = torch.channels_last if geom.rank == 2 else torch.channels_last_3d
    names = {"y": ("x", "w"), "dx": ("dy", "w"), "dw": ("dy", "x"), "db": ("dy",)}.get(op, ("dy", "x", "w"))
    tensors = dict(zip(names, map(tensor, operands), strict=True))
    found = {name: variant(op, geom, tensors, order) for name, order in formats.items()}
    if op == "db":
        axes = (0, *range(2, geom.rank + 2))
        found["sum"] = lambda: tensors["dy"].sum(axes)
    return found


def variant(op: str, geom: ConvGeometry, tensors: dict[str, Tensor], order: Any) -> Callable[[], Any]:
    shapes = {"dy": geom.y_shape, "x": geom.x_shape, "w": geom.w_shape}
    like = next(iter(tensors.values()))
    # It wants all three, and looks at the order of those that it does not read.
    dy, x, w = (tensors.get(name, like.new_empty(shape)) for name, shape in shapes.items())
    dy, x, w = (t.contiguous(memory_format=order) for t in (dy, padded(x, geom), w))
    if op == "y":
        layer = parameters(geom)
        return lambda: torch.convolution(x, w, None, *layer)
    mask = tuple(op in (name, "backward") for name in ("dx", "dw", "db"))
    fixed = (dy, x, w, [geom.F] if mask[2] else None, *parameters(geom), mask)

    def run() -> Any:
        dx, dw, db = convolution_backward(*fixed)
        results = (dx if dx is None else cropped(dx, geom), dw, db)
        return results if op == "backward" else results[mask.index(True)]

    return run


def convolution_backward(*arguments: Any) -> Any:
    """The tensors (dx, dw, db) that the last argument asks for, None in place of the others."""
    return torch.ops.aten.convolution_backward(*arguments)


def use_threads() -> None:
    if (threads := get_num_threads()) != torch.get_num_threads():
        torch.set_num_threads(threads)


def tensor(a: Array) -> Tensor:
    """The array as a tensor: without a copy, unless it is read-only, which no tensor can be."""
    return torch.from_numpy(with_plain_strides(a) if a.flags.writeable else a.copy())


def deliver(result: Tensor, out: Array) -> None:
    torch.from_numpy(with_plain_strides(out)).copy_(result)


def with_plain_strides(a: Array) -> Array:
    """A view. Where an extent is 1, a contiguous array can have any stride, even below 0, which no tensor can have."""
    return a.reshape(-1).reshape(a.shape)


def parameters(geom: ConvGeometry) -> tuple[Any, ...]:
    """Stride, padding, dilation, transposed, output padding and groups: the order of PyTorch's convolutions."""
    padding = [0 if is_uneven(geom) else lo for lo, _ in geom.padding]
    return geom.stride, padding, geom.dilation, False, [0] * geom.rank, geom.groups


def is_uneven(geom: ConvGeometry) -> bool:
    """Whether the padding is beyond PyTorch."""
    return any(lo != hi for lo, hi in geom.padding)


def padded_shape(geom: ConvGeometry) -> Shape:
    """The shape of x as PyTorch gets it: with padding where that is uneven."""
    if not is_uneven(geom):
        return geom.x_shape
    spatial = (lo + r + hi for r, (lo, hi) in zip(geom.x_spatial, geom.padding, strict=True))
    return (geom.N, geom.C, *spatial)


def padded(x: Tensor, geom: ConvGeometry) -> Tensor:
    if not is_uneven(geom):
        return x
    return torch.nn.functional.pad(x, [p for pair in reversed(geom.padding) for p in pair])


def cropped(dx: Tensor, geom: ConvGeometry) -> Tensor:
    if not is_uneven(geom):
        return dx
    inside = (slice(lo, lo + r) for r, (lo, _) in zip(geom.x_spatial, geom.padding, strict=True))
    return dx[(..., *inside)]
