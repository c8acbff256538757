"""Opens the file, finds out what it is, and hands it to the module of its format.

Only regular files are opened: a pipe or a device might never end. Whatever is wrong becomes a ParameterError that names
the file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from convback import ParameterError
from convback.errors import did_you_mean
from convback_tools.arrayfiles import json_file, npz, raw
from convback_tools.arrayfiles.limits import ARRAYS, DTYPES, MAX_MEMORY, NAMES, check_name, parameter
from convback_tools.writing import replacing

FORMATS = {".npz": npz, ".json": json_file, ".bin": raw}
SUFFIXES = tuple(FORMATS)

# How files begin that are often given in place of ours.
STRANGERS = {
    b"\x93NUMPY": "a single array, which numpy.save wrote; write all in one file by "
    "numpy.savez('mine.npz', x=x, w=w, dy=dy, dx=dx)",
    **{b"\x80" + bytes([protocol]): "a pickle, which may run programs and is never loaded" for protocol in range(2, 6)},
    b"\x89HDF": "an HDF5 file",
    b"MATLAB": "a MATLAB file",
    b"\x1f\x8b": "compressed by gzip; decompress it",
}
LONGEST_BEGINNING = 64


def read(path: Path, max_memory: int = MAX_MEMORY) -> dict[str, Any]:
    """The arrays and parameters that a file holds, by their names.

    Parameters
    ----------
    path : Path
        A regular file, whose suffix is one of `SUFFIXES`.
    max_memory : int
        The most bytes that its arrays may take, as they are and once more as float64.

    Returns
    -------
    dict
        Arrays (x w dy b y dx dw db) are ndarrays in native byte order, parameters (stride padding dilation groups mode)
        are plain: int, str, or lists of them.

    Raises
    ------
    ParameterError
        If anything is wrong with the file. Nothing in it is run, and no memory is taken beyond the budget.
    """
    with _named(path, "read"):
        suffix = _suffix(path)
        if not stat.S_ISREG(path.stat().st_mode):
            raise ParameterError(f"this is {'a folder' if path.is_dir() else 'a pipe or a device'}; expected a file")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            _check_beginning(file, size, suffix)
            members: dict[str, Any] = FORMATS[suffix].read(file, size, max_memory)
            return members


def write(path: Path, members: Mapping[str, Any], notes: Mapping[str, str] | None = None) -> None:
    """Write arrays and parameters to a file, in the format of its suffix; it is complete, or not there at all.

    The same members give the same bytes, on every machine. Arrays keep their dtype; they are stored little-endian, in C
    order.

    Parameters
    ----------
    path : Path
    members : dict
        As `read` returns them; tuples may stand in place of lists.
    notes : dict of str, optional
        Words on the file, for those who look into it. Nobody reads them back, and .npz has no place for them.

    Raises
    ------
    ParameterError
        If a member is not allowed, or the file cannot be written.
    """
    with _named(path, "written"):
        writer = FORMATS[_suffix(path)]
        if wrong := next((name for name in notes or {} if name in NAMES), None):
            raise ParameterError(f"there is a note {wrong!r}; expected another name than that of a member")
        plain = {name: _plain(name, value) for name, value in members.items()}
        with replacing(path) as file:
            writer.write(file, plain, notes or {})


def _suffix(path: Path) -> str:
    if (suffix := path.suffix.lower()) in FORMATS:
        return suffix
    raise ParameterError(
        f"the suffix is {path.suffix!r}.{did_you_mean(suffix, FORMATS)} Expected one of {', '.join(SUFFIXES)}"
    )


def _check_beginning(file: BinaryIO, size: int, suffix: str) -> None:
    """Refuse what by its first bytes is something else, which its reader could only call broken."""
    if size == 0:
        raise ParameterError("the file is empty")
    beginning = file.read(LONGEST_BEGINNING)
    file.seek(0)
    found = _format_of(beginning, size)
    stranger = next((words for begin, words in STRANGERS.items() if beginning.startswith(begin)), None)
    if stranger and not found:
        raise ParameterError(f"this is {stranger}")
    if found not in (None, suffix):
        raise ParameterError(f"this is not a {suffix} file: it begins as a {found} file does; rename it to *{found}")


def _format_of(beginning: bytes, size: int) -> str | None:
    if raw.begins(beginning, size):  # first, as the length of a header may look like anything
        return ".bin"
    return next((suffix for suffix in (".npz", ".json") if FORMATS[suffix].begins(beginning, size)), None)


def _plain(name: str, value: Any) -> Any:
    """A member as it is written: a little-endian array in C order, or a plain parameter."""
    check_name(name)
    if name not in ARRAYS:
        return parameter(name, value)
    array = np.asarray(value)
    if array.dtype.name not in DTYPES:
        raise ParameterError(f"{name} has dtype {array.dtype}; expected one of {', '.join(DTYPES)}")
    return array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)


@contextmanager
def _named(path: Path, done: str) -> Iterator[None]:
    """Whatever is wrong becomes one kind of error, which names the file."""
    place = repr(str(path))
    try:
        yield
    except ParameterError as error:
        raise ParameterError(f"{place}: {error}") from None
    except OSError as error:
        raise ParameterError(f"{place} cannot be {done}: {error.strerror or error}") from None
    except MemoryError as error:
        raise ParameterError(f"{place} cannot be {done}: there is not enough memory. {error}".strip()) from None
