"""How many threads a backend may use: one number for the process, which backends read once a call."""

from __future__ import annotations

import os

from convback import environment
from convback.errors import ParameterError, quoted

_chosen: int | None = None
_forked = False


def set_num_threads(n: int) -> None:
    """Set the number of threads that backends may use, for the whole process.

    Parameters
    ----------
    n : int
        At least 1, and below 2**31.

    Raises
    ------
    ParameterError
        If `n` is not a positive integer, or is above 1 in a forked child (see `get_num_threads`).
    """
    global _chosen
    if type(n) is not int or not 1 <= n < 2**31:
        raise ParameterError(f"set_num_threads got {quoted(n)}; expected an integer of at least 1 and below 2**31")
    if _forked and n > 1:
        raise ParameterError(
            f"set_num_threads got {n} in a forked child, where an OpenMP thread pool cannot be restarted; "
            'start workers with multiprocessing.get_context("spawn") to use several threads in each'
        )
    _chosen = n


def get_num_threads() -> int:
    """Number of threads that backends may use.

    The number given to `set_num_threads`, else `CONVBACK_NUM_THREADS`, else `OMP_NUM_THREADS` (its first number, where
    it is a list), else the number of CPUs this process may run on. In a forked child it is 1: the OpenMP threads of the
    parent do not exist there, and waiting for them would hang.

    Raises
    ------
    ParameterError
        If `CONVBACK_NUM_THREADS` is needed and is not a positive integer.
    """
    if _forked:
        return 1
    return _chosen or _initial()


def _initial() -> int:
    return environment.positive_integer("CONVBACK_NUM_THREADS") or _openmp_value() or _usable_cpus()


def _openmp_value() -> int | None:
    # OMP_NUM_THREADS may be a list, one number for each nesting level; only the outermost concerns us.
    first = (environment.variable("OMP_NUM_THREADS") or "").split(",")[0].strip()
    return int(first) if first.isdigit() and int(first) > 0 else None


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _after_fork_in_child() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
