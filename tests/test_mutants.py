"""The mutation tool in tools/mutants: its operators do what they promise, and what they make is killed."""

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "tools"))  # at the end: convback_tools is the installed one
from mutants import equivalent, operators, results, sources, trial

# For each operator a line, and what it must become among other things.
PROMISES = [
    ("bound", "for lane in range(n):", "for lane in range(n - 1):"),
    ("bound", "for lane in range(n):", "for lane in range(n + 1):"),
    ("bound", "for lane in range(n):", "for lane in range(1, n):"),
    ("bound", "for i in terms(geom):", "for i in list(terms(geom))[:-1]:"),
    ("compare", "if 0 <= r < x:", "if 0 < r < x:"),
    ("compare", "if 0 <= r < x:", "if 0 <= r <= x:"),
    ("swap", "w_of = w[f, c, m, k, 0]", "w_of = w[f, c, k, m, 0]"),
    ("name", "r = i * stride + k * dilation - lo", "r = i * dilation + k * dilation - lo"),
    ("name", "tall = geom.height.kernel + geom.width.kernel", "tall = geom.width.kernel + geom.width.kernel"),
    ("sign", "r = i * stride + k * dilation - lo", "r = i * stride + k * dilation + lo"),
    ("term", "r = i * stride + k * dilation - lo", "r = i * stride + k * dilation"),
    ("factor", "r = i * stride + k * dilation - lo", "r = i * stride + k - lo"),
    ("division", "c0 = f // filters * channels", "c0 = f % filters * channels"),
    ("division", "c0 = f // filters * channels", "c0 = (f + filters - 1) // filters * channels"),
    ("assign", "out[i] += x[i]", "out[i] = x[i]"),
    ("constant", "j = n // LANES * LANES", "j = n // LANES * (LANES - 1)"),
    ("omit", "out[...] = 0", "pass"),
    ("condition", "if stride == 1:", "if True:"),
    ("condition", "if r < 0 or r % s != 0:", "if r < 0 and r % s != 0:"),
    ("reduce", "j = min(j, y)", "j = max(j, y)"),
    ("fill", "padded = np.zeros(shape)", "padded = np.empty(shape)"),
    ("precision", "db = dy.sum(dtype=np.float64)", "db = dy.sum(dtype=np.float32)"),
    ("precision", "cdef double[LANES] lanes", "cdef float[LANES] lanes"),
    ("scale", "out[f] = total(dy)", "out[f] = 1.001 * (total(dy))"),
    ("input", "out[f] += dy[n, f] * x[n]", "out[f] += dy[n, f] * x[n]; dy[n, f] += 1"),
    ("input", "x[j] += weight * y[j]", "x[j] += weight * y[j]; (<real *> y)[j] = 0"),
    ("letter", 'y = np.einsum("nck,fck->nf", x, w)', 'y = np.einsum("nkc,fck->nf", x, w)'),
]

# Texts, types and what only decides how fast.
QUIET = [
    '"""i + j < n * k // 2"""',
    "# i + j < n * k // 2",
    "from i import j",
    "cdef Py_ssize_t i, j, k",
    "cdef void f(",
    "    const real[:, ::1] x, Py_ssize_t n, Py_ssize_t i,",
    ") noexcept nogil:",
    '    raise ValueError(f"{n + 1} < {i}")',
    "BLOCK_BYTES = 8 * 2**20",
]

# What a line of the naive backend becomes: overwritten sum, wrong group, wrong stride, last tap missing, input written.
WRONG = [
    "out[n, c, *r] = dy[n, f, *i] * w[f, c_of_group, *k]",
    "c = c_of_group",
    "r = tuple(i_ * s + k_ * d - lo for i_, k_, d, s, (lo, _) in axes)",
    "axes = zip(i, k, geom.dilation, geom.dilation, geom.padding, strict=True)",
    "for k in list(np.ndindex(geom.kernel))[:-1]:",
    "out[f, c_of_group, *k] += 1.001 * (dy[n, f, *i] * x[n, c, *r])",
    "total[f] += dy[n, f, *i]; dy[n, f, *i] += 1",
]


def changes(path, text):
    path.write_text(text, encoding="utf-8")
    return [(name, changed.strip()) for line in sources.lines(path) for name, _, changed in operators.changes(line)]


@pytest.fixture(scope="module")
def everything():
    return [mutant for backend in sources.FILES for mutant in operators.mutants(backend)]


@pytest.mark.parametrize(("operator", "line", "changed"), PROMISES)
def test_operators_do_what_they_promise(tmp_path, operator, line, changed):
    assert (operator, changed) in changes(tmp_path / "snippet.pyx", f"def f(x, geom, n):\n    {line}\n")


def test_every_operator_is_promised():
    assert {operator for operator, _, _ in PROMISES} == set(operators.OPERATORS)


def test_texts_and_types_are_let_be(tmp_path):
    assert changes(tmp_path / "snippet.pyx", "\n".join(QUIET)) == []


def test_there_are_enough_and_each_is_one_change(everything):
    assert len(everything) >= 250
    assert len({(mutant.id, mutant.changed) for mutant in everything}) == len(everything)
    for mutant in everything:
        text = (sources.package(mutant.backend) / mutant.file).read_text(encoding="utf-8").splitlines()
        assert text[mutant.line - 1] == mutant.original != mutant.changed


def test_every_explanation_is_of_a_mutant(everything):
    explained = {line.split(" => ")[-1] for lines in equivalent.EQUIVALENT.values() for line in lines}
    assert explained <= {mutant.changed.strip() for mutant in everything}


def test_the_unchanged_backend_survives_in_its_place(tmp_path):
    made = trial.overlay("naive", tmp_path)
    assert made.wins()
    assert made.verdict("verify") == "survived"


@pytest.mark.parametrize("line", WRONG)
def test_wrong_kernels_are_killed(everything, line):
    (mutant,) = (mutant for mutant in everything if (mutant.backend, mutant.changed.strip()) == ("naive", line))
    row = results.judge(mutant, {}, with_tests=False)
    assert row.verify == "wrong", row


def test_what_does_not_compile_is_no_mutant():
    broken = operators.Mutant("naive", "__init__.py", 1, 1, "omit", "", "(")
    assert results.judge(broken, {}, with_tests=False).verify == "does not compile"


@pytest.mark.parametrize(
    ("file", "fate"), [("kernels.pyx", "same program"), ("direct.pxi", "same program"), ("a.py", "wrong")]
)
def test_what_compiles_to_the_same_program_is_no_mutant(monkeypatch, file, fate):
    """Of Python there is no program to compare: the compiled part is that of the unchanged backend."""

    class Made:
        def verdict(self, judge):
            return "wrong"

    monkeypatch.setattr(trial, "overlay", lambda *_: Made())
    monkeypatch.setattr(trial, "binaries", lambda made: {"kernels.so": b"same"})
    mutant = operators.Mutant("cython", file, 1, 1, "omit", "a", "b")
    assert results.judge(mutant, {"kernels.so": b"same"}, with_tests=False).verify == fate


def test_the_score_counts_what_can_be_killed():
    fates = (["wrong"], ["survived", "crash"], ["survived", "survived", "it commutes"], ["same program"])
    rows = [results.Row("id", "naive", "swap", "a", "b", *fate) for fate in fates]
    assert results.score(rows) == 50
    assert results.score(rows, tests=True) == 100
    assert results.survivors(rows) == []
    assert results.report(rows, 1).cells[-1] == ["all", "all", *"31---11-11"]


def test_it_lists_its_mutants():
    tool = Path(__file__).parents[1] / "tools" / "mutants"
    line = [sys.executable, str(tool), "--list", "--limit", "3", "--backend", "naive"]
    finished = subprocess.run(line, capture_output=True, text=True, timeout=60)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "3 mutants" in finished.stdout
