"""Holds the gradients of a program to its own forward pass, for layers of whatever kind: no oracle takes part.

y is linear in each of x, w and b, which is tried. So for any x', w' and b'

    <dx, x'> = <dy, y(x', w)>     <dw, w'> = <dy, y(x, w')>     <db, b'> = <dy, y(x, w, b') - y(x, w)>

where the program itself is asked for y, with b = 0. Both sides are integers, and computed in Python's, which are exact.
A wrong dx satisfies its identity for at most one of the values that an element of x' may take, whatever the others are.
If it does not, it fails for one half of x' as well, which finds a wrong element in log2(size) further runs.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from convback.contract import Array
from convback_tools.checking.program import Program, Trouble
from convback_tools.checking.rows import Row, with_evidence
from convback_tools.checking.trials import FOLDERS, Evidence, Trials
from convback_tools.integers import integer_operands
from convback_tools.suites import Case
from convback_tools.verification.adjoint import no_integers
from convback_tools.verification.findings import compare
from convback_tools.verification.question import EXACT_LIMIT

OPERANDS = {"dx": "x", "dw": "w", "db": "b"}
RIGHT_SIDES = {"dx": "<dy, y(x', w)>", "dw": "<dy, y(x, w')>", "db": "<dy, y(x, w, b') - y(x, w)>"}
PROBE = 10**6  # added to a seed: other integers than those of any draw


class OwnForwardTrials(Trials):
    """y is taken as it is, and the gradients must be those of it."""

    def face(self, case: Case, members: dict[str, Any], folder: Path, seed: int) -> Evidence:
        if self.has_bias:
            members["b"] = np.zeros_like(members["b"])
        results = self._first(members, folder)
        fresh = integer_operands(case.geom, seed + PROBE, self.dtype)
        layer = Layer(self.program, members, results, fresh)
        row = Row(case.name, "y", self.dtype, "linear", "passed", size=results["y"].size)
        rows = [_linear(row, layer)]
        for op in [op for op in OPERANDS if op in results]:
            row = Row(case.name, op, self.dtype, "adjoint", "passed", size=results[op].size)
            rows.append(
                _identity(row, layer) if rows[0].status == "passed" else _undecided(row, "y is not known to be linear")
            )
        return Evidence(rows, members, results)

    def _first(self, members: dict[str, Any], folder: Path) -> dict[str, Array]:
        """All results. A layer whose y has another shape than ours gets a dy of that shape, in a second run."""
        for _ in range(2):
            results = self.program.run(folder, members)
            if "y" not in results:
                raise Trouble("its out-file has no y, by which --own-forward goes")
            if (shape := results["y"].shape) == members["dy"].shape:
                return results
            members["dy"] = np.resize(members["dy"], shape)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        raise Trouble(f"its y has shape {shape}, which depends on dy")


class Layer:
    """The forward pass of a program, as a function of one operand, and all that was asked and answered first."""

    def __init__(
        self,
        program: Program,
        members: dict[str, Any],
        results: dict[str, Array],
        probes: dict[str, Array],
    ) -> None:
        self.program, self.members, self.results, self.probes = program, members, results, probes
        self.limit = EXACT_LIMIT[members["x"].dtype.name]
        self.at_probes: dict[str, Array] = {}
        self._check(results["y"])

    def y(self, name: str, value: Array) -> Array:
        """y with another x, w or b."""
        with tempfile.TemporaryDirectory(prefix=FOLDERS, ignore_cleanup_errors=True) as folder:
            y = self.program.run(Path(folder), {**self.members, name: value}).get("y")
        if y is None or y.shape != self.results["y"].shape:
            raise Trouble(f"for another {name}, its y has shape {y if y is None else y.shape}")
        self._check(y)
        return y

    def derivative(self, name: str, value: Array) -> Array:
        """y's derivative by an operand, in the direction of a value: y itself, but for b, to which w * x is added."""
        return self.y(name, value) - (self.results["y"] if name == "b" else 0)

    def at_probe(self, name: str) -> Array:
        """The derivative in the direction of the probe, which is asked for once."""
        if name not in self.at_probes:
            self.at_probes[name] = self.derivative(name, self.probes[name])
        return self.at_probes[name]

    def _check(self, y: Array) -> None:
        if fault := no_integers(y, self.limit):
            raise Trouble(f"its y is not of sums of integer products: {fault}")


def _linear(row: Row, layer: Layer) -> Row:
    """Whether y(x + x') = y(x) + y(x'), and so for w."""
    if (largest := 2 * _largest_sum("y", layer.members)) > layer.limit:
        return _undecided(row, f"sums may reach {largest}; {row.computed_in} is exact up to {layer.limit}")
    for name in ("x", "w"):
        both = layer.y(name, layer.members[name] + layer.probes[name])
        found = compare(both, layer.results["y"] + layer.at_probe(name))
        if found.fault:
            reason = (
                f"y({name} + {name}') is not y({name}) + y({name}'): {found.fault}. Expected is the layer "
                "alone, without an activation"
            )
            return with_evidence(replace(row, status="failed", reason=reason), found)
    return row


def _identity(row: Row, layer: Layer) -> Row:
    """The verdict on dx, dw or db."""
    op = str(row.array)
    name, got = OPERANDS[op], layer.results[op]
    if name not in layer.members:
        return _undecided(row, f"--no-bias leaves out b, which {op} is the gradient of")
    if got.shape != layer.members[name].shape:
        reason = f"{op} has shape {got.shape}; expected {layer.members[name].shape}, that of {name}"
        return replace(row, status="failed", reason=reason)
    if (largest := _largest_sum(op, layer.members)) > layer.limit:
        return _undecided(
            row, f"sums may reach {largest}, beyond {layer.limit}, up to which {row.computed_in} is exact"
        )
    if fault := no_integers(got, layer.limit):
        return replace(row, status="failed", reason=fault)
    dy, probe = layer.members["dy"], layer.probes[name]
    direction = layer.at_probe(name)
    if name == "b" and not direction.any():
        return _undecided(row, "y does not depend on b")
    left, right = _inner(got, probe), _inner(dy, direction)
    if left == right:
        return row
    reason = f"<{op}, {name}'> is {left}, but {RIGHT_SIDES[op]} is {right} by your own forward pass"
    return replace(row, status="failed", reason=reason, **_located(op, layer))


def _located(op: str, layer: Layer) -> dict[str, Any]:
    """An element that is wrong, both values there, and how far off it is: the part of a probe that fails, halved."""
    name, got, dy = OPERANDS[op], layer.results[op], layer.members["dy"]
    probe = layer.probes[name]
    places = np.flatnonzero(probe)
    while True:
        first = places[: (len(places) + 1) // 2]
        part = np.zeros_like(probe)
        part.flat[first] = probe.flat[first]
        right = _inner(dy, layer.derivative(name, part))
        fails = _inner(got, part) != right
        if len(places) == 1:
            break
        places = first if fails else places[len(first) :]
    index = tuple(map(int, np.unravel_index(places[0], got.shape)))
    values = {"got": float(got[index]), "expected": right / int(probe[index])}
    error = abs(values["got"] - values["expected"])
    return {"worst_index": index, **values, "max_abs_error": error, "error_over_bound": math.inf}


def _largest_sum(op: str, members: dict[str, Any]) -> int:
    """What no sum of absolute products exceeds in y, dx, dw or db of a layer, whatever its rule for positions is."""
    x, w, dy = (np.asarray(members[name]) for name in ("x", "w", "dy"))
    filters = max(1, w.shape[0])
    terms: int = {"y": w.size // filters, "dx": w.size}.get(op, dy.size // filters)
    factors = {"y": (x, w), "dx": (dy, w), "dw": (dy, x), "db": (dy,)}[op]
    most: int = math.prod(int(np.abs(a).max(initial=0)) for a in factors)
    return terms * most


def _inner(a: Array, b: Array) -> int:
    """<a, b> of integers, exactly."""
    return sum(int(p) * int(q) for p, q in zip(a.ravel().tolist(), b.ravel().tolist(), strict=True))


def _undecided(row: Row, reason: str) -> Row:
    return replace(row, status="inconclusive", reason=reason)
