"""What a backend is asked, and what makes its answer right: operands, the expected result, and the error allowed.

Two kinds:

- `exact`: random integers, so small that every product and every partial sum is exact in any order. Any difference
  from integer arithmetic is an error. A wrong bilinear form (linear, for db) passes one draw of integers |v| <= B with
  a probability of at most 2/(2B+1) (1/(2B+1)), by the lemma of Schwartz and Zippel; so many independent draws are made
  that the product of these probabilities is at most 2^-40.
- `rounding`: random real numbers. A sum of K products, in any order, with rounding u, is off by at most
  gamma_K sum |a b| with gamma_K = K u / (1 - K u) (Higham, Accuracy and Stability of Numerical Algorithms, 3.1).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from convback import ConvGeometry
from convback.contract import Array, DType
from convback_tools.verification import oracle

ESCAPE = 2.0**-40
EXACT_LIMIT = {"float32": 2**24, "float64": 2**53}
UNIT_ROUNDOFF = {"float32": 2.0**-24, "float64": 2.0**-53}
SMALLEST_ROUNDING = {"float32": 2.0**-150, "float64": 0.0}  # of an underflow; 2^-1075 is below float64 itself
LONGDOUBLE_ROUNDOFF = float(np.finfo(np.longdouble).epsneg)

# Above this number of products a longdouble oracle takes seconds; chosen elements are then computed exactly instead.
LONGDOUBLE_MACS = 3_000_000
SAMPLED_ELEMENTS = 24


@dataclass(frozen=True)
class Question:
    """A gradient to compute: which, of which problem (None for db), in which dtype, with which random numbers."""

    op: str
    geom: ConvGeometry
    dtype: DType
    seed: int

    @property
    def operand_shapes(self) -> tuple[tuple[int, ...], ...]:
        g = self.geom
        shapes = {"y": (g.x_shape, g.w_shape), "dx": (g.y_shape, g.w_shape), "dw": (g.y_shape, g.x_shape)}
        return shapes.get(self.op, (g.y_shape,))

    @property
    def result_shape(self) -> tuple[int, ...]:
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
    def terms(self) -> Array:
        return oracle.terms(self.op, self.layer, self.geom.y_shape)

    @property
    def most_terms(self) -> int:
        """K of the longest sum."""
        return int(self.terms.max(initial=0))

    def generator(self, tier: str) -> np.random.Generator:
        """Random numbers that depend on the question alone, so that it can be asked again."""
        text = f"{self.op} {self.geom} {self.dtype} {tier}"
        return np.random.default_rng([self.seed, zlib.crc32(text.encode())])


@dataclass(frozen=True)
class Challenge:
    """Operands, and the elements of the result that are compared: expected values and the largest error of each."""

    operands: tuple[Array, ...]
    index: Any
    expected: Array
    allowed: Array


def integer_bound(question: Question) -> int:
    """B, the largest integer to draw so that sum |a b| <= K B^2 (K B for db) stays exact; 0 where none does."""
    limit, most = EXACT_LIMIT[question.dtype.name], max(1, question.most_terms)
    return limit // most if question.op == "db" else math.isqrt(limit // most)


def draws_needed(question: Question) -> tuple[int, float]:
    """How many draws press the escape probability below 2^-40, and the probability of one."""
    bound = integer_bound(question)
    once = (1 if question.op == "db" else 2) / (2 * bound + 1)
    return math.ceil(math.log(ESCAPE) / math.log(once)), once


def exact(question: Question, draws: int) -> Iterator[Challenge]:
    """That many independent draws of integers with the result that integer arithmetic gives.

    Raises
    ------
    AssertionError
        If sum |a b| could exceed what the dtype holds exactly: the premise of the verdict.
    """
    bound = integer_bound(question)
    rng = question.generator("exact")
    for _ in range(draws):
        integers = [rng.integers(-bound, bound, shape, endpoint=True) for shape in question.operand_shapes]
        magnitude = math.prod(int(np.abs(v).max(initial=0)) for v in integers) * question.most_terms
        if magnitude > EXACT_LIMIT[question.dtype.name]:
            raise AssertionError(f"sum |a b| may reach {magnitude}, beyond {EXACT_LIMIT[question.dtype.name]}")
        operands = tuple(v.astype(question.dtype) for v in integers)
        expected = _oracle(question, operands, np.float64)
        yield Challenge(operands, ..., expected, np.zeros(()))


def rounding(question: Question) -> Challenge:
    """Normally distributed numbers, with an oracle wider than the dtype and the bound of a sum of products.

    Float32 is held against float64; float64 against longdouble where that is wider and the problem is small, else
    against exact sums of some elements.
    """
    rng = question.generator("rounding")
    operands = tuple(rng.standard_normal(shape).astype(question.dtype) for shape in question.operand_shapes)
    if question.dtype == np.float32:
        return _all_elements(question, operands, np.float64, UNIT_ROUNDOFF["float64"])
    if question.macs <= LONGDOUBLE_MACS and UNIT_ROUNDOFF["float64"] > LONGDOUBLE_ROUNDOFF:
        return _all_elements(question, operands, np.longdouble, LONGDOUBLE_ROUNDOFF)
    return _some_elements(question, operands, rng)


def allowed_error(question: Question, terms: Array, magnitudes: Array, oracle_roundoff: float) -> Array:
    """gamma_K sum |a b| of the dtype, its underflow, and what the oracle itself may be off by."""
    dtype = question.dtype.name
    own = gamma(terms, UNIT_ROUNDOFF[dtype]) + gamma(terms, oracle_roundoff)
    # The magnitudes are sums in the oracle's own arithmetic: at most that factor too small.
    result: Array = own * magnitudes * (1 + 2 * gamma(terms, oracle_roundoff)) + terms * SMALLEST_ROUNDING[dtype]
    return result


def gamma(terms: Array, roundoff: float) -> Array:
    """K u / (1 - K u), and infinity where that is no bound."""
    reach = np.asarray(terms * roundoff, np.float64)
    return np.where(reach < 1, reach / np.where(reach < 1, 1 - reach, 1), np.inf)


def _all_elements(question: Question, operands: tuple[Array, ...], dtype: Any, roundoff: float) -> Challenge:
    expected = _oracle(question, operands, dtype)
    magnitudes = _oracle(question, tuple(map(np.abs, operands)), dtype)
    return Challenge(operands, ..., expected, allowed_error(question, question.terms, magnitudes, roundoff))


def _some_elements(question: Question, operands: tuple[Array, ...], rng: np.random.Generator) -> Challenge:
    shape = question.result_shape
    last = np.array(shape, np.intp) - 1
    where = np.vstack([0 * last, last, rng.integers(0, shape, (SAMPLED_ELEMENTS - 2, len(shape)))])
    chosen = oracle.sample(question.op, question.layer, *_pair(operands), where)
    terms = np.broadcast_to(question.terms, shape)[chosen.where]
    allowed = allowed_error(question, terms, chosen.magnitudes, UNIT_ROUNDOFF["float64"])
    return Challenge(operands, chosen.where, chosen.values, allowed)


def _oracle(question: Question, operands: tuple[Array, ...], dtype: Any) -> Array:
    return oracle.gradient(question.op, question.layer, *_pair(operands), dtype)


def _pair(operands: tuple[Array, ...]) -> tuple[Array, Array | None]:
    return operands[0], operands[1] if len(operands) > 1 else None
