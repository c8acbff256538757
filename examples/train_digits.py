"""Train a small CNN on handwritten digits, with every gradient from convback.

The data are the 1797 images of 8 x 8 pixels that scikit-learn brings along; nothing is downloaded. The network is three
convolutions. The last one has a kernel as large as its input, which makes it the classifier: one score a digit.

    pip install "convback[examples]"
    python train_digits.py
    python train_digits.py --backend einsum --dtype float64

The letters are those of convback: N images a batch, F filters and C channels of a layer; x is what goes into a layer, y
what comes out, w and b are its weights and biases, and dy, dx, dw, db are the gradients of the loss by each of them.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import click
import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

import convback

Array = NDArray[Any]
Rng = np.random.Generator

LEARNING_RATE = 0.05
MOMENTUM = 0.9


class Conv:
    """A convolution layer that learns: F filters over C channels, kernel x kernel wide."""

    def __init__(self, rng: Rng, dtype: str, F: int, C: int, kernel: int, **options: Any) -> None:
        scale = np.sqrt(2 / (C * kernel**2))  # keeps the size of the numbers from layer to layer, given a ReLU between
        self.w: Array = (scale * rng.standard_normal((F, C, kernel, kernel))).astype(dtype)
        self.b: Array = np.full(F, 0.1, dtype)
        self.dw, self.db = np.zeros_like(self.w), np.zeros_like(self.b)
        self.w_velocity, self.b_velocity = np.zeros_like(self.w), np.zeros_like(self.b)
        self.options = options  # stride, padding and whatever else convback.conv takes

    def forward(self, x: Array) -> Array:
        self.x = x  # the gradients will need it
        return convback.conv(x, self.w, self.b, **self.options)

    def backward(self, dy: Array, need: tuple[str, ...]) -> Array | None:
        """Write dw and db into their places; return dx, or None if it is not needed."""
        out = convback.Gradients(dw=self.dw, db=self.db)
        return convback.backward(dy, self.x, self.w, need=need, out=out, **self.options).dx

    def step(self, learning_rate: float) -> None:
        """Go downhill, as a heavy ball does."""
        for value, velocity, gradient in (self.w, self.w_velocity, self.dw), (self.b, self.b_velocity, self.db):
            velocity *= MOMENTUM
            velocity -= learning_rate * gradient
            value += velocity


class Network:
    """Three convolutions with a ReLU between them: images (N, 1, 8, 8) in, scores (N, 10, 1, 1) out."""

    def __init__(self, rng: Rng, dtype: str = "float32", filters: tuple[int, int] = (16, 32)) -> None:
        self.layers = [
            Conv(rng, dtype, F=filters[0], C=1, kernel=3, padding=1),  # 8 x 8 -> 8 x 8
            Conv(rng, dtype, F=filters[1], C=filters[0], kernel=3, stride=2, padding=1),  # 8 x 8 -> 4 x 4
            Conv(rng, dtype, F=10, C=filters[1], kernel=4),  # 4 x 4 -> 1 x 1
        ]

    def forward(self, x: Array) -> Array:
        y = self.layers[0].forward(x)
        for layer in self.layers[1:]:
            y = layer.forward(np.maximum(y, 0))
        return y

    def backward(self, dy: Array) -> None:
        """From the gradient of the scores to those of all weights and biases, last layer first."""
        for layer in reversed(self.layers):
            is_first = layer is self.layers[0]  # nobody asks how the images should change
            dx = layer.backward(dy, need=("dw", "db") if is_first else ("dx", "dw", "db"))
            if dx is not None:
                dy = dx * (layer.x > 0)  # back through the ReLU that x came out of


class Digits(NamedTuple):
    """Images (N, 1, 8, 8) from 0 to 1 and the digits that they show (N,): some to learn from, others for the test."""

    x: Array
    digits: Array
    x_test: Array
    digits_test: Array


def load(rng: Rng, dtype: str = "float32") -> Digits:
    """Deal out the images: four fifths to learn from, one fifth for the test."""
    images, digits = load_digits(return_X_y=True)
    x = (images / 16).reshape(-1, 1, 8, 8).astype(dtype)
    test, learn = np.split(rng.permutation(len(x)), [len(x) // 5])
    return Digits(x[learn], digits[learn], x[test], digits[test])


def shifted(x: Array, rng: Rng) -> Array:
    """The images of a batch moved by up to one pixel: they show the same digits, and are as good as new ones."""
    i, j = rng.integers(0, 3, 2)
    return np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))[:, :, i : i + 8, j : j + 8]


def cross_entropy(y: Array, digits: Array) -> tuple[float, Array]:
    """Loss of a batch, the mean of -log(softmax(y)) at the right digits, and its gradient dy."""
    N = len(y)
    right = np.arange(N), digits, 0, 0
    y = y - y.max(axis=1, keepdims=True)  # changes nothing but keeps exp from overflowing
    log_softmax = y - np.log(np.exp(y).sum(axis=1, keepdims=True))
    dy = np.exp(log_softmax)
    dy[right] -= 1
    return -float(log_softmax[right].mean()), dy / N


def train(
    network: Network, data: Digits, rng: Rng, epochs: int, batch_size: int, shift: float = 0.5
) -> tuple[list[float], float]:
    """Train, and print how it goes; `shift` is the part of the batches that is moved a little.

    Returns the loss of every batch, and which part of the test images is recognised in the end.
    """
    starts = range(0, len(data.x), batch_size)
    losses: list[float] = []
    for epoch in range(1, epochs + 1):
        order = rng.permutation(len(data.x))
        for start in starts:
            batch = order[start : start + batch_size]
            x = shifted(data.x[batch], rng) if rng.random() < shift else data.x[batch]
            loss, dy = cross_entropy(network.forward(x), data.digits[batch])
            network.backward(dy)
            done = len(losses) / (epochs * len(starts))
            for layer in network.layers:
                layer.step(LEARNING_RATE * (1 - done))  # ever smaller steps, down to almost nothing
            losses.append(loss)
        click.echo(f"epoch {epoch:2}   loss {np.mean(losses[-len(starts) :]):.4f}")
    recognised = network.forward(data.x_test).argmax(axis=1).ravel() == data.digits_test
    return losses, float(recognised.mean())


@click.command()
@click.option("--backend", help="What computes the convolutions; without it, convback decides.")
@click.option("--epochs", default=15, show_default=True, type=click.IntRange(min=1))
@click.option("--batch-size", default=32, show_default=True, type=click.IntRange(min=1))
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="For all that is random.")
@click.option("--dtype", default="float32", show_default=True, type=click.Choice(["float32", "float64"]))
def main(backend: str | None, epochs: int, batch_size: int, seed: int, dtype: str) -> None:
    """Train a small CNN on handwritten digits, with every gradient from convback."""
    started = time.perf_counter()
    rng = np.random.default_rng(seed)
    data, network = load(rng, dtype), Network(rng, dtype)
    try:
        with convback.use_backend(backend or convback.current_backend()):
            _, accuracy = train(network, data, rng, epochs, batch_size)
    except convback.ConvbackError as error:
        raise click.UsageError(str(error)) from None
    click.echo(f"test accuracy {100 * accuracy:.1f} %   {time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
