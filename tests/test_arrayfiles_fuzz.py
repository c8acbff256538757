"""Array files that chance has spoilt are read, or refused in words, in bounded memory; nothing else ever happens.

`CONVBACK_FUZZ_MINUTES=60 pytest -s --slow tests/test_arrayfiles_fuzz.py -k long` gives chance an hour.
"""

import os
import struct
import time
import tracemalloc
import zipfile
from collections import Counter
from contextlib import suppress

import numpy as np
import pytest
from array_bytes import FIELDS, bin_of, npy, npz_of, patched
from convback_tools import arrayfiles
from convback_tools.arrayfiles.limits import ARRAYS
from convback_tools.submission import submission
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from convback import ConvbackError

MAX_MEMORY = 2**19
SLACK = 2**20  # beyond the budget: what reading takes for itself

# What a reader may trip over, put in place of some bytes.
TOKENS = [
    b"", b"\0", b"\xff" * 4, b"\xff" * 8, b"\0" * 8, b"\1\0\0\0", b"PK\1\2", b"PK\3\4", b"PK\5\6", b"PK\6\6",
    b"PK\6\7", b"\x93NUMPY", b"-1", b"0", b"1e999", b"NaN", b"9" * 20, b"9" * 5000, b"4294967296, 4294967296", b"2.5",
    b"null", b"true", b'"', b"'", b"{", b"}", b"[", b"]", b"(", b")", b",", b":", b"[[[[", b'{"x": ', b"\\ud800",
    b"\xc3\xa9", b"\xef\xbb\xbf", b"<f8", b">i4", b"|O", b"<U9", b"F64", b"BOOL", b"float16", b"shape", b"data",
    b"dtype", b"stride", b"w.npy", b"notes", b"__metadata__", b"True", b"\n",
]  # fmt: skip
PLACES = st.floats(0, 1, exclude_max=True)
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("flip"), PLACES, st.integers(0, 7)),
        st.tuples(st.just("byte"), PLACES, st.integers(0, 255)),
        st.tuples(st.sampled_from(["insert", "overwrite"]), PLACES, st.sampled_from(TOKENS) | st.binary(max_size=8)),
        st.tuples(st.sampled_from(["delete", "repeat", "move"]), PLACES, st.integers(1, 64)),
        st.tuples(st.just("truncate"), PLACES, st.none()),
    ),
    max_size=3,
)


def changed(data, changes):
    """The bytes with each change made in turn, at its place, a fraction of their length."""
    data = bytearray(data)
    for kind, place, what in changes:
        start = int(place * len(data))
        if kind == "flip" and data:
            data[start] ^= 1 << what
        elif kind == "byte" and data:
            data[start] = what
        elif kind == "insert":
            data[start:start] = what
        elif kind == "overwrite":
            data[start : start + len(what)] = what
        elif kind == "delete":
            del data[start : start + what]
        elif kind == "repeat":
            data[start:start] = data[start : start + what]
        elif kind == "move":
            piece = data[start : start + what]
            del data[start : start + what]
            data += piece
        elif kind == "truncate":
            del data[start:]
    return bytes(data)


X, W = np.arange(20, dtype="f4").reshape(1, 1, 4, 5), np.ones((2, 1, 3, 2))
LAYER = {
    "x": X,
    "w": W,
    "dy": np.ones((1, 2, 2, 4), ">i2"),
    "stride": 1,
    "padding": ((0, 0), (0, 0)),
    "mode": "convolution",
}
MEMBERS = {
    "x": npy("(1, 1, 4, 5)", X.tobytes()), "w": npy("(2, 1, 3, 2)", W.tobytes(), "'<f8'", "True"),
    "stride": npy("(2,)", b"\1\2", "'|i1'"), "padding": npy("()", "full".encode("utf-32-le"), "'<U4'"),
}  # fmt: skip


NUMBERS = st.sampled_from([0, 1, 2, 7, 8, 9, 30, 46, 100, 255, 1000, 2**16 - 1, 2**31, 2**32 - 1]) | st.integers(0, 999)
PLACED = [(signature, name) for signature, fields in FIELDS.items() for name in fields]
FIELD_CHANGES = st.lists(st.tuples(st.sampled_from(PLACED), NUMBERS), min_size=1, max_size=3)


def with_member(name, changes, method):
    """A zip with changes in a member, but right checksums."""
    return npz_of(method=method, **{**MEMBERS, name: changed(MEMBERS[name], changes)})


def with_fields(data, changes):
    """A zip with other numbers in the fields of its records."""
    for (signature, name), number in changes:
        data = patched(data, signature, **{name: number % 256 ** struct.calcsize(FIELDS[signature][name][0])})
    return data


def with_header(data, changes):
    """A .bin file with changes in its header, but the right length of that."""
    end = 8 + int.from_bytes(data[:8], "little")
    return bin_of(changed(data[8:end], changes), data[end:])


def spoilt(suffix, written):
    """Files of that format with changes: to the whole, or within, so that lengths and checksums are right again."""
    ways = [st.builds(changed, st.just(written), CHANGES)]
    if suffix == ".npz":
        methods = st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
        ways.append(st.builds(with_member, st.sampled_from(sorted(MEMBERS)), CHANGES, methods))
        ways.append(st.builds(with_fields, st.just(written), FIELD_CHANGES))
    elif suffix == ".bin":
        ways.append(st.builds(with_header, st.just(written), CHANGES))
    return st.one_of(ways)


def read(path):
    """What is read, or None where that is refused; and the most memory that was taken meanwhile."""
    tracemalloc.start()  # for this alone, as it makes Hypothesis slow
    try:
        members = None
        with suppress(ConvbackError):
            members = arrayfiles.read(path, MAX_MEMORY)
        return members, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture
def check(tmp_path):
    """Read a file of these bytes; returns what became of it."""

    def check(suffix, content):
        path = tmp_path / f"mine{suffix}"
        path.write_bytes(content)
        members, memory = read(path)
        assert memory < MAX_MEMORY + SLACK
        if members is None:
            return "refused"
        arrays = [members[name] for name in members.keys() & set(ARRAYS)]
        assert sum(array.nbytes + 8 * array.size for array in arrays) <= MAX_MEMORY
        with suppress(ConvbackError):
            submission(members)
        return "read"

    return check


@pytest.fixture(params=arrayfiles.SUFFIXES)
def suffix(request):
    return request.param


@pytest.fixture
def written(tmp_path, suffix):
    """A right file of that format."""
    arrayfiles.write(tmp_path / f"right{suffix}", LAYER, {"title": "é"})
    return (tmp_path / f"right{suffix}").read_bytes()


def test_spoilt_files_are_read_or_refused(suffix, written, check):
    seen = Counter()

    @settings(max_examples=settings.default.max_examples // 3)
    @given(spoilt(suffix, written))
    def holds(content):
        seen[check(suffix, content)] += 1

    holds()
    assert seen["read"] and seen["refused"]


@pytest.mark.slow
def test_spoilt_files_are_read_or_refused_for_long(suffix, written, check):
    """With other changes each time: as many minutes as the environment says, for all formats together."""
    minutes = float(os.environ.get("CONVBACK_FUZZ_MINUTES", "1")) / len(arrayfiles.SUFFIXES)
    start, end = time.time(), time.monotonic() + 60 * minutes
    seen = Counter()

    @settings(max_examples=5000, derandomize=False, database=None, suppress_health_check=[HealthCheck.too_slow])
    @given(spoilt(suffix, written))
    def holds(content):
        seen[check(suffix, content)] += 1

    for part in range(10**6):
        seed(int(start) + part)(holds)()
        print(f"{time.strftime('%H:%M:%S')} {suffix}: {seen['read']} read, {seen['refused']} refused", flush=True)
        if time.monotonic() > end:
            break
