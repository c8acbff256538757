"""Makes array files byte by byte, and compares what is read from them."""

import io
import json
import struct
import zipfile

import numpy as np

ZEROS = bytes(24)  # the numbers of a float32 array of shape (2, 3)


def npy(shape="(2, 3)", data=ZEROS, descr="'<f4'", order="False", version=1, text=None, length=None):
    """A member of an .npz file, right unless it is told otherwise."""
    text = text or f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"
    width = "<H" if version == 1 else "<I"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack(width, length or len(text)) + text.encode() + data


def npz_of(*members, method=zipfile.ZIP_STORED, **more):
    """An .npz file of members: bytes by name, or (name, bytes) where names matter."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, data in (*members, *((f"{name}.npy", data) for name, data in more.items())):
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return content.getvalue()


def patched(data, signature, **fields):
    """A zip with fields of its first record of this signature overwritten."""
    start = data.index(signature)
    for name, value in fields.items():
        form, offset = FIELDS[signature][name]
        data = data[: start + offset] + struct.pack(form, value) + data[start + offset + struct.calcsize(form) :]
    return data


LOCAL, ENTRY, END = b"PK\3\4", b"PK\1\2", b"PK\5\6"
FIELDS = {
    LOCAL: {"flags": ("<H", 6), "method": ("<H", 8), "name_length": ("<H", 26), "extra_length": ("<H", 28)},
    ENTRY: {
        "version": ("<H", 6), "flags": ("<H", 8), "method": ("<H", 10), "crc": ("<I", 16), "compressed": ("<I", 20),
        "size": ("<I", 24), "extra_length": ("<H", 30), "offset": ("<I", 42),
    },
    END: {"entries": ("<H", 10), "directory": ("<I", 12), "start": ("<I", 16)},
}  # fmt: skip


def bin_of(header, data=ZEROS, length=None):
    """A .bin file, right unless it is told otherwise."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(shape=(2, 3), dtype="F32", begin=0, end=24, **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end], **more}


def json_of(value=None, **members):
    members = members or {"x": value}
    return json.dumps(members).encode()


def array_json(shape=(2, 3), dtype="float32", data=(0,) * 6, **more):
    return json_of({"shape": shape, "dtype": dtype, "data": data, **more})


RIGHT = {".npz": npz_of(x=npy()), ".json": array_json(), ".bin": bin_of({"x": entry()})}


def same(read, written):
    """Whether an array has the values, dtype and shape of another, -0.0 and NaN too, in this machine's byte order."""
    native = np.asarray(written, written.dtype.newbyteorder("="))
    assert read.dtype == native.dtype and read.dtype.isnative and read.shape == native.shape
    np.testing.assert_array_equal(read, native, strict=True)
    if read.dtype.kind == "f":
        np.testing.assert_array_equal(np.signbit(read)[~np.isnan(read)], np.signbit(native)[~np.isnan(native)])
