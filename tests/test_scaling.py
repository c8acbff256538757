"""`bench --scaling` times one layer at growing sizes, and fits how its time grows."""

import math

import pytest
from convback_tools import suites
from convback_tools.benchmark.rows import Row
from convback_tools.benchmark.scaling import Exponent, exponents, scaled


@pytest.mark.parametrize(
    ("word", "extents", "last"),
    [
        ("mb3ic4iw9oc4kw3", "W", (144,)),
        ("g2mb1ic4ih10iw12oc6kh3kw2sh2ph1", "H·W", (40, 48)),
        ("ic2id4ih5iw6oc3kd2kh3kw3", "D·H·W", (8, 10, 24)),
    ],
)
def test_each_case_is_twice_the_one_before(word, extents, last):
    layer = suites.case(word)
    cases, (batches, maps) = scaled(layer)
    assert (batches.of, maps.of) == ("N", extents)
    assert list(batches.sizes.values()) == [1, 2, 4, 8, 16]
    first = math.prod(layer.geom.x_spatial)
    assert list(maps.sizes.values()) == [first * factor for factor in (1, 2, 4, 8, 16)]
    geometries = {case.name: case.geom for case in cases}
    assert len(cases) == len(geometries) == 9 and set(geometries) == {*batches.sizes, *maps.sizes}
    assert geometries[list(maps.sizes)[-1]].x_spatial == last
    for name, geom in geometries.items():
        assert name.startswith(layer.name) and geom.w_shape == layer.geom.w_shape
        assert (geom.stride, geom.padding, geom.groups) == (layer.geom.stride, layer.geom.padding, layer.geom.groups)
        assert geom.N == 1 or geom.x_spatial == layer.geom.x_spatial
        assert batches.sizes.get(name, 1) == geom.N


def test_exponents_are_those_of_the_times():
    cases, growths = scaled(suites.case("seed-8x8"))
    rows = [
        Row(case.name, "dx", "mine", "float32", 1, "fast", "timed", None, 1e-6 * case.geom.N**0.5 * size**2)
        for case in cases
        for size in [math.prod(case.geom.x_spatial)]
    ]
    unfinished = [Row(cases[0].name, "dw", "mine", "float32", 1, "fast", "timed", None, 1.0)]
    unfinished += [Row(case.name, "db", "mine", "float32", 1, "fast", "unsupported", None) for case in cases]
    images, pixels = exponents([*rows, *unfinished], growths)
    assert (images.of, images.exponent) == ("N", pytest.approx(0.5))
    assert (pixels.of, pixels.exponent) == ("H·W", pytest.approx(2))
    assert str(Exponent("dx", "float32", "mine", "H·W", 2)) == "mine dx float32: time grows as (H·W)^2.00"


def test_the_command_prints_exponents(command):
    line = (
        "bench",
        "--scaling",
        "-b",
        "einsum",
        "--case",
        "seed-8x8",
        "--op",
        "dx",
        "--seconds",
        "0",
        "--threads",
        "1",
    )
    result = command(*line, "--format", "json")
    assert result.code == 0, result.err
    assert [(found["op"], found["of"]) for found in result.json["scaling"]] == [("dx", "N"), ("dx", "H·W")]
    assert len(result.json["rows"]) == 9
    table = command(*line).out
    assert "scaling of seed-8x8" in table and "einsum dx float32: time grows as N^" in table and "as (H·W)^" in table


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--suite", "quick"], "no suite"),
        (["--case", "seed-8x8", "--case", "cifar-3x3"], "seed-8x8, cifar-3x3"),
        (["--case", "mb2ic0ih5iw6oc4kh3"], "mb2ic0"),
        (["--case", "nonsense"], "'nonsense'"),
    ],
)
def test_what_cannot_grow_is_quoted(command, arguments, told):
    result = command("bench", "--scaling", *arguments)
    assert (result.code, told in result.err, "Traceback" in result.err) == (2, True, False), result.err
