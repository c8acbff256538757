"""Which questions a backend is asked: what it says of each case, gradient and dtype, and choices among them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np

from convback import ConvGeometry
from convback.contract import OPS, Array
from convback_tools import suites
from convback_tools.suites import Case
from convback_tools.verification.question import Question
from convback_tools.verification.respondent import Fault, Respondent
from convback_tools.verification.tasks import DTYPES

# Enough work for threads to start; the first that a backend takes.
BUSY = (
    Case("busy", ConvGeometry((4, 16, 24, 25), (18, 16, 3, 3), 1, 1)),
    Case("busy-1d", ConvGeometry((4, 64, 205), (66, 64, 3), 1, 1)),
    Case("busy-3d", ConvGeometry((2, 8, 13, 14, 15), (9, 8, 3, 3, 3), 1, 1)),
)


@dataclass(frozen=True, repr=False)
class Claim:
    """What a backend says of a question: that it takes it, or in words why not."""

    respondent: Respondent
    case: Case
    question: Question
    refusal: str

    def __repr__(self) -> str:
        return f"{self.respondent.name}-{self.case.name}-{self.question.op}-{self.question.dtype}"

    def operands(self, draw: int = 0) -> tuple[Array, ...]:
        """Integers so small that every sum of them is exact."""
        return self.question.integers(self.question.generator("conformance", draw))

    @property
    def is_bounded(self) -> bool:
        """Whether it is held to an `error_bound`, its own or that of the backend it passes the question on to."""
        try:
            return self.respondent.error_model(self.question) is not None
        except Exception:  # of `chosen`, which has a test of its own
            return False

    def named(self, operands: tuple[Array, ...]) -> dict[str, Array]:
        return dict(zip(self.question.operand_names, operands, strict=True))

    def pick(self, arrays: dict[str, Array]) -> tuple[Array, ...]:
        """The operands among arrays by name."""
        return tuple(arrays[name] for name in self.question.operand_names)

    def answer(self, operands: tuple[Array, ...]) -> Array:
        """What the public function gives, which `test_gradients` proves right."""
        return self.respondent.answer(self.question, operands)


@dataclass(frozen=True, repr=False)
class Layer:
    """A case in a dtype, with what a backend says of each gradient."""

    respondent: Respondent
    case: Case
    dtype: str
    claims: dict[str, Claim]

    def __repr__(self) -> str:
        return f"{self.respondent.name}-{self.case.name}-{self.dtype}"

    def question(self, op: str) -> Question:
        return self.claims[op].question

    def integers(self) -> dict[str, Array]:
        """dy, x and w, so small that every sum of every gradient is exact."""
        bound = min(self.question(op).integer_bound for op in ("dx", "dw", "db"))
        g, rng = self.case.geom, self.question("dx").generator("backward")
        shapes = {"dy": g.y_shape, "x": g.x_shape, "w": g.w_shape}
        return {
            name: rng.integers(-bound, bound, shape, endpoint=True).astype(self.dtype) for name, shape in shapes.items()
        }


@cache
def respondent(backend: str) -> Respondent:
    return Respondent(backend)


@cache
def cases(words: tuple[str, ...]) -> list[Case]:
    """Those of the quick suite, and those named."""
    return [*suites.suite("quick"), *map(suites.case, words)]


def practical(backend: str, words: tuple[str, ...]) -> list[Case]:
    """Those whose answers one would wait for."""
    most = getattr(respondent(backend).backend, "PRACTICAL_MACS", math.inf)
    return [case for case in cases(words) if case.geom.macs <= most]


def asked(backend: str, case: Case, op: str, dtype: str, patient: bool = True) -> Claim:
    question = Question(op, case.geom, np.dtype(dtype))
    try:
        refusal = respondent(backend).refusal(question, patient)
    except Fault as fault:  # of `supports`, which has a test of its own
        refusal = str(fault)
    return Claim(respondent(backend), case, question, refusal)


@cache
def claims(backend: str, words: tuple[str, ...]) -> list[Claim]:
    return [asked(backend, case, op, dtype) for case, op, dtype in product(practical(backend, words), OPS, DTYPES)]


def refused(backend: str, words: tuple[str, ...]) -> list[Claim]:
    return [claim for claim in claims(backend, words) if claim.refusal]


def taken(backend: str, words: tuple[str, ...]) -> list[Claim]:
    return [claim for claim in claims(backend, words) if not claim.refusal]


def computed(backend: str, words: tuple[str, ...]) -> list[Claim]:
    """What it takes and the core does not answer itself."""
    return [claim for claim in taken(backend, words) if not claim.case.geom.is_empty]


def planned(backend: str, words: tuple[str, ...]) -> list[Claim]:
    """What it can make a plan for."""
    makes = hasattr(respondent(backend).backend, "plan")
    return [claim for claim in computed(backend, words) if makes and claim.question.op != "db"]


def summed(backend: str, words: tuple[str, ...]) -> list[Claim]:
    """What it answers by sums of products, and is no plain sum."""
    return [c for c in computed(backend, words) if c.question.op != "db" and not c.is_bounded]


def bounded(backend: str, words: tuple[str, ...]) -> list[Claim]:
    """What it declares an error bound for."""
    return [claim for claim in computed(backend, words) if claim.is_bounded]


def relayed(backend: str, words: tuple[str, ...]) -> list[Claim]:
    """What it takes and passes on to others."""
    return [claim for claim in taken(backend, words) if hasattr(claim.respondent.backend, "chosen")]


def sample(backend: str, words: tuple[str, ...]) -> list[Claim]:
    """One case of each number of axes, for each gradient and dtype: if it can be, one of several images and groups."""
    found: dict[tuple[object, ...], list[Claim]] = {}
    for one in computed(backend, words):
        found.setdefault((one.question.op, one.question.dtype, one.case.geom.rank), []).append(one)
    return [max(some, key=lambda c: (c.case.geom.N > 1) + (c.case.geom.groups > 1)) for some in found.values()]


def busy(backend: str, words: tuple[str, ...]) -> Iterator[Claim]:
    """The first busy case, for each gradient and dtype."""
    for op, dtype in product(OPS, DTYPES):
        found = [c for case in BUSY if not (c := asked(backend, case, op, dtype, patient=False)).refusal]
        yield from found[:1]


def crowded(backend: str, words: tuple[str, ...]) -> list[Claim]:
    """Both of these."""
    return [*sample(backend, words), *busy(backend, words)]


def layers(backend: str, words: tuple[str, ...]) -> list[Layer]:
    """Every case in each dtype."""
    return [
        Layer(respondent(backend), case, dtype, {op: asked(backend, case, op, dtype) for op in OPS})
        for case, dtype in product(practical(backend, words), DTYPES)
    ]


def itself(backend: str, words: tuple[str, ...]) -> list[str]:
    """The name of the backend."""
    return [backend]
