"""What makes an answer right, for problems too large for an oracle: the adjoint identities, in linear time.

The layer is one trilinear form, T(x, w, dy) = sum of all products x w dy that meet, and each gradient is one of its
derivatives. So for any x', w', y'

    <y, y'> = T(x, w, y')        <dx, x'> = T(x', w, dy)        <dw, w'> = T(x, w', dy)

Here the primed array is a *probe*: a product of one vector for each axis, such as x'[n,c,r,s] = a[n] b[c] u[r] v[s].
Then both sides are sums over one axis after the other, in time proportional to the arrays themselves, and no oracle
computes a convolution.

Operands are integers as in the exact tier, and both sides are computed modulo a random prime q below 2^20, exactly:
sums of up to 2^13 products of two residues stay below 2^53, and so do 2^9 of a residue and a float32 number. The
vectors are uniformly random residues. A wrong answer passes

- because the wrong form happens to vanish on the operands: at most 2/(2B+1), as in the exact tier;
- or else because every probe misses a nonzero error of integers |e| <= 2^54: each does so if q divides it (two of
  the primes at most do) or if a polynomial of degree `vectors` vanishes modulo q (Schwartz and Zippel).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from convback import ConvGeometry
from convback.contract import Array
from convback_tools.verification import oracle
from convback_tools.verification.challenges import SAMPLED_ELEMENTS, Challenge, pair
from convback_tools.verification.findings import Finding, compare
from convback_tools.verification.question import EXACT_LIMIT, Question
from convback_tools.verification.respondent import Respondent

PROBES = 2
PRIMES_FROM, PRIMES_TO = 2**19, 2**20
LONGEST_SUM = {"float32": 2**9, "float64": 2**13}  # float32 integers, up to 2^24, are not reduced before
BLOCK = 2**20  # elements that are converted at once

Vector = NDArray[np.float64]


class Adjoint(Challenge):
    """Integers: the answer must satisfy the adjoint identity for every probe."""

    def draw(self) -> tuple[Array, ...]:
        return self.question.integers(self.question.generator("adjoint", self.number))

    def judge(self, answer: Array, respondent: Respondent) -> Finding:
        if fault := no_integers(answer, EXACT_LIMIT[self.question.dtype.name]):
            return Finding(fault, error_over_bound=math.inf, max_abs_error=math.inf)
        rng = self.question.generator("probes", self.number)
        for _ in range(PROBES):
            probe = Probe(self.question, rng)
            got, expected = probe.of_answer(answer), probe.of_operands(*self.operands)
            if got != expected:
                op = self.question.op
                fault = f"the adjoint identity <{op}, {op}'> = T fails modulo {probe.q}: {got} is not {expected}"
                return self._located(fault, answer)
        return Finding()

    def _located(self, fault: str, answer: Array) -> Finding:
        """The finding, with a wrong element if one is among some that are computed exactly."""
        rng = self.question.generator("sample", self.number)
        where = rng.integers(0, answer.shape, (SAMPLED_ELEMENTS, answer.ndim))
        chosen = oracle.sample(self.question.op, self.question.geom, *pair(self.operands), where)
        found = compare(answer[chosen.where], chosen.values, index=chosen.where)
        return replace(found, fault=fault, error_over_bound=math.inf, max_abs_error=found.max_abs_error or math.inf)


def escape(question: Question) -> float:
    """How probable it is at most that a wrong bilinear form passes one draw with all its probes."""
    vectors = 2 + question.geom.rank
    missed = 2 / len(_primes()) + vectors / PRIMES_FROM
    return min(1.0, question.escape + missed**PROBES)


class Probe:
    """One vector for each axis of a result, modulo a prime q: the first two, then one for each spatial axis."""

    def __init__(self, question: Question, rng: np.random.Generator) -> None:
        self.op, self.geom = question.op, question.geom
        self.q = int(rng.choice(_primes()))
        g = self.geom
        first, second = {"y": (g.N, g.F), "dx": (g.N, g.C), "dw": (g.F, g.C)}[self.op]
        self.first, self.second = self._vector(rng, first), self._vector(rng, second)
        self.spatial = [self._vector(rng, extent) for extent in question.result_shape[2:]]

    def _vector(self, rng: np.random.Generator, extent: int) -> Vector:
        return rng.integers(0, self.q, extent).astype(np.float64)

    def of_answer(self, answer: Array) -> int:
        """<result, probe> modulo q."""
        g = self.geom
        inner = self.second[np.newaxis]
        if self.op == "dw":  # w[f,c] of the group's channel c: every group has a part of the vector
            inner = np.repeat(self.second.reshape(g.groups, -1), g.F // g.groups, axis=0)
        total = 0.0
        for rows, part in self._contracted(answer.reshape(*answer.shape[:2], -1), inner):
            part = part.reshape(-1, *answer.shape[2:])
            for vector in reversed(self.spatial):
                part = self._dot(part, vector)
            total += float(self._dot(part, self.first[rows]))
        return int(total % self.q)

    def of_operands(self, a: Array, b: Array) -> int:
        """T with the probe in place of the third array, modulo q.

        In two dimensions, sums from the innermost outwards; k, r or i is replaced through the taps that meet::

            y    sum_c,k  (sum_n first[n] x[n,c,r])          meets (sum_f second[f] w[f,c,k])      at i, by spatial[i]
            dx   sum_f,k  (sum_n first[n] dy[n,f,i])         meets (sum_c second[c] w[f,c,k])      at r, by spatial[r]
            dw   sum_n,r  (sum_f first[f] dy[n,f,i])         meets (sum_c second[c] x[n,c,r])      at k, by spatial[k]
        """
        g, groups = self.geom, self.geom.groups
        second = self.second.reshape(groups, -1)
        if self.op == "dw":
            a_rows, b_rows = (v.reshape(g.N * groups, v.shape[1] // groups, -1) for v in (a, b))
            a_inner, b_inner = (np.tile(v, (g.N, 1)) for v in (self.first.reshape(groups, -1), second))
        else:
            a_rows, a_inner = a.reshape(*a.shape[:2], -1).swapaxes(0, 1), self.first[np.newaxis]
        if self.op == "dx":
            b_rows, b_inner = b.reshape(*b.shape[:2], -1), np.repeat(second, g.F // groups, axis=0)
        elif self.op == "y":
            by_group = self._weighted(b.reshape(groups, g.F // groups, -1), second)
            b_rows, b_inner = by_group.reshape(g.C, 1, -1), np.ones((1, 1))
        total = 0.0
        for rows, part in self._contracted(a_rows, a_inner):
            other = self._weighted(b_rows[rows], np.broadcast_to(b_inner, b_rows.shape[:2])[rows])
            part = part.reshape(-1, *a.shape[2:])
            for axis in reversed(range(g.rank)):
                part = self._met(part, axis)
            total += float(self._dot(part.reshape(1, -1), other.ravel())[0])
        return int(total % self.q)

    def _met(self, part: Array, axis: int) -> Array:
        """The part with one spatial axis replaced by that of the other operand, through every tap on that axis."""
        part = np.moveaxis(part, axis + 1, -1)
        met = self._scattered(part, axis) if self.op == "dw" else self._gathered(part, axis)
        return np.moveaxis(met, -1, axis + 1)

    def _gathered(self, part: Array, axis: int) -> Array:
        """met[k] = sum of part[r] v[i] for y, of part[i] v[r] for dx: a product with a banded matrix."""
        v, extent = self.spatial[axis], part.shape[-1]
        step = max(1, BLOCK // extent)
        pieces = []
        for start in range(0, self.geom.kernel[axis], step):
            band = np.zeros((extent, min(step, self.geom.kernel[axis] - start)))
            for k, i, r in taps(self.geom, axis):
                if start <= k < start + step:
                    along, across = (r, i) if self.op == "y" else (i, r)
                    band[along, k - start] = v[across]
            pieces.append(self._dot(part, band))
        return np.concatenate(pieces, axis=-1)

    def _scattered(self, part: Array, axis: int) -> Array:
        """met[r] = sum of part[i] v[k]"""
        met = np.zeros((*part.shape[:-1], self.geom.x_spatial[axis]))
        for k, i, r in taps(self.geom, axis):
            met[..., r] += self.spatial[axis][k] * part[..., i]
            if k % LONGEST_SUM["float64"] == LONGEST_SUM["float64"] - 2:  # one place for what the sum holds already
                met = self._residues(met)
        return self._residues(met)

    def _contracted(self, rows: Array, inner: Vector) -> Iterator[tuple[slice, Array]]:
        """Blocks of sum over c of inner[row,c] * rows[row,c,:] modulo q, with the rows they are of."""
        inner = np.broadcast_to(inner, rows.shape[:2])
        step = max(1, BLOCK // max(1, math.prod(rows.shape[1:])))
        for start in range(0, len(rows), step):
            block = slice(start, start + step)
            yield block, self._weighted(rows[block], inner[block])

    def _weighted(self, rows: Array, inner: Vector) -> Array:
        """Sum over c of inner[row,c] * rows[row,c,:] modulo q."""
        count, channels, width = rows.shape
        result = np.zeros((count, width))
        deep = max(1, min(channels, LONGEST_SUM[rows.dtype.name]))
        wide = max(1, BLOCK // max(1, count * deep))
        for c, start in product(range(0, channels, deep), range(0, width, wide)):
            piece = rows[:, c : c + deep, start : start + wide]
            numbers = piece.astype(np.float64) if rows.dtype == np.float32 else self._residues(piece)
            part = inner[:, np.newaxis, c : c + deep] @ numbers
            result[:, start : start + wide] += self._residues(part[:, 0])
        return self._residues(result)

    def _dot(self, a: Array, v: Vector) -> Array:
        """Sum over the last axis of a and the first of v modulo q."""
        total = np.zeros((*a.shape[:-1], *v.shape[1:]))
        step = LONGEST_SUM["float64"]
        for start in range(0, a.shape[-1], step):
            total = self._residues(total + a[..., start : start + step] @ v[start : start + step])
        return total

    def _residues(self, a: Array) -> Array:
        """Integers modulo q. The remainder is written out since NumPy's own takes ten times as long."""
        integers = a.astype(np.int64)
        integers -= integers // self.q * self.q
        return integers.astype(np.float64)


def taps(geom: ConvGeometry, axis: int) -> Iterator[tuple[int, slice, slice]]:
    """Every tap k of an axis that meets an input, with the outputs i and inputs r = i s + k d - p that meet in it."""
    x, y, s, d = geom.x_spatial[axis], geom.y_spatial[axis], geom.stride[axis], geom.dilation[axis]
    for k in range(geom.kernel[axis]):
        shift = k * d - geom.padding[axis][0]
        first, stop = max(0, -(shift // s)), min(y, (x - 1 - shift) // s + 1)
        if first < stop:
            yield k, slice(first, stop), slice(first * s + shift, (stop - 1) * s + shift + 1, s)


def no_integers(answer: Array, limit: int) -> str:
    """What keeps an answer from being a right one before anything else: it is no integer, or beyond every sum."""
    flat = answer.reshape(-1)
    for start in range(0, flat.size, BLOCK):
        piece = flat[start : start + BLOCK]
        with np.errstate(invalid="ignore"):
            wrong = ~((piece == np.rint(piece)) & (np.abs(piece) <= limit))
        if wrong.any():
            place = np.unravel_index(start + int(wrong.argmax()), answer.shape)
            return (
                f"element {tuple(map(int, place))} is {float(answer[place])!r}; every sum is an integer up to {limit}"
            )
    return ""


@cache
def _primes() -> NDArray[np.int64]:
    sieve = np.ones(PRIMES_TO, bool)
    for n in range(2, math.isqrt(PRIMES_TO) + 1):
        if sieve[n]:
            sieve[n * n :: n] = False
    return np.flatnonzero(sieve[PRIMES_FROM:]) + PRIMES_FROM
