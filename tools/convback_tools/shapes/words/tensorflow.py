"""The words of TensorFlow and Keras, whose channels come last: x (N, *spatial, C) and w (*kernel, C/groups, F)."""

from __future__ import annotations

from convback import ConvGeometry
from convback_tools.shapes.words.common import Words, arguments, same

HEAD = """\
import tensorflow as tf

# x is (N, {letters}, C), as tf.transpose(x, {x}) makes it, and so are y and their gradients;
# w and dw are ({letters}, C/groups, F), as tf.transpose(w, {w}) makes it.
"""
TWO = """\
layer = dict({layer})
y = tf.nn.conv2d(x, w, **layer) + b
dx = tf.compat.v1.nn.conv2d_backprop_input(x.shape, w, dy, **layer)
dw = tf.compat.v1.nn.conv2d_backprop_filter(x, w.shape, dy, **layer)
db = tf.reduce_sum(dy, (0, 1, 2))"""
OTHER = """\
with tf.GradientTape() as tape:
    tape.watch((x, w, b))
    y = {y} + b
dx, dw, db = tape.gradient(y, (x, w, b), output_gradients=dy)"""


def words(geom: ConvGeometry) -> Words:
    """The layer as TensorFlow has it."""
    rank = geom.rank
    spatial = tuple(range(2, 2 + rank))
    padding = _word(geom) or (_pads(geom) if rank == 2 else "'VALID'")
    x = "x" if rank == 2 or _word(geom) else f"tf.pad(x, {_pads(geom)})"
    if rank == 1:
        layer = arguments(stride=geom.stride[0], padding=padding, dilations=geom.dilation[0])
    else:
        layer = arguments(strides=[1, *geom.stride, 1], padding=padding, dilations=[1, *geom.dilation, 1])
    y = f"tf.nn.conv{rank}d({x}, w, {layer})"
    code = HEAD.format(letters=", ".join("DHW"[-rank:]), x=(0, *spatial, 1), w=(*spatial, 1, 0))
    code += TWO.format(layer=layer) if rank == 2 else OTHER.format(y=y)
    return Words("TensorFlow", y, code, tuple(_notes(geom)))


def _word(geom: ConvGeometry) -> str:
    """TensorFlow's word for the padding, quoted; empty where it has none."""
    if geom.padding == ((0, 0),) * geom.rank:
        return "'VALID'"
    return "'SAME'" if geom.padding == same(geom) else ""


def _pads(geom: ConvGeometry) -> list[list[int]]:
    return [[0, 0], *([lo, hi] for lo, hi in geom.padding), [0, 0]]


def _notes(geom: ConvGeometry) -> list[str]:
    notes = [f"In Keras: {_keras(geom)}"]
    if geom.groups > 1:
        notes.append("Groups follow from the channels: C of x over C/groups of w.")
    if geom.groups > 1 or max(geom.dilation) > 1:
        what = "layer" if geom.rank == 3 else "gradient"
        notes.append(f"A CPU computes such a {what} by XLA alone: inside of @tf.function(jit_compile=True).")
    return notes


def _keras(geom: ConvGeometry) -> str:
    if max(geom.stride) > 1 and max(geom.dilation) > 1:
        return "none, as its layers take no stride with a dilation"
    word = (_word(geom) or "'VALID'").lower()
    layer = arguments(strides=geom.stride, padding=word, dilation_rate=geom.dilation, groups=geom.groups)
    text = f"tf.keras.layers.Conv{geom.rank}D({geom.F}, {geom.kernel}, {layer})"
    if _word(geom):
        return text
    zeros = geom.padding[0] if geom.rank == 1 else geom.padding
    return f"tf.keras.Sequential([tf.keras.layers.ZeroPadding{geom.rank}D({zeros}), {text}])"
