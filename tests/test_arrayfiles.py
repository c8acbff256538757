"""Array files of users: what is well-formed is read back as it was written, and what is not is refused."""

import contextlib
import io
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from array_bytes import RIGHT, array_json, bin_of, entry, json_of, npy, npz_of, same
from convback_tools import arrayfiles
from convback_tools.arrayfiles.json_file import EXPANSION
from convback_tools.arrayfiles.limits import ARRAYS, DTYPES
from hostile_files import BUDGET, HOSTILE, MARKER
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stnp

from convback import ParameterError

SECONDS, MEMORY = 1.0, 2**20  # a busy machine is slow; 0.1 s is what it takes at most elsewhere


@pytest.fixture(scope="module", autouse=True)
def warm(tmp_path_factory):
    """What the first file of a format costs, such as a module that is imported late, is no file's fault."""
    for suffix, content in RIGHT.items():
        path = tmp_path_factory.mktemp("warm") / f"right{suffix}"
        path.write_bytes(content)
        arrayfiles.read(path)


def refused(path, max_memory):
    with pytest.raises(ParameterError) as caught:
        arrayfiles.read(path, max_memory)
    return caught


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_is_refused_in_words_at_once_and_takes_no_memory(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    suffix, content, words = HOSTILE[kind]
    path = tmp_path / (f"mine{suffix}" if suffix[0] == "." else suffix)
    path.write_bytes(content) if isinstance(content, bytes) else content(path)
    max_memory = BUDGET.get(kind, arrayfiles.MAX_MEMORY)
    started = time.process_time()  # whatever else the machine does
    error = refused(path, max_memory)
    seconds = time.process_time() - started
    tracemalloc.start()
    try:
        refused(path, max_memory)
        memory = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    message = str(error.value)
    assert type(error.value) is ParameterError
    assert message.startswith(repr(str(path))) and all(word in message for word in words), message
    assert len(message) < 1000 + len(str(path)) and message.isprintable()
    assert seconds < SECONDS and memory < MEMORY
    assert not Path(MARKER).exists()


# What is right is read.

EDGES = st.sampled_from([0.0, -0.0, np.nan, np.inf, -np.inf, 1e-45, 5e-324, 2.0**15, 0.1])


def numbers(dtype):
    """All numbers of a dtype, and often those that are hard to print."""
    anything = stnp.from_dtype(dtype)
    return anything | EDGES.map(lambda value: np.float64(value).astype(dtype)) if dtype.kind == "f" else anything


@st.composite
def arrays(draw):
    dtype = draw(st.sampled_from(list(DTYPES.values())))
    shape = draw(stnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=2))
    array = draw(stnp.arrays(dtype, shape, elements=numbers(dtype)))
    array = np.asarray(array, dtype.newbyteorder(draw(st.sampled_from("<>"))), order=draw(st.sampled_from("CF")))
    return array[tuple(slice(None, None, draw(st.sampled_from([1, -1]))) for _ in shape)]


NUMBERS = st.integers(0, 2**63 - 1)
PAIRS = st.lists(NUMBERS, min_size=2, max_size=2)
PARAMETERS = st.fixed_dictionaries(
    {},
    optional={
        "stride": NUMBERS | st.lists(NUMBERS, max_size=3),
        "padding": st.sampled_from(["same", "full"]) | NUMBERS | st.lists(PAIRS, max_size=3),
        "groups": NUMBERS,
        "mode": st.sampled_from(["convolution", "cross-correlation"]),
    },
)


@pytest.mark.parametrize("suffix", arrayfiles.SUFFIXES)
def test_what_is_written_is_read_back(tmp_path, suffix):
    path = tmp_path / f"mine{suffix}"

    @settings(max_examples=settings.default.max_examples // 10)
    @given(st.dictionaries(st.sampled_from(ARRAYS), arrays(), max_size=3), PARAMETERS)
    def holds(written, parameters):
        arrayfiles.write(path, {**written, **parameters}, {"title": "two\nlines, é"})
        read = arrayfiles.read(path)
        assert {name: read.pop(name) for name in parameters} == parameters
        assert read.keys() == written.keys()
        for name, array in written.items():
            same(read[name], array)

    holds()


X = np.arange(6, dtype="f4").reshape(2, 3)


def savez(**members):
    content = io.BytesIO()
    np.savez(content, **members)
    return content.getvalue()


def deflated(**members):
    content = io.BytesIO()
    np.savez_compressed(content, **members)
    return content.getvalue()


WIDE = {"__metadata__": {"framework": "none", "stride": "[2, 3]", "mode": "convolution", "padding": '"same"'}}
BIG = np.random.default_rng(0).standard_normal((300, 301))
# Files that others write: suffix, bytes, what is read.
WELCOME = {
    "savez": (".npz", savez(x=X, stride=2, padding=((1, 2), (0, 1)), mode="same"),
              {"x": X, "stride": 2, "padding": [[1, 2], [0, 1]], "mode": "same"}),
    "savez_compressed": (".npz", deflated(x=BIG, dy=BIG.T), {"x": BIG, "dy": BIG.T}),
    "Fortran order": (".npz", savez(x=np.asfortranarray(X)), {"x": X}),
    "big-endian": (".npz", savez(x=X.astype(">f4"), groups=np.array(3, ">i2")), {"x": X, "groups": 3}),
    "big-endian word": (".npz", savez(padding=np.array("full", ">U4")), {"padding": "full"}),
    "0-d": (".npz", savez(x=np.float32(2)), {"x": np.array(2, "f4")}),
    "no members": (".npz", npz_of(), {}),
    "names without .npy": (".npz", npz_of(("x", npy(data=X.tobytes()))), {"x": X}),
    "version 2": (".npz", npz_of(x=npy(data=X.tobytes(), version=2)), {"x": X}),
    "version 3": (".npz", npz_of(x=npy(data=X.tobytes(), version=3)), {"x": X}),
    "header of other libraries": (
        ".npz", npz_of(x=npy(data=X.tobytes(), text="{'descr':'<f4','shape':(2,3),'fortran_order':False}\n")), {"x": X}
    ),
    "lists": (".json", json_of(x=X.tolist(), b=1), {"x": X.astype("f8"), "b": np.array(1.0)}),
    "empty lists": (".json", json_of(x=[[], []], b=[]), {"x": np.zeros((2, 0)), "b": np.zeros(0)}),
    "byte-order mark": (".json", b"\xef\xbb\xbf" + array_json(), {"x": X * 0}),
    "space before": (".json", b"\n \t" + array_json(), {"x": X * 0}),
    "NaN and Infinity": (
        ".json", b'{"db": [NaN, Infinity, -Infinity, -0.0]}', {"db": np.array([np.nan, np.inf, -np.inf, -0.0])}
    ),
    "whole floats": (".json", array_json(data=[0.0, 1, 2.0, 3e0, 4, 5], dtype="int8"), {"x": X.astype("i1")}),
    "float64 by default": (".json", json_of(b={"shape": [1], "data": [0.1]}), {"b": np.array([0.1])}),
    "notes": (".json", json_of(notes={"x": [["any"], None]}, stride=1), {"stride": 1}),
    "metadata": (
        ".bin", bin_of({**WIDE, "x": entry()}, X.tobytes()),
        {"x": X, "stride": [2, 3], "mode": "convolution", "padding": "same"},
    ),
    "misaligned, with holes": (".bin", bin_of({"x": entry(begin=7, end=31)}, b"seven, %s." % X.tobytes()), {"x": X}),
    "empty array at the end": (".bin", bin_of({"x": entry((0, 3), begin=24, end=24)}), {"x": np.zeros((0, 3), "f4")}),
    "no arrays": (".bin", bin_of({}), {}),
}  # fmt: skip


@pytest.mark.parametrize("kind", WELCOME)
def test_what_others_write_is_read(tmp_path, kind):
    suffix, content, expected = WELCOME[kind]
    path = tmp_path / f"THEIRS{suffix.upper()}"
    path.write_bytes(content)
    (tmp_path / f"link{suffix}").symlink_to(path)
    read = arrayfiles.read(tmp_path / f"link{suffix}")
    assert read.keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, np.ndarray):
            same(read[name], value)
        else:
            assert read[name] == value and type(read[name]) is type(value)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(("dtype", "bits"), [("f2", 0x7C01), ("f4", 0x7F800001), ("f8", 0x7FF0000000000001)])
def test_a_signalling_nan_is_read_as_one_that_is_quiet(tmp_path, dtype, bits, order):
    """Warnings are errors here."""
    path = tmp_path / "mine.npz"
    path.write_bytes(savez(x=np.full(20, bits, f"{order}u{dtype[1]}").view(f"{order}{dtype}")))
    x = arrayfiles.read(path)["x"]
    assert np.isnan(x.astype("f8") - 1).all()


# Memory.


@pytest.mark.parametrize("suffix", [".npz", ".bin"])
def test_the_budget_counts_the_arrays_as_they_are_and_as_float64(tmp_path, suffix):
    path = tmp_path / f"mine{suffix}"
    arrayfiles.write(path, {"x": X, "b": np.ones(5, "i1"), "stride": 1})
    needed = 6 * (4 + 8) + 5 * (1 + 8)
    assert len(arrayfiles.read(path, needed)) == 3
    with pytest.raises(ParameterError, match=f"need {needed} bytes .* {needed - 1} bytes .* the largest is x"):
        arrayfiles.read(path, needed - 1)


def traced(function, *arguments):
    """What a call gives, and the most memory that it took meanwhile."""
    tracemalloc.start()
    try:
        return function(*arguments), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["stored.npz", "deflated.npz", "raw.bin"])
def test_an_array_is_read_into_its_place(tmp_path, kind):
    raw = bin_of({"x": entry(BIG.shape, "F64", 0, BIG.nbytes)}, BIG.tobytes())
    path = tmp_path / kind
    path.write_bytes({"stored": savez(x=BIG), "deflated": deflated(x=BIG), "raw": raw}[path.stem])
    members, memory = traced(arrayfiles.read, path)
    assert members["x"].shape == BIG.shape and memory < BIG.nbytes + 2**18


UNITS = ["[]", "{}", "[{}]", "[[]]", '{"":{}}', '{"":0}', "[0]", "0", "999", "1e1", '"ab"', '"\U0001f600"']


@pytest.mark.parametrize("unit", UNITS)
def test_json_takes_no_more_memory_than_it_is_said_to(tmp_path, unit):
    path = tmp_path / "mine.json"
    path.write_text('{"x": [' + ",".join([unit] * 5_000) + "]}", encoding="utf-8")

    def read():
        with contextlib.suppress(ParameterError):
            arrayfiles.read(path)

    assert traced(read)[1] < path.stat().st_size * EXPANSION


def test_json_is_refused_by_its_size_before_it_is_read(tmp_path):
    path = tmp_path / "mine.json"
    path.write_bytes(array_json())
    size = path.stat().st_size
    assert arrayfiles.read(path, size * EXPANSION)
    with pytest.raises(ParameterError, match=f"this is {size} bytes of JSON"):
        arrayfiles.read(path, size * EXPANSION - 1)


@pytest.mark.parametrize("suffix", arrayfiles.SUFFIXES)
def test_memory_that_is_allowed_but_not_there_is_an_error_in_words(tmp_path, monkeypatch, suffix):
    def full(*_):
        raise MemoryError("no room")

    path = tmp_path / f"mine{suffix}"
    path.write_bytes(RIGHT[suffix])
    monkeypatch.setattr(np, "array" if suffix == ".json" else "empty", full)
    with pytest.raises(ParameterError, match=r"cannot be read: there is not enough memory\. no room"):
        arrayfiles.read(path)
