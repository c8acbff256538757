"""What makes an answer right, for problems small enough for an oracle.

- `Exact`: random integers, so small that every product and every partial sum is exact in any order. Any difference
  from integer arithmetic is an error. A wrong bilinear form (linear, for db) passes one draw of integers |v| <= B with
  a probability of at most 2/(2B+1) (1/(2B+1)), by the lemma of Schwartz and Zippel; independent draws multiply.
- `Rounding`: random real numbers. A sum of K products, in any order, with unit roundoff u, is off by at most
  gamma_K sum |a b| with gamma_K = K u / (1 - K u) (Higham, Accuracy and Stability of Numerical Algorithms, 3.1). A
  backend that declares `error_bound` does not sum products, and is held to that bound instead.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from convback.contract import Array
from convback_tools.verification import oracle
from convback_tools.verification.findings import Finding, compare
from convback_tools.verification.question import Question

if TYPE_CHECKING:
    from convback_tools.verification.respondent import Respondent

UNIT_ROUNDOFF = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24, "float64": 2.0**-53}
# Half the smallest subnormal number, the most that an underflow rounds by; of float64, that number itself, as its half
# is none.
SMALLEST_ROUNDING = {"float16": 2.0**-25, "bfloat16": 2.0**-134, "float32": 2.0**-150, "float64": 2.0**-1074}
LONGDOUBLE_ROUNDOFF = float(np.finfo(np.longdouble).epsneg)

# Above this number of products a longdouble oracle takes seconds; chosen elements are then computed exactly instead.
LONGDOUBLE_MACS = 3_000_000
SAMPLED_ELEMENTS = 24


class Challenge(ABC):
    """A question with operands. `judge` says what is wrong with an answer to it.

    Attributes
    ----------
    in_every_way : bool
        Whether it is put to a backend in every way there is to the gradient, or by the public function alone.
    """

    in_every_way = True

    def __init__(self, question: Question, draw: int = 0) -> None:
        self.question = question
        self.number = draw
        self.operands = self.draw()

    @abstractmethod
    def draw(self) -> tuple[Array, ...]:
        """The operands; the same at every call."""

    @abstractmethod
    def judge(self, answer: Array, respondent: Respondent) -> Finding:
        """Hold an answer against what is right; the respondent may be asked for its error bound, or for more."""

    def gradient(self, operands: tuple[Array, ...], dtype: Any = np.float64) -> Array:
        """What the oracle says."""
        return oracle.gradient(self.question.op, self.question.layer, *pair(operands), dtype)


class Exact(Challenge):
    """Integers: the answer must be what integer arithmetic gives."""

    def __init__(self, question: Question, draw: int = 0) -> None:
        super().__init__(question, draw)
        self.expected = self.gradient(self.operands).astype(question.dtype)

    def draw(self) -> tuple[Array, ...]:
        return self.question.integers(self.question.generator("exact", self.number))

    def judge(self, answer: Array, respondent: Respondent) -> Finding:
        return compare(answer, self.expected)


class Rounding(Challenge):
    """Real numbers: the error of each element is held against its bound.

    float32 is held against float64; float64 against longdouble where that is wider and the problem is small, else
    against exact sums of some elements, as is what no oracle can compute as a whole (`sampled`).
    """

    index: Any = ...

    def __init__(self, question: Question, draw: int = 0, sampled: bool = False) -> None:
        super().__init__(question, draw)
        dtype, self.oracle_roundoff = self._oracle_arithmetic(sampled)
        if dtype is None:
            self._sample()
        else:
            self.expected = self.gradient(self.operands, dtype)
            self.magnitudes = self.gradient(tuple(map(np.abs, self.operands)), dtype)
            self.terms = question.terms

    def draw(self) -> tuple[Array, ...]:
        return self.question.reals(self.question.generator("rounding", self.number))

    def judge(self, answer: Array, respondent: Respondent) -> Finding:
        got, standard = answer[self.index], self.allowed_error()
        declared = respondent.error_bound(self.question, self.operands)
        if declared is None:
            return compare(got, self.expected, standard, self.index)
        bound = declared[self.index] + self.oracle_error()
        summed = standard > 0
        finding = compare(got, self.expected, bound, self.index)
        return replace(finding, bound_over_gamma=float(np.max(bound[summed] / standard[summed], initial=0)))

    def allowed_error(self) -> Array:
        """What rounding explains, and what the oracle itself may be off by."""
        return self.oracle_error() + rounding_error(
            self.terms, self.magnitudes, self.question.dtype.name, self.oracle_roundoff
        )

    def oracle_error(self) -> Array:
        """gamma_K G of the arithmetic of the oracle."""
        return oracle_error(self.terms, self.magnitudes, self.oracle_roundoff)

    def _oracle_arithmetic(self, sampled: bool) -> tuple[Any, float]:
        """Dtype and unit roundoff of the oracle; no dtype for exact sums, whose result is rounded once."""
        question = self.question
        if not sampled and question.dtype == np.float32:
            return np.float64, UNIT_ROUNDOFF["float64"]
        if not sampled and question.macs <= LONGDOUBLE_MACS and UNIT_ROUNDOFF["float64"] > LONGDOUBLE_ROUNDOFF:
            return np.longdouble, LONGDOUBLE_ROUNDOFF
        return None, UNIT_ROUNDOFF["float64"]

    def _sample(self) -> None:
        question, shape = self.question, self.question.result_shape
        last = np.array(shape, np.intp) - 1
        rng = question.generator("sample", self.number)
        where = np.vstack([0 * last, last, rng.integers(0, shape, (SAMPLED_ELEMENTS - 2, len(shape)))])
        chosen = oracle.sample(question.op, question.layer, *pair(self.operands), where)
        self.index, self.expected, self.magnitudes = chosen.where, chosen.values, chosen.magnitudes
        self.terms = np.broadcast_to(question.terms, shape)[chosen.where]


def exact(question: Question, draws: int) -> Iterator[Challenge]:
    """That many independent draws of integers."""
    return (Exact(question, number) for number in range(draws))


def gamma(terms: Array, roundoff: float) -> Array:
    """K u / (1 - K u), and infinity where that is no bound."""
    reach = np.asarray(terms * roundoff, np.float64)
    return np.where(reach < 1, reach / np.where(reach < 1, 1 - reach, 1), np.inf)


def rounding_error(terms: Array, magnitudes: Array, dtype: str, oracle_roundoff: float) -> Array:
    """gamma_K G of sums in a dtype, with its underflow, where an oracle has computed G: at most `slack` too small."""
    slack = 1 + 2 * gamma(terms, oracle_roundoff)
    result: Array = gamma(terms, UNIT_ROUNDOFF[dtype]) * magnitudes * slack + terms * SMALLEST_ROUNDING[dtype]
    return result


def oracle_error(terms: Array, magnitudes: Array, roundoff: float) -> Array:
    """gamma_K G of the arithmetic of an oracle, which has computed G as well."""
    of_oracle = gamma(terms, roundoff)
    result: Array = of_oracle * magnitudes * (1 + 2 * of_oracle)
    return result


def pair(operands: tuple[Array, ...]) -> tuple[Array, Array | None]:
    """Both operands, None in place of the second where there is only one."""
    return operands[0], operands[1] if len(operands) > 1 else None
