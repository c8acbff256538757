"""Admits contestants: each form of a backend that is to be timed must give the right results first."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from convback import ConvbackError, UnsupportedProblem, workspace
from convback_tools.benchmark.problem import Call, Problem
from convback_tools.verification.challenges import Challenge, Rounding
from convback_tools.verification.respondent import Fault, Respondent, fingerprint

PUBLIC = ""  # the name of the public functions among the forms of a backend


@dataclass
class Contestant:
    """A backend, and those of its forms that passed.

    Attributes
    ----------
    status, reason : str
        "timed", or why not, as in a row.
    calls, errors : dict
        Of each form the very call that passed, and its largest relative error.
    workspace_bytes : int
    """

    status: str
    reason: str = ""
    calls: dict[str, Call] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    workspace_bytes: int = 0


def admitted(name: str, problem: Problem, best_form: bool, patient: bool) -> Contestant:
    """A backend with all of its forms that give the right results.

    Parameters
    ----------
    name : str
    problem : Problem
    best_form : bool
        Whether the variants that it offers take part in place of the public functions.
    patient : bool
        Whether it is to compute even what takes it too long.
    """
    try:
        respondent = Respondent(name)
    except ConvbackError as error:
        return Contestant("unavailable", str(error))
    try:
        for part in problem.parts:
            if refusal := respondent.refusal(part, patient):
                return Contestant("unsupported", refusal)
        chosen = dict.fromkeys(filter(None, map(respondent.chosen, problem.parts)))
        return _verified(respondent, problem, best_form, f"ran {', '.join(chosen)}" if chosen else "")
    except Fault as fault:
        return Contestant("wrong", str(fault))


def _verified(respondent: Respondent, problem: Problem, best_form: bool, reason: str) -> Contestant:
    workspace.reset_high_water()
    calls = _forms(respondent, problem, problem.real, best_form)
    errors, wrong = {}, {}
    for form, call in calls.items():
        try:
            errors[form] = _largest_error(respondent, problem, problem.real, call)
        except Fault as fault:
            wrong[form] = str(fault)
    if all(respondent.error_model(part) is None for part in problem.parts):
        for form, call in _forms(respondent, problem, problem.exact, best_form).items():
            try:
                _largest_error(respondent, problem, problem.exact, call)
            except Fault as fault:
                wrong.setdefault(form, str(fault))
    faults = [f"{form}: {fault}" if form else fault for form, fault in wrong.items()]
    right = {form: call for form, call in calls.items() if form not in wrong}
    if not right:
        return Contestant("wrong", "; ".join(faults))
    return Contestant("timed", "; ".join(filter(None, (reason, *faults))), right, errors, workspace.high_water())


def _forms(
    respondent: Respondent, problem: Problem, challenges: tuple[Challenge, ...], best_form: bool
) -> dict[str, Call]:
    operands = problem.operands(challenges)
    if not best_form or problem.geom.is_empty or not hasattr(respondent.backend, "variants"):
        return {PUBLIC: problem.call(respondent.name, operands)}
    variants: dict[str, Call] = _guarded(lambda: respondent.backend.variants(problem.op, problem.geom, operands))
    if not isinstance(variants, dict) or not all(map(callable, variants.values())) or not variants:
        raise Fault(f"variants returned {variants!r}; expected a dict of names and functions")
    return variants


def _largest_error(respondent: Respondent, problem: Problem, challenges: tuple[Challenge, ...], call: Call) -> float:
    """The largest relative error of what a call computes.

    Raises
    ------
    Fault
        If a challenge finds it wrong, or it writes to an operand.
    """
    operands = problem.operands(challenges)
    marks = list(map(fingerprint, operands))
    results = _guarded(lambda: [np.asarray(result) for result in problem.results(call())])
    if list(map(fingerprint, operands)) != marks:
        for challenge in challenges:
            challenge.operands = challenge.draw()
        raise Fault("the backend changed an operand")
    worst = 0.0
    for challenge, part, result in zip(challenges, problem.parts, results, strict=True):
        if (result.shape, result.dtype) != (part.result_shape, part.dtype):
            raise Fault(f"{part.op} is {result.dtype} {result.shape}; expected {part.dtype} {part.result_shape}")
        finding = challenge.judge(result, respondent)
        if finding.fault:
            raise Fault(f"{part.op}: {finding.fault}")
        if isinstance(challenge, Rounding):
            largest = float(np.abs(challenge.expected).max(initial=0))
            worst = max(worst, finding.max_abs_error / largest if largest else 0.0)
    return worst


def _guarded(call: Call) -> Any:
    """What a stranger's code returns; whatever it raises is a fault of it."""
    try:
        return call()
    except UnsupportedProblem as error:
        raise Fault(f"supports says yes, but the call is refused: {error.reason}") from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise Fault(f"{type(error).__name__}: {error}") from error
