"""The examples: they compute what they say, with every backend, and reach what they promise."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

import convback

pytest.importorskip("sklearn", reason="the example trains on images that scikit-learn brings along")

EXAMPLE = Path(__file__).parents[1] / "examples" / "train_digits.py"

STEPS = 4
IMAGES = 4
SEED = 0

# How far two loss curves in float64 can be apart. The longest sums of a step have a product for each pixel of each
# image: K = 256. Whatever their order, they are off by at most K u = 3e-14 of their magnitudes, with u = 1.1e-16. Six
# of them follow each other in a step: three layers forward, two dx and a dw; so 24 in four steps. All these numbers are
# of size 1, but are made of terms that cancel in part: 10 allows for that. No ReLU decides differently, for `relu`
# asserts that nothing stands so near its corner. Together 24 * 10 * 3e-14 = 7e-12; a dx, dw or db that is wrong in its
# eighth digit moves the curve by a hundred times as much.
BOUND = STEPS * 6 * 10 * (IMAGES * 64) * np.finfo(np.float64).eps / 2

Array = NDArray[Any]


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("train_digits", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tiny(example: ModuleType) -> tuple[Any, Any]:
    """A network with few filters, and four images: small enough for loops in plain Python."""
    rng = np.random.default_rng(SEED)
    data = example.load(rng, "float64")
    return example.Network(rng, "float64", filters=(2, 3)), example.Digits(*(part[:IMAGES] for part in data))


@pytest.fixture(scope="module")
def reference(example: ModuleType) -> list[float]:
    """The loss curve without convback: the network as a formula, and its gradient by complex steps.

    The derivative of f at p is the imaginary part of f(p + ih) / h. Nothing is subtracted, so h can be as small as one
    likes and the derivative is exact to rounding.
    """
    network, data = tiny(example)
    parts = [part for layer in network.layers for part in (layer.w, layer.b)]
    parameters = np.concatenate([part.ravel() for part in parts]).astype(complex)
    ends = np.cumsum([part.size for part in parts])
    velocity = np.zeros(len(parameters))
    losses = []
    for step in range(STEPS):
        losses.append(loss(parameters, parts, ends, data).real)
        gradient = np.empty(len(parameters))
        for i in range(len(parameters)):
            moved = parameters.copy()
            moved[i] += 1e-100j
            gradient[i] = loss(moved, parts, ends, data).imag / 1e-100
        velocity = example.MOMENTUM * velocity - example.LEARNING_RATE * (1 - step / STEPS) * gradient
        parameters += velocity
    return losses


def loss(parameters: Array, parts: list[Array], ends: Array, data: Any) -> Any:
    w1, b1, w2, b2, w3, b3 = (
        flat.reshape(part.shape) for flat, part in zip(np.split(parameters, ends[:-1]), parts, strict=True)
    )
    y1 = conv(data.x, w1, b1, stride=1, padding=1)
    y2 = conv(relu(y1), w2, b2, stride=2, padding=1)
    scores = conv(relu(y2), w3, b3, stride=1, padding=0)[:, :, 0, 0]
    return (np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(IMAGES), data.digits]).mean()


def conv(x: Array, w: Array, b: Array, stride: int, padding: int) -> Array:
    sides = (padding, padding)
    windows = sliding_window_view(np.pad(x, ((0, 0), (0, 0), sides, sides)), w.shape[2:], axis=(2, 3))
    y: Array = np.einsum("ncijkl,fckl->nfij", windows[:, :, ::stride, ::stride], w) + b[:, None, None]
    return y


def relu(y: Array) -> Array:
    assert np.abs(y.real).min() > BOUND
    result: Array = y * (y.real > 0)
    return result


def test_losses_of_digits_are_those_of_exact_gradients(
    backend: str, example: ModuleType, reference: list[float]
) -> None:
    if not hasattr(convback.get_backend(backend), "y"):
        pytest.skip(f"{backend} has no forward pass")
    network, data = tiny(example)
    with convback.use_backend(backend):
        losses, accuracy = example.train(network, data, np.random.default_rng(SEED), STEPS, IMAGES, shift=0)
        scores = network.forward(data.x_test)[:, :, 0, 0]
    assert len(losses) == STEPS
    np.testing.assert_allclose(losses, reference, rtol=0, atol=BOUND)
    assert accuracy == np.mean(scores.argmax(axis=1) == data.digits_test)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The example as a program, on convback's own choice of backend unless the arguments name one."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CONVBACK_")}
    # One thread: on a machine that is busy with other tests, threads that wait for each other take most of the time.
    environment["OMP_NUM_THREADS"] = "1"
    return subprocess.run(
        [sys.executable, str(EXAMPLE), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_digits_reach_97_percent() -> None:
    done = run("--epochs", "15")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    *epochs, last = done.stdout.splitlines()
    shown = [float(re.fullmatch(r"epoch +\d+   loss (\d+\.\d+)", line)[1]) for line in epochs]  # type: ignore[index]
    assert len(shown) == 15
    assert shown[-1] < shown[0] / 10
    result = re.fullmatch(r"test accuracy (\d+\.\d) %   \d+\.\d s", last)
    assert result is not None, last
    assert 97 <= float(result[1]) <= 100


def test_unknown_backend_is_a_usage_error() -> None:
    done = run("--backend", "no-such-backend")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    *_, message = done.stderr.splitlines()
    assert message.startswith("Error: ")
    assert "no-such-backend" in message
