"""`auto` passes each problem to the backend that should be fastest, and passes over those that cannot be used."""

import numpy as np
import pytest
from convback_auto import cost
from convback_tools import suites

import convback

auto = convback.get_backend("auto")
FLOAT32 = np.dtype("f4")


@pytest.mark.parametrize(
    ("word", "op", "expected"),
    [
        ("resnet50-res3-3x3", "dx", "winograd"),
        ("resnet50v15-res3-s2", "dx", "gemm"),
        ("resnet50-conv1", "y", "gemm"),
        ("resnext-32x4d", "dw", "grouped"),
        ("mobilenet-dw-s1", "dx", "depthwise"),
        ("mb1ic256ih4kh4oc128", "dw", "einsum"),  # one product of matrices
        ("mb1ic1iw4096kw64oc1", "y", "depthwise"),  # nothing fills vectors but a row
    ],
)
def test_each_method_has_its_regime(word, op, expected, set_threads):
    set_threads(1)
    assert auto.chosen(op, suites.case(word).geom, FLOAT32) == expected


LAYER_OPS = pytest.mark.parametrize("op", ["y", "dx", "dw"])


@LAYER_OPS
def test_all_that_is_predicted_is_a_time(case, op, dtype):
    if case.geom.is_empty:
        assert cost.by_cost(op, case.geom, dtype, 1) == [(name, None) for name in cost.MODELS]
        return
    one, two = (dict(cost.by_cost(op, case.geom, dtype, threads)) for threads in (1, 2))
    assert set(one) == set(cost.MODELS)
    assert list(one.values()) == sorted(one.values())
    for name in cost.MODELS:
        assert 0 < two[name] <= one[name] < 1e5


def test_threads_share_large_problems_alone():
    for word, shared in (("seed-8x8", False), ("resnet50-res3-3x3", True)):
        geom = suites.case(word).geom
        for name in ("gemm", "cython", "einsum"):
            one, two = (cost.seconds(name, "y", geom, FLOAT32, threads) for threads in (1, 2))
            assert (two < one) == shared, (word, name)


def test_neighbouring_outputs_fill_vectors_where_channels_are_few():
    few = suites.case("mb1ic64ih128kh3oc3ph1").geom
    assert cost.seconds("gemm", "y", few, FLOAT32, 1) < 0.6 * cost.seconds("gemm", "dw", few, FLOAT32, 1)


@LAYER_OPS
def test_a_problem_twice_as_large_takes_longer(op):
    small, large = (convback.ConvGeometry((N, 24, 20, 20), (48, 6, 3, 3), groups=4) for N in (8, 16))
    for name in cost.MODELS:
        assert cost.seconds(name, op, large, FLOAT32, 1) > cost.seconds(name, op, small, FLOAT32, 1), name


def test_the_first_candidate_that_is_not_out_is_chosen(case, op, dtype):
    geom = None if op == "db" else case.geom
    candidates = auto.candidates(op, geom, dtype)
    usable = [candidate for candidate in candidates if candidate.refusal is None]
    assert usable[0].backend == auto.chosen(op, geom, dtype)
    assert {candidate.backend for candidate in candidates} == set(cost.MODELS)
    for candidate in candidates:
        backend = convback.get_backend(candidate.backend)
        assert candidate.refusal == convback.contract.refusal(backend, op, geom, dtype)


def test_what_cannot_be_loaded_is_passed_over(monkeypatch):
    """As where there was no C compiler."""
    get = convback.get_backend

    def without_kernels(name):
        if name not in ("einsum", "naive"):
            raise convback.BackendUnavailable(f"backend {name!r} is not usable: its extension is missing")
        return get(name)

    geom = suites.case("mobilenet-dw-s1").geom
    monkeypatch.setattr("convback_auto.get_backend", without_kernels)
    assert auto.chosen("dx", geom, FLOAT32) == "einsum"
    assert auto.chosen("db", None, FLOAT32) == "einsum"
    monkeypatch.setattr("convback_auto.get_backend", lambda name: without_kernels(name if name == "naive" else ""))
    assert auto.chosen("dx", geom, FLOAT32) == "naive"
