"""What a file may hold: names, dtypes, shapes and parameters from short lists, within a budget of memory.

All is checked from what a file says of itself, before memory is taken for its numbers. No number in a file is believed:
products of extents are taken in Python's integers, which do not wrap, and held against the bytes that are there.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from convback import ParameterError
from convback.contract import Array, DType
from convback.errors import LONGEST_QUOTE, did_you_mean, quoted
from convback_tools.submission import OPERANDS, PARAMETERS, RESULTS

ARRAYS = (*OPERANDS, *RESULTS)
NAMES = (*ARRAYS, *PARAMETERS)

MAX_MEMORY = 2**32
WIDENED = 8  # bytes of an element once it is float64, in which all is judged

DTYPES = {
    name: np.dtype(name)
    for name in ("float16", "float32", "float64", *(f"{sign}int{8 * n}" for n in (1, 2, 4, 8) for sign in ("", "u")))
}

MOST_DIMENSIONS = 32
MOST_ELEMENTS = 2**59  # more have no address once they are widened
MOST_ENTRIES = 8  # of a parameter: more than any layer has dimensions
LARGEST_PARAMETER = 2**63 - 1
LONGEST_WORD = 32

_SHORT = reprlib.Repr()
_SHORT.maxlist, _SHORT.maxdict, _SHORT.maxlevel, _SHORT.maxstring = 8, 4, 3, 100


@dataclass(frozen=True)
class Layout:
    """How the bytes of an array are to be read."""

    dtype: DType
    shape: tuple[int, ...]
    fortran_order: bool = False

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def array(self, flat: Array) -> Array:
        """The array of these elements, in the byte order of this machine."""
        if not self.dtype.isnative:
            flat = flat.byteswap(inplace=True).view(self.dtype.newbyteorder("="))
        if self.dtype.kind == "f":
            flat[np.isnan(flat)] = np.nan  # numpy would warn wherever one that is signalling is used
        return flat.reshape(self.shape, order="F" if self.fortran_order else "C")


def check_name(name: str) -> None:
    """Refuse what no array and no parameter is called."""
    if name not in NAMES:
        positional = "; numpy.savez names arrays only if they are given by name: x=x, w=w" if name[:4] == "arr_" else ""
        raise ParameterError(
            f"there is a member {brief(name)}.{did_you_mean(name[:LONGEST_WORD], NAMES)} "
            f"Expected the arrays {', '.join(ARRAYS)} and the parameters {', '.join(PARAMETERS)}{positional}"
        )


def check_shape(name: str, shape: Iterable[Any]) -> tuple[int, ...]:
    """The shape, if memory could be addressed by it."""
    extents = tuple(shape)
    if len(extents) > MOST_DIMENSIONS:
        raise ParameterError(f"{name} has {len(extents)} dimensions; expected at most {MOST_DIMENSIONS}")
    for extent in extents:
        if type(extent) is not int or extent < 0:
            raise ParameterError(f"the shape of {name} has an extent of {brief(extent)}; expected an integer from 0 on")
    if math.prod(filter(None, extents)) > MOST_ELEMENTS:
        raise ParameterError(f"{name} has shape {quoted(extents)}; no memory holds so many numbers")
    return extents


def check_memory(layouts: Mapping[str, Layout], max_memory: int) -> None:
    """Refuse arrays that together, and once more as float64, take more memory than is allowed."""
    needed = {name: layout.nbytes + layout.size * WIDENED for name, layout in layouts.items()}
    if (total := sum(needed.values())) > max_memory:
        name = max(needed, key=lambda name: needed[name])
        layout = layouts[name]
        raise ParameterError(
            f"the arrays need {amount(total)} of memory, as they are and as float64, and {amount(max_memory)} are "
            f"allowed; the largest is {name}, {layout.dtype.name} of shape {layout.shape}, with {amount(needed[name])}"
            ". Allow more (--max-memory), or give a smaller layer"
        )


def parameter(name: str, value: Any, depth: int = 0) -> Any:
    """A parameter as plain integers, lists of them, or a word; what it means is for others to judge."""
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool) and abs(int(value)) <= LARGEST_PARAMETER:
        return int(value)
    if isinstance(value, str) and depth == 0 and len(value) <= LONGEST_WORD:
        return str(value)
    if isinstance(value, (list, tuple)) and depth < 2 and len(value) <= MOST_ENTRIES:
        return [parameter(name, entry, depth + 1) for entry in value]
    what = f"{name} is" if depth == 0 else f"an entry of {name} is"
    raise ParameterError(
        f"{what} {brief(value)}; expected an integer, a list with one or a pair a dimension, or a word"
    )


def brief(value: Any) -> str:
    """A value as messages show it; of what is long, not even a copy is made."""
    text = _SHORT.repr(value)
    return text if len(text) <= LONGEST_QUOTE else f"{text[:LONGEST_QUOTE]}..."


def amount(nbytes: int) -> str:
    """An amount of memory for people."""
    for size, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if nbytes >= size:
            return f"{nbytes / size:.4g} {unit}"
    return f"{nbytes} bytes"
