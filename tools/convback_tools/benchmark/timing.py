"""Interleaved timing: all contestants in every round, shuffled, so that drift of the machine hits them alike."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from time import perf_counter

# A measurement repeats a call until it lasts this long: well above the resolution of the clock and a thread's wake-up.
SHORTEST_MEASUREMENT = 2e-3


def time_interleaved(
    contestants: Mapping[str, Callable[[], object]], budget: float, rounds: int, seed: int
) -> dict[str, list[float]]:
    """Seconds of one call, measured in turn.

    Parameters
    ----------
    contestants : mapping of name to function
    budget : float
        Seconds for each contestant; at least one measurement is made.
    rounds : int
        Most measurements of each contestant.
    seed : int
        Of the order within each round.

    Returns
    -------
    dict of name to list of float
        Equally many measurements of each contestant, in order.
    """
    repeats = {name: _repeats(call) for name, call in contestants.items()}
    order = random.Random(seed)
    times: dict[str, list[float]] = {name: [] for name in contestants}
    started = perf_counter()
    for _ in range(rounds):
        for name in order.sample(list(contestants), len(contestants)):
            times[name].append(_measure(contestants[name], repeats[name]))
        if perf_counter() - started > budget * len(contestants):
            break
    return times


def _measure(call: Callable[[], object], repeats: int) -> float:
    started = perf_counter()
    for _ in range(repeats):
        call()
    return (perf_counter() - started) / repeats


def _repeats(call: Callable[[], object]) -> int:
    """How many calls make one measurement; verification has warmed the call up."""
    once = min(_measure(call, 1) for _ in range(2)) if (first := _measure(call, 1)) < SHORTEST_MEASUREMENT else first
    return math.ceil(SHORTEST_MEASUREMENT / once) if once < SHORTEST_MEASUREMENT else 1
