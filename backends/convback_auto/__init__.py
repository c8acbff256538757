"""The backend that passes each problem on to the one that should be fastest.

Only convback's own backends are candidates, and those whose names the environment variable CONVBACK_AUTO lists,
separated by commas. These come first, in the order given, as nothing is known of them; then what `convback tune`
measured on this machine, the fastest first; then what `cost.py` predicts. `chosen` says who does the work, and
`candidates` why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

from convback import (
    BackendUnavailable,
    ConvGeometry,
    ParameterError,
    choices,
    current_accuracy,
    environment,
    get_backend,
    get_num_threads,
)
from convback.contract import Array, Candidate, DType, Run, refusal, runner
from convback_auto.cost import MODELS, by_cost

CONTRACT = 1


def supports(op: str, geom: ConvGeometry | None, dtype: DType) -> str | None:
    try:
        chosen(op, geom, dtype)
    except LookupError as error:
        return str(error)
    return None


def info() -> dict[str, str]:
    return {"chooses among": ", ".join([*strangers(), *sorted(MODELS)])}


def chosen(op: str, geom: ConvGeometry | None, dtype: DType) -> str:
    """Name of the first candidate that supports the problem.

    Raises
    ------
    LookupError
        If there is none, with the reason of each.
    UnknownBackend, BackendUnavailable, ParameterError
        If CONVBACK_AUTO names a backend that cannot be used, or this one.
    """
    reasons = []
    for candidate in _candidates(op, geom, dtype):
        if candidate.refusal is None:
            return candidate.backend
        reasons.append(f"{candidate.backend}: {candidate.refusal}")
    raise LookupError("; ".join(reasons))


def candidates(op: str, geom: ConvGeometry | None, dtype: DType) -> list[Candidate]:
    return list(_candidates(op, geom, dtype))


def _candidates(op: str, geom: ConvGeometry | None, dtype: DType) -> Iterator[Candidate]:
    threads = get_num_threads()
    predicted = dict.fromkeys(strangers()) | dict(by_cost(op, geom, dtype, threads))
    measured = choices.recall(choices.Problem(op, geom, dtype.name, threads)) if geom is not None else {}
    known = [name for name in measured if name in predicted]
    for name in dict.fromkeys((*(name for name in strangers() if name not in measured), *known, *predicted)):
        yield Candidate(name, measured.get(name, predicted[name]), name in measured, _refusal(name, op, geom, dtype))


def _refusal(name: str, op: str, geom: ConvGeometry | None, dtype: DType) -> str | None:
    try:
        backend = get_backend(name)
        if op != "db" and current_accuracy() == "strict" and hasattr(backend, "error_bound"):
            return 'it does not sum products, and accuracy="strict" asks for that'
        return refusal(backend, op, geom, dtype)
    except BackendUnavailable as error:
        if name in strangers():
            raise
        return str(error)


@cache
def strangers() -> tuple[str, ...]:
    names = tuple(name.strip() for name in (environment.variable("CONVBACK_AUTO") or "").split(",") if name.strip())
    if "auto" in names:
        raise ParameterError("the environment variable CONVBACK_AUTO lists 'auto'; expected names of other backends")
    for name in names:
        get_backend(name)
    return names


def plan(op: str, geom: ConvGeometry, dtype: DType) -> Run:
    return runner(get_backend(chosen(op, geom, dtype)), op, geom, dtype)


def y(x: Array, w: Array, geom: ConvGeometry, out: Array) -> None:
    plan("y", geom, out.dtype)(x, w, out)


def dx(dy: Array, w: Array, geom: ConvGeometry, out: Array) -> None:
    plan("dx", geom, out.dtype)(dy, w, out)


def dw(dy: Array, x: Array, geom: ConvGeometry, out: Array) -> None:
    plan("dw", geom, out.dtype)(dy, x, out)


def db(dy: Array, out: Array) -> None:
    _db(dy.dtype)(dy, out)


@cache
def _db(dtype: DType) -> Callable[[Array, Array], object]:
    """Chosen once: there is no geometry that the choice could depend on."""
    function: Callable[[Array, Array], object] = get_backend(chosen("db", None, dtype)).db
    return function
