"""Bugs that other convolution libraries shipped: the layer, data and memory of each report, a row for each.

A report without numbers gets small random integers. A report without a shape gets a small one whose extents differ. Of
a report that is too large, channels, filters, images or positions are left out; `note` says which. A transposed
convolution is told as what it is here: its forward pass is dx, its gradient with respect to the input is y.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from report_arrays import (
    after_a_boundary,
    backwards,
    channels_last,
    counting,
    counting_from_1,
    every_second,
    foreign_byte_order,
    integers,
    later_channels,
    middle_of_three,
    numbers,
    odd_unit_strides,
    one_filter_for_all,
    one_tap_for_all,
    read_only,
    spike,
    swapped,
)

import convback
from convback import ConvGeometry

OPERANDS = {"y": ("x", "w"), "dx": ("dy", "w"), "dw": ("dy", "x"), "db": ("dy",)}


@dataclass(frozen=True)
class Report:
    """What was asked for.

    Attributes
    ----------
    name, note : str
    ops : str
        The gradients, or y, that went wrong.
    x, w : tuple of int
        Shapes.
    layer : dict
        Stride, padding, dilation and groups.
    data : function or dict of functions
        Of a shape, for all operands, or for those named.
    layout : dict of functions
        Of an array, for the operands named.
    answers : dict
        What the report says is right, in a shape that broadcasts to the result's.
    """

    name: str
    ops: str
    x: tuple[int, ...]
    w: tuple[int, ...]
    layer: dict[str, Any] = field(default_factory=dict)
    data: Any = None
    layout: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)
    note: str = ""

    @property
    def geom(self) -> ConvGeometry:
        return ConvGeometry(self.x, self.w, **self.layer)

    def operands(self, op: str, dtype: Any) -> list[Any]:
        random = integers(np.random.default_rng(zlib.crc32(self.name.encode())))
        shapes = {"x": self.x, "w": self.w, "dy": self.geom.y_shape}
        data = self.data if isinstance(self.data, dict) else dict.fromkeys(shapes, self.data)
        arrays = {name: (data.get(name) or random)(shapes[name]).astype(dtype) for name in OPERANDS[op]}
        return [self.layout.get(name, np.copy)(array) for name, array in arrays.items()]


def by_report(names, cases):
    """Parametrize a test with cases whose first entry is the name of the report."""
    return pytest.mark.parametrize(names, [pytest.param(*case[1:], id=case[0]) for case in cases])


def by_report_and_op(reports):
    return by_report(("report", "op"), [(f"{r.name}-{op}", r, op) for r in reports for op in r.ops.split()])


def practical(backend, macs):
    """Skip the test if that many products take the backend longer than people wait."""
    if macs > getattr(convback.get_backend(backend), "PRACTICAL_MACS", macs):
        pytest.skip(f"{macs} products take this backend too long")


def images(*values):
    """Numbers given in the order of images whose channels come last."""
    return lambda shape: np.moveaxis(np.reshape(values, (shape[0], *shape[2:], shape[1])), -1, 1)


def kernels(*values):
    """Numbers given in the order kernel, channels, filters."""
    return lambda shape: np.moveaxis(np.reshape(values, (*shape[2:], shape[1], shape[0])), (-1, -2), (0, 1))


SOBEL = numbers(*[-1, 0, 1, -2, 0, 2, -1, 0, 1] * 8)

REPORTS = [
    # Strides, paddings and kernels off the fast path.
    Report("pytorch#25101", "dx", (1, 9, 32, 32), (3, 9, 5, 5), {"stride": 3, "padding": 1}, np.ones),
    Report("pytorch#13008", "dx", (1, 1, 5, 5), (1, 1, 3, 3), {"dilation": 2}),
    Report("pytorch#15501", "y dw", (2, 1, 2), (2, 1, 2), {"stride": 2, "padding": 1, "dilation": 2},
           {"x": numbers(7, 3, 3, 2), "w": numbers(3, 6, 4, 2), "dy": np.ones},
           answers={"y": [[[18], [6]], [[12], [4]]], "dw": [[[0, 5]], [[0, 5]]]}),
    Report("pytorch#63314", "y", (1, 1, 1, 3), (1, 1, 1, 1), {"stride": 2}, {"x": numbers(15, 0, 7), "w": numbers(-8)},
           answers={"y": [[[[-120, -56]]]]}, note="the report's dy times ten, its w rounded"),
    Report("pytorch#60075", "dx dw", (1, 105, 14, 14), (1, 105, 1, 1), {"stride": 14}),
    Report("pytorch#21597", "y", (1, 6, 6, 7), (6, 6, 3, 3), {"padding": 1}, note="the report gives 6 channels only"),
    Report("pytorch/xla#2333", "dx dw", (1, 3, 32, 32), (4, 3, 3, 3), {"stride": 2, "padding": 1},
           note="fewer images and filters"),
    Report("openxla/xla#48713", "dx", (1, 2, 7, 6), (3, 2, 1, 1), {"padding": ((0, 0), (5, 1))},
           note="its dx has the negative padding of the report"),
    Report("mxnet#13876", "dx", (1, 1, 5, 5), (1, 1, 3, 3), {"stride": 2, "padding": 2, "dilation": 2},
           {"dy": spike(np.s_[:, :, 1, 1]), "w": counting_from_1},
           answers={"dx": [[1, 0, 2, 0, 3], [0] * 5, [4, 0, 5, 0, 6], [0] * 5, [7, 0, 8, 0, 9]]}),
    Report("tensorflow#18454", "y dx dw", (1, 1, 7, 7), (1, 1, 3, 3), {"dilation": 2}, np.ones, answers={"y": 9}),
    Report("tensorflow#56498", "y dx dw", (1, 3, 3, 3), (3, 1, 2, 2), {"dilation": 2, "groups": 3}, np.ones,
           answers={"y": 4}),
    Report("tensorflow#11092", "dx dw", (2, 2, 4, 4), (3, 2, 2, 2), {"stride": 4, "padding": "same"}, np.ones,
           answers={"dw": 2, "dx": [[3, 3, 0, 0], [3, 3, 0, 0], [0] * 4, [0] * 4]}),
    Report("tensorflow#11327", "dw", (8, 1, 40, 120), (1, 1, 1, 81), {"padding": (0, 40)},
           note="720 images of 400x600, kernel 401; large enough to be done in blocks"),
    Report("tensorflow#61905", "y dx dw", (1, 2, 1, 65538), (2, 1, 1, 1), {"stride": (1, 65537), "groups": 2}),
    Report("tensorflow#85257", "y dx dw", (2, 3, 4), (2, 3, 4), {"stride": 4538426903074820908}),
    Report("tiny-dnn#332", "dx", (2, 3, 5, 6), (4, 3, 3, 3), {"padding": "same"}),
    Report("burn#4806", "dx", (1, 2, 1603), (3, 2, 4), {"stride": 4}, note="fewer channels and filters"),
    Report("burn#4799", "dx", (1, 2, 163), (3, 2, 4), {"stride": 4, "padding": ((3, 0),)},
           note="fewer channels and filters"),
    Report("candle#1212", "dx dw", (1, 3, 16, 16), (2, 3, 7, 7), {"stride": 2, "padding": 3}),
    Report("candle#633", "dx dw", (1, 3, 64, 64), (2, 3, 16, 16), {"stride": 16}, np.ones, note="224x224, 192 filters"),
    Report("candle#2337", "y dx dw", (1, 4, 9, 7), (3, 4, 3, 2), {"stride": 2}),
    Report("fujitsu/oneDNN#43", "dx", (2, 64, 8), (17, 64, 3), {"stride": 2, "padding": 1}),
    Report("oneDNN#5494", "y dx", (1, 3, 67, 4), (4, 3, 1, 1), {"stride": (3, 1), "padding": ((0, 0), (1, 0))},
           note="fewer channels and filters"),
    Report("MIOpen#575", "dx", (1, 3, 14, 14), (4, 3, 7, 1), {"stride": (3, 1)}, note="64 images, 512 channels"),
    Report("MIOpen#600", "dw", (1, 2, 32, 32), (3, 2, 3, 3), note="16 images, 64 channels, 256 filters"),
    Report("MIOpen#670", "dw", (2, 3, 28, 28), (5, 3, 1, 1), note="256 images, 128 channels, 512 filters"),
    Report("MIOpen#1672", "dx", (2, 3, 1, 18, 18), (4, 3, 1, 1, 1), note="8 images, 32 channels and filters"),
    Report("MIOpen#2770", "dw", (1, 1, 130, 34), (1, 1, 3, 3), note="130x130, 64 channels and filters"),
    Report("MIOpen#2809", "dw", (1, 1, 8, 16, 12), (1, 1, 3, 3, 3), {"padding": 1}, note="256x512x384"),
    Report("rocm-libraries#7024", "y dw", (1, 1, 30, 32), (1, 1, 23, 23), note="48x50"),
    Report("rocm-libraries#8029", "dw", (8, 2, 6, 6, 6), (3, 2, 1, 1, 1), note="16x16x16, 16 channels and filters"),
    Report("pytorch#96225", "dw", (65536, 1, 1, 1), (1, 1, 1, 1), data=np.ones, answers={"dw": 65536}),
    Report("ncnn#1014", "y dw", (1, 3, 18, 18), (4, 3, 3, 3), {"stride": 2, "padding": 1}),
    Report("modular#6248", "y", (1, 8, 6, 5), (16, 8, 3, 3)),
    Report("modular#6461", "y dx dw", (1, 2, 1, 50), (3, 2, 1, 14), {"padding": (0, 13), "dilation": (1, 3)}),
    Report("ppl.nn#461", "y dx dw", (1, 2, 4, 5), (3, 2, 2, 3), {"padding": (3, 4)}),
    Report("tvm#8087", "y dw", (2, 4, 14, 14), (3, 4, 1, 1), {"stride": 2, "padding": 1}, note="62x62, 16 channels"),
    Report("tvm#16354", "dx", (6, 1, 1, 1), (3, 1, 1, 1), data=np.ones, answers={"dx": 3}),
    Report("CNTK#909", "y dx dw", (2, 3, 5, 6), (2, 3, 2, 4), {"padding": ((0, 1), (1, 2))}),
    Report("root#21793", "y dx dw", (1, 2, 6, 7), (3, 2, 3, 2), {"stride": 2, "padding": "same_lower"}),
    Report("tinygrad#73", "dx", (2, 3, 5, 6), (4, 3, 3, 2), {"padding": ((0, 2), (1, 0))}),
    Report("CMU10-714#6", "dx dw", (1, 1, 16, 16), (1, 1, 7, 7), {"stride": 3, "padding": 2}),

    # Axes, channels or images mixed up.
    Report("NNPACK#15", "dw", (2, 3, 7, 9), (4, 3, 3, 2)),
    Report("mlpack#3376", "dx", (1, 1, 10, 10), (16, 1, 3, 5)),
    Report("np-conv2d#2", "dx", (2, 3, 9, 6), (4, 3, 3, 2), {"stride": (1, 2), "padding": (1, 0)}),
    Report("torch/cunn#470", "dx dw", (2, 3, 5, 9), (3, 1, 2, 4), {"groups": 3}),
    Report("systemds#541", "dx", (2, 3, 5, 6), (4, 3, 3, 2)),
    Report("neon#111", "dx", (2, 3, 5, 6), (4, 3, 3, 2), {"padding": 1}),
    Report("MyGrad#74", "dx", (2, 3, 5, 4, 3), (2, 3, 2, 3, 2)),
    Report("nntrainer#705", "dx dw", (2, 3, 5, 6), (1, 3, 3, 2)),
    Report("cTensor#3", "dw", (2, 3, 5, 6), (4, 3, 3, 2), {"stride": 2}),
    Report("LBANN#1022", "dw", (5, 2, 4, 3), (3, 2, 2, 2)),
    Report("mlpack#3679", "db", (3, 2, 4, 5), (4, 2, 2, 3)),

    # Groups, and a channel a group.
    Report("pytorch#50042", "dw", (1, 24, 6, 6), (24, 1, 3, 3), {"stride": 2, "padding": 1, "groups": 24}, np.ones,
           answers={"dw": [[4, 6, 6], [6, 9, 9], [6, 9, 9]]}),
    Report("oneDNN#4124", "dw", (1, 24, 6, 6), (24, 1, 3, 3), {"stride": 2, "padding": 1, "groups": 24}),
    Report("pytorch#68868", "dw", (2, 6, 8, 8, 8), (6, 2, 2, 2, 2), {"stride": (4, 4, 1), "padding": 1, "groups": 3},
           note="720 channels and filters"),
    Report("pytorch#51430", "dw", (2, 8, 8, 8), (16, 2, 3, 3), {"padding": 1, "groups": 4}),
    Report("pytorch#19912", "y", (1, 4, 1, 1), (16, 2, 1, 1), {"groups": 2}, {"x": spike(np.s_[:, 3]), "w": np.ones},
           answers={"y": np.reshape([0] * 8 + [1] * 8, (1, 16, 1, 1))}),
    Report("pytorch#18463", "y dx dw", (2, 4, 6, 6), (16, 2, 3, 3), {"groups": 2}),
    Report("pytorch#15297", "y dx", (1, 8, 5, 5), (8, 1, 3, 3), {"groups": 8}, {"w": SOBEL}, {"w": one_filter_for_all},
           note="w times eight"),
    Report("pytorch#23042", "y", (1, 2, 824), (2, 1, 25), {"stride": 2, "groups": 2}, layout={"w": one_filter_for_all},
           note="8024 positions"),
    Report("burn#1891", "dx dw", (1, 4, 4, 4), (4, 1, 3, 3), {"stride": 2, "padding": 1, "groups": 4},
           {"x": counting, "w": counting, "dy": np.ones}),
    Report("burn#3415", "y", (1, 2, 8, 8), (16, 1, 3, 3), {"padding": "same", "groups": 2}, np.ones),
    Report("burn#3511", "dx dw", (1, 48, 8, 8), (12, 4, 3, 3), {"stride": 2, "groups": 12}, np.ones),
    Report("burn#3533", "dx dw", (1, 4, 4, 5, 6), (6, 2, 3, 2, 2), {"stride": 2, "groups": 2}),
    Report("iree#22405", "dw", (4, 16, 8, 8), (32, 4, 1, 1), {"stride": 2, "groups": 4}),
    Report("iree#23786", "dw", (2, 6, 12, 8), (6, 2, 3, 3), {"stride": 2, "padding": 1, "groups": 3},
           note="16 images of 48x32, 288 channels and filters"),
    Report("mlx#2184", "dw", (3, 4, 5, 5), (6, 2, 2, 2), {"stride": (2, 1), "groups": 2},
           layout={"x": channels_last, "dy": channels_last}),
    Report("mlx#3800", "dx", (1, 4, 9, 8), (4, 1, 3, 3), {"stride": 2, "padding": 1, "groups": 4}),
    Report("opencv#23046", "y", (1, 2, 19, 19, 19), (2, 1, 3, 3, 3), {"stride": 2, "padding": 1, "groups": 2}),
    Report("Reactant.jl#331", "dx dw", (1, 4, 4, 4), (8, 1, 3, 3), {"groups": 4}),

    # Operands that lie in memory in some other way.
    Report("pytorch#16018", "y dx", (2, 3, 5, 6), (4, 3, 3, 2), layout={"w": swapped}),
    Report("pytorch#1246", "y dx", (3, 3, 2, 2), (3, 3, 2, 2), data={"x": np.ones}, layout={"w": every_second}),
    Report("pytorch#16557", "y dx", (1, 1, 1, 1), (2, 1, 1, 1), data=np.ones, layout={"w": one_filter_for_all},
           answers={"y": 1}),
    Report("pytorch#4500", "y", (1, 1, 3), (1, 1, 2), {"stride": 2, "dilation": 2}, np.ones, {"w": one_tap_for_all},
           answers={"y": 2}),
    Report("pytorch#192212", "y dx", (2, 32, 64, 256), (3, 32, 3, 3), layout={"w": middle_of_three},
           note="128 channels; large enough to be done in blocks"),
    Report("pytorch#55781", "y dx", (1, 16, 4, 4), (32, 16, 1, 1), data={"x": np.ones, "w": counting},
           layout={"w": every_second}, note="64 images of 16x16, w times 512"),
    Report("pytorch#77299", "y dw", (1, 3, 7, 7), (5, 3, 3, 3), layout={"x": channels_last}),
    Report("pytorch#674", "dx dw", (4, 5, 6), (10, 5, 2), layout={"x": channels_last}),
    Report("pytorch#195394", "y dw", (2, 4, 1, 1), (1, 4, 125, 1), {"stride": 2, "padding": (63, 62)},
           layout={"x": odd_unit_strides}, note="64 channels, and padding 63 on both axes, of which all is zero"),
    Report("torch-xpu-ops#4906", "dw", (2, 4, 1), (4, 1, 2), {"padding": 1, "groups": 4},
           {"dy": spike(np.s_[..., 0], 7)}, {"x": odd_unit_strides}),
    Report("torch-xpu-ops#3105", "y dx dw", (2, 3, 5, 6), (4, 3, 3, 2),
           layout=dict.fromkeys(("x", "w", "dy"), after_a_boundary(8))),
    Report("opencv#21426", "y dx", (2, 3, 5, 6), (4, 3, 3, 2), layout={"w": after_a_boundary(1)}),
    Report("candle#3735", "y dx dw", (1, 2, 3, 3), (2, 2, 2, 2), data={"x": counting_from_1, "w": counting_from_1},
           layout={"w": swapped}),
    Report("candle#3736", "y dx", (1, 2, 3, 4), (3, 2, 1, 1), layout={"w": later_channels}),
    Report("cupy#10303", "y dw", (1, 1, 31), (1, 1, 31), {"padding": "full"}, {"x": spike(np.s_[..., 15])},
           {"x": backwards, "dy": backwards}),
    Report("cupy#2744", "y", (1, 3, 1), (3, 3, 1), data=counting, layout={"x": foreign_byte_order},
           answers={"y": [[5], [14], [23]]}),
    Report("bottleneck#104", "db", (1, 1, 10), (1, 1, 1), data=np.ones, layout={"dy": foreign_byte_order},
           answers={"db": 10}),
    Report("cython#1605", "y dx dw db", (2, 3, 5, 6), (4, 3, 3, 2),
           layout=dict.fromkeys(("x", "w", "dy"), read_only)),
    Report("oneDNN#6035", "dw", (2, 4, 32, 32), (8, 4, 1, 1), {"stride": 2},
           layout={"x": channels_last, "dy": channels_last}, note="32 images"),
    Report("modular#6712", "y dx dw", (2, 3, 1, 9), (4, 3, 1, 8), {"padding": (0, 7)}, layout={"x": channels_last}),
    Report("tensorflow_macos#230", "dx dw", (1, 2, 3, 3), (1, 2, 2, 2),
           data={"x": images(*range(18)), "w": kernels(*range(8)), "dy": np.ones},
           answers={"dx": images(0, 1, 2, 4, 2, 3, 4, 6, 12, 16, 8, 10, 4, 5, 10, 12, 6, 7)((1, 2, 3, 3)),
                    "dw": kernels(16, 20, 24, 28, 40, 44, 48, 52)((1, 2, 2, 2))}),

    # Results that were never written, added to what was there, or made of what lies beside an operand.
    Report("NNlib.jl#763", "y dx dw db", (0, 3, 8, 8), (4, 3, 3, 3), {"padding": 1}, answers={"dw": 0, "db": 0}),
    Report("tensorflow#126484", "dw", (0, 3, 8, 8), (6, 1, 3, 3), {"padding": 1, "groups": 3}, answers={"dw": 0}),
    Report("NNlib.jl#147", "y", (1, 3, 10, 10), (6, 1, 3, 3), {"padding": 1, "groups": 3}),
    Report("NNlib.jl#203", "y", (2, 3, 12, 10), (4, 3, 4, 4), data={"x": np.zeros, "w": np.ones}, answers={"y": 0},
           note="32 images of 100x100, 10 channels, 30 filters"),
    Report("NNlib.jl#538", "dx", (3, 1, 1), (1, 1, 1), data={"dy": numbers(11, 13, 15), "w": np.ones},
           answers={"dx": np.reshape([11, 13, 15], (3, 1, 1))}, note="a hundredfold; here `out` is never added to"),
    Report("pytorch#54136", "y", (1, 1, 12, 20), (16, 1, 3, 3), note="80x140"),
    Report("tensorflow#24196", "y dw", (5, 3, 6, 6), (2, 3, 3, 3), {"padding": 1},
           {"x": spike(np.s_[:, -1, -1, 0], 10**5)}, note="100 images of 64x64 with 1e10"),

    # Sums that stop growing.
    Report("pytorch#68048", "db", (1, 1, 80, 80), (2, 1, 3, 3), {"stride": 2, "padding": 1}, np.ones,
           answers={"db": 1600}),
]  # fmt: skip
