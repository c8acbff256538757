"""What a backend is asked: a gradient of a problem in a dtype, and the random operands that go with it."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from convback import ConvGeometry
from convback.contract import Array, DType
from convback.geometry import Shape
from convback_tools.verification import oracle

# Every integer up to here is a number of the dtype.
EXACT_LIMIT = {"float16": 2**11, "bfloat16": 2**8, "float32": 2**24, "float64": 2**53}
ESCAPE = 2.0**-40


@dataclass(frozen=True)
class Question:
    """A gradient to compute: which, of which problem, in which dtype, and the seed of its operands."""

    op: str
    geom: ConvGeometry
    dtype: DType
    seed: int = 0

    @property
    def operand_names(self) -> tuple[str, ...]:
        return {"y": ("x", "w"), "dx": ("dy", "w"), "dw": ("dy", "x"), "db": ("dy",)}[self.op]

    @property
    def operand_shapes(self) -> tuple[Shape, ...]:
        shapes = {"x": self.geom.x_shape, "w": self.geom.w_shape, "dy": self.geom.y_shape}
        return tuple(shapes[name] for name in self.operand_names)

    @property
    def result_shape(self) -> Shape:
        g = self.geom
        return {"y": g.y_shape, "dx": g.x_shape, "dw": g.w_shape, "db": (g.F,)}[self.op]

    @property
    def layer(self) -> ConvGeometry | None:
        """The geometry, where the gradient depends on it."""
        return None if self.op == "db" else self.geom

    @property
    def macs(self) -> int:
        """Products of one answer, those with padding included."""
        return math.prod(self.geom.y_shape) if self.op == "db" else self.geom.macs

    @property
    def bytes(self) -> int:
        """Memory of the operands and the result."""
        return sum(map(math.prod, (*self.operand_shapes, self.result_shape))) * self.dtype.itemsize

    @cached_property
    def terms(self) -> Array:
        """K of each element, in a shape that broadcasts to the result's."""
        return oracle.terms(self.op, self.layer, self.geom.y_shape)

    @cached_property
    def most_terms(self) -> int:
        """K of the longest sum."""
        return int(self.terms.max(initial=0))

    @cached_property
    def integer_bound(self) -> int:
        """B, the largest integer to draw so that G = sum |a b| <= K B^2 (K B for db) stays exact; 0 where none does."""
        limit, most = EXACT_LIMIT[self.dtype.name], max(1, self.most_terms)
        return limit // most if self.op == "db" else math.isqrt(limit // most)

    @property
    def escape(self) -> float:
        """How probable it is at most that a wrong form passes one draw of integers |v| <= B (Schwartz and Zippel)."""
        return min(1.0, len(self.operand_shapes) / (2 * self.integer_bound + 1))

    def generator(self, tier: str, draw: int = 0) -> np.random.Generator:
        """Random numbers that depend on the question alone, so that it can be asked again."""
        return np.random.default_rng([self.seed, self._mark, zlib.crc32(tier.encode()), draw])

    @cached_property
    def _mark(self) -> int:
        return zlib.crc32(f"{self.op} {self.geom} {self.dtype}".encode())

    def integers(self, rng: np.random.Generator) -> tuple[Array, ...]:
        """Operands of integers |v| <= B.

        Raises
        ------
        AssertionError
            If G could exceed what the dtype holds exactly: the premise of every exact verdict.
        """
        bound, limit = self.integer_bound, EXACT_LIMIT[self.dtype.name]
        operands = tuple(_integers(rng, bound, shape, self.dtype) for shape in self.operand_shapes)
        largest = math.prod(int(max(-v.min(initial=0), v.max(initial=0))) for v in operands) * self.most_terms
        if largest > limit:
            raise AssertionError(f"sum |a b| may reach {largest}, beyond {limit}")
        return operands

    def reals(self, rng: np.random.Generator) -> tuple[Array, ...]:
        """Operands of normally distributed numbers."""
        return tuple(rng.standard_normal(shape, self.dtype) for shape in self.operand_shapes)


def draws_needed(escape: float) -> int:
    """How many draws press the probability of a wrong pass below 2^-40."""
    return max(1, math.ceil(math.log(ESCAPE) / math.log(escape))) if escape < 1 else 1


def _integers(rng: np.random.Generator, bound: int, shape: Shape, dtype: DType) -> Array:
    # In pieces: the 64-bit integers of all of them at once would take more memory than the operand.
    values = np.empty(shape, dtype)
    flat = values.reshape(-1)
    for start in range(0, flat.size, 2**22):
        piece = flat[start : start + 2**22]
        piece[...] = rng.integers(-bound, bound, piece.size, endpoint=True)
    return values
