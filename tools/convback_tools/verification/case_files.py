"""Reads suites of others: files of problem words, of cases with parameters, and of published answers.

- A *file of words* has a problem word a line (`convback_tools.notation`). `#` begins a comment.
- A *file of cases* has a JSON object a line: shapes and parameters, and whether the layer is right ("ok", "empty") or
  must be refused ("error").
- A *file of answers* is a JSON array of objects: a layer, operands, and a gradient that somebody published.

docs/verification.md lists the members of the objects.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from convback import ConvbackError, ConvGeometry, ParameterError
from convback.errors import quoted
from convback_tools import notation, suites
from convback_tools.suites import Case
from convback_tools.verification.answers import Answer, answers
from convback_tools.verification.refusals import Refusal

Item: TypeAlias = Case | Refusal | Answer

LARGEST_FILE = 2**28
EXPECTATIONS = ("ok", "empty", "error")
# What must be of one kind for anything to be made of it; the rest is checked where it is used.
KINDS = {
    **dict.fromkeys(("spatial_in", "kernel", "out", "x_shape", "w_shape", "x_nhwc", "w_hwio"), (list, "an array")),
    **dict.fromkeys(("expect", "output", "data"), (str, "a string")),
    "c": (int, "an integer"),
}


def read(path: Path, dtypes: Sequence[str]) -> list[Item]:
    """All that a file holds, in its order; answers in each dtype.

    Raises
    ------
    ParameterError
        If the file cannot be read or understood; the message names the line or the entry.
    """
    try:
        if (size := path.stat().st_size) > LARGEST_FILE:
            raise ParameterError(f"{str(path)!r} has {size} bytes; expected a file of cases of at most {LARGEST_FILE}")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterError(f"{str(path)!r} cannot be read: {error}") from None
    found = list(_answers(path, text, dtypes) if text.lstrip().startswith("[") else _lines(path, text))
    if not found:
        raise ParameterError(f"{str(path)!r} holds no case; expected problem words, or JSON objects, one a line")
    return found


def _lines(path: Path, text: str) -> Iterator[Item]:
    for number, line in enumerate(text.splitlines(), 1):
        content = line.partition("#")[0].strip() if not line.lstrip().startswith("{") else line
        if content:
            with _named(f"{str(path)!r}, line {number}"):
                is_object = content.lstrip().startswith("{")
                yield _case(_members(json.loads(content))) if is_object else suites.case(content)


def _answers(path: Path, text: str, dtypes: Sequence[str]) -> Iterator[Item]:
    with _named(repr(str(path))):
        entries = json.loads(text)
    for number, entry in enumerate(entries, 1):
        with _named(f"{str(path)!r}, entry {number}"):
            yield from answers(_members(entry), dtypes)


@contextmanager
def _named(place: str) -> Iterator[None]:
    """Whatever is wrong with a part of a file becomes one kind of error, which names the place."""
    try:
        yield
    except (json.JSONDecodeError, RecursionError) as error:
        raise ParameterError(f"{place}: this is not JSON: {error}") from None
    except KeyError as error:
        raise ParameterError(f"{place}: {error.args[0]!r} is missing") from None
    except (ConvbackError, ArithmeticError, TypeError, ValueError) as error:
        raise ParameterError(f"{place}: {error}") from None


def _members(entry: Any) -> dict[str, Any]:
    """The members of an object that are not null."""
    if not isinstance(entry, dict):
        raise ParameterError(f"this is {quoted(entry)}; expected a JSON object")
    members = {name: value for name, value in entry.items() if value is not None}
    for name, (kind, called) in KINDS.items():
        if not isinstance(members.get(name, kind()), kind):
            raise ParameterError(f"{name} is {quoted(members[name])}; expected {called}")
    return members


def _case(entry: dict[str, Any]) -> Item:
    expect = entry.get("expect", "ok")
    if expect not in EXPECTATIONS:
        raise ParameterError(f"expect is {expect!r}; expected one of {', '.join(EXPECTATIONS)}")
    if missing := [name for name in ("n", "c", "f", "spatial_in", "kernel") if name not in entry]:
        raise ParameterError(f"{', '.join(map(repr, missing))} missing")
    groups = entry.get("groups", 1)
    channels = entry["c"] // groups if isinstance(groups, int) and groups > 0 else entry["c"]
    x_shape, w_shape = (entry["n"], entry["c"], *entry["spatial_in"]), (entry["f"], channels, *entry["kernel"])
    parameters = (entry.get("stride", 1), entry.get("pad", 0), entry.get("dilation", 1), groups)
    name = " ".join(str(entry[key]) for key in ("id", "name") if key in entry)
    out = entry.get("out")
    if expect == "error":
        return Refusal(name or "refusal", (x_shape, w_shape, *parameters), tuple(out or ()))
    geom = ConvGeometry(x_shape, w_shape, *parameters)
    if out is not None and tuple(out) != geom.y_spatial:
        raise ParameterError(f"out is {out}, but its other numbers give {list(geom.y_spatial)}")
    if (expect == "empty") != geom.is_empty:
        raise ParameterError(f"expect is {expect!r}, but {geom} {'is empty' if geom.is_empty else 'is not empty'}")
    return Case(name or notation.to_word(geom), geom)
