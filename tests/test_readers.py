"""The example readers of test vectors: compiled, run, right; and seen to fail."""

import json
import shlex
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from convback_tools import arrayfiles, cli

EXAMPLES = Path(__file__).parents[1] / "examples" / "vectors"
RESULTS = ("y", "dx", "dw", "db")

STRICT = "c++ -std=c++17 -Wall -Wextra -pedantic -Werror"
COMPILED = {
    "rust": "rustc --edition 2021 -D warnings read_vectors.rs",
    "cpp": f"{STRICT} read_vectors.cpp",
    "wrong": f"{STRICT} mycnn.cpp",
    "fixed": f"{STRICT} -DFIXED mycnn.cpp",
}
# What each needs, what it is run by, and which files it reads.
READERS = {
    "Python": (sys.executable, "read_vectors.py", (".bin", ".npz")),
    "JavaScript": ("node", "read_vectors.mjs", (".bin", ".json")),
    "Rust": ("rustc", "rust", (".bin",)),
    "C++": ("c++", "cpp", (".bin",)),
}


def run(*line):
    return subprocess.run(list(map(str, line)), capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    path = tmp_path_factory.mktemp("vectors") / "all"
    assert cli.cli.main(["vectors", str(path)], standalone_mode=False) == 0
    (path / "index.json").unlink()
    return path


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A function that gives a compiled program, or skips. All are compiled meanwhile, as that takes long."""
    folder = tmp_path_factory.mktemp("programs")
    lines = {name: line.split() for name, line in COMPILED.items() if shutil.which(line.split()[0])}
    running = {
        name: subprocess.Popen([*line, "-o", str(folder / name)], cwd=EXAMPLES, text=True, stderr=subprocess.PIPE)
        for name, line in lines.items()
    }
    errors = {}

    def program(name):
        if name not in running:
            pytest.skip(f"there is no {COMPILED[name].split()[0]}")
        if name not in errors:
            errors[name] = running[name].communicate(timeout=100)[1]
        assert errors[name] == ""
        return folder / name

    yield program
    for process in running.values():
        process.communicate()


@pytest.fixture(scope="module", params=READERS)
def reader(request, compiled):
    """A function that runs a reader on files, and the suffixes that it reads."""
    needed, program, suffixes = READERS[request.param]
    if not shutil.which(needed):
        pytest.skip(f"there is no {needed}")
    line = [compiled(program)] if program in COMPILED else [needed, EXAMPLES / program]
    return lambda *files: run(*line, *files), suffixes


def test_all_vectors_are_right(reader, vectors):
    read, (suffix, *others) = reader
    files = [*sorted(vectors.glob(f"*{suffix}")), *(vectors / f"mixed-10x12{other}" for other in others)]
    assert len(files) == 18 + len(others)
    done = read(*files)
    assert (done.returncode, done.stderr) == (0, "")
    lines = {line.partition(": ")[0] for line in done.stdout.splitlines()}
    assert lines == {f"ok    {path} {name}" for path in files for name in RESULTS}


def test_one_changed_number_is_found(reader, vectors, tmp_path):
    read, suffixes = reader
    expected = {}
    for case, suffix, changed in product(("stride-2", "true-convolution"), suffixes, RESULTS):
        members = arrayfiles.read(vectors / f"{case}{suffix}")
        array = members[changed]
        right = array.flat[-1]
        array.flat[-1] += 1
        path = tmp_path / f"{case}-{changed}{suffix}"
        arrayfiles.write(path, members)
        expected[path] = f"WRONG {path} {changed}: 1 of {array.size} differ; ", f" is {right:g}, expected {right + 1:g}"
    done = read(*expected)
    assert (done.returncode, done.stderr) == (1, "")
    wrong = [line for line in done.stdout.splitlines() if line.startswith("WRONG")]
    for line, (beginning, end) in zip(wrong, expected.values(), strict=True):
        assert line.startswith(beginning) and line.endswith(end)
    assert done.stdout.count("ok    ") == 3 * len(expected)


def test_a_changed_parameter_is_found(reader, vectors, tmp_path):
    read, suffixes = reader
    right = arrayfiles.read(vectors / f"padding-uneven{suffixes[0]}")
    arrayfiles.write(tmp_path / f"other{suffixes[0]}", {**right, "padding": [[0, 1], [2, 3]]})
    done = read(tmp_path / f"other{suffixes[0]}")
    assert done.returncode == 1
    assert [line.split()[0] for line in sorted(done.stdout.splitlines())] == ["WRONG", "WRONG", "WRONG", "ok"]


def test_float64_is_read(reader, tmp_path):
    read, suffixes = reader
    assert (
        cli.cli.main(
            ["vectors", str(tmp_path / "wide"), "--dtype", "float64", "--case", "plain"], standalone_mode=False
        )
        == 0
    )
    done = read(*(tmp_path / "wide" / f"plain{suffix}" for suffix in suffixes))
    assert (done.returncode, done.stdout.count("ok    ")) == (0, 4 * len(suffixes))


def test_what_is_no_vector_is_told(reader, vectors, tmp_path):
    read, suffixes = reader
    for suffix in suffixes:
        content = (vectors / f"plain{suffix}").read_bytes()
        for bad in (b"", content[:-1000]):
            path = tmp_path / f"bad{suffix}"
            path.write_bytes(bad)
            done = read(path)
            assert (done.returncode, done.stdout) == (2, ""), bad[:60]
            assert done.stderr.startswith(f"{path}: ")
            assert done.stderr.count("\n") == 1
    for missing in (["no-such-file.bin"], []):
        done = read(*missing)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)


@pytest.fixture(params=["wrong", "fixed"])
def layer_program(request, compiled):
    """The layer with a mistake, or without it: the program, and whether it is right."""
    return compiled(request.param), request.param == "fixed"


def test_the_mistake_is_in_dx_and_can_be_mended(layer_program, vectors, tmp_path):
    program, fixed = layer_program
    done = run(program, vectors / "seed-8x8.bin", tmp_path / "out.bin")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    right, got = (arrayfiles.read(path) for path in (vectors / "seed-8x8.bin", tmp_path / "out.bin"))
    assert set(got) == set(RESULTS)
    assert {name: np.array_equal(got[name], right[name]) for name in RESULTS} == {
        "y": True, "dx": fixed, "dw": True, "db": True,
    }  # fmt: skip
    # As if filters and channels were each other's.
    swapped = {**right, "w": right["w"].swapaxes(0, 1).copy()}
    assert np.array_equal(got["dx"], plain_dx(right if fixed else swapped))


def plain_dx(members):
    dx = np.zeros_like(members["x"])
    for n, f, i, j in np.ndindex(members["dy"].shape):
        dx[n, :, i : i + 3, j : j + 3] += members["dy"][n, f, i, j] * members["w"][f]
    return dx


def test_layers_that_it_does_not_know_are_refused(layer_program, vectors, tmp_path):
    known = {"seed-8x8", "single"}
    for path in sorted(vectors.glob("*.bin")):
        out = tmp_path / path.name
        done = run(layer_program[0], path, out)
        assert (done.returncode, out.exists()) == ((0, True) if path.stem in known else (77, False)), path.name
        assert path.stem in known or done.stderr.startswith("mycnn does not know ")
    (tmp_path / "bad.bin").write_bytes(b"nothing")
    done = run(layer_program[0], tmp_path / "bad.bin", tmp_path / "out.bin")
    assert (done.returncode, done.stderr) == (2, "mycnn: it is shorter than 8 bytes\n")


def test_check_runs_it_and_judges_it(layer_program, capsys):
    program, fixed = layer_program
    line = ["check", "--cmd", f"{shlex.quote(str(program))} {{in}} {{out}}", "--via", "bin", "--format", "json"]
    assert cli.cli.main(line, standalone_mode=False) == (0 if fixed else 1)
    rows = json.loads(capsys.readouterr().out)["rows"]
    seed = {row["array"]: row["status"] for row in rows if row["case"] == "seed-8x8"}
    assert seed == {"y": "passed", "dx": "passed" if fixed else "failed", "dw": "passed", "db": "passed"}
    others = {row["case"]: row["status"] for row in rows if row["case"] != "seed-8x8"}
    assert others == {"mixed-10x12": "unsupported", "strided-8x8": "unsupported"}
