"""A layer in the words of other libraries: how they are called for y, dx, dw and db of the same problem."""

from __future__ import annotations

from collections.abc import Callable

from convback import ConvGeometry
from convback_tools.shapes.words import cudnn, jax, onednn, pytorch, tensorflow
from convback_tools.shapes.words.common import Words

# By the name that the command takes.
LIBRARIES: dict[str, Callable[[ConvGeometry], Words]] = {
    "pytorch": pytorch.words,
    "tensorflow": tensorflow.words,
    "jax": jax.words,
    "onednn": onednn.words,
    "cudnn": cudnn.words,
}

__all__ = ["LIBRARIES", "Words"]
