"""The header of numpy.save's format, in which the members of .npz files are.

It is the text of a Python dictionary. numpy evaluates it; here it must be one of a few texts that stand for numbers.
"""

from __future__ import annotations

import re
from typing import IO

import numpy as np

from convback import ParameterError
from convback.contract import DType
from convback.errors import quoted
from convback_tools.arrayfiles.limits import ARRAYS, DTYPES, Layout, brief, check_shape

LONGEST_HEADER = 2**10  # bytes; numpy writes 118

MAGIC = re.compile(rb"\x93NUMPY([\1\2\3])\0")
ENTRY = r"'(descr|fortran_order|shape)'\s*:\s*('[^']*'|True|False|\([\d,\s]*\))"
HEADER = re.compile(rf"\s*\{{\s*{ENTRY}\s*,\s*{ENTRY}\s*,\s*{ENTRY}(?:\s*,)?\s*\}}\s*", re.ASCII)
ORDERS = {"True": True, "False": False}
SHAPE = re.compile(r"\(\s*(?:\d+\s*(?:,\s*\d+\s*)*,?)?\s*\)", re.ASCII)

DESCRIPTIONS = {
    (text := order + dtype.str[1:]): np.dtype(text)
    for dtype in DTYPES.values()
    for order in ("<>|" if dtype.itemsize == 1 else "<>")
}  # fmt: skip
WORD = re.compile(r"[<>]U[1-9]\d?")


def header(name: str, member: IO[bytes]) -> tuple[Layout, int]:
    """The layout of the array of that name, and where its numbers begin."""
    magic = member.read(8)
    if not (found := MAGIC.fullmatch(magic)):
        raise ParameterError(
            f"{name} begins with {quoted(magic)}; expected what numpy.save writes, of version 1, 2 or 3"
        )
    width = 2 if found[1] == b"\1" else 4
    length = int.from_bytes(member.read(width), "little")
    if length > LONGEST_HEADER:
        raise ParameterError(f"{name} has a header of {length} bytes; expected at most {LONGEST_HEADER}")
    text = member.read(length)
    if len(text) < length:
        raise ParameterError(f"{name} is cut off in its header")
    return _layout(name, text.decode("latin-1")), len(magic) + width + length


def _layout(name: str, text: str) -> Layout:
    groups = found.groups() if (found := HEADER.fullmatch(text)) else ()
    said = dict(zip(groups[::2], groups[1::2], strict=True))
    description, order, shape = (said.get(key, "") for key in ("descr", "fortran_order", "shape"))
    if description[:1] != "'" or order not in ORDERS or not SHAPE.fullmatch(shape):
        raise ParameterError(
            f"{name} has the header {brief(text)}; expected descr, fortran_order and shape of an array of numbers"
        )
    extents = check_shape(name, map(int, re.findall(r"\d+", shape)))
    return Layout(_dtype(name, description.strip("'")), extents, ORDERS[order])


def _dtype(name: str, description: str) -> DType:
    known = DESCRIPTIONS.get(description)
    if known is not None and (name in ARRAYS or known.kind in "iu"):
        return known
    if name not in ARRAYS and WORD.fullmatch(description):
        return np.dtype(description)
    expected = ", ".join(DTYPES) if name in ARRAYS else "integers, or a word"
    why = "; objects are pickles, which may run programs" if "O" in description else ""
    raise ParameterError(f"{name} has dtype {brief(description)}; expected {expected}{why}")
