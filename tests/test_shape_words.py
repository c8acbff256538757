"""Layers in the words of other libraries, which are run where the library is there."""

import re

import numpy as np
import pytest
from convback_tools import notation
from convback_tools.integers import integer_operands
from convback_tools.shapes.words import LIBRARIES
from convback_tools.submission import submission
from convback_tools.verification import oracle
from uneven_layers import LAYERS

from convback import ConvGeometry
from convback.contract import OPS

# JAX compiles each for half a second; these show nothing that the others do not.
PLAIN = ("seed", "strided", "read by no window", "uneven, but not where it is read", "dilated", "3-D")
JAX_LAYERS = [pytest.param(name, marks=[pytest.mark.slow] * (name in PLAIN)) for name in LAYERS]


@pytest.fixture(params=LAYERS)
def geom(request):
    return LAYERS[request.param]


@pytest.fixture
def operands(geom):
    return integer_operands(geom)


@pytest.fixture
def right(geom, operands):
    whole = submission(operands, **notation.arguments(geom))
    return {op: whole.right(op) for op in OPS}


def run(code, **names):
    exec(code, names)
    return names


def assert_right(got, right):
    for name in (*OPS, *(["same_dx"] if "same_dx" in got else [])):
        np.testing.assert_array_equal(np.asarray(got[name]), right[name.removeprefix("same_")], name)


# The words of others.


def test_the_words_of_pytorch_are_right(geom, operands, right):
    torch = pytest.importorskip("torch")
    tensors = {name: torch.from_numpy(array) for name, array in operands.items()}
    words = LIBRARIES["pytorch"](geom)
    got = run(words.code, **tensors)
    assert "same_dx" in got
    assert_right(got, right)
    module = run(f"layer = {words.layer}", torch=torch)["layer"]
    *_, conv = module if isinstance(module, torch.nn.Sequential) else [module]
    with torch.no_grad():
        conv.weight[...], conv.bias[...] = tensors["w"], tensors["b"]
        np.testing.assert_array_equal(module(tensors["x"]), right["y"])


@pytest.fixture
def jax():
    return pytest.importorskip("jax")


@pytest.mark.parametrize("geom", JAX_LAYERS, indirect=True)
def test_the_words_of_jax_are_right(jax, geom, operands, right):
    words = LIBRARIES["jax"](geom)
    arrays = {name: jax.numpy.asarray(array) for name, array in operands.items()}

    def layer(arrays):
        got = run(words.code, **arrays)
        short = run(f"y = {words.layer}", lax=jax.lax, **arrays)["y"]
        return {name: got[name] for name in (*OPS, "same_dx")}, short

    quickly = {"xla_backend_optimization_level": 0}
    got, short = jax.jit(layer).lower(arrays).compile(quickly)(arrays)
    assert_right(got, right)
    np.testing.assert_array_equal(short + operands["b"].reshape(-1, *(1,) * geom.rank), right["y"])


def test_the_words_of_tensorflow_are_right(geom, operands, right):
    tf = pytest.importorskip("tensorflow")
    last, first = (0, *range(2, geom.rank + 2), 1), (0, geom.rank + 1, *range(1, geom.rank + 1))
    kernel_last, kernel_first = (*range(2, geom.rank + 2), 1, 0), (geom.rank + 1, geom.rank, *range(geom.rank))
    words = LIBRARIES["tensorflow"](geom)
    assert f"tf.transpose(x, {last})" in words.code and f"tf.transpose(w, {kernel_last})" in words.code
    orders = {"x": last, "dy": last, "w": kernel_last, "b": (0,)}
    arrays = {name: tf.constant(operands[name].transpose(order)) for name, order in orders.items()}

    @tf.function(jit_compile="jit_compile=True" in " ".join(words.notes), autograph=False)
    def layer(**arrays):
        got = run(words.code, **arrays)
        return {name: got[name] for name in OPS}, run(f"y = {words.layer}", tf=tf, **arrays)["y"] + arrays["b"]

    got, short = layer(**arrays)
    back = {"y": first, "dx": first, "dw": kernel_first, "db": (0,)}
    assert_right({name: got[name].numpy().transpose(back[name]) for name in OPS}, right)
    np.testing.assert_array_equal(short.numpy().transpose(first), right["y"])
    keras = re.fullmatch(r"In Keras: (tf\..*)", words.notes[0])
    assert bool(keras) == (max(geom.stride) == 1 or max(geom.dilation) == 1)
    if keras and (geom.rank < 3 or "jit_compile" not in " ".join(words.notes)):
        model = run(f"layer = {keras[1]}", tf=tf)["layer"]
        model.build(arrays["x"].shape)
        model.set_weights([arrays["w"], arrays["b"]])
        np.testing.assert_array_equal(model(arrays["x"]).numpy().transpose(first), right["y"])


def test_tensorflow_is_told_same_and_valid():
    for padding, word in ((0, "'VALID'"), ("same", "'SAME'"), (((1, 0), (0, 0)), "[[0, 0], [1, 0], [0, 0], [0, 0]]")):
        words = LIBRARIES["tensorflow"](ConvGeometry((1, 2, 8, 8), (3, 2, 3, 2), (2, 1), padding))
        assert f"padding={word}, dilations" in words.layer
        assert f"padding={word}, dilations" in words.code


def numbers(code, name):
    """The numbers that C code initialises an array with."""
    (text,) = re.findall(rf"\b{name}(?:\[\])? = {{([\d, ]+)}}", code)
    return tuple(map(int, text.split(",")))


def test_the_words_of_onednn_say_the_layer(geom, operands, right):
    words = LIBRARIES["onednn"](geom)
    lines = re.findall(r"--dir=(\w+) (\w+)", words.code)
    assert [direction for direction, _ in lines] == ["FWD_B", "BWD_D", "BWD_WB"]
    (word,) = {word for _, word in lines} | {words.layer.split()[-1]}
    assert "q" not in word  # which benchdnn does not know
    read, _ = notation.parse(word)
    assert (read.x_shape, read.w_shape, read.y_shape) == (geom.x_shape, geom.w_shape, geom.y_shape)
    for op, (first, second) in {"y": ("x", "w"), "dx": ("dy", "w"), "dw": ("dy", "x")}.items():
        expected = oracle.gradient(op, geom, operands[first], operands[second])
        np.testing.assert_array_equal(oracle.gradient(op, read, operands[first], operands[second]), expected)
    G, *weights = numbers(words.code, "weights") if geom.groups > 1 else (1, *numbers(words.code, "weights"))
    said = ConvGeometry(
        numbers(words.code, "src"),
        (G * weights[0], *weights[1:]),
        numbers(words.code, "strides"),
        tuple(zip(numbers(words.code, "padding_l"), numbers(words.code, "padding_r"), strict=True)),
        tuple(d + 1 for d in numbers(words.code, "dilates")),
        G,
    )
    assert said == geom
    assert (numbers(words.code, "dst"), numbers(words.code, "bias")) == (geom.y_shape, (geom.F,))


def test_the_words_of_cudnn_say_the_layer(geom, operands, right):
    words = LIBRARIES["cudnn"](geom)
    code = words.code
    (groups,) = re.findall(r"cudnnSetConvolutionGroupCount\(conv_desc, (\d+)\)", code)
    parameters = [numbers(code, name) for name in ("pad", "stride", "dilation")]
    pad, stride, dilation = parameters
    said = ConvGeometry(numbers(code, "x_dims"), numbers(code, "w_dims"), stride, pad, dilation, int(groups))
    assert said.y_shape == numbers(code, "y_dims")
    assert said.rank == max(2, geom.rank)
    assert re.findall(r"\{([\d, ]+)\}", words.layer) == [", ".join(map(str, p)) for p in parameters]
    zeros = [(0, 0)] * 2 + list(geom.padding)
    beforehand = any("copied there beforehand" in note for note in words.notes)
    x = np.pad(operands["x"], zeros) if beforehand else operands["x"]
    inside = tuple(slice(lo, lo + extent) for (lo, _), extent in zip(geom.padding, geom.x_spatial, strict=True))
    assert beforehand == ("beforehand" in words.layer)
    if beforehand:
        shown = ", ".join(f"{cut.start}:{cut.stop}" for cut in inside)
        assert f"[..., {shown}]" in words.notes[-2]
    x, w, dy = (
        a.reshape(shape)
        for a, shape in ((x, said.x_shape), (operands["w"], said.w_shape), (operands["dy"], said.y_shape))
    )
    b = operands["b"].reshape(-1, *(1,) * geom.rank)
    got_y = oracle.gradient("y", said, x, w).reshape(geom.y_shape) + b
    np.testing.assert_array_equal(got_y, right["y"])
    np.testing.assert_array_equal(oracle.gradient("dw", said, dy, x).reshape(geom.w_shape), right["dw"])
    dx = oracle.gradient("dx", said, dy, w)
    dx = dx.reshape(*geom.x_shape[:2], *dx.shape[-geom.rank :])
    np.testing.assert_array_equal(dx[(..., *inside)] if beforehand else dx, right["dx"])
