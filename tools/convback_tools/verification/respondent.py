"""A backend under examination: it is asked through the public functions, and whatever it does is a finding."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

import convback
from convback import ConvbackError, Gradients, UnsupportedProblem
from convback.contract import Array, refusal
from convback_tools.notation import arguments
from convback_tools.verification.question import Question

SEVERAL = (("dx", "dw"), ("dx", "db"), ("dw", "db"), ("dx", "dw", "db"))


class Fault(Exception):
    """The backend did something that no right backend does; the message says what.

    Attributes
    ----------
    is_wrong : bool
        Whether it went through and did wrong, in place of stopping with an error.
    """

    def __init__(self, message: str, is_wrong: bool = False) -> None:
        super().__init__(message)
        self.is_wrong = is_wrong


class Respondent:
    """A usable backend, by name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.backend: Any = convback.get_backend(name)

    def refusal(self, question: Question, patient: bool = True) -> str:
        """Why the backend does not take the question, in words; empty if it does.

        Parameters
        ----------
        question : Question
        patient : bool
            Whether it is asked even where nobody would wait for the answer.

        Raises
        ------
        Fault
            If it says neither yes nor no.
        """
        practical = getattr(self.backend, "PRACTICAL_MACS", None)
        if practical is not None and question.macs > practical and not patient:
            return f"{question.macs} products take it too long (it is meant for {practical}); --case asks anyway"
        try:
            reason = refusal(self.backend, question.op, question.layer, question.dtype)
        except (Exception, SystemExit) as error:  # a stranger's code may raise anything
            raise Fault(f"supports raised {type(error).__name__}: {error}") from error
        if reason is None:
            return ""
        if not isinstance(reason, str) or not reason:
            raise Fault(f"supports returned {reason!r}; expected None, or in words why not")
        return reason

    def chosen(self, question: Question) -> str:
        """Name of the backend that this one passes the question on to; empty if it answers itself."""
        if hasattr(self.backend, "chosen"):
            with suppress(LookupError):  # none takes it: the call itself will say so
                return str(self.backend.chosen(question.op, question.layer, question.dtype))
        return ""

    def worker(self, question: Question) -> Any:
        """The backend that answers: this one, or that which it passes the question on to.

        Raises
        ------
        Fault
            If it passes it on to one that cannot be used.
        """
        name = self.chosen(question)
        try:
            return convback.get_backend(name) if name else self.backend
        except ConvbackError as error:
            raise Fault(f"chosen names one that cannot be used: {error}") from error

    def error_model(self, question: Question) -> Callable[..., Any] | None:
        """The `error_bound` that it is held to.

        Raises
        ------
        Fault
            As `worker`.
        """
        model: Callable[..., Any] | None = getattr(self.worker(question), "error_bound", None)
        return model

    def error_bound(self, question: Question, operands: tuple[Array, ...]) -> Array | None:
        """The largest error of each element that it declares for these operands; None for a sum of products.

        Raises
        ------
        Fault
            If that is no array of the result's shape with numbers of at least zero.
        """
        model = self.error_model(question)
        if model is None:
            return None
        try:
            bound = np.asarray(model(question.op, question.layer, *(*operands, None)[:2]), np.float64)
        except (Exception, SystemExit) as error:
            raise Fault(f"error_bound raised {type(error).__name__}: {error}") from error
        if bound.shape != question.result_shape:
            raise Fault(f"error_bound returned shape {bound.shape}; expected {question.result_shape}")
        if not (bound >= 0).all():
            raise Fault("error_bound returned numbers below zero, or NaN")
        return bound

    def answers(self, question: Question, operands: tuple[Array, ...]) -> Iterator[tuple[str, Array]]:
        """What the backend computes in every way there is to this gradient, with the way in words and a colon.

        First by the public function, without words; then by the function of the contract, where the core uses a plan
        in its place, and as one of several gradients, where the backend has a `backward`.

        Raises
        ------
        Fault
            As `answer`.
        """
        yield "", self.answer(question, operands)
        if question.geom.is_empty:
            return
        held = dict(zip(question.operand_names, operands, strict=True))
        if hasattr(self.backend, "plan") and question.op != "db":
            function = getattr(self.backend, question.op)
            way, compute = "called without its plan: ", partial(function, *operands, question.geom)
            yield way, self._guarded(question, held, compute, way)
        if hasattr(self.worker(question), "backward"):
            held |= self._not_held(question)
            for need in SEVERAL:
                if question.op in need and not any(self.refusal(replace(question, op=op)) for op in need):
                    way = f"{', '.join(need)} at once: "
                    compute = partial(ask_together, question, held, need, self.name)
                    yield way, self._guarded(question, held, compute, way)

    def answer(self, question: Question, operands: tuple[Array, ...]) -> Array:
        """What the backend computes, in memory that was filled with NaN before.

        Raises
        ------
        Fault
            If it raises anything, or writes to an operand.
        """
        held = dict(zip(question.operand_names, operands, strict=True))
        return self._guarded(question, held, partial(ask, question, operands, self.name))

    @staticmethod
    def _not_held(question: Question) -> dict[str, Array]:
        """Numbers for those of dy, x and w that are no operands of the question."""
        g, rng = question.geom, question.generator("backward")
        shapes = {"dy": g.y_shape, "x": g.x_shape, "w": g.w_shape}
        return {
            name: rng.standard_normal(shape, question.dtype)
            for name, shape in shapes.items()
            if name not in question.operand_names
        }

    @staticmethod
    def _guarded(
        question: Question, held: dict[str, Array], compute: Callable[[Array], object], way: str = ""
    ) -> Array:
        before = {name: fingerprint(a) for name, a in held.items()}
        out = np.full(question.result_shape, np.nan, question.dtype)
        try:
            compute(out)
        except UnsupportedProblem as error:
            raise Fault(f"{way}supports says yes, but the call is refused: {error.reason}") from error
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever a stranger's code raises is a finding, not our end
            raise Fault(f"{way}{type(error).__name__}: {error}") from error
        for name, mark in before.items():
            if fingerprint(held[name]) != mark:
                raise Fault(f"{way}the backend changed its operand {name}", is_wrong=True)
        return out


def ask(question: Question, operands: tuple[Array, ...], backend: str, out: Array | None = None) -> Array:
    """Have a backend compute the gradient that is asked for, through the public functions."""
    if question.op == "db":
        return convback.db(operands[0], backend=backend, out=out)
    layer: dict[str, Any] = {**arguments(question.geom), "backend": backend, "out": out}
    if question.op == "y":
        return convback.conv(*operands, **layer)
    function: Callable[..., Array] = {"dx": convback.dx, "dw": convback.dw}[question.op]
    return function(*operands, question.result_shape, **layer)


def ask_together(question: Question, held: dict[str, Array], need: tuple[str, ...], backend: str, out: Array) -> None:
    """Have a backend compute several gradients at once, the one that is asked for into `out`."""
    outs = Gradients(**{question.op: out})
    layer: dict[str, Any] = {**arguments(question.geom), "backend": backend, "out": outs}
    convback.backward(held["dy"], held["x"], held["w"], need=need, **layer)


def fingerprint(operand: Array) -> int:
    """A CRC of all bytes of a contiguous array: any change goes unseen with probability 2^-32."""
    return zlib.crc32(operand.reshape(-1).view(np.uint8).data)
