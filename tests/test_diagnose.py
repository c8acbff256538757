"""Every mistake of the catalogue is named, from its numbers alone; right results are called right."""

import random
from itertools import product

import numpy as np
import pytest
from convback_tools import arrayfiles, diagnose, suites
from convback_tools.checking.judgement import Judge
from convback_tools.diagnosis.candidates import together
from convback_tools.diagnosis.catalogue import CATALOGUE, candidates
from convback_tools.diagnosis.diagnose import diagnosis
from convback_tools.diagnosis.task import task
from convback_tools.notation import arguments
from convback_tools.submission import RESULTS, on_integers, submission
from mistakes import CASES, SEED, asked, first, operands, wrong_results

import convback

OTHERS = {
    "one-dimension": convback.ConvGeometry((2, 4, 11), (6, 2, 3), 2, ((1, 2),), 2, 2),
    "three-dimensions": convback.ConvGeometry((2, 2, 4, 5, 6), (3, 2, 2, 3, 2), (1, 2, 2), 1),
    "depthwise": convback.ConvGeometry((2, 3, 6, 5), (3, 1, 3, 3), 1, 1, 1, 3),
    "tiny": convback.ConvGeometry((1, 1, 3, 3), (1, 1, 2, 2)),
}


@pytest.mark.parametrize("op", RESULTS)
@pytest.mark.parametrize(("name", "kind"), [*product(CASES, ("integers", "reals")), *product(OTHERS, ["integers"])])
def test_every_mistake_is_named_or_tied(name, op, kind):
    """On each case that shows it: first, or among all that would give the same numbers."""
    geom = (CASES | OTHERS)[name]
    for candidate, result in wrong_results(geom, op, kind):
        if result.size and not result.any():
            continue  # zeros say nothing
        finding = first(diagnosis(asked(geom, kind, **{op: result}), Judge()))
        assert candidate.id in (finding.id, *(tie.id for tie in finding.ties)), (candidate, finding)
        assert (finding.array, finding.residual < 1e-12) == (op, True)


def random_layer(rng):
    """One of one to three dimensions, or None where the kernel does not fit."""
    rank, groups, C = rng.choice((1, 2, 2, 2, 3)), rng.choice((1, 1, 2, 3)), rng.randint(1, 3)
    x_shape = (rng.randint(1, 3), groups * C, *(rng.randint(2, 9) for _ in range(rank)))
    w_shape = (groups * rng.randint(1, 3), C, *(rng.randint(1, 4) for _ in range(rank)))
    stride, dilation = ([rng.randint(1, most) for _ in range(rank)] for most in (3, 2))
    padding = [(rng.randint(0, 2), rng.randint(0, 2)) for _ in range(rank)]
    try:
        return convback.ConvGeometry(x_shape, w_shape, stride, padding, dilation, groups)
    except convback.ShapeError:
        return None


@pytest.mark.slow
def test_every_mistake_on_random_layers():
    """Some ten thousand wrong results; prints how many were named first, the others being tied."""
    rng, wrong, named = random.Random(0), 0, 0
    for geom in filter(None, (random_layer(rng) for _ in range(100))):
        for op, kind in product(RESULTS, ("integers", "reals")):
            for candidate, result in wrong_results(geom, op, kind):
                if result.size and not result.any():
                    continue  # zeros say nothing
                finding = first(diagnosis(asked(geom, kind, **{op: result}), Judge()))
                assert candidate.id in (finding.id, *(tie.id for tie in finding.ties)), (geom, candidate, finding)
                wrong, named = wrong + 1, named + (finding.id == candidate.id)
    print(f"{named} of {wrong} named first")
    assert wrong > 1000


def test_the_engine_computes_what_the_oracle_does():
    for case in suites.suite("quick"):
        if not case.geom.is_empty and case.geom.macs < 10**5:
            right = on_integers(case.geom)
            for op in RESULTS:
                np.testing.assert_array_equal(task(right, op).result(), right.right(op), f"{op} of {case.name}")


@pytest.mark.parametrize("op", RESULTS)
def test_every_mistake_is_named_first_on_one_of_the_cases(op):
    named, possible = set(), set()
    for geom, kind in ((geom, kind) for geom in CASES.values() for kind in ("integers", "reals")):
        for candidate, result in wrong_results(geom, op, kind):
            possible.add(candidate.id)
            if candidate.id not in named and result.any():
                finding = first(diagnosis(asked(geom, kind, **{op: result}), Judge()))
                named |= {candidate.id} & {finding.id}
    assert possible - named == set()
    never = {candidate.id for candidate in candidates(op, 2)} - possible
    assert never <= {"check.kink"}  # it needs a y of exactly 0


def test_there_are_more_than_sixty_ways_to_be_wrong_in_the_catalogue():
    ways = {(op, c.id, c.what) for rank in (1, 2, 3) for op in RESULTS for c in candidates(op, rank)}
    assert len(ways) > 150
    by_special = {"any.sign", "any.mean_for_sum", "any.low_precision_sum", "check.epsilon", "check.blind_case"}
    assert {name for _, name, _ in ways} == set(CATALOGUE) - by_special


@pytest.mark.parametrize(
    ("op", "factor", "expected"),
    [
        ("dx", -1, "any.sign"), ("dw", 2, "any.sign"), ("db", -0.01, "any.sign"), ("y", 0.5, "any.sign"),
        ("dw", 1 / 3, "any.mean_for_sum"), ("db", 1 / 24, "any.mean_for_sum"), ("dw", 1 / 72, "any.mean_for_sum"),
    ],
)  # fmt: skip
def test_factors(op, factor, expected):
    geom = CASES["mixed-10x12"]
    finding = first(diagnosis(asked(geom, **{op: factor * asked(geom).right(op)}), Judge()))
    assert (finding.id, finding.scale) == (expected, pytest.approx(factor))


def test_a_mean_over_filters():
    geom = CASES["strided-8x8"]
    finding = first(diagnosis(asked(geom, dx=asked(geom).right("dx") / 4), Judge()))
    assert "dx.filters_not_summed" in finding.id


@pytest.mark.parametrize(("kind", "rounded"), [("float16", np.float16), ("bfloat16", None)])
def test_sums_in_half_precision(kind, rounded):
    given = asked(CASES["strided-8x8"], "reals")
    dw = given.right("dw")
    sloppy = dw.astype(rounded) if rounded else (dw.astype("f4").view("u4") & 0xFFFF0000).view("f4")
    finding = first(diagnosis(asked(CASES["strided-8x8"], "reals", dw=sloppy.astype("f8")), Judge("float64")))
    assert finding.id == "any.low_precision_sum"


@pytest.mark.parametrize(("step", "sides"), [(1e-3, 2), (1e-5, 2), (1e-4, 1)])
def test_a_finite_difference_with_a_small_step(step, sides):
    given = asked(SEED, "reals")
    x, w, dy = (a.astype("f4") for a in (given.x, given.w, given.dy))

    def loss(kernel):
        return np.float32(np.vdot(dy.astype("f8"), convback.conv(x, kernel).astype("f8")))

    dw = np.zeros_like(w)
    for index in np.ndindex(w.shape):
        step_there = np.zeros_like(w)
        step_there[index] = step
        before = loss(w - step_there) if sides == 2 else loss(w)
        dw[index] = (loss(w + step_there) - before) / np.float32(sides * step)
    finding = first(diagnose(x, w, dy, dw=dw))
    assert (finding.id, f"{step:g}" in finding.what) == ("check.epsilon", True)


def test_a_finite_difference_across_a_kink():
    given = asked(SEED, "reals")
    x = given.x.copy()
    x[:, :, :4, :4] = 0  # so some y are exactly 0
    right = task(submission({"x": x, "w": given.w, "dy": given.dy}), "dx")
    (kink,) = (c for c in candidates("dx", 2) if c.id == "check.kink")
    finding = first(diagnose(x, given.w, given.dy, dx=kink.result(right)))
    assert finding.id == "check.kink"


def test_right_results_are_called_right():
    """A thousand of them, in both dtypes, of random layers."""
    rng = np.random.default_rng(0)
    count = 0
    while count < 1000:
        geom = list(CASES.values())[count % 3]
        dtype = ("float32", "float64")[count % 2]
        x, w, dy = (rng.standard_normal(s).astype(dtype) for s in (geom.x_shape, geom.w_shape, geom.y_shape))
        y = convback.conv(x, w, **arguments(geom))
        results = {"y": y, **convback.backward(dy, x, w, **arguments(geom))._asdict()}
        verdicts = Judge().rows(submission({"x": x, "w": w, "dy": dy, **results}, **arguments(geom)), "")
        assert [row.status for row in verdicts] == ["passed"] * 4
        count += 4


@pytest.mark.parametrize("op", RESULTS)
def test_no_wrong_result_is_called_right(op):
    """In float32, where an error has to be larger than rounding to be seen."""
    for geom in CASES.values():
        for _, result in wrong_results(geom, op):
            (row,) = Judge().rows(asked(geom, **{op: result.astype("f4")}), "")
            assert row.status == "failed"


def test_mistakes_in_several_results_prefer_what_they_share():
    geom = CASES["mixed-10x12"]
    misread = next(c for c in candidates("dw", 2) if c.id == "any.im2col_order" and c.what.startswith("dy is reshaped"))
    results = {op: misread.result(task(asked(geom), op)) for op in ("dx", "dw", "db")}
    assert {f.id for f in diagnosis(asked(geom, **results), Judge()).findings} == {"any.im2col_order"}


def test_a_true_convolution_is_one_finding_for_all():
    other = submission({**operands(SEED)}, mode="convolution")
    results = {op: other.right(op) for op in ("y", "dx", "dw")}
    found = diagnosis(asked(SEED, **results), Judge())
    assert [f.id for f in found.findings] == ["any.convolution_forward"] * 3
    assert diagnosis(submission({**operands(SEED), **results}, mode="convolution"), Judge()).is_right


def test_mistakes_in_a_true_convolution():
    """dw of the mode's own order: a flip is no mistake, and where errors stand is told in that order."""
    right = submission({**operands(SEED)}, mode="convolution").right("dw")
    flipped = diagnosis(submission({**operands(SEED), "dw": right[..., ::-1, ::-1]}, mode="convolution"), Judge())
    assert first(flipped).id == "dw.flipped"
    off = right.copy()
    off[:, :, 0] += 1
    assert (
        "only in rows 0"
        in first(diagnosis(submission({**operands(SEED), "dw": off}, mode="convolution"), Judge())).place
    )


def test_pairs_of_mistakes():
    known = {(c.id, c.what): c for c in candidates("dx", 2)}
    pair = (
        known["dx.no_rotation", "the kernel is not rotated, or rotated and then convolved"],
        known["dx.stride_ignored", "dy is not spread out by the stride"],
    )
    geom = CASES["strided-8x8"]
    given = asked(geom, dx=together(pair, task(asked(geom), "dx")))
    assert first(diagnosis(given, Judge())).id == "unknown"
    deep = first(diagnosis(given, Judge(), deep=True))
    alternatives = (deep.id, *(tie.id for tie in deep.ties))
    assert "dx.no_rotation + dx.stride_ignored" in alternatives and "+" in deep.id


def test_the_seed_is_told_that_equal_channels_hid_it():
    swapped = next(c for c in candidates("dx", 2) if c.id == "dx.channels_not_swapped")
    found = diagnosis(asked(SEED, dx=swapped.result(task(asked(SEED), "dx"))), Judge())
    assert first(found).id == "dx.channels_not_swapped"
    assert any("C = F = 4" in note for note in found.notes)
    assert "needs no rotation" in first(found).fix


def test_a_right_case_says_what_it_cannot_show():
    found = diagnosis(asked(SEED, **{op: asked(SEED).right(op) for op in RESULTS}), Judge())
    assert found.is_right and not found.findings
    assert any("cannot show" in note and "any.groups" in note for note in found.notes)
    assert any("needs no rotation" in note for note in found.notes)


def test_numbers_that_nothing_explains():
    noise = np.random.default_rng(0).standard_normal(SEED.x_shape)
    assert first(diagnosis(asked(SEED, dx=noise), Judge())).id == "unknown"
    zero = first(diagnosis(asked(SEED, dx=0 * noise), Judge()))
    assert (zero.id, "zero everywhere" in zero.what) == ("unknown", True)
    single = asked(SEED).right("dx")
    single[0, 2, 3, 4] = np.nan
    assert "NaN" in first(diagnosis(asked(SEED, dx=single), Judge())).place


def written(tmp_path, **results):
    path = tmp_path / "mine.npz"
    arrayfiles.write(path, {**operands(SEED), **results})
    return str(path)


def test_the_command(command, tmp_path):
    right, flipped = asked(SEED).right("dx"), asked(SEED).right("dw")[..., ::-1, ::-1].copy()
    path = written(tmp_path, dx=right, dw=flipped)
    result = command("diagnose", path, "--format", "json")
    (finding,) = result.json["findings"]
    assert (result.code, finding["id"], finding["array"], finding["scale"]) == (1, "dw.flipped", "dw", 1.0)
    assert set(finding) >= {"id", "array", "scale", "residual", "formula", "fix", "ties"}
    table = command("diagnose", path)
    assert "dw.flipped" in table.out and "┌──────┐" in table.out and "to change" in table.out
    assert command("diagnose", written(tmp_path, dx=right)).code == 0
    assert command("diagnose", written(tmp_path)).code == 4
    wrong = command("diagnose", str(tmp_path / "absent.npz"))
    assert (wrong.code, "Traceback" in wrong.err) == (2, False)


def test_the_picture(command, tmp_path):
    picture = tmp_path / "errors.svg"
    path = written(tmp_path, dx=asked(SEED).right("dx") + 1, db=2 * asked(SEED).right("db"))
    assert command("diagnose", path, "--picture", str(picture), "-o", str(tmp_path / "out")).code == 1
    assert "<svg" in picture.read_text(encoding="utf-8")
