"""The backend that passes each problem on to the one that should be fastest.

Only convback's own backends are candidates. Others come first, in the order given, where the environment variable
CONVBACK_AUTO lists their names, separated by commas. `chosen` says who does the work.
"""

from __future__ import annotations

from functools import cache

from convback import BackendUnavailable, ConvGeometry, ParameterError, environment, get_backend, get_num_threads
from convback.contract import Array, DType, Run, refusal, runner
from convback_auto.cost import MODELS, by_cost

CONTRACT = 1


def supports(op: str, geom: ConvGeometry | None, dtype: DType) -> str | None:
    try:
        chosen(op, geom, dtype)
    except LookupError as error:
        return str(error)
    return None


def info() -> dict[str, str]:
    candidates = [*strangers(), *sorted(MODELS)]
    return {"chooses among": ", ".join(candidates)}


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
    for name in (*strangers(), *(name for name, _ in by_cost(op, geom, dtype, get_num_threads()))):
        try:
            reason = refusal(get_backend(name), op, geom, dtype)
        except BackendUnavailable as error:
            if name in strangers():
                raise
            reason = str(error)
        if reason is None:
            return name
        reasons.append(f"{name}: {reason}")
    raise LookupError("; ".join(reasons))


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
    get_backend(chosen("db", None, dy.dtype)).db(dy, out)
