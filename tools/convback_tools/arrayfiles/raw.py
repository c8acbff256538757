"""Files of raw numbers, little-endian, behind a header of JSON: the layout of safetensors.

    8 bytes     length of the header
    the header  {"__metadata__": {"stride": "[2, 2]", ...}, "x": {"dtype": "F32", "shape": [1, 4, 8, 8],
                "data_offsets": [0, 1024]}, ...}
    the rest    the numbers; offsets count from here

Parameters stand in `__metadata__` as JSON text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, BinaryIO

import numpy as np

from convback import ParameterError
from convback.contract import Array
from convback_tools.arrayfiles import json_file
from convback_tools.arrayfiles.limits import (
    ARRAYS,
    DTYPES,
    Layout,
    amount,
    brief,
    check_memory,
    check_name,
    check_shape,
    parameter,
)
from convback_tools.submission import PARAMETERS

METADATA = "__metadata__"
MEMBERS = {"dtype", "shape", "data_offsets"}
CODES = {f"{kind[0].upper()}{dtype.itemsize * 8}": dtype for kind, dtype in DTYPES.items()}
LENGTH = 8  # bytes that say how long the header is
LONGEST_HEADER = 2**15


def begins(beginning: bytes, size: int) -> bool:
    """Whether a file may be of this format, by its first bytes."""
    return beginning[LENGTH : LENGTH + 1] == b"{" and int.from_bytes(beginning[:LENGTH], "little") <= size - LENGTH


def read(file: BinaryIO, size: int, max_memory: int) -> dict[str, Any]:
    """The members of a file of so many bytes."""
    header, start = _header(file, size)
    metadata = header.pop(METADATA, {})
    if not isinstance(metadata, dict):
        raise ParameterError(f"{METADATA} is {brief(metadata)}; expected an object")
    parameters = {name: _parameter(name, metadata[name]) for name in PARAMETERS if name in metadata}
    entries = {name: _entry(name, value) for name, value in header.items()}
    _check_offsets({name: offsets for name, (_, offsets) in entries.items()}, size - start)
    check_memory({name: layout for name, (layout, _) in entries.items()}, max_memory)
    arrays = {name: _array(file, name, layout, start + begin) for name, (layout, (begin, _)) in entries.items()}
    return {**arrays, **parameters}


def _header(file: BinaryIO, size: int) -> tuple[dict[str, Any], int]:
    """The header, and where the numbers begin."""
    if size < LENGTH:
        raise ParameterError(f"this ends after {size} bytes; expected {LENGTH} that say how long the header is")
    length = int.from_bytes(file.read(LENGTH), "little")
    if length > LONGEST_HEADER:
        raise ParameterError(
            f"the first {LENGTH} bytes, read as a little-endian integer, say that the header has {length} bytes; "
            f"expected at most {LONGEST_HEADER}"
        )
    if length > size - LENGTH:
        raise ParameterError(
            f"the header is said to have {length} bytes, but {size - LENGTH} follow; the file is cut off"
        )
    try:
        return json_file.parsed(file.read(length)), LENGTH + length
    except ParameterError as error:
        raise ParameterError(f"in the header: {error}") from None


def _parameter(name: str, text: Any) -> Any:
    if not isinstance(text, str):
        raise ParameterError(
            f"{name} in {METADATA} is {brief(text)}; expected a string with JSON text, such as '[2, 2]'"
        )
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = text  # a word may stand without quotes
    return parameter(name, value)


def _entry(name: str, value: Any) -> tuple[Layout, tuple[int, int]]:
    """The layout of an array, and the offsets of its bytes."""
    check_name(name)
    if name in PARAMETERS:
        raise ParameterError(f"the parameter {name} stands among the arrays; expected it in {METADATA}, as JSON text")
    if not isinstance(value, dict) or value.keys() != MEMBERS:
        raise ParameterError(f"{name} is {brief(value)}; expected an object of {', '.join(sorted(MEMBERS))}")
    code, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(code, str) or code not in CODES:
        raise ParameterError(f"{name} has dtype {brief(code)}; expected one of {', '.join(CODES)}")
    if not isinstance(shape, list):
        raise ParameterError(f"{name} has shape {brief(shape)}; expected a list")
    if not isinstance(offsets, list) or len(offsets) != 2 or any(type(offset) is not int for offset in offsets):
        raise ParameterError(f"{name} has data_offsets {brief(offsets)}; expected two integers, begin and end")
    layout = Layout(CODES[code].newbyteorder("<"), check_shape(name, shape))
    begin, end = offsets
    if end - begin != layout.nbytes:
        raise ParameterError(
            f"{name} has data_offsets [{brief(begin)}, {brief(end)}]; expected {layout.nbytes} bytes between them, "
            f"as it is {code} of shape {layout.shape}"
        )
    return layout, (begin, end)


def _check_offsets(offsets: Mapping[str, tuple[int, int]], available: int) -> None:
    """Every array lies within the file, and no byte belongs to two of them."""
    for name, (begin, end) in offsets.items():
        if begin < 0 or end > available:
            raise ParameterError(
                f"{name} has data_offsets [{brief(begin)}, {brief(end)}], but {available} bytes follow the header; "
                "the file is cut off, or its header is wrong"
            )
    ranges = sorted((begin, end, name) for name, (begin, end) in offsets.items() if begin < end)
    for (_, end, name), (begin, _, other) in pairwise(ranges):
        if begin < end:
            raise ParameterError(f"{name} and {other} overlap: one ends at {end}, the other begins at {begin}")


def _array(file: BinaryIO, name: str, layout: Layout, position: int) -> Array:
    flat = np.empty(layout.size, layout.dtype)
    file.seek(position)
    if file.readinto(flat.view(np.uint8)) != layout.nbytes:  # type: ignore[attr-defined]
        raise ParameterError(f"{name} is cut off: the file became shorter while it was read")
    return layout.array(flat)


def write(file: BinaryIO, members: Mapping[str, Any], notes: Mapping[str, str]) -> None:
    """Write members that are allowed; the widest numbers first, so that all are aligned."""
    arrays = sorted((item for item in members.items() if item[0] in ARRAYS), key=lambda item: -item[1].itemsize)
    metadata = {name: json.dumps(members[name]) for name in PARAMETERS if name in members}
    header: dict[str, Any] = {METADATA: {**notes, **metadata}} if notes or metadata else {}
    begin = 0
    for name, array in arrays:
        code = next(code for code, dtype in CODES.items() if dtype.name == array.dtype.name)
        header[name] = {"dtype": code, "shape": list(array.shape), "data_offsets": [begin, begin + array.nbytes]}
        begin += array.nbytes
    text = json.dumps(header, ensure_ascii=False).encode()
    text += b" " * (-len(text) % LENGTH)
    if len(text) > LONGEST_HEADER:
        raise ParameterError(
            f"the notes make a header of {amount(len(text))}; expected at most {amount(LONGEST_HEADER)}"
        )
    file.write(len(text).to_bytes(LENGTH, "little") + text)
    for _, array in arrays:
        file.write(array.tobytes())
