"""Gradients that somebody published, with the operands they are of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np

from convback import ConvGeometry, ParameterError
from convback.contract import OPS, Array
from convback.errors import quoted
from convback.geometry import Shape
from convback_tools.verification import oracle
from convback_tools.verification.challenges import UNIT_ROUNDOFF, gamma, pair
from convback_tools.verification.findings import compare
from convback_tools.verification.question import Question
from convback_tools.verification.respondent import Fault, Respondent
from convback_tools.verification.rows import Row
from convback_tools.verification.tasks import Settings

LARGEST = 2**28  # bytes of arrays, which a few words can stand for


@dataclass(frozen=True)
class Answer:
    """A published gradient, in one dtype.

    Attributes
    ----------
    question : Question
    operands : tuple of ndarray of float64, or None
        None if they were not published with it.
    expected : ndarray of float64
    printed : float
        What the published numbers may be off by: half a unit of their last digit; 0 for integers.
    """

    name: str
    question: Question
    operands: tuple[Array, ...] | None = field(repr=False)
    expected: Array = field(repr=False)
    printed: float

    @property
    def title(self) -> str:
        return self.name

    def row(self, backend: str, status: str, reason: str = "", **evidence: Any) -> Row:
        question = self.question
        return Row(
            self.name, question.op, backend, question.dtype.name, "published", status,
            terms=question.most_terms, reason=reason, **evidence,
        )  # fmt: skip

    def rows(self, respondents: Sequence[Respondent], settings: Settings) -> Iterator[Row]:
        for respondent in respondents:
            if self.operands is None:
                yield self.row(respondent.name, "inconclusive", "the file does not give its operands")
                continue
            try:
                yield self._verdict(respondent, self.operands)
            except Fault as fault:
                yield self.row(respondent.name, "failed" if fault.is_wrong else "error", str(fault))

    def _verdict(self, respondent: Respondent, operands: tuple[Array, ...]) -> Row:
        if refusal := respondent.refusal(self.question):
            return self.row(respondent.name, "unsupported", refusal)
        given = tuple(a.astype(self.question.dtype) for a in operands)
        allowed, declared = self._allowed(operands), respondent.error_bound(self.question, given)
        found = compare(
            respondent.answer(self.question, given),
            self.expected,
            allowed if declared is None else allowed + declared,
        )
        return self.row(
            respondent.name, "failed" if found.fault else "passed", found.fault,
            error_over_bound=found.error_over_bound, max_abs_error=found.max_abs_error,
            worst_index=found.worst_index, got=found.got, expected=found.expected,
        )  # fmt: skip

    def _allowed(self, operands: tuple[Array, ...]) -> Array | float:
        """0 for integers; else the rounding of both operands and of the sum, and the digits that were not printed."""
        if all(np.array_equal(a, np.rint(a)) for a in operands):
            return self.printed
        question = self.question
        magnitudes = oracle.gradient(question.op, question.layer, *pair(tuple(map(np.abs, operands))))
        bound: Array = gamma(question.terms + 3, UNIT_ROUNDOFF[question.dtype.name]) * magnitudes + self.printed
        return bound


def answers(entry: dict[str, Any], dtypes: Sequence[str]) -> Iterator[Answer]:
    """The published gradient that an entry of a file describes, in each dtype.

    Raises
    ------
    ConvbackError, KeyError, TypeError, ValueError
        If the entry is not as docs/verification.md says.
    """
    op, last = entry["output"], "x_nhwc" in entry
    if op not in OPS:
        raise ParameterError(f"output is {quoted(op)}; expected one of {', '.join(OPS)}")
    x_shape = _channels_first(entry["x_nhwc"]) if last else tuple(entry["x_shape"])
    w_shape = _filters_first(entry["w_hwio"]) if last else tuple(entry["w_shape"])
    given = (entry.get(name, default) for name, default in (("stride", 1), ("pad", 0), ("dilation", 1), ("groups", 1)))
    geom = ConvGeometry(x_shape, w_shape, *given)
    for dtype in dtypes:
        question = Question(op, geom, np.dtype(dtype))
        if question.bytes > LARGEST:
            raise ParameterError(f"its arrays would take {question.bytes} bytes; expected at most {LARGEST}")
        operands = [
            _operand(entry, name, shape, last)
            for name, shape in zip(question.operand_names, question.operand_shapes, strict=True)
        ]
        known = None if any(a is None for a in operands) else tuple(a for a in operands if a is not None)
        expected, printed = _expected(entry, question.result_shape, op)
        yield Answer(entry.get("name") or entry["source"], question, known, expected, printed)


def _operand(entry: dict[str, Any], name: str, shape: Shape, last: bool) -> Array | None:
    if name in entry:
        return np.array(entry[name], np.float64).reshape(shape)
    data = entry.get("data", "")
    if data == "ones":
        return np.ones(shape)
    if "1..n" not in data:
        return None
    size = int(np.prod(shape))
    values = np.arange(1, size + 1) / (size if "divided by tensor sizes" in data else 1)
    return _from_rows(values, shape, "w" if name == "w" else "x", last)


def _expected(entry: dict[str, Any], shape: Shape, op: str) -> tuple[Array, float]:
    if "expected_row_major_tf_layout" in entry:
        numbers = entry["expected_row_major_tf_layout"]
        values = _from_rows(np.array(numbers, np.float64), shape, "w" if op == "dw" else "x", True)
    else:
        numbers = entry["expected_broadcast"]
        values = np.broadcast_to(np.array(numbers, np.float64), shape)
    digits = [-int(Decimal(str(v)).as_tuple().exponent) for v in np.ravel(numbers).tolist() if isinstance(v, float)]
    return values, 0.5 * 10.0 ** -max(digits) if digits else 0.0


def _from_rows(values: Array, shape: Shape, role: str, last: bool) -> Array:
    """Numbers in row-major order, of an array with its channels at the end (and filters after them), or in front."""
    if not last:
        return values.reshape(shape)
    if role == "w":
        return np.moveaxis(values.reshape(*shape[2:], shape[1], shape[0]), (-1, -2), (0, 1))
    return np.moveaxis(values.reshape(shape[0], *shape[2:], shape[1]), -1, 1)


def _channels_first(shape: Sequence[int]) -> Shape:
    return *shape[:1], *shape[-1:], *shape[1:-1]


def _filters_first(shape: Sequence[int]) -> Shape:
    return *shape[:-3:-1], *shape[:-2]
