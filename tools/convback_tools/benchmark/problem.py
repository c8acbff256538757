"""What is timed: a gradient of a layer, or all three in one call, with operands that they share."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

import convback
from convback import ConvGeometry, Gradients
from convback.contract import Array, DType
from convback_tools.notation import arguments
from convback_tools.verification.challenges import Challenge, Exact, Rounding
from convback_tools.verification.question import Question

GRADIENTS = ("dx", "dw", "db")
OPS = ("y", *GRADIENTS, "backward")

Call = Callable[..., Any]


@dataclass(frozen=True)
class Part(Question):
    """One of the gradients that a call computes: all of them from the same dy, x and w."""

    parts: tuple[str, ...] = ()

    @cached_property
    def integer_bound(self) -> int:
        return min(Question(op, self.geom, self.dtype).integer_bound for op in self.parts)

    def generator(self, tier: str, draw: int = 0) -> np.random.Generator:
        return np.random.default_rng([self.seed, draw])

    def integers(self, rng: np.random.Generator) -> tuple[Array, ...]:
        bound = self.integer_bound
        return self._drawn(lambda shape: rng.integers(-bound, bound, shape, endpoint=True).astype(self.dtype))

    def reals(self, rng: np.random.Generator) -> tuple[Array, ...]:
        return self._drawn(lambda shape: rng.standard_normal(shape, self.dtype))

    def _drawn(self, draw: Callable[[Any], Array]) -> tuple[Array, ...]:
        shapes = {"dy": self.geom.y_shape, "x": self.geom.x_shape, "w": self.geom.w_shape}
        drawn = {name: draw(shape) for name, shape in shapes.items()}
        return tuple(drawn[name] for name in self.operand_names)


@dataclass(frozen=True)
class Problem:
    """What is timed. `op` may be "backward", the three gradients in one call."""

    op: str
    geom: ConvGeometry
    dtype: DType
    seed: int = 0

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        ops = GRADIENTS if self.op == "backward" else (self.op,)
        return tuple(Part(op, self.geom, self.dtype, self.seed, ops) for op in ops)

    @property
    def macs(self) -> int:
        """Products, those with padding included; the sums of db are counted where nothing else is computed."""
        return sum(part.macs for part in self.parts if part.op != "db" or self.op == "db")

    @property
    def flops(self) -> int:
        """Multiplications and additions."""
        return self.macs if self.op == "db" else 2 * self.macs

    @cached_property
    def real(self) -> tuple[Challenge, ...]:
        """Of each part, with the operands of the timing."""
        return tuple(map(Rounding, self.parts))

    @cached_property
    def exact(self) -> tuple[Challenge, ...]:
        return tuple(map(Exact, self.parts))

    def operands(self, challenges: tuple[Challenge, ...]) -> tuple[Array, ...]:
        """Those of all parts, in the order of the contract: for "backward" dy, x and w."""
        named: dict[str, Array] = {}
        for challenge in challenges:
            named |= dict(zip(challenge.question.operand_names, challenge.operands, strict=True))
        return tuple(named[name] for name in (("dy", "x", "w") if self.op == "backward" else named))

    def call(self, backend: str, operands: tuple[Array, ...]) -> Call:
        """A call of the public function, into memory that is there already."""
        # NaN, so that what is not written is found.
        outs = tuple(np.full(part.result_shape, np.nan, self.dtype) for part in self.parts)
        layer: dict[str, Any] = {**arguments(self.geom), "backend": backend}
        # Everything that Python can prepare is prepared: a tiny problem takes microseconds.
        if self.op == "backward":
            return partial(convback.backward, *operands, **layer, out=Gradients(*outs))
        if self.op == "db":
            return partial(convback.db, *operands, backend=backend, out=outs[0])
        if self.op == "y":
            return partial(convback.conv, *operands, **layer, out=outs[0])
        function: Call = {"dx": convback.dx, "dw": convback.dw}[self.op]
        return partial(function, *operands, outs[0].shape, **layer, out=outs[0])

    def results(self, returned: Any) -> tuple[Any, ...]:
        """One for each part, of what a call returned."""
        if self.op != "backward":
            return (returned,)
        dx, dw, db = returned
        return dx, dw, db

    @property
    def bytes(self) -> int:
        """Memory of the operands and the results."""
        g = self.geom
        size = {"dy": g.y_shape, "x": g.x_shape, "w": g.w_shape, "y": g.y_shape, "dx": g.x_shape, "dw": g.w_shape}
        names = {name for part in self.parts for name in (part.op, *part.operand_names)}
        return self.dtype.itemsize * sum(math.prod(size.get(name, (g.F,))) for name in names)
