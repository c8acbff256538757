"""Writes a folder of test vectors: the files of each case, an index with checksums, and a page that explains them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import convback
from convback import ParameterError
from convback.contract import Array
from convback_tools import arrayfiles, integers
from convback_tools.submission import OPERANDS
from convback_tools.vectors import headers, words
from convback_tools.vectors.cases import INDEX, Layer, Vector, vector
from convback_tools.writing import replacing

FORMATS = ("npz", "json", "bin", "h")
SCHEMA = 1
NUMBER = 80  # bytes of memory that a number takes at most while it is written: as text, in a list, and in float64


@dataclass(frozen=True)
class Row:
    """A file of a test vector."""

    file: str
    case: str
    about: str
    word: str
    bytes: int
    sha256: str


def vectors(layers: Sequence[Layer], dtype: str, formats: Sequence[str], max_memory: int) -> list[Vector]:
    """The numbers of all layers.

    Raises
    ------
    ParameterError
        If one would take too much memory, has sums that are too long to be exact, or does not fit a format.
    """
    for layer in layers:
        if (needed := layer.numbers * NUMBER) > max_memory:
            raise ParameterError(
                f"case {layer.name!r} has {layer.numbers} numbers, which may take {needed} bytes of memory to write, "
                f"beyond --max-memory {max_memory}; choose a smaller one"
            )
        if "h" in formats:
            headers.check(layer)
    return [vector(layer, dtype) for layer in layers]


def prepare(folder: Path, force: bool) -> None:
    """Make a folder; one that holds anything is left alone, unless `force` is given.

    Raises
    ------
    ParameterError
        If it is not empty or cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        filled = any(folder.iterdir())
    except OSError as error:
        raise ParameterError(f"folder {str(folder)!r} cannot be used: {error}") from None
    if filled and not force:
        raise ParameterError(
            f"folder {str(folder)!r} is not empty; choose another, or replace files of the same names by --force"
        )


def write(folder: Path, vectors: Sequence[Vector], formats: Sequence[str], step: Callable[[str], None]) -> list[Row]:
    """Write the files of all vectors, then the page and the index; `step` is told each case."""
    rows = []
    for one in vectors:
        step(one.layer.name)
        rows += [_file(folder, one, suffix) for suffix in formats]
    _write_text(folder / "README.txt", words.README)
    _write_text(folder / f"{INDEX}.json", json.dumps(_index(vectors, rows), indent=1) + "\n")
    return rows


def _file(folder: Path, vector: Vector, suffix: str) -> Row:
    layer = vector.layer
    path = folder / f"{layer.name}.{suffix}"
    if suffix == "h":
        _write_text(path, headers.text(vector))
    else:
        arrayfiles.write(path, vector.members, {"about": layer.about, "formula": words.formula(layer)})
    written = path.read_bytes()
    return Row(path.name, layer.name, layer.about, layer.word, len(written), sha256(written).hexdigest())


def _write_text(path: Path, text: str) -> None:
    try:
        with replacing(path) as file:
            file.write(text.encode())
    except OSError as error:
        raise ParameterError(f"{str(path)!r} cannot be written: {error}") from None


def _index(vectors: Sequence[Vector], rows: Sequence[Row]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "convback": convback.__version__,
        "compare": words.COMPARE,
        "generator": integers.RECIPE,
        "cases": [_entry(one, [row for row in rows if row.case == one.layer.name]) for one in vectors],
    }


def _entry(vector: Vector, rows: Sequence[Row]) -> dict[str, Any]:
    layer = vector.layer
    return {
        "name": layer.name,
        "about": layer.about,
        "problem": layer.word,
        "formula": words.formula(layer).splitlines(),
        "parameters": layer.parameters,
        "B": integers.largest(layer.geom, vector.arrays["x"].dtype.name),
        "arrays": {name: _described(name, array) for name, array in vector.arrays.items()},
        "files": {row.file: {"bytes": row.bytes, "sha256": row.sha256} for row in rows},
    }


def _described(name: str, array: Array) -> dict[str, Any]:
    facts = {
        "dtype": array.dtype.name,
        "shape": array.shape,
        "strides": [step // array.itemsize for step in array.strides],
        "sha256": sha256(array.astype(array.dtype.newbyteorder("<")).tobytes()).hexdigest(),
    }
    return {**facts, "seed": integers.seed(name, array.shape)} if name in OPERANDS else facts
