"""Test vectors: right, the same in all formats, on all machines and for good, and described truly."""

import json
import re
import shutil
import subprocess
from hashlib import sha256

import click
import numpy as np
import pytest
from convback_tools import arrayfiles, cli, integers, suites
from convback_tools.submission import submission
from convback_tools.vectors import cases

import convback
from convback import ConvbackError, ConvGeometry, ParameterError

LAYERS = {layer.name: layer for layer in cases.layers(())}
ARRAYS = ("x", "w", "dy", "b", "y", "dx", "dw", "db")

# Of the files of all cases. If it changes, what others have stored is no longer what we write.
DIGEST = "b3e5fee24baacb5309e9b633b3ef8a856cd33dbccd0c382b4c1d51f12eab008a"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder as it is by default."""
    path = tmp_path_factory.mktemp("vectors") / "all"
    assert cli.cli.main(["vectors", str(path)], standalone_mode=False) == 0
    return path


@pytest.fixture(params=LAYERS)
def layer(request):
    return LAYERS[request.param]


def test_results_are_those_of_plain_loops(made, layer):
    members = arrayfiles.read(made / f"{layer.name}.bin")
    x, w, dy, b = (members[name] for name in ("x", "w", "dy", "b"))
    parameters = {name: members[name] for name in ("stride", "dilation", "groups", "mode")}
    parameters["padding"] = tuple(map(tuple, members["padding"]))
    with convback.use_backend("naive"):
        y = convback.conv(x, w, b, **parameters)
        dx, dw, db = convback.backward(dy, x, w, **parameters)
    for name, array in {"y": y, "dx": dx, "dw": dw, "db": db}.items():
        np.testing.assert_array_equal(members[name], array, name, strict=True)


def test_formats_agree_and_are_submissions(made, layer):
    first = arrayfiles.read(made / f"{layer.name}.npz")
    for suffix in ("json", "bin"):
        other = arrayfiles.read(made / f"{layer.name}.{suffix}")
        assert set(other) == set(first) == {*ARRAYS, "stride", "padding", "dilation", "groups", "mode"}
        for name, value in first.items():
            np.testing.assert_array_equal(other[name], value, f"{suffix} {name}", strict=name in ARRAYS)
    text = (made / f"{layer.name}.h").read_text()
    for name in ARRAYS:
        numbers = re.search(rf"static const float \w+_{name}\[(\d+)\] = \{{(.*?)\}};", text, re.DOTALL)
        assert int(numbers[1]) == first[name].size
        values = [float(value) for value in numbers[2].replace("f", "").split(",")]
        assert values == first[name].ravel().tolist()
    question = submission(first)
    assert (question.geom, question.mode) == (layer.geom, layer.mode)
    assert all(np.array_equal(question.right(name), array) for name, array in question.results.items())


def test_every_sum_is_exact_and_no_operand_is_zero(made, layer):
    members = arrayfiles.read(made / f"{layer.name}.bin")
    members |= {name: np.abs(members[name]) for name in ARRAYS}
    assert all(1 <= members[name].min() <= members[name].max() <= 9 for name in ("x", "w", "dy", "b"))
    assert all(submission(members).right(name).max() <= 2**24 for name in ("y", "dx", "dw", "db"))


def test_each_case_shows_what_its_name_says():
    shown = {name: features(LAYERS[name]) for name in LAYERS if LAYERS[name] not in cases.layers(())[:3]}
    assert shown == {
        "plain": set(),
        "one-dimension": {"rank 1"},
        "three-dimensions": {"rank 3"},
        "single": {"N 1", "C 1", "F 1"},
        "kernel-1x1": {"1x1"},
        "kernel-covers-all": {"one position"},
        "stride-2": {"stride"},
        "remainder": {"stride", "remainder"},
        "stride-beyond-kernel": {"stride", "gaps"},
        "padding-uneven": {"padding"},
        "padding-same": {"stride", "padding"},
        "dilation-2": {"dilation"},
        "groups-2": {"groups"},
        "depthwise": {"groups", "C/G 1", "F/G 2"},
        "true-convolution": {"convolution"},
    }
    assert set(LAYERS) - set(shown) == {case.name for case in suites.suite("discriminating")}
    assert LAYERS["padding-same"].geom == ConvGeometry((2, 3, 5, 6), (4, 3, 4, 3), 2, "same")
    assert len(set(sum(LAYERS["padding-uneven"].geom.padding, ()))) == 4


def features(layer):
    g = layer.geom
    padded = [x + sum(pair) for x, pair in zip(g.x_spatial, g.padding, strict=True)]
    reach = [(k - 1) * d + 1 for k, d in zip(g.kernel, g.dilation, strict=True)]
    facts = {
        f"rank {g.rank}": g.rank != 2,
        **{f"{name} 1": getattr(g, name) == 1 for name in "NCF"},
        "1x1": set(g.kernel) == {1},
        "one position": set(g.y_spatial) == {1},
        "stride": set(g.stride) != {1},
        "gaps": all(s > k for s, k in zip(g.stride, g.kernel, strict=True)),
        "remainder": all((p - k) % s for p, k, s in zip(padded, reach, g.stride, strict=True)),
        "padding": padded != list(g.x_spatial),
        "dilation": set(g.dilation) != {1},
        "groups": g.groups > 1,
        "C/G 1": g.C == g.groups > 1,
        "F/G 2": g.F == 2 * g.groups > 2,
        "convolution": layer.mode == "convolution",
    }
    return {name for name, holds in facts.items() if holds}


def test_files_are_the_same_for_good(made):
    digest = sha256()
    for path in sorted(made.iterdir()):
        if path.stem in LAYERS:
            digest.update(f"{path.name} {sha256(path.read_bytes()).hexdigest()}\n".encode())
    assert digest.hexdigest() == DIGEST


def test_integers_are_those_of_splitmix64():
    """Published: its first three numbers after the state 1234567."""
    state, published = 1234567, (6457827717110365317, 3203168211198807973, 9817491932198370423)
    assert [z for z, _ in zip(splitmix64(state), published, strict=False)] == list(published)
    state = int.from_bytes(sha256(b"w 4x3x3x2").digest()[:8], "little")
    expected = [(1 + (z >> 1) % 9) * (-1) ** (z & 1) for z, _ in zip(splitmix64(state), range(72), strict=False)]
    assert integers.integers(integers.seed("w", (4, 3, 3, 2)), (4, 3, 3, 2), 9).ravel().tolist() == expected


def splitmix64(state):
    mask = 2**64 - 1
    while True:
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = ((state ^ state >> 30) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & mask
        yield z ^ z >> 31


def test_long_sums_have_smaller_integers_or_none():
    long, longer = (ConvGeometry((n, 1, 1), (1, 1, 1)) for n in (10**6, 25 * 10**6))
    assert integers.largest(long, "float32") == 4  # 10^6 terms of at most 16
    assert integers.largest(longer, "float64") == 9
    with pytest.raises(ParameterError, match=r"25000001 terms are not exact in float32.*--dtype float64"):
        integers.largest(longer, "float32")


def test_index_is_true(made):
    index = json.loads((made / "index.json").read_text())
    assert (index["schema"], index["convback"]) == (1, convback.__version__)
    assert [entry["name"] for entry in index["cases"]] == list(LAYERS)
    listed = {"index.json", "README.txt"}
    for entry in index["cases"]:
        members = arrayfiles.read(made / f"{entry['name']}.npz")
        assert entry["parameters"] == {name: members[name] for name in entry["parameters"]}
        assert suites.case(entry["problem"]).geom == LAYERS[entry["name"]].geom
        assert set(entry["arrays"]) == set(ARRAYS)
        for name, facts in entry["arrays"].items():
            array = members[name]
            assert (facts["dtype"], facts["shape"]) == (array.dtype.name, list(array.shape))
            assert facts["strides"] == [step // 4 for step in array.strides]
            assert facts["sha256"] == sha256(array.astype("<f4").tobytes()).hexdigest()
            if name in ("x", "w", "dy", "b"):
                np.testing.assert_array_equal(integers.integers(facts["seed"], array.shape, entry["B"]), array)
        for name, facts in entry["files"].items():
            content = (made / name).read_bytes()
            assert facts == {"bytes": len(content), "sha256": sha256(content).hexdigest()}
        listed |= set(entry["files"])
    assert listed == {path.name for path in made.iterdir()}
    assert len(listed) == 4 * len(LAYERS) + 2


C_PROGRAM = """
int main(void) {
    long long n, f, i, j;
    const long long *shape = mixed_10x12_dy_shape, *step = mixed_10x12_dy_strides;
    for (f = 0; f < MIXED_10X12_F; ++f) {
        float sum = 0;
        for (n = 0; n < MIXED_10X12_N; ++n)
            for (i = 0; i < shape[2]; ++i)
                for (j = 0; j < shape[3]; ++j)
                    sum += mixed_10x12_dy[n * step[0] + f * step[1] + i * step[2] + j * step[3]];
        if (sum != mixed_10x12_db[f]) return 1;
    }
    if (mixed_10x12_padding[0][1] != 2 || mixed_10x12_stride[1] != 3) return 2;
    return TRUE_CONVOLUTION_TRUE_CONVOLUTION - 1 + PLAIN_TRUE_CONVOLUTION;
}
"""


@pytest.mark.parametrize(("compiler", "standard", "suffix"), [("cc", "c99", "c"), ("c++", "c++11", "cpp")])
def test_headers_compile_without_a_warning(made, tmp_path, compiler, standard, suffix):
    if not shutil.which(compiler):
        pytest.skip(f"there is no {compiler}")
    twice = 2 * [f'#include "{name}.h"\n' for name in LAYERS]
    (tmp_path / f"all.{suffix}").write_text("".join(twice) + C_PROGRAM)
    line = [compiler, f"-std={standard}", "-Wall", "-Wextra", "-pedantic", "-Werror", "-I", str(made)]
    subprocess.run([*line, "-o", "all", f"all.{suffix}"], cwd=tmp_path, check=True)
    assert subprocess.run([tmp_path / "all"]).returncode == 0


def test_the_command_lists_what_it_writes_the_same_in_every_process(command, made, tmp_path):
    result = command("vectors", str(tmp_path / "new" / "all"), "--format", "json", env={"PYTHONHASHSEED": "7"})
    assert (result.code, result.err) == (0, "")
    assert {path.name: path.read_bytes() for path in made.iterdir()} == {
        path.name: path.read_bytes() for path in (tmp_path / "new" / "all").iterdir()
    }
    for row in result.json["rows"]:
        assert row["bytes"] == (made / row["file"]).stat().st_size
        assert row["case"] == row["file"].rpartition(".")[0]
    listed = {row["file"] for row in result.json["rows"]}
    assert listed | {"index.json", "README.txt"} == {path.name for path in made.iterdir()}


def run(*arguments):
    return cli.cli.main(["vectors", *map(str, arguments)], standalone_mode=False)


def test_cases_formats_and_dtype_are_chosen(tmp_path, capsys):
    chosen = ["--case", "groups-2", "--case", 'ic3ih5oc4kh3n"mine"', "--case", "ic1iw4oc1kw2"]
    assert run(tmp_path / "some", *chosen, "--as", "bin", "--as", "h", "--dtype", "float64") == 0
    assert capsys.readouterr().out.startswith("convback vectors: 3 cases in")
    word = "g1mb2ic1iw4oc1kw2sw1pw0dw0"
    names = {f"{name}.{suffix}" for name in ("groups-2", "mine", word) for suffix in ("bin", "h")}
    assert {path.name for path in (tmp_path / "some").iterdir()} == names | {"index.json", "README.txt"}
    assert arrayfiles.read(tmp_path / "some" / "mine.bin")["dx"].dtype == np.float64
    assert "static const double mine_dx[150] = {" in (tmp_path / "some" / "mine.h").read_text()


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path, capsys):
    (tmp_path / "notes").write_text("mine")
    (tmp_path / "plain.h").write_text("mine, too")
    with pytest.raises(ParameterError, match=r"is not empty.*--force"):
        run(tmp_path, "--case", "plain")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"notes": "mine", "plain.h": "mine, too"}
    assert run(tmp_path, "--case", "plain", "--as", "h", "--force") == 0
    assert (tmp_path / "notes").read_text() == "mine"
    assert "static const float plain_x[180]" in (tmp_path / "plain.h").read_text()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--case", "strid-2"], "'strid-2'"),
        (["--case", "plain", "--case", "plain"], "'plain' of a case is taken"),
        (["--case", "plain", "--case", 'ic3ih5oc4kh3n"Plain"'], "'Plain' of a case is taken"),
        (["--case", 'ic3ih5oc4kh3n"index"'], "'index' of a case is taken"),
        (["--case", 'ic3ih5oc4kh3n"../up"'], "cannot name files"),
        (["--case", f'ic3ih5oc4kh3n"{101 * "a"}"'], "at most 100"),
        (["--case", "mb0ic3ih5oc4kh3"], "empty arrays, and C has none; leave h out of --as"),
        (["--case", "resnet50-conv1", "--max-memory", "16MiB"], "beyond --max-memory 16777216"),
        (["--as", "zip"], "'zip'"),
        (["--dtype", "float16"], "'float16'"),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is(tmp_path, arguments, told):
    with pytest.raises((ConvbackError, click.UsageError)) as error:
        run(tmp_path / "new", *arguments)
    assert told in str(error.value)
    assert not (tmp_path / "new").exists()


def test_a_refusal_is_wrong_usage(command, tmp_path):
    result = command("vectors", str(tmp_path / "new"), "--case", "ic3ih5oc4kh3", "--max-memory", "1KiB")
    assert (result.code, result.out, "Traceback" in result.err) == (2, "", False)
    assert "choose a smaller one" in result.err


def test_a_place_that_is_no_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ParameterError, match="cannot be used"):
            run(place)
    assert (tmp_path / "file").read_text() == "mine"


def test_empty_arrays_are_written_where_they_can_be(tmp_path):
    formats = [f"--as={suffix}" for suffix in ("npz", "json", "bin")]
    assert run(tmp_path / "new", "--case", 'mb0ic3ih5oc4kh3n"none"', *formats) == 0
    for suffix in ("npz", "json", "bin"):
        members = arrayfiles.read(tmp_path / "new" / f"none.{suffix}")
        assert (members["dx"].shape, members["db"].tolist()) == ((0, 3, 5, 5), [0, 0, 0, 0])


def test_unwritable_files_are_told(tmp_path):
    (tmp_path / "plain.h").mkdir()
    with pytest.raises(ParameterError, match=r"plain\.h' cannot be written"):
        run(tmp_path, "--case", "plain", "--as", "h", "--force")
