"""Array files that are to be refused, by kind: name of the file, its bytes or what makes it, words of the message."""

import hashlib
import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
from array_bytes import END, ENTRY, LOCAL, RIGHT, ZEROS, array_json, bin_of, entry, json_of, npy, npz_of, patched
from convback_tools.arrayfiles.limits import ARRAYS

MARKER = "pickles-were-run"


def sparse(size, beginning):
    """A file of that size, of which only the beginning takes room on the disk."""

    def make(path):
        path.write_bytes(beginning)
        os.truncate(path, size)

    return make


def link(target):
    return lambda path: path.symlink_to(target)


class Program:
    def __reduce__(self):
        return Path.touch, (Path(MARKER),)


PICKLED = pickle.dumps([Program()])

# Kind: (name of the file, its bytes or what makes it, words of the message).
HOSTILE = {}


def hostile(suffix, **kinds):
    for kind, (content, *words) in kinds.items():
        HOSTILE[f"{suffix[1:]}-{kind}"] = suffix, content, words


for _suffix, _right in RIGHT.items():
    hostile(
        _suffix,
        missing=(lambda path: None, "No such file"),
        folder=(Path.mkdir, "this is a folder; expected a file"),
        pipe=(os.mkfifo, "a pipe or a device"),
        device=(link("/dev/zero"), "a pipe or a device"),
        loop=(lambda path: path.symlink_to(path), "cannot be read"),
        empty=(b"", "the file is empty"),
        of_noughts=(bytes(500), ""),
        of_noise=(hashlib.shake_128(b"noise").digest(500), ""),
        cut_in_half=(_right[: len(_right) // 2], ""),
        cut_by_a_byte=(_right[:-1], ""),
        array_of_numpy_save=(npy(), "which numpy.save wrote", "savez"),
        pickle=(PICKLED, "a pickle, which may run programs"),
        gzip=(b"\x1f\x8b\x08" + bytes(50), "compressed by gzip"),
        hdf5=(b"\x89HDF\r\n\x1a\n" + bytes(50), "an HDF5 file"),
    )
    for _other in sorted(RIGHT.keys() - {_suffix}):
        words = f"not a {_suffix} file: it begins as a {_other} file does"
        hostile(_suffix, **{f"holds_{_other[1:]}": (RIGHT[_other], words)})
for _name in ("x.npy", "x.csv", "x"):
    HOSTILE[f"suffix-of-{_name}"] = _name, RIGHT[".npz"], ["the suffix is", ".npz, .json, .bin"]

HUGE = 2**33
hostile(
    ".npz",
    without_directory=(LOCAL + bytes(60), "not a zip file"),
    asks_for_32_gib=(npz_of(x=npy(f"({HUGE},)")), f"x is float32 of shape ({HUGE},)", "but 24 follow"),
    product_wraps=(npz_of(x=npy(f"({2**32}, {2**32})")), "no memory holds"),
    product_wraps_to_24=(npz_of(x=npy(f"({2**62}, 4, {2**62}, 6)")), "no memory holds"),
    zero_times_huge=(npz_of(x=npy(f"(0, {2**62}, 4)", b"")), "no memory holds"),
    extent_of_900_digits=(npz_of(x=npy(f"({'9' * 900},)")), "no memory holds"),
    negative_extent=(npz_of(x=npy("(-2, -3)")), "expected descr, fortran_order and shape"),
    extents_of_33_dimensions=(npz_of(x=npy(f"({'1,' * 33})", bytes(4))), "33 dimensions"),
    shape_is_no_tuple=(npz_of(x=npy("[2, 3]")), "expected descr"),
    shape_without_extent=(npz_of(x=npy("(,)")), "expected descr"),
    shape_with_hole=(npz_of(x=npy("(2,,3)")), "expected descr"),
    header_of_4_gib=(npz_of(x=npy(version=2, length=2**32 - 1)), "a header of 4294967295 bytes"),
    header_of_64_kib=(npz_of(x=npy(text=" " * 65000)), "a header of 65000 bytes"),
    header_cut_off=(npz_of(x=npy(length=900)), "cut off in its header"),
    header_cut_in_magic=(npz_of(x=b"\x93NUM"), "expected what numpy.save writes"),
    header_that_calls=(npz_of(x=npy(f"__import__('pathlib').Path('{MARKER}').touch()")), "expected descr"),
    header_nested_deep=(npz_of(x=npy("(" * 900)), "expected descr"),
    header_of_spaces=(npz_of(x=npy(text="{" + " " * 1000)), "expected descr"),
    header_without_order=(npz_of(x=npy(text="{'descr': '<f4', 'shape': (2, 3)}")), "expected descr"),
    header_with_key_twice=(npz_of(x=npy(text="{'descr': '<f4', 'shape': (2, 3), 'shape': (2, 3)}")), "expected descr"),
    header_with_types_swapped=(npz_of(x=npy("'<f4'", descr="(2, 3)")), "expected descr"),
    version_4=(npz_of(x=npy(version=4)), "version 1, 2 or 3"),
    objects=(npz_of(x=npy("(1,)", PICKLED, "'|O'")), "dtype '|O'", "pickles, which may run programs"),
    objects_in_a_parameter=(npz_of(stride=npy("(1,)", PICKLED, "'|O'")), "stride has dtype '|O'"),
    structured=(npz_of(x=npy(descr="[('a', '<f4')]")), "expected descr"),
    booleans=(npz_of(x=npy(descr="'|b1'")), "dtype '|b1'; expected float16"),
    complex_numbers=(npz_of(x=npy(descr="'<c8'")), "dtype '<c8'"),
    long_doubles=(npz_of(x=npy(descr="'<f16'")), "dtype '<f16'"),
    words_in_an_array=(npz_of(x=npy(descr="'<U1'")), "dtype '<U1'"),
    dates=(npz_of(x=npy(descr="'<M8[ns]'")), "dtype '<M8[ns]'"),
    dtype_by_no_name=(npz_of(x=npy(descr="'" + "f" * 500 + "'")), "x has dtype 'fff"),
    too_few_numbers=(npz_of(x=npy(data=ZEROS[:-1])), "24 bytes, but 23 follow"),
    too_many_numbers=(npz_of(x=npy(data=ZEROS + b"\0")), "24 bytes, but 25 follow"),
    bzip2=(npz_of(x=npy(data=bytes(2**20)), method=zipfile.ZIP_BZIP2), "compressed by bzip2"),
    lzma=(npz_of(x=npy(), method=zipfile.ZIP_LZMA), "compressed by LZMA"),
    unknown_method=(patched(RIGHT[".npz"], ENTRY, method=77), "compressed by method 77"),
    encrypted=(patched(patched(RIGHT[".npz"], ENTRY, flags=1), LOCAL, flags=1), "x is encrypted"),
    strongly_encrypted=(patched(RIGHT[".npz"], ENTRY, flags=0x40), "strong encryption"),
    of_a_later_zip=(patched(RIGHT[".npz"], ENTRY, version=99), "zip file version 9.9"),
    member_twice=(npz_of(("x", npy()), ("x.npy", npy())), "the member x occurs twice"),
    path=(npz_of(("../x.npy", npy())), "a member '../x'"),
    absolute_path=(npz_of(("/x.npy", npy())), "a member '/x'"),
    folder_in_it=(npz_of(("x/", b"")), "a member 'x/'. Did you mean 'x'?"),
    name_with_zero_byte=(npz_of(("x.npy_.exe", npy())).replace(b"y_.exe", b"y\0.exe"), "a member 'x.npy\\x00.exe'"),
    name_of_no_character=(npz_of(("xé", npy())).replace("é".encode(), b"\xff\xff"), "can't decode"),
    name_misspelt=(npz_of(strid=npy()), "a member 'strid'. Did you mean 'stride'? Expected the arrays x, w"),
    name_of_savez=(npz_of(arr_0=npy()), "numpy.savez names arrays only if they are given by name"),
    bomb=(npz_of(x=npy(f"({2**22},)", bytes(2**24)), method=zipfile.ZIP_DEFLATED), "need 48 MiB", "16 MiB are allowed"),
    bomb_of_many=(
        npz_of(**{name: npy("(400000,)", bytes(1600000)) for name in ARRAYS}, method=zipfile.ZIP_DEFLATED),
        "the arrays need 36.62 MiB",
    ),
    bomb_with_a_small_header=(
        patched(npz_of(x=npy(data=bytes(2**24)), method=zipfile.ZIP_DEFLATED), ENTRY, size=len(npy())),
        "Bad CRC-32",
    ),
    deflated_lie=(
        patched(npz_of(x=(lie := npy("(1000000,)")), method=zipfile.ZIP_DEFLATED), ENTRY, size=len(lie) + 3999976),
        "is said to hold 40000", "at most",
    ),
    deflated_less=(
        patched(npz_of(x=(less := npy("(10,)")), method=zipfile.ZIP_DEFLATED), ENTRY, size=len(less) + 16),
        "x is cut off: 24 of its 40 bytes are there",
    ),
    stored_lie=(
        patched(npz_of(x=npy("(1000000,)")), ENTRY, size=4000066, compressed=4000066),
        "its members are said to take 4000066 bytes",
    ),
    overlapping=(
        patched(npz_of(x=npy(), w=npy()), ENTRY, compressed=400),
        "it is cut off, or they overlap",
    ),
    two_names_for_one_member=(patched(npz_of(x=npy(), w=npy()), ENTRY, offset=len(npy()) + 35), "differ"),
    wrong_checksum=(patched(RIGHT[".npz"], ENTRY, crc=1), "Bad CRC-32"),
    wrong_numbers=(RIGHT[".npz"].replace(ZEROS, b"\1" * 24), "Bad CRC-32"),
    deflated_noise=(patched(patched(RIGHT[".npz"], ENTRY, method=8), LOCAL, method=8), "no .npz file that can be read"),
    member_elsewhere=(patched(RIGHT[".npz"], ENTRY, offset=7), "Bad magic number"),
    member_beyond_the_end=(patched(RIGHT[".npz"], ENTRY, offset=10**6), "Truncated file header"),
    local_name_differs=(RIGHT[".npz"].replace(b"x.npy", b"w.npy", 1), "differ"),
    local_extra_of_64_kib=(patched(RIGHT[".npz"] , LOCAL, extra_length=65535), "a header or the directory of its zip"),
    directory_before_the_file=(patched(RIGHT[".npz"], END, directory=10**9), "Bad offset"),
    directory_of_5_mb=(
        LOCAL + bytes(5_000_000) + patched(RIGHT[".npz"][-22:], END, directory=5_000_000, start=4),
        "the directory of its zip has 4.768 MiB",
    ),
    stride_of_floats=(npz_of(x=npy(), stride=npy("()", bytes(8), "'<f8'")), "stride has dtype '<f8'; expected int"),
    stride_of_booleans=(npz_of(x=npy(), stride=npy("()", b"\1", "'|b1'")), "stride has dtype '|b1'"),
    stride_of_megabytes=(npz_of(x=npy(), stride=npy("(200000,)", bytes(200000), "'|i1'")), "stride has shape (2000"),
    stride_too_nested=(npz_of(x=npy(), stride=npy("(1, 1, 1)", b"\1", "'|i1'")), "stride is"),
    mode_too_long=(npz_of(x=npy(), mode=npy("()", b"a\0\0\0" * 99, "'<U99'")), "mode is 'aaa"),
    mode_of_no_character=(npz_of(x=npy(), mode=npy("()", b"\xff" * 4, "'<U1'")), "no .npz file that can be read"),
    mode_of_bytes=(npz_of(x=npy(), mode=npy("()", b"same", "'|S4'")), "mode has dtype '|S4'"),
)  # fmt: skip
MANY = b", ".join(b'"z%d": 0' % number for number in range(3000))
hostile(
    ".json",
    nested_lists=(b'{"x": ' + b"[" * 100_000, "too deep"),
    nested_objects=(b'{"x": ' * 20_000, "too deep"),
    nested_33=(b'{"x": ' + b"[" * 33 + b"]" * 33 + b"}", "more than 32 dimensions"),
    list_at_the_top=(b"[1, 2]", "this is [1, 2]; expected a JSON object"),
    number_at_the_top=(b"1", "this is 1; expected"),
    rubbish=(b"{x: 1}", "not JSON", "line 1 column 2"),
    trailing=(b"{} {}", "not JSON"),
    name_twice=(b'{"x": 1, "x": 2}', "the name 'x' occurs 2 times in one object"),
    name_twice_inside=(b'{"x": {"shape": [], "data": [1], "data": [2]}}', "the name 'data' occurs 2 times"),
    name_twice_after_many=(b"{%s, %s}" % (MANY, MANY.rpartition(b", ")[2]), "the name 'z2999' occurs 2 times"),
    key_of_a_megabyte=(array_json(**{"z" * 100_000: 1}), "x has 'zzz"),
    name_unknown=(json_of(dxx=[1]), "a member 'dxx'. Did you mean 'dx'?"),
    name_of_a_megabyte=(json.dumps({"z" * 100_000: 1}).encode(), "a member 'zzz"),
    utf_16=('{"x": [1]}'.encode("utf-16"), "not UTF-8"),
    latin_1=('{"notes": "é"}'.encode("latin-1"), "not UTF-8", "at byte 11"),
    integer_of_5000_digits=(b'{"x": [' + b"9" * 5000 + b"]}", "an integer of thousands of digits"),
    integer_of_400_digits=(b'{"x": [' + b"9" * 400 + b"]}", "beyond float64"),
    beyond_float32=(array_json(data=[0, 0, 1e39, 0, 0, 0]), "beyond float32"),
    beyond_float16=(array_json(data=[0, 0, 70000, 0, 0, 0], dtype="float16"), "beyond float16"),
    beyond_int8=(array_json(data=[0, 0, 128, 0, 0, 0], dtype="int8"), "beyond int8"),
    below_uint8=(array_json(data=[0, 0, -1, 0, 0, 0], dtype="uint8"), "beyond uint8"),
    fraction_in_int32=(array_json(data=[0, 0, 0.5, 0, 0, 0], dtype="int32"), "x has 0.5 among its integers"),
    nan_in_int32=(array_json(data=[0, 0, np.nan, 0, 0, 0], dtype="int32"), "x has nan among its integers"),
    ragged=(json_of([[1, 2], [3]]), "x is ragged"),
    ragged_with_number=(json_of([[1, 2], 3]), "x is ragged: 3 stands beside a list of 2 entries"),
    ragged_with_list=(json_of([1, [2]]), "x has [2] among its numbers"),
    ragged_with_empty_list=(json_of([[1], []]), "x is ragged: []"),
    too_few_numbers=(array_json(data=[0] * 5), "the data of x has 5 entries; expected 6 numbers"),
    too_many_numbers=(array_json(data=[0] * 7), "the data of x has 7 entries; expected 6 numbers"),
    product_wraps=(array_json([2**32, 2**32], data=[]), "no memory holds"),
    asks_for_32_gib=(array_json([HUGE]), f"expected {HUGE}"),
    text_for_numbers=(array_json(data=["1"] * 6), "x has '1' among its numbers"),
    text_for_an_array=(json_of("1, 2, 3"), "x has '1, 2, 3' among its numbers"),
    null_for_a_number=(array_json(data=[None] * 6), "x has None among its numbers; expected numbers, NaN"),
    booleans=(array_json(data=[True] * 6), "x has True among its numbers"),
    objects=(array_json(data=[{"a": 1}] * 6), "x has {'a': 1} among its numbers"),
    dtype_unknown=(array_json(dtype="float128"), "x has dtype 'float128'; expected one of float16"),
    dtype_of_objects=(array_json(dtype="object"), "x has dtype 'object'"),
    dtype_no_word=(array_json(dtype=["float32"]), "x has dtype ['float32']"),
    no_data=(json_of({"shape": [2, 3]}), "x has no list 'data'"),
    no_shape=(json_of({"data": [1]}), "x has no list 'shape'"),
    data_in_base64=(array_json(data="AAAA"), "x has no list 'data'"),
    order_unknown=(array_json(order="F"), "x has 'order'. Expected shape, dtype, data"),
    negative_extent=(array_json([-2, -3]), "an extent of -2"),
    extent_of_a_float=(array_json([2.0, 3]), "an extent of 2.0"),
    extent_of_a_boolean=(array_json([True, 6]), "an extent of True"),
    extents_of_33_dimensions=(array_json([1] * 33, data=[0]), "33 dimensions"),
    gigabytes=(sparse(2**33, b'{"x": [1, 2'), "this is 8 GiB of JSON", "may need 320 GiB", "write .npz or .bin"),
    stride_of_a_float=(json_of(stride=2.0), "stride is 2.0; expected an integer"),
    stride_of_a_boolean=(json_of(stride=True), "stride is True"),
    stride_null=(json_of(stride=None), "stride is None"),
    stride_an_object=(json_of(stride={"h": 2, "w": 2}), "stride is {'h': 2, 'w': 2}"),
    stride_of_many=(json_of(stride=[1] * 10_000), "stride is [1, 1, 1, 1, 1, 1, 1, 1, ...];"),
    stride_of_words=(json_of(stride=["2"]), "an entry of stride is '2'"),
    padding_too_nested=(json_of(padding=[[[1]]]), "an entry of padding is [1]"),
    groups_beyond_64_bits=(json_of(groups=2**63), f"groups is {2**63}"),
    mode_of_a_megabyte=(json_of(mode="m" * 100_000), "mode is 'mmm"),
)
hostile(
    ".bin",
    of_5_bytes=(b"\1\0\0\0\0", "ends after 5 bytes"),
    header_of_8_eib=(bin_of({"x": entry()}, length=2**63), f"the header has {2**63} bytes"),
    header_beyond_the_end=(bin_of({"x": entry()}, length=9000), "said to have 9000 bytes", "the file is cut off"),
    header_of_a_megabyte=(bin_of(b"{" + b" " * 2**20 + b"}"), "has 1048578 bytes; expected at most 32768"),
    header_empty=(bin_of(b""), "in the header: this is not JSON"),
    header_of_rubbish=(bin_of(b"{x: 1}"), "in the header: this is not JSON"),
    header_a_list=(bin_of(b"[1, 2]"), "in the header: this is [1, 2]"),
    header_nested_deep=(bin_of(b'{"x":' * 5000), "in the header", "too deep"),
    header_of_many_lists=(bin_of(b'{"x":[' + b"[]," * 10_000 + b"[]]}"), "x is [[], [], "),
    header_latin_1=(bin_of('{"é": 1}'.encode("latin-1")), "in the header: this is not UTF-8"),
    name_twice=(bin_of(b'{"x": 1, "x": 2}'), "the name 'x' occurs 2 times"),
    name_unknown=(bin_of({"weights": entry()}), "a member 'weights'"),
    bfloat16=(bin_of({"x": entry(dtype="BF16", end=12)}), "dtype 'BF16'; expected one of F16, F32, F64"),
    booleans=(bin_of({"x": entry(dtype="BOOL", end=6)}), "dtype 'BOOL'"),
    dtype_a_number=(bin_of({"x": entry(dtype=7)}), "dtype 7"),
    no_offsets=(bin_of({"x": {"dtype": "F32", "shape": [2, 3]}}), "expected an object of data_offsets, dtype, shape"),
    key_unknown=(bin_of({"x": entry(strides=[12, 4])}), "expected an object of"),
    shape_a_number=(bin_of({"x": {**entry(), "shape": 6}}), "x has shape 6; expected a list"),
    negative_extent=(bin_of({"x": entry((-2, -3))}), "an extent of -2"),
    product_wraps=(bin_of({"x": entry((2**32, 2**32), end=0)}), "no memory holds"),
    asks_for_32_gib=(bin_of({"x": entry((HUGE,))}), f"expected {4 * HUGE} bytes between them"),
    offsets_reversed=(bin_of({"x": entry(begin=24, end=0)}), "data_offsets [24, 0]"),
    offsets_beyond_the_end=(bin_of({"x": entry(begin=4, end=28)}), "but 24 bytes follow the header"),
    offsets_beyond_64_bits=(bin_of({"x": entry(begin=2**64, end=2**64 + 24)}), "but 24 bytes follow the header"),
    offsets_negative=(bin_of({"x": entry(begin=-24, end=0)}), "but 24 bytes follow the header"),
    offsets_of_floats=(bin_of({"x": entry(begin=0.0)}), "expected two integers"),
    offsets_of_three=(bin_of({"x": {**entry(), "data_offsets": [0, 8, 24]}}), "expected two integers"),
    overlapping=(bin_of({"x": entry(), "w": entry((5,), begin=4)}), "x and w overlap: one ends at 24"),
    shared=(bin_of({"x": entry(), "w": entry()}), "overlap"),
    too_few_bytes=(bin_of({"x": entry(end=23)}), "expected 24 bytes between them"),
    gigabytes=(
        sparse(2**34, bin_of({"x": entry((2**31,), end=2**33)})),
        "the arrays need 24 GiB of memory", f"the largest is x, float32 of shape ({2**31},)",
    ),
    gigabytes_together=(
        sparse(2**30, bin_of({n: entry((2**20,), begin=2**22 * i, end=2**22 * (i + 1)) for i, n in enumerate(ARRAYS)})),
        "the arrays need 96 MiB",
    ),
    parameter_among_arrays=(bin_of({"x": entry(), "stride": entry()}), "the parameter stride stands among the arrays"),
    metadata_a_list=(bin_of({"__metadata__": [1]}), "__metadata__ is [1]"),
    stride_a_number=(bin_of({"__metadata__": {"stride": 2}}), "stride in __metadata__ is 2; expected a string"),
    stride_of_floats=(bin_of({"__metadata__": {"stride": "[2.0]"}}), "an entry of stride is 2.0"),
    stride_nested_deep=(bin_of({"__metadata__": {"stride": "[" * 20_000}}), "stride is '[[["),
)  # fmt: skip
BUDGET = dict.fromkeys(("npz-bomb", "npz-bomb_of_many", "bin-gigabytes_together"), 2**24)
