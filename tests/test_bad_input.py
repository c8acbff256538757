"""What is wrong is refused: by the right error, in words, before anything is written or allocated, planned or not."""

import math
import tracemalloc

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

import convback
from convback import ConvbackError, DTypeError, Gradients, ParameterError, ShapeError, UnknownBackend

X, W, Y, GROUPS = (2, 4, 5, 6), (6, 2, 3, 2), (2, 6, 3, 5), 2
OPS = {
    "conv": (convback.conv, ("x", "w", "b", "groups")),
    "dx": (convback.dx, ("dy", "w", "x_shape", "groups")),
    "dw": (convback.dw, ("dy", "x", "w_shape", "groups")),
    "db": (convback.db, ("dy",)),
    "backward": (convback.backward, ("dy", "x", "w", "groups")),
    "ConvGeometry": (convback.ConvGeometry, ("x_shape", "w_shape", "groups")),
    "set_num_threads": (convback.set_num_threads, ()),
    "get_backend": (convback.get_backend, ()),
    "set_default_backend": (convback.set_default_backend, ()),
    "use_backend": (lambda name: convback.use_backend(name).__enter__(), ()),
    "use_accuracy": (lambda accuracy: convback.use_accuracy(accuracy).__enter__(), ()),
}
LAYER_OPS = ("conv", "dx", "dw", "backward")
# Each place for a result: the operation, and the shape of the result.
OUTS = {
    "conv.out": ("conv", Y), "dx.out": ("dx", X), "dw.out": ("dw", W), "db.out": ("db", (6,)),
    "backward.out.dx": ("backward", X), "backward.out.dw": ("backward", W), "backward.out.db": ("backward", (6,)),
}  # fmt: skip
ARRAYS = [(op, name) for op in ("db", *LAYER_OPS) for name in OPS[op][1] if name in ("x", "w", "b", "dy")]


class Layer:
    """Right arguments for every function; a call replaces some of them by wrong ones."""

    def __init__(self):
        random = np.random.default_rng(0)
        self.x, self.w, self.dy, self.b = (random.integers(-9, 9, s).astype("f4") for s in (X, W, Y, (6,)))
        self.x_shape, self.w_shape, self.groups = X, W, GROUPS
        self.pool = np.full(1000, 7, "f4")  # the memory of each `out`

    def arguments(self, op, given):
        return {name: getattr(self, name) for name in OPS[op][1]} | (given(self) if callable(given) else given)

    def right_calls(self, **given):
        conv, dx, dw, gradients = (OPS[op][0](**self.arguments(op, given)) for op in LAYER_OPS)
        return [a.tobytes() for a in (conv, dx, dw, *gradients, convback.db(self.dy))]

    def state(self):
        arrays = [a.tobytes() for a in (self.x, self.w, self.dy, self.b, self.pool)]
        return arrays, convback.current_backend(), convback.current_accuracy(), convback.get_num_threads()


BAD = {}  # name of the case: (operation, wrong arguments or a function of a Layer that makes them, error, texts)


def bad(kind, ops, given, error, *texts):
    for op in ops:
        assert f"{op}: {kind}" not in BAD
        BAD[f"{op}: {kind}"] = op, given, error, texts


def instead_of(name, make):
    return lambda layer: {name: make(getattr(layer, name))}


def with_out(place, make, start=0):
    """An `out` made from a right one, which begins at this element of the pool."""
    shape, gradient = OUTS[place][1], place.partition("out.")[2]

    def given(layer):
        out = make(layer.pool[start : start + math.prod(shape)].reshape(shape))
        return {"out": Gradients(**{gradient: out}) if gradient else out}

    return given


# Numbers: stride, dilation, groups, padding.

NUMBERS = {
    "negative": -1, "zero": 0, "float": 1.0, "bool": True, "string": "1", "None": None, "nan": math.nan, "complex": 1j,
    "numpy float": np.float64(1), "numpy bool": np.True_, "float array": np.array(1.0), "bool array": np.array(True),
    "set": {1}, "beyond 64 bits": 2**63, "beyond 62 bits": 2**62,
}  # fmt: skip
SEQUENCES = {
    "too long": ((1, 1, 1), " is (1, 1, 1), with 3 entries"), "too short": ([1], " is [1], with 1 entries"),
    "empty": ((), " is (), with 0 entries"), "of floats": ((1, 1.0), "[1] is 1.0"),
    "of bools": ([True, 1], "[0] is True"), "with None": ((1, None), "[1] is None"),
    "with word": ((1, "2"), "[1] is '2'"), "with negative": ((1, -2), "[1] is -2"),
    "array of floats": (np.ones(2), "[0] is np.float64(1.0)"), "array of bools": (np.ones(2, bool), "[0] is np.True_"),
    "long array": (np.arange(4), " is array([0, 1, 2, 3]), with 4 entries"),
}  # fmt: skip
PADDINGS = {
    "pair of one": (((1,), 1), "padding[0] is (1,)"), "pair of three": ((1, (1, 2, 3)), "padding[1] is (1, 2, 3)"),
    "too deep": ((((1, 1), 1), 1), "padding[0][0] is (1, 1)"), "negative pair": (((0, 0), (0, -3)), "[1][1] is -3"),
    "nan pair": (((0, math.nan), 0), "padding[0][1] is nan"), "bool pair": (((True, 0), 0), "[0][0] is True"),
    "word in a pair": ((("same", 0), 0), "padding[0][0] is 'same'"), "words": (("same", "same"), "[0] is 'same'"),
    "typo": ("smae", "'smae'. Did you mean 'same'?"), "capitals": ("VALID", "'VALID'. Did you mean 'valid'?"),
    "unknown word": ("reflect", "'reflect'. Expected 'valid'"), "empty word": ("", "''"), "bytes": (b"same", "b'same'"),
}  # fmt: skip
WITH_GEOMETRY = (*LAYER_OPS, "ConvGeometry")
for name in ("stride", "dilation", "groups", "padding"):
    for kind, value in NUMBERS.items():
        if (name, kind) != ("padding", "zero"):
            bad(f"{name} {kind}", WITH_GEOMETRY, {name: value}, ParameterError, f"{name} is {value!r}")
    bad(f"{name} unprintable", WITH_GEOMETRY, {name: 10**5000}, ParameterError, f"{name} is <int")
for name in ("stride", "dilation", "padding"):
    for kind, (value, text) in SEQUENCES.items():
        bad(f"{name} {kind}", WITH_GEOMETRY, {name: value}, ParameterError, name + text)
for name in ("stride", "dilation"):
    bad(f"{name} nested", WITH_GEOMETRY, {name: (1, (1, 1))}, ParameterError, f"{name}[1] is (1, 1)")
for kind, (value, text) in PADDINGS.items():
    bad(f"padding {kind}", WITH_GEOMETRY, {"padding": value}, ParameterError, text)
for value in ((2,), [1, 1]):
    bad(f"groups {value}", WITH_GEOMETRY, {"groups": value}, ParameterError, f"groups is {value}")
for value, text in ((3, "does not divide C=4"), (4, "does not divide F=6"), (1, str(W))):
    bad(f"groups {value}", WITH_GEOMETRY, {"groups": value}, ShapeError, f"groups={value}", text)
bad("kernel beyond x", WITH_GEOMETRY, {"dilation": (3, 1)}, ShapeError, "covers 7 positions", "5 = 5 + padding 0 + 0")
bad("dilation beyond 2**62", WITH_GEOMETRY, {"dilation": 2**61}, ShapeError, str(2**62 + 1))
bad("y beyond memory", WITH_GEOMETRY, {"padding": 10**10}, ShapeError, str(2 * 10**10 + 3), "addressed")
bad("1-D pair", ["ConvGeometry"], {"x_shape": X[:3], "w_shape": W[:3], "padding": (1, 2)}, ParameterError, "((1, 2),)")

# Shapes, as arguments and of operands.

SHAPES = {
    "of floats": (lambda s: (float(s[0]), *s[1:]), "[0] is {0[0]!r}"),
    "array of floats": (np.float64, "[0] is np.float64("), "with nan": (lambda s: (*s[:3], math.nan), "[3] is nan"),
    "with bool": (lambda s: (*s[:3], True), "[3] is True"), "with string": (lambda s: (*s[:3], "6"), "[3] is '6'"),
    "negative": (lambda s: (-1, *s[1:]), "[0] is -1"), "string": (lambda s: "2456", " is '2456'"),
    "bytes": (lambda s: b"2456", " is b'2456'"), "int": (lambda s: 5, " is 5"), "None": (lambda s: None, " is None"),
    "set": (lambda s: {2, 4}, " is {0}"), "iterator": (iter, " is <tuple_iterator"), "empty": (lambda s: (), " is ()"),
    "too short": (lambda s: s[:2], " is {0}"), "too long": (lambda s: s * 2, " is {0}"),
    "of other rank": (lambda s: s[:3], " {0} has 3"), "array, not its shape": (np.zeros, "[0] is array("),
    "nested": (lambda s: [[[[1.0]]]] * 4, "[0] is [[[1.0]]]"),
    "beyond 64 bits": (lambda s: (2**63, *s[1:]), f"[0] is {2**63}"),
    "unprintable": (lambda s: (10**5000,), "[0] is <int"),
    "huge": (lambda s: (10**10, s[1], 10**10, 10**10), " {0} is more"),
    "endless": (lambda s: s * 999, " is ({0[0]}, {0[1]}"),
}  # fmt: skip
for name, right, op in (("x_shape", X, "dx"), ("w_shape", W, "dw")):
    for kind, (make, text) in SHAPES.items():
        value = make(right)
        if (name, kind) != ("w_shape", "huge"):  # no x could be as large
            bad(f"{name} {kind}", (op, "ConvGeometry"), {name: value}, ShapeError, name + text.format(value))
for op, name, shape, *texts in [
    ("dx", "x_shape", (2, 4, 5, 7), str(Y), "(2, 6, 3, 6)"), ("dx", "x_shape", (3, 4, 5, 6), str(Y), "(3, 6, 3, 5)"),
    ("dw", "w_shape", (4, 2, 3, 2), str(Y), "(2, 4, 3, 5)"), ("dw", "w_shape", (6, 4, 3, 2), "(6, 4, 3, 2) has 4"),
    ("dw", "w_shape", (6, 2, 0, 2), "(6, 2, 0, 2)"), ("dw", "w_shape", (6, 2, 6, 2), "covers 6 positions"),
]:  # fmt: skip
    bad(f"{name} {shape}", [op], {name: shape}, ShapeError, *texts)
bad("same of nothing", ["dx"], {"x_shape": (2, 4, 0, 0), "padding": "same"}, ShapeError, "2 = 0 + padding 1 + 1")
for op, name, index, text in [
    ("conv", "x", np.s_[0, 0], "(5, 6)"), ("conv", "x", np.s_[..., None, None], "(2, 4, 5, 6, 1, 1)"),
    ("conv", "x", np.s_[0], "(4, 5, 6) has 3 axes"), ("conv", "w", np.s_[..., None], "(6, 2, 3, 2, 1) has 5"),
    ("conv", "w", np.s_[:, :1], "(6, 1, 3, 2) has 1 channels"), ("conv", "x", np.s_[:, :3], "does not divide C=3"),
    ("conv", "w", np.s_[:5], "does not divide F=5"), ("conv", "x", np.s_[..., :2, :], "covers 3 positions"),
    ("conv", "w", np.s_[..., :0], "(6, 2, 3, 0)"), ("conv", "x", np.s_[..., :0], "the padded input has: 0"),
    ("conv", "b", np.s_[:5], "(5,); expected (6,)"), ("conv", "b", np.s_[:, None], "(6, 1)"),
    ("conv", "b", np.s_[:1], "(1,)"), ("conv", "b", np.s_[0, ...], "()"),
    ("dx", "dy", np.s_[..., :1], "(2, 6, 3, 1); expected (2, 6, 3, 5)"), ("dx", "dy", np.s_[0], "(6, 3, 5)"),
    ("dx", "w", np.s_[:4], "(2, 4, 3, 5)"), ("dx", "w", np.s_[0], "(2, 3, 2)"),
    ("dw", "x", np.s_[:1], "(1, 6, 3, 5)"), ("dw", "x", np.s_[..., 0], "(2, 4, 5) has 3 axes"),
    ("dw", "dy", np.s_[:, :3], "(2, 3, 3, 5)"), ("db", "dy", np.s_[0, 0], "(3, 5)"),
    ("db", "dy", np.s_[..., None, None], "(2, 6, 3, 5, 1, 1)"), ("backward", "dy", np.s_[:1], "(1, 6, 3, 5); expected"),
    ("backward", "x", np.s_[:, :2], "(2, 2, 5, 6)"), ("backward", "w", np.s_[..., :1], "(2, 6, 3, 6)"),
]:  # fmt: skip
    bad(f"{name} {text}", [op], instead_of(name, lambda a, index=index: a[index]), ShapeError, text)


# What is no array of float32 or float64, and what is not of the dtype of the others.


class Duck:
    """Has whatever an array has, without being one."""

    def __init__(self, array):
        self.array = array

    def __getattr__(self, name):
        return getattr(self.array, name)


DTYPES = ("int64", "bool", "complex64", "float16", "longdouble", "object", "U3", ">i4")
NO_ARRAYS = {
    **{dtype: (lambda a, dtype=dtype: a.astype(dtype), f"has dtype {np.dtype(dtype)};") for dtype in DTYPES},
    "structured": (lambda a: np.zeros(a.shape, [("re", "f4")]), "has dtype [('re', '<f4')];"),
    "StringDType": (lambda a: np.full(a.shape, "1", np.dtypes.StringDType()), "has dtype StringDType();"),
    "datetime64": (lambda a: np.zeros(a.shape, "M8[s]"), "has dtype datetime64[s];"),
    "masked": (lambda a: np.ma.masked_equal(a, 1), "is a masked array"), "list": (lambda a: a.tolist(), "is a list;"),
    "memoryview": (memoryview, "is a memoryview;"), "float": (lambda a: 1.0, "is a float;"),
    "duck": (Duck, "is a Duck;"), "numpy number": (lambda a: np.float32(1), "is a float32;"),
    "type": (type, "is a type;"),
}  # fmt: skip
for kind, (make, text) in NO_ARRAYS.items():
    for op, name in ARRAYS:
        bad(f"{name} {kind}", [op], instead_of(name, make), DTypeError, f"{name} {text}")
    for place, (op, _) in OUTS.items():
        bad(f"{place} {kind}", [op], with_out(place, make), DTypeError, f"{place.partition('.')[2]} ", text)
for op, name in ARRAYS:
    if name != "b":
        bad(f"{name} None", [op], {name: None}, DTypeError, f"{name} is a NoneType")
    if op != "db":
        bad(f"{name} is float64", [op], instead_of(name, np.float64), DTypeError, f"{name} is float64", "is float32")

# Places for results.


def read_only(array):
    array.flags.writeable = False
    return array


def overlapping(name, place, last):
    """An operand that lies in the pool, and an `out` that begins at its first or its last element."""

    def given(layer):
        operand = getattr(layer, name)
        copy = layer.pool[: operand.size].reshape(operand.shape)
        copy[...] = operand
        return {name: copy} | with_out(place, lambda out: out, start=operand.size - 1 if last else 0)(layer)

    return given


WRONG_OUTS = {
    "too short": (lambda a: a[1:], ShapeError, "has shape ("),
    "deeper": (lambda a: a[None], ShapeError, "has shape (1, "),
    "of other dtype": (np.float64, DTypeError, "has dtype float64; expected float32"),
    "read-only": (read_only, ParameterError, "is read-only"),
    "in one place": (lambda a: as_strided(a, strides=(0,) * a.ndim), ParameterError, "has strides (0,"),
    "half overlapping": (lambda a: as_strided(a, strides=(2,) * a.ndim), ParameterError, "has strides (2,"),
}  # fmt: skip
for place, (op, _) in OUTS.items():
    label = place.partition(".")[2]
    for kind, (make, error, text) in WRONG_OUTS.items():
        bad(f"{label} {kind}", [op], with_out(place, make), error, f"{label} {text}")
    for kind, last in (("over", False), ("partly over", True)):
        for name in (name for array_op, name in ARRAYS if array_op == op):
            text = f"{label} shares memory with {name}"
            bad(f"{label} {kind} {name}", [op], overlapping(name, place, last), ParameterError, text)
for op, kind, given, *texts in [
    ("conv", "out endless", lambda a: {"padding": 10**4, "out": as_strided(a.pool, (2, 6, 20003, 20005), (0,) * 4)},
     "out has strides (0, 0, 0, 0) for shape (2, 6, 20003, 20005)"),
    ("conv", "out crossing itself", lambda a: {"out": as_strided(a.pool, Y, (1600, 40, 48, 4))}, "(1600, 40, 48, 4)"),
    ("backward", "crossing outs", lambda a: {"out": Gradients(a.pool[:240].reshape(X), a.pool[239:311].reshape(W))},
     "out.dw shares memory with out.dx"),
    ("backward", "out not needed", lambda a: {"need": ("dx", "db"), "out": Gradients(dw=a.pool[:72].reshape(W))},
     "out.dw is given", "('dx', 'db')"),
]:  # fmt: skip
    bad(kind, [op], given, ParameterError, *texts)
for make in (tuple, list, dict.fromkeys, np.array):
    text = f"out is a {type(make(range(3))).__name__}; expected convback.Gradients"
    bad(text, ["backward"], {"out": make(range(3))}, ParameterError, text)

# Words: what is needed, the mode, the accuracy, the backend.

NEEDS = {
    "empty": (), "empty list": [], "empty word": "", "unknown": ("dx", "dy"), "unknown word": "all", "None": None,
    "number": 5, "bool": True, "unhashable": ([],), "of None": ("dx", None), "of arrays": (np.zeros(2),),
    "array": np.zeros(2), "joined": "dx,dw", "capital": "DX",
}  # fmt: skip
for kind, value in NEEDS.items():
    bad(f"need {kind}", ["backward"], {"need": value}, ParameterError, f"need is {value!r}")
for value in ("conv", "", None, 1, [], np.zeros(2)):
    bad(f"mode {value!r}", LAYER_OPS, {"mode": value}, ParameterError, f"mode is {value!r}")
for value in ("exact", "", 1, True, ["fast"], np.zeros(2)):
    text = f"accuracy is {value!r}"
    bad(text, (*LAYER_OPS, "use_accuracy"), {"accuracy": value}, ParameterError, text)
bad("None", ["use_accuracy"], {"accuracy": None}, ParameterError, "accuracy is None")

SELECTORS = ("get_backend", "use_backend", "set_default_backend")
INSTALLED = convback.backends()[0]
TYPO = f"{INSTALLED}x"
for op, name in [*((op, "backend") for op in (*LAYER_OPS, "db")), *((op, "name") for op in SELECTORS)]:
    bad("unknown", [op], {name: TYPO}, UnknownBackend, f"{TYPO!r}. Did you mean {INSTALLED!r}?", "Installed: ")
    bad("empty", [op], {name: ""}, UnknownBackend, "no backend named ''")
    for value in (1, [INSTALLED], INSTALLED.encode(), math, object):
        bad(f"backend {value}", [op], {name: value}, ParameterError, f"backend is {value!r} ({type(value).__name__})")
bad("None", ["get_backend", "use_backend"], {"name": None}, ParameterError, "backend is None")
for value in (0, -1, 1.0, True, "1", None, math.inf, 2**31, 10**30):
    bad(str(value), ["set_num_threads"], {"n": value}, ParameterError, f"set_num_threads got {value!r}")


@pytest.fixture
def layer(monkeypatch):
    layer = Layer()
    layer.results = layer.right_calls()
    monkeypatch.setattr("convback.plans._plans", {})
    return layer


def refusal(op, arguments):
    """The error of a call that must raise one, and the most memory that it had allocated."""
    tracemalloc.start()
    try:
        with pytest.raises(ConvbackError) as caught:
            OPS[op][0](**arguments)
        return caught.value, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_refused(layer, kind):
    op, given, error, texts = BAD[kind]
    arguments = layer.arguments(op, given)
    before = layer.state()
    for _ in ("not planned", "planned by the right calls"):
        raised, peak = refusal(op, arguments)
        assert type(raised) is error
        for text in texts:
            assert text in str(raised)
        assert len(str(raised)) < 700
        assert peak < 2**20
        assert layer.state() == before
        assert layer.right_calls() == layer.results


# As keys of a dictionary, or as bytes, these are the same.
TWINS = {
    "int and bool": ({"stride": 1}, {"stride": True}),
    "ints and floats": ({"dilation": (1, 1)}, {"dilation": (1.0, 1.0)}),
    "nested ints and floats": ({"padding": ((1, 0), (0, 1))}, {"padding": ((1, 0), (0.0, 1))}),
    "numpy int and bool": ({"stride": np.int8(1)}, {"stride": np.True_}),
    "numpy int and bytes": ({"stride": np.int8(1)}, {"stride": b"\1"}),
    "numpy int and float": ({"padding": np.int64(0)}, {"padding": np.float64(0)}),
    "numpy int and array": ({"groups": np.int64(2)}, {"groups": np.array([2])}),
    "arrays of int and float": ({"padding": np.zeros(2, int)}, {"padding": np.zeros(2)}),
    "arrays of other shapes": ({"padding": np.zeros((2, 2), int)}, {"padding": np.zeros(4, int)}),
    "int and float": ({"groups": 2}, {"groups": 2.0}),
}


@pytest.mark.parametrize("of_input", [lambda a: a, lambda a: a[:]], ids=["whole", "view"])
@pytest.mark.parametrize("of_out", [lambda a: a, lambda a: a[:]], ids=["whole", "view"])
def test_an_out_is_no_input_whoever_of_them_owns_the_memory(of_input, of_out):
    memory, w = np.full((1, 2, 6), 7.0), np.ones((2, 2, 3))
    assert memory.flags.owndata
    with pytest.raises(ParameterError, match="out shares memory with dy"):
        convback.dx(of_input(memory), w, memory.shape, padding=1, out=of_out(memory))
    assert (memory == 7).all()


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("op", LAYER_OPS)
def test_a_planned_call_does_not_let_its_wrong_twin_pass(layer, op, twin):
    right, wrong = TWINS[twin]
    y = OPS["conv"][0](**layer.arguments("conv", right))
    layer.dy = np.ones_like(y)
    OPS[op][0](**layer.arguments(op, right))
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        OPS[op][0](**layer.arguments(op, wrong))


@pytest.mark.parametrize("wrong", [lambda s: np.array(s).view(float), lambda s: tuple(map(float, s)), bytes])
@pytest.mark.parametrize(("op", "name"), [("dx", "x_shape"), ("dw", "w_shape")])
def test_a_planned_shape_does_not_let_its_wrong_twin_pass(layer, op, name, wrong):
    shape = getattr(layer, name)
    for right in (shape, list(shape), np.array(shape), np.array(shape, np.int8)):
        OPS[op][0](**layer.arguments(op, {name: right}))
    with pytest.raises(ShapeError, match=name):
        OPS[op][0](**layer.arguments(op, {name: wrong(shape)}))
