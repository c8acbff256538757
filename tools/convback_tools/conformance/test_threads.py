"""Called from many threads at once, and on any number of threads of its own, it gives the same."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

import convback
from convback_tools.conformance.claims import Claim
from convback_tools.conformance.verdicts import Example
from convback_tools.verification.relations import THREADS

CALLERS = 8
SECONDS = 0.02


@pytest.fixture
def hasty() -> Iterator[None]:
    """Python changes threads every microsecond, so that they meet."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def threads_restored() -> Iterator[None]:
    """The number of threads is afterwards what it was."""
    before = convback.get_num_threads()
    yield
    convback.set_num_threads(before)


@pytest.mark.usefixtures("hasty")
def test_new_threads_may_call_it_all_at_once(crowded: Claim) -> None:
    # Each with operands of its own, else nobody would see that they were exchanged.
    examples = [Example(crowded, crowded.operands(draw)) for draw in range(CALLERS)]
    together = Barrier(CALLERS)

    def call(example: Example) -> None:
        together.wait()
        stop = time.monotonic() + SECONDS
        while True:
            example.check(crowded.answer(example.operands), f"called from {CALLERS} threads at once")
            if time.monotonic() >= stop:
                return

    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(call, examples))


@pytest.mark.usefixtures("threads_restored")
def test_it_gives_the_same_on_any_number_of_threads(busy: Claim) -> None:
    example = Example(busy, busy.operands())
    for threads in THREADS:
        convback.set_num_threads(threads)
        example.check(busy.answer(example.operands), f"on {threads} threads")
