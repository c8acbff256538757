"""A layer with operands and the right results, as a test of somebody's own convolution wants it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from convback import ConvbackError, ParameterError
from convback.contract import Array
from convback.errors import did_you_mean
from convback_tools import arrayfiles, diagnose
from convback_tools.diagnosis.findings import UNKNOWN, Finding
from convback_tools.integers import integer_operands
from convback_tools.notation import arguments
from convback_tools.submission import OPERANDS, RESULTS, submission
from convback_tools.suites import Case


class LayerCase:
    """A layer, operands of small integers, and the results that are right to the bit, in whatever order one sums.

    Attributes
    ----------
    name, word : str
        What the case is called, and its problem word.
    x, w, dy, b : ndarray
        The operands, in layouts (N, C, *spatial) and (F, C/groups, *kernel); new ones for every test.
    stride, dilation : tuple of int
    padding : tuple of (lo, hi) pairs
    groups : int
    parameters : dict
        These four by their names.
    y, dx, dw, db : ndarray
        The right results. y has the bias b in it; dx, dw and db are the gradients of sum(y * dy).
    """

    def __init__(self, case: Case, dtype: str = "float32") -> None:
        geom = case.geom
        self.name, self.word, self.dtype = case.name, case.word, np.dtype(dtype)
        self.stride, self.padding, self.dilation, self.groups = geom.stride, geom.padding, geom.dilation, geom.groups
        operands = integer_operands(geom, dtype=dtype)
        self._layer = submission(operands, **arguments(geom))
        self.x, self.w, self.dy, self.b = (operands[name] for name in OPERANDS)

    def __repr__(self) -> str:
        return f"<convback case {self._title}>"

    @property
    def parameters(self) -> dict[str, Any]:
        return arguments(self._layer.geom)

    @cached_property
    def y(self) -> Array:
        return self._right("y")

    @cached_property
    def dx(self) -> Array:
        return self._right("dx")

    @cached_property
    def dw(self) -> Array:
        return self._right("dw")

    @cached_property
    def db(self) -> Array:
        return self._right("db")

    def check(self, **results: Any) -> None:
        """Hold results against the right ones; equal means equal, to the bit.

        Parameters
        ----------
        y, dx, dw, db : array_like
            What was computed, one at least.

        Raises
        ------
        AssertionError
            If one of them is wrong, or the operands are no longer what they were. It says which element is furthest
            off, how many are wrong, and which mistake explains it.
        """
        __tracebackhide__ = True
        _check_names(results)
        faults = [fault for name, result in results.items() if (fault := self._fault(name, result))]
        faults += [f"{name} was changed; a layer must leave its operands alone" for name in self._changed()]
        if faults:
            raise AssertionError("\n".join([self._title, *faults, *self._advice(results)]))

    def save(self, path: str | Path, **results: Any) -> None:
        """Write the layer, its operands and results to a file, .npz, .json or .bin, for `convback diagnose`."""
        _check_names(results)
        arrays = {name: np.asarray(result) for name, result in results.items()}
        arrayfiles.write(Path(path), {**self._operands(), **arrays, **self.parameters})

    @property
    def _title(self) -> str:
        return self.name if self.name == self.word else f"{self.name} ({self.word})"

    def _right(self, op: str) -> Array:
        return self._layer.right(op).astype(self.dtype)

    def _operands(self) -> dict[str, Array]:
        """As they were, whatever the test has made of them."""
        arrays = {"x": self._layer.x, "w": self._layer.w, "dy": self._layer.dy, "b": self._layer.b}
        return {name: array.astype(self.dtype) for name, array in arrays.items() if array is not None}

    def _changed(self) -> list[str]:
        return [name for name, array in self._operands().items() if not np.array_equal(getattr(self, name), array)]

    def _fault(self, name: str, result: Any) -> str:
        """What is wrong with a result, in words; empty if nothing is."""
        array = _as_array(result)
        if array is None:
            return f"{name} is of type {type(result).__name__}; expected an array of numbers"
        right = self._right(name)
        if array.shape != right.shape:
            return f"{name} has shape {array.shape}; expected {right.shape}"
        error = np.abs(array.astype(np.float64) - right)
        wrong = int(np.count_nonzero(error))
        if not wrong:
            return ""
        worst = tuple(map(int, np.unravel_index(error.argmax(), error.shape)))  # NaN is the largest
        return (
            f"{name}: {wrong} of {error.size} elements are wrong; furthest off is {name}{list(worst)}, "
            f"got {array[worst]:.17g}, expected {right[worst]:.17g}"
        )

    def _advice(self, results: Mapping[str, Any]) -> list[str]:
        """The mistake that explains the first wrong result, if one does, and how to find out more."""
        arrays = {name: array for name, result in results.items() if (array := _as_array(result)) is not None}
        try:
            findings = diagnose(**self._operands(), **arrays, **self.parameters).findings
        except ConvbackError:  # numbers that it does not take
            findings = ()
        given = ", ".join(f"{name}={name}" for name in results)
        return [
            *(_text(finding) for finding in findings[:1] if finding.id != UNKNOWN),
            f'For more: convback_case.save("mine.npz", {given}), then run `convback diagnose mine.npz`',
        ]


def _check_names(results: Mapping[str, Any]) -> None:
    for name in results:
        if name not in RESULTS:
            raise ParameterError(
                f"there is no result {name!r}.{did_you_mean(name, RESULTS)} Known: {', '.join(RESULTS)}"
            )
    if not results:
        raise ParameterError(f"no result was given; expected some of {', '.join(RESULTS)}, as in check(dx=dx)")


def _as_array(result: Any) -> Array | None:
    """A result as an array of real numbers, or None where it is none."""
    try:
        array = np.asarray(result)
    except Exception:  # of a stranger's tensor, which may refuse for reasons of its own
        return None
    return array if array.dtype.kind in "fiu" else None


def _text(finding: Finding) -> str:
    return (
        f"{finding.array} is what comes out if {finding.what} ({finding.id})\n"
        f"  computed: {finding.formula}\n  right:    {finding.right}\n  {finding.fix}"
    )
