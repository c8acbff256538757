"""Train a small CNN on handwritten digits, with every gradient from convback.

The data are the 1797 images of 8 x 8 pixels that scikit-learn brings along; nothing is downloaded. The network is three
convolutions. The last one has a kernel as large as its input, which makes it the classifier: one score a digit.

    pip install convback[examples]
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


class Conv:
    """A convolution layer that learns: F filters over C channels, kernel x kernel wide."""

    def __init__(
        self, rng: np.random.Generator, F: int, C: int, kernel: int, dtype: str, stride: int = 1, padding: int = 0
    ) -> None:
        scale = np.sqrt(2 / (C * kernel**2))  # keeps the size of the numbers from layer to layer, given a ReLU between
        self.w: Array = (scale * rng.standard_normal((F, C, kernel, kernel))).astype(dtype)
        self.b: Array = np.full(F, 0.1, dtype)
        self.dw, self.db = np.zeros_like(self.w), np.zeros_like(self.b)
        self.w_velocity, self.b_velocity = np.zeros_like(self.w), np.zeros_like(self.b)
        self.stride, self.padding = stride, padding

    def forward(self, x: Array) -> Array:
        self.x = x  # the gradients will need it
        return convback.conv(x, self.w, self.b, stride=self.stride, padding=self.padding)

    def backward(self, dy: Array, need: tuple[str, ...]) -> Array | None:
        """Write dw and db into their places; return dx, or None if it is not needed."""
        places = convback.Gradients(dw=self.dw, db=self.db)
        gradients = convback.backward(
            dy, self.x, self.w, stride=self.stride, padding=self.padding, need=need, out=places
        )
        return gradients.dx

    def step(self, learning_rate: float, momentum: float) -> None:
        """Go downhill, as a heavy ball does."""
        for value, velocity, gradient in (self.w, self.w_velocity, self.dw), (self.b, self.b_velocity, self.db):
            velocity *= momentum
            velocity -= learning_rate * gradient
            value += velocity


class Network:
    """Three convolutions with a ReLU between them: images (N, 1, 8, 8) in, scores (N, 10, 1, 1) out."""

    def __init__(self, seed: int, dtype: str = "float32", filters: tuple[int, int] = (16, 32)) -> None:
        rng = np.random.default_rng(seed)
        self.layers = [
            Conv(rng, F=filters[0], C=1, kernel=3, padding=1, dtype=dtype),  # 8 x 8 -> 8 x 8
            Conv(rng, F=filters[1], C=filters[0], kernel=3, stride=2, padding=1, dtype=dtype),  # 8 x 8 -> 4 x 4
            Conv(rng, F=10, C=filters[1], kernel=4, dtype=dtype),  # 4 x 4 -> 1 x 1
        ]

    def forward(self, x: Array) -> Array:
        y = self.layers[0].forward(x)
        for layer in self.layers[1:]:
            y = layer.forward(np.maximum(y, 0))
        return y

    def backward(self, dy: Array) -> None:
        """From the gradient of the scores to those of all weights and biases, last layer first."""
        for layer in reversed(self.layers[1:]):
            dx = layer.backward(dy, need=("dx", "dw", "db"))
            dy = dx * (layer.x > 0)  # x is the output of a ReLU, which lets a gradient through where it is positive
        self.layers[0].backward(dy, need=("dw", "db"))  # nobody asks how the images should change


class Digits(NamedTuple):
    """Images (N, 1, 8, 8) from 0 to 1 and the digits that they show (N,): some to learn from, others for the test."""

    x: Array
    digits: Array
    x_test: Array
    digits_test: Array


def load(seed: int, dtype: str = "float32") -> Digits:
    """Four fifths of the images to learn from, one fifth for the test, dealt by the seed."""
    images, digits = load_digits(return_X_y=True)
    x = (images / 16).reshape(-1, 1, 8, 8).astype(dtype)
    test, learn = np.split(np.random.default_rng(seed).permutation(len(x)), [len(x) // 5])
    return Digits(x[learn], digits[learn], x[test], digits[test])


def cross_entropy(y: Array, digits: Array) -> tuple[float, Array]:
    """Loss of a batch, the mean of -log(softmax(y)) at the right digits, and its gradient dy."""
    N = len(y)
    right = np.arange(N), digits, 0, 0
    logits = y - y.max(axis=1, keepdims=True)
    log_softmax = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    dy = np.exp(log_softmax)
    dy[right] -= 1
    return -float(log_softmax[right].mean()), dy / N


def train(
    network: Network,
    data: Digits,
    *,
    epochs: int,
    batch_size: int,
    seed: int,
    learning_rate: float = 0.05,
    momentum: float = 0.9,
) -> tuple[list[float], float]:
    """Train, and say how it goes. Returns the loss of every batch and the part of the test images recognised."""
    rng = np.random.default_rng(seed)
    losses: list[float] = []
    for epoch in range(1, epochs + 1):
        order = rng.permutation(len(data.x))
        batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
        for batch in batches:
            loss, dy = cross_entropy(network.forward(data.x[batch]), data.digits[batch])
            network.backward(dy)
            for layer in network.layers:
                layer.step(learning_rate, momentum)
            losses.append(loss)
        click.echo(f"epoch {epoch:2}   loss {np.mean(losses[-len(batches) :]):.4f}")
    recognised = network.forward(data.x_test).argmax(axis=1).ravel() == data.digits_test
    return losses, float(recognised.mean())


@click.command()
@click.option("--backend", help="What computes the convolutions; without it, convback decides.")
@click.option("--epochs", default=20, show_default=True, type=click.IntRange(min=1))
@click.option("--batch-size", default=32, show_default=True, type=click.IntRange(min=1))
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    help="Of the split, the first weights and the order.",
)
@click.option("--dtype", default="float32", show_default=True, type=click.Choice(["float32", "float64"]))
def main(backend: str | None, epochs: int, batch_size: int, seed: int, dtype: str) -> None:
    """Train a small CNN on handwritten digits, with every gradient from convback."""
    start = time.perf_counter()
    try:
        convback.set_default_backend(backend)
        network = Network(seed, dtype)
        _, accuracy = train(network, load(seed, dtype), epochs=epochs, batch_size=batch_size, seed=seed)
    except convback.ConvbackError as error:
        raise click.UsageError(str(error)) from None
    click.echo(f"test accuracy {100 * accuracy:.1f} %   {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
