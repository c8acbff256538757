"""Chooses among the compiled variants of the kernels: the best one that this CPU runs, or CONVBACK_ISA."""

from __future__ import annotations

import json
from functools import cache
from importlib import import_module
from importlib.resources import files
from importlib.util import find_spec
from typing import Any

from convback import ParameterError, environment

# The best first.
ISAS = ("avx512", "avx2", "base")


@cache
def build_report(isa: str) -> dict[str, Any]:
    """What the build said of one variant: "error", "openmp" and "debug"."""
    report = files("convback_cython") / f"_kernels_{isa}.json"
    if not report.is_file():
        return {"error": "not built for this machine", "openmp": False, "debug": False}
    content: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return content


@cache
def chosen() -> str:
    """The name of the variant in use.

    Raises
    ------
    ImportError
        If none was built.
    ParameterError
        If CONVBACK_ISA names one that is not there, or that this CPU does not run.
    """
    usable = _usable()
    wanted = environment.variable("CONVBACK_ISA")
    if wanted is None:
        return usable[0]
    if wanted not in usable:
        raise ParameterError(
            f"the environment variable CONVBACK_ISA is {wanted!r}; expected one of {', '.join(usable)}, "
            "which were built and run on this CPU"
        )
    return wanted


@cache
def kernels() -> Any:
    """The module of compiled kernels in use."""
    return import_module(f"convback_cython._kernels_{chosen()}")


@cache
def _usable() -> tuple[str, ...]:
    try:
        base = import_module("convback_cython._kernels_base")
    except ImportError as error:
        said = build_report("base")["error"] or "it was built"
        raise ImportError(
            f"its extension is missing. When convback was installed: {said}. "
            f"Install a C compiler, then install convback again. ({error})"
        ) from error
    return tuple(isa for isa in ISAS if base.cpu_runs(isa) and find_spec(f"convback_cython._kernels_{isa}") is not None)


def info() -> dict[str, str]:
    """What `convback backends` shows of the variant in use."""
    report = build_report(chosen())
    openmp, checks = ("on" if report[key] else "off" for key in ("openmp", "debug"))
    return {"instruction set": f"{chosen()} (of {', '.join(_usable())})", "OpenMP": openmp, "checks": checks}
