"""Array files that are written: the same bytes everywhere, for people and other programs, and whole or not at all."""

import hashlib
import json

import numpy as np
import pytest
from array_bytes import same
from convback_tools import arrayfiles

from convback import ParameterError

X = np.arange(6, dtype="f4").reshape(2, 3)
# 7.038531e-26 is the shortest decimal of this float32, but not of the float32 that is next to its float64.
TWICE_ROUNDED = np.uint32(0x15AE43FD).view("f4")
SMALL = {
    "x": np.array([[1, -2, 0.5]], "f4"),
    "dy": np.array([TWICE_ROUNDED, np.nan, -0.0, 1e30], "f4"),
    "padding": ((0, 1),),
}
DIGESTS = {".npz": "e105067528f8a932", ".json": "6c56f1a4e80922ca", ".bin": "c563515d15abe46b"}


@pytest.mark.parametrize("suffix", arrayfiles.SUFFIXES)
def test_the_same_members_give_the_same_bytes_everywhere(tmp_path, suffix):
    swapped = {name: v.astype(v.dtype.newbyteorder()) if name != "padding" else v for name, v in SMALL.items()}
    for name, members in (("mine", SMALL), ("yours", swapped)):
        arrayfiles.write(tmp_path / f"{name}{suffix}", members, {"title": "é"})
        digest = hashlib.sha256((tmp_path / f"{name}{suffix}").read_bytes()).hexdigest()
        assert digest[:16] == DIGESTS[suffix]


def test_json_is_written_for_people(tmp_path):
    arrayfiles.write(tmp_path / "mine.json", SMALL, {"title": "é"})
    assert (
        (tmp_path / "mine.json").read_text(encoding="utf-8")
        == """{
 "notes": {"title": "é"},
 "x": {"shape": [1, 3], "dtype": "float32", "data": [1, -2, 0.5]},
 "dy": {"shape": [4], "dtype": "float32", "data": [7.038530691851209e-26, NaN, -0.0, 1e+30]},
 "padding": [[0, 1]]
}
"""
    )


def test_others_read_what_is_written(tmp_path):
    arrayfiles.write(tmp_path / "mine.npz", SMALL)
    with np.load(tmp_path / "mine.npz") as members:
        assert dict(members).keys() == SMALL.keys()
        np.testing.assert_array_equal(members["padding"], [[0, 1]])
        same(members["dy"], SMALL["dy"])
    arrayfiles.write(tmp_path / "mine.bin", {**SMALL, "w": np.arange(3.0)}, {"title": "é"})
    content = (tmp_path / "mine.bin").read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    assert length % 8 == 0 and header.pop("__metadata__") == {"title": "é", "padding": "[[0, 1]]"}
    assert {name: (e["dtype"], e["shape"], e["data_offsets"]) for name, e in header.items()} == {
        "w": ("F64", [3], [0, 24]), "x": ("F32", [1, 3], [24, 36]), "dy": ("F32", [4], [36, 52])
    }  # fmt: skip
    assert content[8 + length :] == np.arange(3.0).tobytes() + SMALL["x"].tobytes() + SMALL["dy"].tobytes()


UNWRITABLE = {
    "suffix": ("mine.csv", {}, {}, "the suffix is '.csv'"),
    "name": ("mine.npz", {"z": X}, {}, "a member 'z'"),
    "complex": ("mine.npz", {"x": X * 1j}, {}, "x has dtype complex64; expected one of float16"),
    "objects": ("mine.json", {"x": np.array([None])}, {}, "x has dtype object"),
    "booleans": ("mine.bin", {"x": X > 1}, {}, "x has dtype bool"),
    "parameter": ("mine.bin", {"stride": 2.0}, {}, "stride is 2.0; expected an integer"),
    "mixed padding": ("mine.npz", {"padding": (1, (1, 2))}, {}, "hold numbers or pairs, not both"),
    "note": ("mine.bin", {}, {"stride": "1"}, "a note 'stride'"),
    "long notes": ("mine.bin", {}, {"title": "t" * 40_000}, "the notes make a header of 39.09 KiB"),
    "no folder": ("none/mine.bin", {}, {}, "cannot be written: No such file"),
    "a folder": ("folder.bin", {}, {}, "cannot be written: Is a directory"),
}


@pytest.mark.parametrize("kind", UNWRITABLE)
def test_what_cannot_be_written_is_said_and_leaves_the_old_file_alone(tmp_path, kind):
    name, members, notes, words = UNWRITABLE[kind]
    (tmp_path / "folder.bin").mkdir()
    for suffix in arrayfiles.SUFFIXES:
        (tmp_path / f"mine{suffix}").write_bytes(b"old")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ParameterError) as caught:
        arrayfiles.write(tmp_path / name, members, notes)
    assert words in str(caught.value) and repr(str(tmp_path / name)) in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before
    assert {(tmp_path / f"mine{suffix}").read_bytes() for suffix in arrayfiles.SUFFIXES} == {b"old"}
