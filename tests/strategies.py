"""What Hypothesis draws: layers that are legal by the way they are made, calls of convback's functions, and layouts."""

from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import permutations

import numpy as np
from convback_tools.conformance.layouts import LAYOUTS, READABLE, Layout
from convback_tools.verification import oracle
from convback_tools.verification.challenges import pair
from convback_tools.verification.question import Question
from hypothesis import strategies as st

from convback import ConvGeometry
from convback.contract import OPS
from convback.geometry import PADDING_WORDS, effective_kernel

DTYPES = ("float32", "float64")
MODES = ("cross-correlation", "convolution")
OPERANDS = {"conv": "x w b", "dx": "dy w", "dw": "dy x", "db": "dy", "backward": "dy x w"}
GRADIENTS = ("dx", "dw", "db")
FAR = 2**61
MOST_ROOM = (3, 6, 40)  # how far x may exceed its least extent on each axis; rows are longest


@dataclass(frozen=True)
class Layer:
    """A legal layer with operands; `parameters` are as a caller spells them."""

    geom: ConvGeometry
    parameters: dict
    dtype: np.dtype
    seed: int

    @cached_property
    def arrays(self):
        """Integers so small that every sum is exact."""
        # Half of what keeps sums of products exact leaves room for the bias: K (B/2)^2 + B/2 <= K B^2.
        bound = min(Question(op, self.geom, self.dtype).integer_bound for op in OPS) // 2
        random = np.random.default_rng(self.seed)
        shapes = {"x": self.geom.x_shape, "w": self.geom.w_shape, "dy": self.geom.y_shape, "b": (self.geom.F,)}
        return {name: random.integers(-bound, bound + 1, shape).astype(self.dtype) for name, shape in shapes.items()}

    def in_other_dtype(self):
        return replace(self, dtype=np.dtype({"f": "d", "d": "f"}[self.dtype.char]))

    def right(self, op, arrays, bias=False):
        """What "y" or a gradient must be for these operands."""
        turn = -1 if self.parameters["mode"] == "convolution" else 1
        turned = (..., *(slice(None, None, turn),) * self.geom.rank)
        arrays = {**arrays, "w": arrays["w"][turned]}
        question = Question(op, self.geom, self.dtype)
        result = oracle.gradient(op, question.layer, *pair(tuple(arrays[name] for name in question.operand_names)))
        if op == "y" and bias:
            result += arrays["b"].reshape(-1, *(1,) * self.geom.rank)
        return (result[turned] if op == "dw" else result).astype(self.dtype)


@st.composite
def layers(draw, may_be_empty=True):
    """Layers of one to three dimensions. x is drawn last, with room for all the rest, so that none is rejected."""
    rank = draw(st.integers(1, 3))
    nothing = draw(st.sampled_from([None] * 20 + ["N", "C", "F", "x"])) if may_be_empty else None
    n, channels, filters = (draw(st.integers(1, 3)) * (extent != nothing) for extent in "NCF")
    groups = draw(st.integers(1, 3))
    kernel = draw(each_of(rank, st.integers(1, 5 - rank)))
    # A step that is never taken may have any length.
    stride = draw(each_of(rank, st.sampled_from([1] * 10 + [2] * 6 + [3] * 3 + [4, FAR])))
    dilation = tuple(draw(st.sampled_from([1] * 8 + [2] * 4 + [3] * 2 + [FAR] * (k == 1))) for k in kernel)
    reach = tuple(map(effective_kernel, kernel, dilation))
    padding = draw(paddings(reach))
    least = least_extents(padding, reach, 0 if nothing == "x" else 1)
    room = (draw(st.integers(0, 2) | st.integers(0, most)) for most in MOST_ROOM[-rank:])
    space = map(sum, zip(least, room, strict=True))
    x_shape, w_shape = (n, groups * channels, *space), (groups * filters, channels, *kernel)
    geom = ConvGeometry(x_shape, w_shape, stride, padding, dilation, groups)
    parameters = {
        "stride": draw(spellings(stride)), "padding": padding, "dilation": draw(spellings(dilation)), "groups": groups,
        "mode": draw(st.sampled_from(MODES)),
    }  # fmt: skip
    return Layer(geom, parameters, np.dtype(draw(st.sampled_from(DTYPES))), draw(st.integers(0, 99)))


def each_of(rank, strategy):
    return st.tuples(*[strategy] * rank)


def spellings(numbers):
    """One number an axis, or a single one where all are equal."""
    return st.sampled_from([numbers, list(numbers)] + [numbers[0]] * (len(set(numbers)) == 1))


def paddings(reach):
    """A word, a number for all sides, or numbers and pairs; up to one zero more than the first tap can skip."""
    axes = [st.integers(0, r) | st.tuples(st.integers(0, r), st.integers(0, r)) for r in reach]
    return st.sampled_from(PADDING_WORDS) | st.integers(0, max(reach)) | st.tuples(*axes)


def least_extents(padding, reach, least):
    """The smallest extents of x from `least` on that have room for the kernel."""
    if isinstance(padding, str):
        return [{"valid": r, "full": max(least, 2 - r)}.get(padding, 1) for r in reach]
    sides = [padding] * len(reach) if isinstance(padding, int) else padding
    return [max(least, r - (2 * p if isinstance(p, int) else sum(p))) for r, p in zip(reach, sides, strict=True)]


def layouts(out):
    """Ways to hold an array in memory; those for an `out` give each element a place of its own, and can be written."""
    steps = [1, 1, 1, -1, 2, -2] + [0] * (not out)
    anyhow = st.builds(
        Layout,
        order=st.sampled_from(list(permutations((4, 3, 2, 1, 0)))),
        steps=each_of(5, st.sampled_from(steps)),
        lonely=st.none() | st.integers(-(2**40), 2**40),
        offset=st.sampled_from([0, 0, 4, 8, 1]),
        swapped=st.booleans(),
        read_only=st.just(False) if out else st.booleans(),
    )
    return st.sampled_from(list((LAYOUTS if out else READABLE).values())) | anyhow


@dataclass(frozen=True)
class Call:
    """A function of convback, with a layout for each operand and each result; None stands for none given."""

    function: str
    operands: dict
    outs: dict


@cache
def calls():
    """Calls of every function for all it can be asked for."""
    operand, out = layouts(out=False), st.none() | layouts(out=True)
    results = {function: st.fixed_dictionaries({function: out}) for function in GRADIENTS}
    results["conv"] = st.fixed_dictionaries({"y": out})
    results["backward"] = st.fixed_dictionaries({}, optional=dict.fromkeys(GRADIENTS, out)).filter(bool)
    return st.one_of(
        st.builds(Call, st.just(function), st.fixed_dictionaries(given_to(function, operand)), outs)
        for function, outs in results.items()
    )


def given_to(function, operand):
    return {name: operand if name != "b" else st.none() | operand for name in OPERANDS[function].split()}
