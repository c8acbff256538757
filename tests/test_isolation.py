"""Broken plug-ins of many kinds: each is a row with its reason, and the rows of our own backends stay as they are."""

import json

import pytest

CASES = ("--case", "seed-8x8", "--case", "g2mb2ic4iw9oc6kw3sw2", "--dtype", "float32", "--quiet", "--format", "json")
OWN = ("-b", "naive", "-b", "cython")

RIGHT = """
import os, sys
import numpy as np
import convback_naive
from convback_naive import db, dw, dx, supports, y
CONTRACT = 1
"""

# What is put below RIGHT, the status of its rows, and what a reason says. What ends or stops the process needs
# --isolate.
WRONG = {
    "wrong answer": ("def dx(dy, w, geom, out): out[...] = 1", "failed", "elements are wrong"),
    "one product missing": (
        "def dw(dy, x, geom, out): convback_naive.dw(dy, x, geom, out); out.flat[-1] -= 1", "failed", "1 of",
    ),
    "slightly off": ("def y(x, w, geom, out): convback_naive.y(x, w, geom, out); out *= 1.0001", "failed", "are wrong"),
    "wrong shape": ("def dx(dy, w, geom, out): out[...] = np.zeros((7, 7))", "error", "could not broadcast"),
    "returns, does not write": ("def dx(dy, w, geom, out): return np.zeros(geom.x_shape)", "failed", "are wrong"),
    "one element left unwritten": (
        "def db(dy, out): out[1:] = dy.sum(axis=(0, *range(2, dy.ndim)))[1:]", "failed", "1 of",
    ),
    "adds to what was there": ("def db(dy, out): out += dy.sum(axis=(0, *range(2, dy.ndim)))", "failed", "are wrong"),
    "writes to its input": (
        "def dx(dy, w, geom, out): convback_naive.dx(dy, w, geom, out); w *= 2", "failed", "changed its operand w",
    ),
    "writes to its input and fails": ("def dx(dy, w, geom, out): dy[...] = 0; 1 // 0", "error", "ZeroDivisionError"),
    "raises": ("def dx(dy, w, geom, out): raise RuntimeError('out of order')", "error", "RuntimeError: out of order"),
    "exits when called": ("def dx(dy, w, geom, out): sys.exit('bye')", "error", "SystemExit: bye"),
    "raises what is no Exception": (
        "class Panic(BaseException): pass\ndef dx(dy, w, geom, out): raise Panic('rust')", "error", "Panic: rust",
    ),
    "recurses": ("def dx(dy, w, geom, out): dx(dy, w, geom, out)", "error", "RecursionError"),
    "runs out of memory": ("def dx(dy, w, geom, out): np.empty(2**58)", "error", "MemoryError: Unable to allocate"),
    "supports raises": ("def supports(op, geom, dtype): raise KeyError(op)", "error", "supports raised KeyError"),
    "supports returns no words": ("def supports(op, geom, dtype): return True", "error", "supports returned True"),
    "refuses after it agreed": (
        "from convback import UnsupportedProblem\n"
        "def dx(dy, w, geom, out): raise UnsupportedProblem('not today')", "error", "supports says yes",
    ),
    "passes on to nobody": ("def chosen(op, geom, dtype): return 'nobody'", "error", "no backend named 'nobody'"),
    "right by plan alone": (
        "def plan(op, geom, dtype): return lambda a, b, out: getattr(convback_naive, op)(a, b, geom, out)\n"
        "def dx(dy, w, geom, out): out[...] = 7", "failed", "called without its plan",
    ),
    "right one by one alone": (
        "def backward(dy, x, w, geom, dx, dw, db):\n"
        "    if dx is not None: convback_naive.dx(dy, w, geom, dx)\n"
        "    if dw is not None: convback_naive.dw(dy, x, geom, dw)\n"
        "    if db is not None: db[...] = 7", "failed", "dx, db at once: ",
    ),
    "raises at once alone": (
        "def backward(dy, x, w, geom, dx, dw, db): raise RuntimeError('one by one, please')",
        "error", "at once: RuntimeError: one by one, please",
    ),
    "its plan is no function": ("def plan(op, geom, dtype): return None", "error", "TypeError"),
    "prints to stdout": ("print('hello')\ndef dx(dy, w, geom, out): print('{}'); out[...] = 1", "failed", "are wrong"),
    "prints below Python": (
        "def dx(dy, w, geom, out): os.write(1, b'{}'); out[...] = 1", "failed", "are wrong",
    ),
}  # fmt: skip

UNUSABLE = {
    "ImportError": ("import library_that_is_missing", "ModuleNotFoundError: No module named 'library_that_is_missing'"),
    "SyntaxError": ("def dx(:", "SyntaxError"),
    "SystemExit at import": ("raise SystemExit('goodbye')", "SystemExit: goodbye"),
    "other error at import": ("1 // 0", "ZeroDivisionError"),
    "what is no Exception at import": ("class Panic(BaseException): pass\nraise Panic('rust')", "Panic: rust"),
    "missing function": ("del dw", "dw(dy, x, geom, out) is missing"),
    "wrong signature": ("def dx(w, dy, geom, out): pass", "dx(w, dy, geom, out)"),
    "other contract": ("CONTRACT = 99", "CONTRACT is 99"),
    "no function": ("db = 3", "db is 3"),
}

ENDING = {
    "segfaults": ("import ctypes\ndef dx(dy, w, geom, out): ctypes.string_at(0)", "error", "by signal SIGSEGV"),
    "aborts": ("def dx(dy, w, geom, out): os.abort()", "error", "by signal SIGABRT"),
    "leaves without a word": ("def dx(dy, w, geom, out): os._exit(0)", "error", "with exit code 0"),
    "hangs": ("import time\ndef dx(dy, w, geom, out): time.sleep(1000)", "error", "no answer within 3 seconds"),
    "hangs without Python": (
        "import ctypes\ndef dx(dy, w, geom, out): ctypes.CDLL(None).pause()", "error", "no answer within 3 seconds",
    ),
}  # fmt: skip

ENDING_AT_IMPORT = {
    "segfaults at import": ("import ctypes; ctypes.string_at(0)", "by signal SIGSEGV when it is loaded"),
    "leaves at import": ("os._exit(7)", "with exit code 7 when it is loaded"),
    "hangs at import": ("import time; time.sleep(1000)", "no answer within 3 seconds when it is loaded"),
}


@pytest.fixture(scope="module")
def own_rows(request):
    """What our own backends' rows are where no stranger is installed."""
    rows = {}

    def of(command):
        if not rows:
            rows.update(rows_of(command("verify", *OWN, *CASES)))
        return rows

    return of


def rows_of(result):
    """Rows by backend; whatever was printed must not be among them."""
    found = {}
    for row in json.loads(result.out)["rows"]:
        found.setdefault(row["backend"], []).append(row)
    return found


def verified(command, write_plugin, code, *options):
    folder = write_plugin("mine", RIGHT + code + "\n")
    return command("verify", *OWN, "-b", "mine", *CASES, *options, plugins=[folder])


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_a_row(command, write_plugin, own_rows, kind):
    code, status, told = WRONG[kind]
    result = verified(command, write_plugin, code)
    assert result.code == 1, result.err
    rows = rows_of(result)
    bad = [row for row in rows.pop("mine") if row["status"] != "passed"]
    assert {row["status"] for row in bad} == {status}
    assert all(told in row["reason"] for row in bad if row["tier"] != "rounding"), bad
    assert rows == own_rows(command)
    assert "Traceback" not in result.err


@pytest.mark.parametrize("kind", UNUSABLE)
def test_what_cannot_be_used_is_a_row(command, write_plugin, own_rows, kind):
    code, told = UNUSABLE[kind]
    result = verified(command, write_plugin, code)
    assert result.code == 3, result.err
    rows = rows_of(result)
    (row,) = rows.pop("mine")
    assert row["status"] == "unavailable"
    assert told in row["reason"]
    assert rows == own_rows(command)


@pytest.mark.parametrize("kind", ENDING)
def test_what_ends_its_process_is_a_row(command, write_plugin, own_rows, kind):
    code, status, told = ENDING[kind]
    result = verified(command, write_plugin, code, "--isolate", "--timeout", "3")
    assert result.code == 1, result.err
    rows = rows_of(result)
    bad = [row for row in rows.pop("mine") if row["status"] != "passed"]
    assert {(row["op"], row["status"]) for row in bad} == {("dx", status)}
    assert all(told in row["reason"] for row in bad)
    assert "nothing more was asked" in bad[-1]["reason"]
    assert len(bad) == 3
    assert rows == own_rows(command)


@pytest.mark.parametrize("kind", ENDING_AT_IMPORT)
def test_what_ends_its_process_at_import_is_a_row(command, write_plugin, own_rows, kind):
    code, told = ENDING_AT_IMPORT[kind]
    result = verified(command, write_plugin, code, "--isolate", "--timeout", "3")
    assert result.code == 3, result.err
    rows = rows_of(result)
    (row,) = rows.pop("mine")
    assert row["status"] == "unavailable"
    assert told in row["reason"]
    assert rows == own_rows(command)


def test_processes_give_the_same_rows(command, own_rows):
    apart = rows_of(command("verify", *OWN, *CASES, "--jobs", "2"))
    assert apart == own_rows(command)


def test_the_first_failure_can_end_it(command, write_plugin):
    result = verified(command, write_plugin, WRONG["raises"][0], "--isolate", "--fail-fast")
    assert result.json["summary"]["error"] == 1
    assert result.json["rows"][-1]["status"] == "error"


def test_an_interrupt_ends_what_is_under_way(python, write_plugin):
    """Ctrl-C while a backend hangs: at once, with the exit code of an interrupt, and no process is left."""
    folder = write_plugin("mine", RIGHT + ENDING["hangs"][0])
    code = """
import os, signal, subprocess, sys, time
line = [sys.executable, "-m", "convback_tools", "verify", "-b", "mine", "--isolate", "--suite", "seed", "--op", "dx"]
process = subprocess.Popen(line, stderr=subprocess.PIPE, start_new_session=True)
time.sleep(4)
os.killpg(process.pid, signal.SIGINT)
started = time.monotonic()
error = process.communicate(timeout=60)[1]
print(process.returncode, time.monotonic() - started < 10, b"Interrupted." in error, b"Traceback" in error)
"""
    assert python(code, plugins=[folder]).out == "130 True True False\n"
