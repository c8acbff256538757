"""Interleaved timing: the contestants take turns, shuffled, so that drift of the machine hits them alike."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Hashable, Mapping
from time import perf_counter, sleep
from typing import TypeVar

# A measurement repeats a call until it lasts this long: well above the resolution of the clock and a thread's wake-up.
SHORTEST_MEASUREMENT = 2e-3

# Calls shorter than this are made for a while before they are measured: caches have rested, and a thread that is woken
# on a busy CPU begins only when its turn comes, some 4 ms later, now and then twice.
LONG_CALL = 20e-3
WARM_UP = 10e-3

# Threads of BLAS and OpenMP keep a CPU busy for some 30 ms after their last work; the next contestant must not pay.
REST = 0.05


Name = TypeVar("Name", bound=Hashable)


def time_interleaved(
    contestants: Mapping[Name, Callable[[], object]], budget: float, rounds: int, seed: int
) -> dict[Name, list[float]]:
    """Seconds of one call, measured in turn.

    Parameters
    ----------
    contestants : mapping of name to function
    budget : float
        Seconds for each contestant.
    rounds : int
        Most measurements of each contestant.
    seed : int
        Of the order within each round.

    Returns
    -------
    dict of name to list of float
        At least one measurement of each contestant, in order.
    """
    order = random.Random(seed)
    times: dict[Name, list[float]] = {}
    repeats: dict[Name, int] = {}
    for name, call in contestants.items():
        once = _measure(call, 1, warm=False)
        # A long call is a measurement already; one that takes minutes is not made twice.
        times[name] = [once] if once >= LONG_CALL else []
        repeats[name] = 1 if times[name] else math.ceil(SHORTEST_MEASUREMENT / min(once, _measure(call, 1)))
    while active := [name for name in contestants if _goes_on(times[name], repeats[name], budget, rounds)]:
        for name in order.sample(active, len(active)):
            warm = min(times[name], default=0.0) < LONG_CALL
            times[name].append(_measure(contestants[name], repeats[name], warm))
    return times


def _goes_on(measured: list[float], repeats: int, budget: float, rounds: int) -> bool:
    return sum(measured) * repeats <= budget and len(measured) < rounds


def _measure(call: Callable[[], object], repeats: int, warm: bool = True) -> float:
    sleep(REST)
    begun = perf_counter()
    while warm and perf_counter() - begun < WARM_UP:
        call()
    started = perf_counter()
    for _ in range(repeats):
        call()
    return (perf_counter() - started) / repeats
