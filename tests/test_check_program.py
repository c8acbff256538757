"""`convback check --cmd`: programs that are right, wrong, or worse; each becomes a row, and none a traceback."""

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from convback_tools import arrayfiles, cli, suites
from convback_tools.checking.judgement import Judge
from convback_tools.integers import integer_operands
from convback_tools.submission import submission

# A layer in plain Python over JSON, which starts in no time. What it does besides, the first argument says.
PROGRAM = """
import itertools, json, os, signal, sys, time

how, source, target = sys.argv[1:]

class Array:
    def __init__(self, shape, data=None):
        self.shape, self.data = shape, data or [0] * product(shape)
    def at(self, place):
        flat = 0
        for index, extent in zip(place, self.shape):
            flat = flat * extent + index
        return flat
    def __getitem__(self, place):
        return self.data[self.at(place)]
    def __setitem__(self, place, value):
        self.data[self.at(place)] = value
    def places(self):
        return itertools.product(*map(range, self.shape))

def product(numbers):
    total = 1
    for number in numbers:
        total *= number
    return total

def beat():
    for _ in range(3000):
        time.sleep(0.01)
        with open("beat", "a") as file:
            file.write(".")

with open(source) as file:
    members = json.load(file)
x, w, dy = (Array(members[name]["shape"], members[name]["data"]) for name in ("x", "w", "dy"))
b = members["b"]["data"] if "b" in members else [0] * w.shape[0]
# A rule for padding that is not ours: one more in front, of the first axis.
padding = [[lo + (how == "own" and axis == 0), hi] for axis, (lo, hi) in enumerate(members["padding"])]
extents = [
    (r + lo + hi - (k - 1) * d - 1) // s + 1
    for r, k, s, d, (lo, hi) in zip(x.shape[2:], w.shape[2:], members["stride"], members["dilation"], padding)
]
y = Array([x.shape[0], w.shape[0], *extents])
dx, dw, db = Array(x.shape), Array(w.shape), Array([w.shape[0]])
fits = dy.shape == y.shape
for n, f, *i in y.places():
    y[n, f, *i] += b[f]
    if fits:
        db[f,] += dy[n, f, *i]
    for tap in itertools.product(*map(range, w.shape[1:])):
        c, k = tap[0], tap[1:]
        r = [a * s + t * d - lo for a, t, s, d, (lo, _) in zip(i, k, members["stride"], members["dilation"], padding)]
        if all(0 <= q < extent for q, extent in zip(r, x.shape[2:])):
            channel = f // (w.shape[0] // members["groups"]) * w.shape[1] + c
            y[n, f, *i] += x[n, channel, *r] * w[f, *tap]
            if fits:
                dx[n, channel, *r] += dy[n, f, *i] * w[f, *tap]
                dw[f, *tap] += dy[n, f, *i] * x[n, channel, *r]
results = {"y": y, "dx": dx, "dw": dw, "db": db}
if how in ("relu", "relu with bias"):
    y.data = [max(0, value) for value in y.data]
exec({
    "wrong": "dx.data[7] += 1",
    "second": "if os.path.exists('seen'): dx.data[7] += 1\\nopen('seen', 'w').close()",
    "half": "dw.data = [value / 2 for value in dw.data]",
    "wrong db": "db.data[0] -= 1",
    "nan": "dx.data[3] = float('nan')",
    "flat": "dx.shape = [len(dx.data)]",
    "only dw": "results = {'dw': dw}",
    "none": "results = {}",
    "no bias": "y.data = [value - b[place[1]] for place, value in zip(y.places(), y.data)]",
    "skip": "if max(members['stride']) > 1: print('only stride 1'); sys.exit(77)",
    "fail": "sys.exit('no such \\x1b[31mlayer')",
    "hang": "beat()",
    "crash": "os.kill(os.getpid(), signal.SIGSEGV)",
    "flood": "while True: print('x' * 10**6)",
    "child": "os.fork() or beat(); time.sleep(0.1)",
}.get(how, ""))
text = json.dumps({name: {"shape": a.shape, "data": a.data} for name, a in results.items()})
exec({
    "rubbish": "text = 'hello'",
    "words": "text = '{\\"dx\\": [\\"a\\"]}'",
    "too much": "text += ' ' * 10**7",
    "nothing": "sys.exit()",
    "pipe": "os.mkfifo(target); sys.exit()",
    "folder": "os.mkdir(target); sys.exit()",
    "gone": "import shutil; shutil.rmtree(os.path.dirname(target)); sys.exit()",
}.get(how, ""))
with open(target, "w") as file:
    file.write(text)
"""
SMALL = ("--case", "g1mb2ic3ih4iw3oc2kh2kw2")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "mycnn.py").write_text(PROGRAM)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def line(how):
    return f"{shlex.quote(sys.executable)} -IS mycnn.py {shlex.quote(how)} {{in}} {{out}}"


def size(beat):
    return beat.stat().st_size if beat.exists() else 0


def assert_silent(beat):
    """The process that wrote to this file every hundredth of a second has ended."""
    before = size(beat)
    assert before
    time.sleep(0.3)
    assert size(beat) == before


@pytest.fixture
def check(folder, monkeypatch, capsys):
    """Check the program in this process: exit code, rows by case and array, stderr."""

    def run(how, *arguments, style="json"):
        monkeypatch.setattr("sys.argv", ["convback", "check", "--cmd", line(how), "--via", "json", *arguments])
        sys.argv += ["--format", style]
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        rows = {(row["case"], row["array"]): row for row in json.loads(out)["rows"]} if out and style == "json" else out
        return end.value.code, rows, err

    return run


def test_a_right_program_passes_bit_for_bit(check):
    code, rows, _ = check("right", "--draws", "1")
    cases = ("mixed-10x12", "strided-8x8", "seed-8x8")
    assert list(rows) == [(case, array) for case in cases for array in ("y", "dx", "dw", "db")]
    assert {(row["tier"], row["status"]) for row in rows.values()} == {("exact", "passed")}
    assert code == 0


@pytest.mark.parametrize(
    ("how", "array", "told"),
    [
        ("wrong", "dx", "1 of 72 elements are wrong"),
        ("half", "dw", "elements are wrong"),
        ("wrong db", "db", "1 of 2 elements are wrong"),
        ("nan", "dx", "the first is nan at [0, 0, 1, 0]"),
        ("flat", "dx", "dx has shape (72,); expected (2, 3, 4, 3)"),
        ("no bias", "y", "b is missing"),
    ],
)
def test_a_wrong_result_is_a_failed_row(check, how, array, told):
    code, rows, _ = check(how, *SMALL)
    (failed,) = (row for row in rows.values() if row["status"] == "failed")
    assert (code, failed["array"], len(rows)) == (1, array, 4)
    assert told in failed["reason"]
    assert "--keep DIR" in failed["reason"]


def test_what_a_program_does_not_compute_is_not_asked(check):
    code, rows, _ = check("only dw", *SMALL)
    assert (code, [array for _, array in rows]) == (0, ["dw"])
    assert check("no bias", *SMALL, "--no-bias")[0] == 0


def test_a_true_convolution_is_asked_for(check):
    code, rows, _ = check("right", *SMALL, "--mode", "convolution")
    wrong = {row["array"] for row in rows.values() if row["status"] == "failed"}
    assert (code, wrong) == (1, {"y", "dx", "dw"})


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("none", "holds nothing; expected some of y, dx, dw, db"),
        ("fail", "it ended with exit code 1; the last it printed: no such [31mlayer"),
        ("hang", "it did not end within 1 seconds (--timeout)"),
        ("crash", "it crashed: Segmentation fault (SIGSEGV)"),
        ("rubbish", "its out-file is of no use"),
        ("words", "its out-file is of no use"),
        ("nothing", "it left no out-file"),
        ("pipe", "a pipe or a device"),
        ("folder", "a folder"),
        ("gone", "it left no out-file"),
    ],
)
def test_a_program_that_does_not_do_its_part_is_an_error_row(check, how, told):
    code, rows, _ = check(how, *SMALL, "--timeout", "1")
    ((key, row),) = rows.items()
    assert (code, key[1], row["status"]) == (1, None, "error")
    assert told in row["reason"]
    assert check("right", *SMALL)[0] == 0  # nothing of it is left


@pytest.mark.parametrize("how", ["too much", "flood"])
def test_a_program_may_not_write_too_much(check, how):
    code, rows, _ = check(how, *SMALL, "--max-memory", "1MiB")
    ((_, row),) = rows.items()
    assert (code, row["status"]) == (1, "error")
    assert "File too large" in row["reason"]


def test_the_size_of_an_out_file_is_looked_at_before_it_is_read(check, monkeypatch):
    monkeypatch.setattr("convback_tools.checking.program._limited_files", lambda size: nullcontext())
    ((_, row),) = check("too much", *SMALL, "--max-memory", "1MiB")[1].items()
    assert "bytes, more than --max-memory 1048576" in row["reason"]


def test_all_that_a_program_has_started_is_ended(check, folder):
    assert check("child", *SMALL, "--draws", "1")[0] == 0
    assert_silent(folder / "beat")


def test_a_program_may_skip_a_case(check):
    code, rows, _ = check("skip", "--draws", "1")
    assert code == 0
    statuses = {case: row["status"] for (case, _), row in rows.items()}
    assert statuses == {"mixed-10x12": "unsupported", "strided-8x8": "unsupported", "seed-8x8": "passed"}
    assert "exit code 77); the last it printed: only stride 1" in rows["strided-8x8", None]["reason"]
    assert check("skip", "--case", "strided-8x8")[0] == 4


def test_files_of_what_failed_are_kept(check, folder):
    code, rows, _ = check("wrong", "--case", "strided-8x8", "--keep", "kept/here")
    kept = folder / "kept" / "here"
    assert code == 1
    assert rows["strided-8x8", "dx"]["reason"].endswith("run: convback diagnose kept/here/strided-8x8.npz")
    names = {path.name.removeprefix("strided-8x8.") for path in kept.iterdir()}
    assert names == {"npz", "right.npz", "in.json", "out.json"}
    for name, wrong in (("npz", {"dx"}), ("right.npz", set())):
        rows = Judge().rows(submission(arrayfiles.read(kept / f"strided-8x8.{name}")), "kept")
        assert {row.array for row in rows if row.status == "failed"} == wrong
        assert {row.tier for row in rows} == {"exact"}
    assert check("right", "--case", "strided-8x8", "--keep", "none")[0] == 0
    assert list((folder / "none").iterdir()) == []
    assert check("fail", "--case", "strided-8x8", "--keep", "none")[0] == 1
    assert (folder / "none" / "strided-8x8.stderr.txt").read_text().startswith("no such")


def test_every_draw_is_judged(check, folder):
    code, rows, _ = check("second", "--case", "seed-8x8", "--keep", "kept")
    assert (code, rows["seed-8x8", "dx"]["wrong"]) == (1, 1)
    second = integer_operands(suites.case("seed-8x8").geom, 1)
    given = arrayfiles.read(folder / "kept" / "seed-8x8.in.json")
    assert all(np.array_equal(given[name], values) for name, values in second.items())


@pytest.mark.parametrize("how", ["right", "own"])
def test_gradients_of_any_layer_are_held_to_its_own_forward(check, how):
    """Ours, and one with a rule for padding that no oracle knows: y has another shape there."""
    code, rows, _ = check(how, *SMALL, "--own-forward")
    assert [(row["array"], row["tier"], row["status"]) for row in rows.values()] == [
        ("y", "linear", "passed"),
        *((array, "adjoint", "passed") for array in ("dx", "dw", "db")),
    ]
    assert code == 0


@pytest.mark.parametrize(
    ("how", "array"), [("wrong", "dx"), ("half", "dw"), ("wrong db", "db"), ("nan", "dx"), ("flat", "dx")]
)
def test_gradients_that_are_not_of_the_own_forward_are_found(check, how, array):
    code, rows, _ = check(how, *SMALL, "--own-forward", "--draws", "1")
    (row,) = (row for row in rows.values() if row["status"] == "failed")
    assert (code, row["array"]) == (1, array)
    if how in ("wrong", "wrong db"):
        assert f"<{array}, {array[1:]}'> is " in row["reason"]
        assert row["worst_index"] == {"dx": [0, 0, 2, 1], "db": [0]}[array]
        assert row["got"] - row["expected"] == {"dx": 1, "db": -1}[array]
    if how == "nan":
        assert "element (0, 0, 1, 0) is nan" in row["reason"]


def test_a_forward_that_is_not_linear_is_no_standard(check):
    code, rows, _ = check("relu", *SMALL, "--own-forward", "--draws", "1")
    assert code == 1
    assert {row["array"]: row["status"] for row in rows.values()} == {
        "y": "failed", "dx": "inconclusive", "dw": "inconclusive", "db": "inconclusive",
    }  # fmt: skip
    assert "Expected is the layer alone, without an activation" in rows[next(iter(rows))]["reason"]


@pytest.mark.parametrize(("limit", "undecided"), [(2000, ["dx"]), (1500, ["y", "dx", "dw", "db"])])
def test_sums_that_might_be_rounded_are_not_compared(check, monkeypatch, limit, undecided):
    """Of products up to 81: 24 for y of x + x', 48 for dx of a layer whose rule for positions is not known."""
    monkeypatch.setattr("convback_tools.checking.own_forward.EXACT_LIMIT", {"float32": limit})
    code, rows, _ = check("right", "--case", "g1mb2ic3ih4iw3oc4kh2kw2", "--own-forward", "--draws", "1")
    assert [row["array"] for row in rows.values() if row["status"] == "inconclusive"] == undecided
    assert code == (4 if "y" in undecided else 0)


def test_db_needs_a_forward_with_a_bias(check):
    for arguments, told in (
        (("no bias",), "y does not depend on b"),
        (("right", "--no-bias"), "--no-bias leaves out b"),
    ):
        code, rows, _ = check(arguments[0], *SMALL, "--own-forward", "--draws", "1", *arguments[1:])
        assert (code, rows[next(iter(rows))[0], "db"]["reason"].partition(",")[0]) == (0, told)
    for how in ("gone", "crash", "only dw"):
        code, rows, _ = check(how, *SMALL, "--own-forward")
        ((_, row),) = rows.items()
        assert (code, row["status"]) == (1, "error")
    assert "its out-file has no y" in row["reason"]


def test_the_table_says_which_case(check):
    code, out, err = check("wrong", "--draws", "1", style="table")
    assert (code, err) == (1, "")
    assert "FAILED: dx of mixed-10x12: 1 of 1440 elements are wrong; " in out
    assert "worst at dx[0, 0, 0, 7]: got " in out
    assert out.endswith("9 passed, 3 failed.\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--cmd", "./nothing {in} {out}"], "'./nothing' cannot be started: No such file or directory"),
        (["--cmd", "./mycnn.py {in} {out}"], "cannot be started: Permission denied"),
        (["--cmd", "mycnn {in}"], "has no {out}"),
        (["--cmd", "mycnn '{in} {out}"], "No closing quotation"),
        (["--cmd", ""], "has no {in} and no {out}"),
        (["--cmd", "mycnn {in} {out}", "--digits", "3"], "--digits goes with a FILE"),
        (["--cmd", "mycnn {in} {out}", "--stride", "2"], "--stride goes with a FILE"),
        (["--cmd", "mycnn {in} {out}", "--keep", "mycnn.py/here"], "--keep: 'mycnn.py/here' cannot be made"),
        (["--cmd", "mycnn {in} {out}", "--case", "nonsense"], "'nonsense'"),
    ],
)
def test_wrong_usage_is_told(folder, monkeypatch, capsys, arguments, told):
    monkeypatch.setattr("sys.argv", ["convback", "check", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    out, err = capsys.readouterr()
    assert (end.value.code, out) == (2, "")
    assert told in err
    assert "Traceback" not in err


def test_a_case_beyond_the_budget_is_not_put(check):
    code, rows, _ = check("right", "--case", "seed-8x8", "--max-memory", "1KiB")
    assert (code, rows["seed-8x8", None]["status"]) == (4, "inconclusive")
    assert "--max-memory 1024" in rows["seed-8x8", None]["reason"]


def test_an_interrupt_ends_the_program_as_well(folder):
    whole = [
        sys.executable,
        "-m",
        "convback_tools",
        "check",
        "--cmd",
        line("hang"),
        "--via",
        "json",
        *SMALL,
        "--timeout",
        "50",
    ]
    # A shell lets what it runs in the background ignore SIGINT; what a process with a handler starts does not.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(whole, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    while not size(folder / "beat"):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err.strip()) == (130, "Interrupted.")
    assert_silent(folder / "beat")


def test_the_program_and_the_file_that_the_document_shows(folder, monkeypatch, capsys):
    text = (Path(__file__).parents[1] / "docs" / "checking.md").read_text(encoding="utf-8")
    program = re.search(r"program, `mycnn.py`:\n\n```python\n(.*?)```", text, re.DOTALL)[1]
    (folder / "mycnn.py").write_text(program)
    (folder / "tiny.json").write_text(re.search(r"```json\n(.*?)```", text, re.DOTALL)[1])
    arrayfiles.write(folder / "tiny.bin", arrayfiles.read(folder / "tiny.json"))
    dump = [line[10:57] for line in text.splitlines() if re.match("[0-9a-f]{8}  ", line)]
    assert (folder / "tiny.bin").read_bytes() == bytes.fromhex(" ".join(dump))
    shown = "python mycnn.py {in} {out}"
    monkeypatch.setattr("sys.argv", ["convback", "check", "--cmd", shown.replace("python", sys.executable, 1)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    out = "\n".join(line.rstrip() for line in capsys.readouterr().out.replace(sys.executable, "python").splitlines())
    assert end.value.code == 0
    assert f"$ convback check --cmd '{shown}'\n{out}\n" in text
