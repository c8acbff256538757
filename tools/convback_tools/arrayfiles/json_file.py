"""Files of JSON: an object of arrays and parameters, for people and for every language.

    {"x": {"shape": [1, 2, 2], "dtype": "float32", "data": [1, 2, 3, 4]}, "stride": [2], ...}

Nested lists in place of such an object are arrays of float64. NaN and Infinity are written as Python's json does. What
stands under "notes" is for people.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from itertools import chain
from typing import Any, BinaryIO

import numpy as np

from convback import ParameterError
from convback.contract import Array
from convback.errors import did_you_mean
from convback_tools.arrayfiles.limits import (
    ARRAYS,
    DTYPES,
    LONGEST_WORD,
    MOST_DIMENSIONS,
    Layout,
    amount,
    brief,
    check_memory,
    check_name,
    check_shape,
    parameter,
)

NOTES = "notes"
MEMBERS = ("shape", "dtype", "data")
# Bytes of memory that a byte of text may take while it is parsed: 14 of "0.5,", 24 of "[],", 35 of "[{}],".
EXPANSION = 40
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def begins(beginning: bytes, size: int) -> bool:
    """Whether a file may be of this format, by its first bytes."""
    return beginning.removeprefix(BYTE_ORDER_MARK).lstrip().startswith(b"{")


def read(file: BinaryIO, size: int, max_memory: int) -> dict[str, Any]:
    """The members of a file of so many bytes."""
    if size * EXPANSION > max_memory:
        raise ParameterError(
            f"this is {amount(size)} of JSON, which may need {amount(size * EXPANSION)} of memory, and "
            f"{amount(max_memory)} are allowed. Allow more (--max-memory), or write .npz or .bin, which need less"
        )
    members = parsed(file.read(size))
    members.pop(NOTES, None)
    for name in members:
        check_name(name)
    arrays = {name: _layout_and_data(name, value) for name, value in members.items() if name in ARRAYS}
    check_memory({name: layout for name, (layout, _) in arrays.items()}, max_memory)
    return {
        name: _array(name, *arrays[name]) if name in arrays else parameter(name, value)
        for name, value in members.items()
    }


def parsed(text: bytes) -> dict[str, Any]:
    """The object that a JSON text stands for; names that occur twice are refused."""
    try:
        value = json.loads(text.decode("utf-8-sig"), object_pairs_hook=_without_duplicates)
    except UnicodeDecodeError as error:
        raise ParameterError(f"this is not UTF-8: {error.reason} at byte {error.start}; save it as UTF-8") from None
    except RecursionError:
        raise ParameterError("this is not JSON of arrays: lists or objects lie too deep in one another") from None
    except json.JSONDecodeError as error:
        raise ParameterError(f"this is not JSON: {error}") from None
    except ParameterError:
        raise
    except ValueError:  # of an integer beyond sys.get_int_max_str_digits()
        raise ParameterError(
            "this has an integer of thousands of digits; expected numbers that float64 holds"
        ) from None
    if not isinstance(value, dict):
        raise ParameterError(f"this is {brief(value)}; expected a JSON object with members such as x and w")
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        [(name, times)] = Counter(name for name, _ in pairs).most_common(1)
        raise ParameterError(f"the name {brief(name)} occurs {times} times in one object")
    return members


def _layout_and_data(name: str, value: Any) -> tuple[Layout, list[Any]]:
    if not isinstance(value, dict):
        shape, data = _flattened(name, value)
        return Layout(DTYPES["float64"], shape), data
    if unknown := next((key for key in value if key not in MEMBERS), None):
        near = did_you_mean(unknown[:LONGEST_WORD], MEMBERS)
        raise ParameterError(f"{name} has {brief(unknown)}.{near} Expected {', '.join(MEMBERS)}")
    if missing := [key for key in ("shape", "data") if not isinstance(value.get(key), list)]:
        raise ParameterError(f"{name} has no list {missing[0]!r}; expected {', '.join(MEMBERS)}")
    dtype = value.get("dtype", "float64")
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise ParameterError(f"{name} has dtype {brief(dtype)}; expected one of {', '.join(DTYPES)}")
    layout, data = Layout(DTYPES[dtype], check_shape(name, value["shape"])), value["data"]
    if len(data) != layout.size:
        raise ParameterError(
            f"the data of {name} has {len(data)} entries; expected {layout.size} numbers in one flat list, as its "
            f"shape is {layout.shape}"
        )
    return layout, data


def _flattened(name: str, value: Any) -> tuple[tuple[int, ...], list[Any]]:
    """The shape of nested lists, and their entries in one list."""
    shape: list[int] = []
    level = [value]
    while level and isinstance(level[0], list):
        extent = len(level[0])
        for row in level:
            if not isinstance(row, list) or len(row) != extent:
                raise ParameterError(f"{name} is ragged: {brief(row)} stands beside a list of {extent} entries")
        if len(shape) == MOST_DIMENSIONS:
            raise ParameterError(f"{name} has more than {MOST_DIMENSIONS} dimensions")
        shape.append(extent)
        level = list(chain.from_iterable(level))
    return tuple(shape), level


def _array(name: str, layout: Layout, data: list[Any]) -> Array:
    if not set(map(type, data)) <= {int, float}:
        wrong = next(value for value in data if type(value) not in (int, float))
        raise ParameterError(f"{name} has {brief(wrong)} among its numbers; expected numbers, NaN or Infinity")
    try:
        if layout.dtype.kind == "f":
            with np.errstate(over="raise"):
                flat = np.array(data, np.float64).astype(layout.dtype)
        else:
            flat = np.array([_whole(name, value) for value in data], layout.dtype)
    except (OverflowError, FloatingPointError):
        raise ParameterError(f"{name} has a number that is beyond {layout.dtype}") from None
    return layout.array(flat)


def _whole(name: str, value: float) -> int:
    if not math.isfinite(value) or value != int(value):
        raise ParameterError(f"{name} has {value!r} among its integers; expected whole numbers, or a float dtype")
    return int(value)


def write(file: BinaryIO, members: Mapping[str, Any], notes: Mapping[str, str]) -> None:
    """Write members that are allowed, one a line."""
    lines = [f"{json.dumps(NOTES)}: {json.dumps(dict(notes), ensure_ascii=False)}"] if notes else []
    for name, value in members.items():
        lines.append(f'"{name}": {_array_text(value) if name in ARRAYS else json.dumps(value)}')
    file.write(("{\n " + ",\n ".join(lines) + "\n}\n").encode())


def _array_text(array: Array) -> str:
    numbers = [_number_text(value) for value in array.reshape(-1)]
    return f'{{"shape": {list(array.shape)}, "dtype": "{array.dtype.name}", "data": [{", ".join(numbers)}]}}'


def _number_text(value: Any) -> str:
    """The shortest text that is read back as the same number, by those too who read a float64 and round that."""
    wide = value.item()
    if isinstance(wide, int):
        return str(wide)
    if not math.isfinite(wide):
        return json.dumps(wide)
    if wide == int(wide) and abs(wide) < 2**53 and str(wide) != "-0.0":
        return str(int(wide))
    short = str(value)
    return short if value.dtype.type(float(short)) == value else repr(wide)
