"""Files of numpy.savez: a zip with a member, in the format of numpy.save, for each array and parameter.

Of what a zip can do, only stored and deflated members are read: bzip2 and LZMA can hide gigabytes in a few bytes.
zipfile does the reading; what it would take in at once, however long, is bounded by the file that it is given here.
numpy.load does not: it takes memory for whatever the header of an array asks for, and knows dtypes that are programs.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np

from convback import ParameterError
from convback.contract import Array
from convback.errors import quoted
from convback_tools.arrayfiles import npy
from convback_tools.arrayfiles.limits import ARRAYS, MOST_ENTRIES, Layout, amount, check_memory, check_name, parameter

LONGEST_READ = 2**14  # bytes; a directory of all members that there are takes about one KiB
DEFLATE = 1032  # times: more than that, no deflated bytes can expand
ENCRYPTED = 0x1
UNIX = 3

OTHER_METHODS = {9: "deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard"}
# What zipfile raises on what it cannot read: NotImplementedError is a RuntimeError, UnicodeDecodeError a ValueError.
BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, RuntimeError, EOFError, OverflowError, ValueError)


class _Bounded(io.FileIO):
    """A file that is never read in longer pieces; zipfile reads a directory as long as the file says it is."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > LONGEST_READ:
            raise ParameterError(
                f"this is no .npz file: a header or the directory of its zip has {amount(size)}; expected at most "
                f"{amount(LONGEST_READ)}"
            )
        return super().read(size) or b""


def begins(beginning: bytes, size: int) -> bool:
    """Whether a file may be of this format, by its first bytes."""
    return beginning.startswith((b"PK\3\4", b"PK\5\6"))


def read(file: BinaryIO, size: int, max_memory: int) -> dict[str, Any]:
    """The members of a file of so many bytes."""
    with _readable(), _Bounded(file.fileno(), closefd=False) as bounded, zipfile.ZipFile(bounded) as archive:
        members = _members(archive, size)
        layouts = {name: _layout(archive, name, info) for name, info in members.items()}
        check_memory({name: layout for name, layout in layouts.items() if name in ARRAYS}, max_memory)
        values = {name: _array(archive, name, members[name], layout) for name, layout in layouts.items()}
        return {name: value if name in ARRAYS else _parameter(name, value) for name, value in values.items()}


def _parameter(name: str, value: Array) -> Any:
    if value.dtype.kind == "U":
        value.astype("<U").tobytes().decode("utf-32-le")  # what is no character, numpy would make a SystemError
    return parameter(name, value.tolist())


@contextmanager
def _readable() -> Iterator[None]:
    """Whatever zipfile finds wrong becomes one kind of error."""
    try:
        yield
    except ParameterError:
        raise
    except BROKEN as error:
        raise ParameterError(
            f"this is no .npz file that can be read: {error}. It may be cut off or damaged; write it by numpy.savez"
        ) from None


def _members(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """The entries of the zip by the names of their members, each checked."""
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        name = info.orig_filename.removesuffix(".npy")
        check_name(name)
        if name in members:
            raise ParameterError(f"the member {name} occurs twice")
        members[name] = info
        _check_entry(name, info)
    if (stored := sum(info.compress_size for info in members.values())) > size:
        raise ParameterError(
            f"its members are said to take {stored} bytes, but it has {size}; it is cut off, or they overlap"
        )
    return members


def _check_entry(name: str, info: zipfile.ZipInfo) -> None:
    if info.flag_bits & ENCRYPTED:
        raise ParameterError(f"{name} is encrypted; write it by numpy.savez")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        method = OTHER_METHODS.get(info.compress_type, f"method {info.compress_type}")
        raise ParameterError(f"{name} is compressed by {method}; expected what savez or savez_compressed writes")
    most = info.compress_size * (DEFLATE if info.compress_type == zipfile.ZIP_DEFLATED else 1)
    if info.file_size > most:
        raise ParameterError(
            f"{name} is said to hold {info.file_size} bytes in {info.compress_size}, which hold {most} at most"
        )


def _layout(archive: zipfile.ZipFile, name: str, info: zipfile.ZipInfo) -> Layout:
    """What the header of a member says, held against the size of the member."""
    with archive.open(info) as member:
        layout, start = npy.header(name, member)
    if start + layout.nbytes != info.file_size:
        raise ParameterError(
            f"{name} is {layout.dtype.name} of shape {layout.shape}, which is {layout.nbytes} bytes, but "
            f"{max(0, info.file_size - start)} follow its header"
        )
    if name not in ARRAYS and layout.size > 2 * MOST_ENTRIES:
        raise ParameterError(
            f"{name} has shape {layout.shape}; expected a number, a word, or one or a pair a dimension"
        )
    return layout


def _array(archive: zipfile.ZipFile, name: str, info: zipfile.ZipInfo, layout: Layout) -> Array:
    flat = np.empty(layout.size, layout.dtype)
    target = flat.view(np.uint8).data
    filled = 0
    with archive.open(info) as member:
        member.read(info.file_size - layout.nbytes)
        while piece := member.read(min(LONGEST_READ, layout.nbytes - filled)):
            target[filled : filled + len(piece)] = piece
            filled += len(piece)
    if filled < layout.nbytes:
        raise ParameterError(f"{name} is cut off: {filled} of its {layout.nbytes} bytes are there")
    return layout.array(flat)


def write(file: BinaryIO, members: Mapping[str, Any], notes: Mapping[str, str]) -> None:
    """Write members that are allowed, stored, so that the bytes depend on no library; notes have no place."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, value in members.items():
            info = zipfile.ZipInfo(f"{name}.npy")  # of 1980, not of now
            info.create_system = UNIX
            try:
                array = np.asarray(value, np.int64 if isinstance(value, (int, list)) else None)
            except ValueError:
                raise ParameterError(f"{name} is {quoted(value)}; .npz files hold numbers or pairs, not both") from None
            array = array.astype(array.dtype.newbyteorder("<"), copy=False)
            content = io.BytesIO()
            np.lib.format.write_array(content, array, (1, 0), allow_pickle=False)
            archive.writestr(info, content.getbuffer())
