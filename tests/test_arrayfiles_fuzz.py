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
from random import Random

import numpy as np
import pytest
from array_bytes import FIELDS, bin_of, npy, npz_of, patched
from convback_tools import arrayfiles
from convback_tools.arrayfiles.limits import ARRAYS
from convback_tools.submission import submission
from hypothesis import given, settings
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


def changed(random, data):
    """The bytes with some changes, each at a place of its own."""
    data = bytearray(data)
    for _ in range(random.randint(1, 3)):
        start, length = random.randint(0, len(data)), random.randint(1, 64)
        piece = data[start : start + length]
        token = random.choice([*TOKENS, bytes([random.randint(0, 255)])])
        kind = random.choice(["flip", "insert", "overwrite", "delete", "repeat", "move", "truncate"])
        if kind == "flip":
            data[start : start + 1] = bytes(byte ^ 1 << random.randint(0, 7) for byte in piece[:1])
        elif kind == "insert":
            data[start:start] = token
        elif kind == "overwrite":
            data[start : start + len(token)] = token
        elif kind == "repeat":
            data[start:start] = piece
        elif kind == "truncate":
            del data[start:]
        else:
            del data[start : start + length]
            data += piece if kind == "move" else b""
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
PLACED = [(signature, name) for signature, fields in FIELDS.items() for name in fields]
NUMBERS = [0, 1, 2, 7, 8, 9, 30, 46, 100, 255, 1000, 2**16 - 1, 2**31, 2**32 - 1]


def with_changed_member(random, written):
    """A zip with changes in a member, but right checksums."""
    name, method = random.choice(list(MEMBERS)), random.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    return npz_of(method=method, **{**MEMBERS, name: changed(random, MEMBERS[name])})


def with_changed_fields(random, written):
    """A zip with other numbers in the fields of its records."""
    for _ in range(random.randint(1, 3)):
        signature, name = random.choice(PLACED)
        number = random.choice([*NUMBERS, random.randint(0, 999)]) % 256 ** struct.calcsize(FIELDS[signature][name][0])
        written = patched(written, signature, **{name: number})
    return written


def with_changed_header(random, written):
    """A .bin file with changes in its header, but the right length of that."""
    end = 8 + int.from_bytes(written[:8], "little")
    return bin_of(changed(random, written[8:end]), written[end:])


WAYS = {
    ".npz": [changed, with_changed_member, with_changed_fields],
    ".json": [changed],
    ".bin": [changed, with_changed_header],
}


def spoilt(random, suffix, written):
    """A file of that format with changes: to the whole, or within, so that lengths and checksums are right again."""
    return random.choice(WAYS[suffix])(random, written)


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
    @given(st.randoms())
    def holds(random):
        seen[check(suffix, spoilt(random, suffix, written))] += 1

    holds()
    assert seen["read"] and seen["refused"]


@pytest.mark.slow
def test_spoilt_files_are_read_or_refused_for_long(suffix, written, check):
    """Other files each time, for as many minutes as the environment says; each format has its share of them.

    The file that was not is left in the folder of the test.
    """
    minutes = float(os.environ.get("CONVBACK_FUZZ_MINUTES", "1")) / len(arrayfiles.SUFFIXES)
    random, seen, end = Random(), Counter(), time.monotonic() + 60 * minutes
    while time.monotonic() < end:
        seen[check(suffix, spoilt(random, suffix, written))] += 1
        if seen.total() % 10_000 == 0:
            print(f"{time.strftime('%H:%M:%S')} {suffix}: {seen['read']} read, {seen['refused']} refused", flush=True)
    print(f"{suffix}: {seen['read']} read, {seen['refused']} refused, nothing else")
