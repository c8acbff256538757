"""Scratch memory: aligned, kept between calls, one buffer a thread, and bounded."""

import threading

import numpy as np
import pytest

from convback import UnsupportedProblem, workspace


@pytest.fixture(autouse=True)
def fresh():
    workspace._local.__dict__.clear()
    yield
    workspace._local.__dict__.clear()


@pytest.mark.parametrize("nbytes", [1, 63, 64, 100_001])
def test_size_and_alignment(nbytes):
    memory = workspace.take(nbytes)
    assert (memory.shape, memory.dtype) == ((nbytes,), np.uint8)
    assert memory.ctypes.data % workspace.ALIGNMENT == 0
    memory[...] = 7


def test_it_is_kept_and_grows():
    small = workspace.take(1000)
    assert np.shares_memory(small, workspace.take(500))
    assert not np.shares_memory(small, workspace.take(5000))


def test_each_thread_has_its_own():
    others = []
    thread = threading.Thread(target=lambda: others.append(workspace.take(100)))
    thread.start()
    thread.join()
    assert not np.shares_memory(workspace.take(100), others[0])


def test_high_water():
    for nbytes in (10, 300, 20):
        workspace.take(nbytes)
    assert workspace.high_water() == 300
    workspace.reset_high_water()
    assert workspace.high_water() == 0


def test_limit(python):
    with pytest.raises(UnsupportedProblem, match=str(workspace.DEFAULT_LIMIT)):
        workspace.take(workspace.DEFAULT_LIMIT + 1)
    code = """
from convback import UnsupportedProblem, workspace
workspace.take(1000)
try:
    workspace.take(1001)
except UnsupportedProblem as error:
    print(error)
"""
    assert "1001 bytes" in python(code, env={"CONVBACK_WORKSPACE": "1000"}).out


def test_bench_reports_it(command):
    result = command("bench", "-b", "stranger", "--seconds", "0", "--format", "json", plugins=["stranger"])
    taken = {row["op"]: row["workspace_bytes"] for row in result.json["rows"]}
    assert taken == {"dx": 1 * 4 * 8 * 8 * 4, "dw": 0}
