"""Reads test vectors, computes y, dx, dw and db by plain loops, and compares with ==. Needs NumPy alone.

    python read_vectors.py vectors/*.bin vectors/*.npz

Exit code: 0 all right, 1 a number differs, 2 a file cannot be read.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

PARAMETERS = ("stride", "padding", "dilation", "groups", "mode")
DTYPES = {"F32": "<f4", "F64": "<f8"}


def read(path: Path) -> dict[str, Any]:
    """Arrays and parameters of a file, by their names."""
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            members = dict(file)
        return {name: array.tolist() if name in PARAMETERS else array for name, array in members.items()}
    return read_bin(path.read_bytes())


def read_bin(content: bytes) -> dict[str, Any]:
    """The same of a .bin file: the length of a header in 8 bytes, the header as JSON, then the numbers."""
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    parameters = header.pop("__metadata__")
    members = {name: json.loads(parameters[name]) for name in PARAMETERS}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        numbers = np.frombuffer(content[start + begin : start + end], DTYPES[entry["dtype"]])
        members[name] = numbers.reshape(entry["shape"])
    return members


def gradients(x: Any, w: Any, dy: Any, b: Any, stride: Any, padding: Any, dilation: Any, groups: int, mode: str) -> Any:
    """y, dx, dw and db of a layer with any number of dimensions."""
    y, dx, dw, db = (np.zeros_like(a) for a in (dy, x, w, b))
    filters, channels, *kernel = w.shape[0] // groups, *w.shape[1:]  # of a group
    for n, f, *position in np.ndindex(y.shape):
        out = (n, f, *position)
        y[out] += b[f]
        db[f] += dy[out]
        for c, *offset in np.ndindex(channels, *kernel):
            axes = zip(position, stride, offset, dilation, padding, strict=True)
            place = [i * s + k * d - before for i, s, k, d, (before, _) in axes]
            if not all(0 <= r < extent for r, extent in zip(place, x.shape[2:], strict=True)):
                continue  # in the padding
            if mode == "convolution":
                offset = [extent - 1 - k for extent, k in zip(kernel, offset, strict=True)]
            into, tap = (n, f // filters * channels + c, *place), (f, c, *offset)
            y[out] += x[into] * w[tap]
            dx[into] += dy[out] * w[tap]
            dw[tap] += dy[out] * x[into]
    return {"y": y, "dx": dx, "dw": dw, "db": db}


def compare(title: str, got: Any, expected: Any) -> bool:
    """Whether two arrays are equal; says so."""
    if got.shape != expected.shape:
        print(f"WRONG {title}: shape {got.shape}, expected {expected.shape}")
        return False
    wrong = np.argwhere(got != expected)
    if len(wrong):
        at = tuple(map(int, wrong[0]))
        print(f"WRONG {title}: {len(wrong)} of {got.size} differ; {at} is {got[at]:g}, expected {expected[at]:g}")
    else:
        print(f"ok    {title}: {got.size} numbers")
    return not len(wrong)


def main(paths: list[str]) -> int:
    if not paths:
        print("usage: read_vectors.py FILE...", file=sys.stderr)
        return 2
    right = True
    for path in paths:
        try:
            members = read(Path(path))
            expected = {name: members.pop(name) for name in ("y", "dx", "dw", "db")}
            results = gradients(**members)
        except (OSError, ValueError, KeyError, TypeError, IndexError, EOFError, BadZipFile) as error:
            print(f"{path}: {type(error).__name__}: {error}", file=sys.stderr)
            return 2
        for name, got in results.items():
            right &= compare(f"{path} {name}", got, expected[name])
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
