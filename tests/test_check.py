"""`convback check FILE`: what is right is called right, however it was made, and what is wrong is called wrong."""

import json
import re

import numpy as np
import pytest
from convback_tools import arrayfiles, cli
from convback_tools.checking.judgement import Judge
from convback_tools.integers import integer_operands
from convback_tools.submission import submission

from convback import ConvGeometry

MIXED = ConvGeometry((2, 4, 5, 6), (6, 2, 3, 2), (2, 1), ((1, 2), (0, 1)), (1, 2), 2)
SMALL = ConvGeometry((2, 3, 3, 4), (2, 3, 2, 3), 1, "same")
RESULTS = ["y", "dx", "dw", "db"]


def parameters(geom):
    return {name: getattr(geom, name) for name in ("stride", "padding", "dilation", "groups")}


def products(geom):
    """Where each product of the layer stands in x, w and y: three columns of flat indices."""
    for n, f, *i in np.ndindex(geom.y_shape):
        for c, *k in np.ndindex(geom.w_shape[1:]):
            axes = zip(i, k, geom.stride, geom.dilation, geom.padding, strict=True)
            r = [a * s + t * d - lo for a, t, s, d, (lo, _) in axes]
            if all(0 <= q < extent for q, extent in zip(r, geom.x_spatial, strict=True)):
                channel = f // (geom.F // geom.groups) * (geom.C // geom.groups) + c
                places = ((n, channel, *r), geom.x_shape), ((f, c, *k), geom.w_shape), ((n, f, *i), geom.y_shape)
                yield [np.ravel_multi_index(*place) for place in places]


PLACES = {geom: np.array(list(products(geom))).T for geom in (MIXED, SMALL)}


def summed(start, places, values, rounded, rng):
    """What stands at `start`, and values added to it in an order of chance; every sum is rounded."""
    order = rng.permutation(len(places))
    order = order[np.argsort(places[order], kind="stable")]
    rank = np.arange(len(order)) - np.searchsorted(places[order], places[order])
    columns = np.zeros((start.size, rank.max() + 1))
    columns[places[order], rank] = values[order]
    total = start.astype(float).ravel()
    for column in columns.T:
        total = rounded(total + column)
    return total.reshape(start.shape)


def computed(geom, operands, rounded, rng):
    """y, dx, dw and db, every operation rounded."""
    at_x, at_w, at_y = PLACES[geom]
    x, w, dy = (operands[name].astype(float).ravel() for name in ("x", "w", "dy"))
    b = np.broadcast_to(operands["b"].reshape(-1, 1, 1), geom.y_shape)
    filters = np.nonzero(np.ones(geom.y_shape))[1]
    return {
        "y": summed(b, at_y, rounded(x[at_x] * w[at_w]), rounded, rng),
        "dx": summed(np.zeros(geom.x_shape), at_x, rounded(dy[at_y] * w[at_w]), rounded, rng),
        "dw": summed(np.zeros(geom.w_shape), at_w, rounded(dy[at_y] * x[at_x]), rounded, rng),
        "db": summed(np.zeros(geom.F), filters, dy, rounded, rng),
    }


def reals(geom, rng, rounded):
    """Operands whose magnitudes differ, so that sums cancel, and small numbers meet large ones."""
    shapes = {"x": geom.x_shape, "w": geom.w_shape, "dy": geom.y_shape, "b": (geom.F,)}
    draws = {name: rng.standard_normal(shape) * 2.0 ** rng.integers(-9, 4, shape) for name, shape in shapes.items()}
    return {name: rounded(values) for name, values in draws.items()}


def through(dtype):
    return lambda values: np.asarray(values).astype(dtype).astype(float)


def bfloat16(values):
    bits = np.asarray(values, np.float32).view(np.uint32).astype(np.uint64)
    nearest = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000
    return nearest.astype(np.uint32).view(np.float32).astype(float)


def printed(digits):
    return lambda values: np.array([float(f"{value:.{digits - 1}e}") for value in values.ravel()]).reshape(values.shape)


def shortest(values):
    """As a float32 is printed so that float32 reads it back."""
    return np.array([float(str(value)) for value in values.astype(np.float32).ravel()]).reshape(values.shape)


ROUNDINGS = {"float16": through("f2"), "bfloat16": bfloat16, "float32": through("f4"), "float64": through("f8")}
# What it is computed in, what is done to all arrays then, what to the results besides, and what `check` is told.
MAKINGS = {
    "float16": ("float16", np.float16, None, {}),
    "float32": ("float32", np.float32, None, {}),
    "float64": ("float64", np.float64, None, {}),
    "bfloat16 in float32": ("bfloat16", np.float32, None, {"computed_in": "bfloat16"}),
    "float32 in float64": ("float32", np.float64, None, {"computed_in": "float32"}),
    "float32, the shortest decimals": ("float32", shortest, None, {"computed_in": "float32"}),
    "float64, stored in float32": ("float64", np.float64, np.float32, {"computed_in": "float64"}),
    "float32, 6 digits": ("float32", printed(6), None, {"computed_in": "float32", "digits": 6}),
    "float64, 3 digits": ("float64", printed(3), None, {"digits": 3}),
    "float64, 16 digits": ("float64", printed(16), None, {"digits": 16}),
}


def made(kind, geom, seed, spoil=None):
    """The members of a file, and the judge for it; `spoil` is done to the exact results before they are stored."""
    computed_in, stored, narrowed, told = MAKINGS[kind]
    rng = np.random.default_rng(seed)
    operands = reals(geom, rng, ROUNDINGS[computed_in])
    results = computed(geom, operands, ROUNDINGS[computed_in], rng)
    if spoil:
        spoil(results)
    results = {name: values if narrowed is None else narrowed(values) for name, values in results.items()}
    members = {name: a if narrowed and name in results else stored(a) for name, a in {**operands, **results}.items()}
    return {**members, **parameters(geom)}, Judge(**told)


@pytest.mark.parametrize("kind", MAKINGS)
def test_what_is_right_is_never_called_wrong(kind):
    """26 results of each of four gradients in ten makings: 1,040."""
    worst = 0.0
    for seed in range(26):
        members, judge = made(kind, (MIXED, SMALL)[seed % 2], seed)
        rows = judge.rows(submission(members), "file")
        assert [(row.array, row.tier, row.status) for row in rows] == [(op, "rounding", "passed") for op in RESULTS], (
            rows
        )
        worst = max([worst, *(row.error_over_bound for row in rows)])
    assert 0.1 < worst < 1, worst  # and no bound is so wide that all would pass


@pytest.mark.parametrize("op", RESULTS)
@pytest.mark.parametrize("kind", MAKINGS)
def test_a_single_wrong_element_is_found(kind, op):
    place = (1, *(0,) * (len({"db": "F"}.get(op, "NCHW")) - 1))

    def spoil(results):
        results[op][place] += np.abs(results[op]).max()

    members, judge = made(kind, MIXED, 0, spoil)
    rows = {row.array: row for row in judge.rows(submission(members), "file")}
    assert rows.pop(op).status == "failed"
    assert {row.status for row in rows.values()} == {"passed"}


def verdict(op, members, **told):
    (row,) = Judge(**told).rows(
        submission({name: a for name, a in members.items() if name not in RESULTS or name == op}), "f"
    )
    return row


def dot(got, dtype="f4", x=(1.3, -0.7, 2.1), w=(0.9, 1.1, 0.4)):
    """A layer whose only y is one sum, of three products if not said otherwise."""
    return {"x": np.array([[x]], dtype), "w": np.array([[w]], dtype), "y": np.array([[[got]]], dtype)}


def exactly(members):
    return [(float(a), float(b)) for a, b in zip(members["x"].ravel(), members["w"].ravel(), strict=True)]


@pytest.mark.parametrize(("dtype", "u"), [("f2", 2.0**-11), ("f4", 2.0**-24)])
def test_the_bound_is_gamma_k_times_g(dtype, u):
    pairs = exactly(dot(0, dtype))
    right, G = sum(a * b for a, b in pairs), sum(abs(a * b) for a, b in pairs)
    bound = 3 * u / (1 - 3 * u) * G
    spacing = 2 * u  # of the numbers from 1 to 2, where the sum is
    for steps in range(-9, 10):
        got = round(right / spacing + steps) * spacing
        row = verdict("y", dot(got, dtype))
        assert row.error_over_bound == pytest.approx(abs(got - right) / bound, rel=1e-4)
        assert row.status == ("passed" if abs(got - right) <= bound else "failed")
    assert row.status == "failed"


def test_a_bias_is_one_more_term():
    u = 2.0**-24
    members = {**dot(0, x=[1.3], w=[0.9]), "b": np.array([0.7], np.float32)}
    ((x, w),), b = exactly(members), float(members["b"][0])
    bound = 2 * u / (1 - 2 * u) * (x * w + b)
    members["y"] = np.full((1, 1, 1), x * w + b + 2 * bound, np.float32)
    row = verdict("y", members)
    assert row.error_over_bound == pytest.approx((float(members["y"].item()) - x * w - b) / bound, rel=1e-4)


@pytest.mark.parametrize(("mode", "place"), [("cross-correlation", 1), ("convolution", 0)])
def test_k_is_that_of_each_element(mode, place):
    """Behind the last input lies a zero: one element of dw sums two products, the other three; all are positive."""
    x, w, dy = ([1.3, 0.7, 1.1], [1, 1], [0.9, 1.7, 0.3])
    members = {name: np.array([[a]], np.float32) for name, a in (("x", x), ("w", w), ("dy", dy))}
    members |= {"padding": ((0, 1),), "mode": mode}
    off, u = 1e-6, 2.0**-24
    row = verdict("dw", {**members, "dw": submission(members).right("dw") * (1 + off)}, computed_in="float32")
    assert row.worst_index == (0, 0, place)
    assert row.error_over_bound == pytest.approx(off / (2 * u + u), rel=1e-3)  # the sum, and the result as a float32


@pytest.mark.parametrize("longest", [0, 10**9])
def test_the_oracle_may_be_off_as_well(monkeypatch, longest):
    """The product lies in the middle of two numbers: float64 rounds it to the one, who rounds to the other is right."""
    monkeypatch.setattr("convback_tools.checking.precision.LONGDOUBLE_MACS", longest)
    one = 1 + 2.0**-26 + 2.0**-27
    for got, status in ((one, "passed"), (one + 2.0**-52, "passed"), (one + 2.0**-51, "failed")):
        assert verdict("y", dot(got, "f8", x=[1 + 2.0**-26], w=[1 + 2.0**-27])).status == status


def test_digits_allow_half_a_unit_of_the_last_one():
    """(2e + e^2) G + e |got|, and next to nothing for the rounding of float64."""
    pairs = exactly(dot(0, "f8"))
    right, G, e = sum(a * b for a, b in pairs), sum(abs(a * b) for a, b in pairs), 0.005
    for off, status in ((0.999, "passed"), (1.001, "failed")):
        got = (right + off * (2 * e + e * e) * G) / (1 - off * e)
        row = verdict("y", dot(got, "f8"), digits=3)
        assert (row.tier, row.status) == ("rounding", status)
        assert row.error_over_bound == pytest.approx(off, rel=1e-6)


def test_integers_are_exact(dtype):
    operands = integer_operands(MIXED, 3, dtype.name)
    given = submission({**operands, **parameters(MIXED)})
    members = {**operands, **parameters(MIXED), **{op: given.right(op).astype(dtype) for op in RESULTS}}
    assert {(row.tier, row.status) for row in Judge().rows(submission(members), "f")} == {("exact", "passed")}
    members["dx"][1, 3, 2, 2] += 1
    row = verdict("dx", members)
    assert (row.tier, row.status, row.wrong, row.size) == ("exact", "failed", 1, 240)
    assert (row.worst_index, row.got - row.expected, row.max_abs_error) == ((1, 3, 2, 2), 1, 1)
    assert row.reason == "1 of 240 elements are wrong"  # no digits that are few explain it


def test_integers_that_were_printed_are_not_exact():
    operands = integer_operands(MIXED, 3)
    dx = printed(2)(submission({**operands, **parameters(MIXED)}).right("dx"))
    members = {**operands, **parameters(MIXED), "dx": dx}
    assert verdict("dx", members).status == "failed"
    row = verdict("dx", members, digits=2)
    assert (row.tier, row.status) == ("rounding", "passed")


def test_integers_whose_sums_float32_does_not_hold_are_rounded():
    """3 * 4096^2 is beyond 2^24: a right float32 may be off by as much as a unit there."""
    members = dot(3 * 4096**2 + 1, "f4", [4096, 4096, 4097], [4096, 4096, 4096])
    assert verdict("y", members).tier == "rounding"
    assert verdict("y", {name: a.astype(float) for name, a in members.items()}).tier == "exact"


def test_a_float32_result_in_float64_is_told_so():
    members, _ = made("float32 in float64", MIXED, 5)
    row = verdict("dx", members)
    assert (row.status, row.computed_in) == ("failed", "float64")
    assert row.reason.endswith("if your program computes in float32, say --computed-in float32")
    members["dx"] = -members["dx"]
    assert "--computed-in" not in verdict("dx", members).reason


def test_a_result_of_few_digits_is_told_so():
    members, _ = made("float64, 3 digits", MIXED, 5)
    row = verdict("dx", members)
    assert row.status == "failed"
    assert row.reason.endswith("if the numbers were printed with 3 digits, say --digits 3")
    members["dx"] = -members["dx"]
    assert "--digits" not in verdict("dx", members).reason


@pytest.mark.parametrize(
    ("op", "shape", "told"),
    [
        ("dx", (2, 4, 8, 7), "x with its padding"),
        ("dx", (6, 2, 3, 2), "w: is this dw?"),
        ("dw", (2, 6, 3, 2), "filters and channels exchanged"),
        ("dw", (2, 4, 5, 6), "is this dx?"),
        ("dx", (2, 4, 6, 5), "Its axes are in another order"),
        ("db", (2, 6), "sums for each image"),
        ("db", (1, 6, 1, 1), "axes of extent 1 only"),
        ("y", (7,), "expected (2, 6, 3, 5)"),
    ],
)
def test_a_wrong_shape_is_told_with_what_it_may_be(op, shape, told):
    members, _ = made("float32", MIXED, 0)
    row = verdict(op, {**members, op: np.zeros(shape, np.float32)})
    assert (row.status, row.tier, row.wrong) == ("failed", None, None)
    assert f"{op} has shape {shape}; expected " in row.reason
    assert told in row.reason


def test_nan_in_a_result_is_wrong_and_where():
    members, _ = made("float32", MIXED, 0)
    members["dw"][0, 1, 2, 0], members["dw"][3, 0, 0, 0] = np.nan, np.inf
    row = verdict("dw", members)
    assert (row.status, row.wrong) == ("failed", 2)
    assert "2 are not finite, the first is nan at [0, 1, 2, 0]" in row.reason


def test_what_cannot_be_said_is_not_said():
    members, _ = made("float32", MIXED, 0)
    broken = {**members, "x": members["x"].copy()}
    broken["x"][0, 0, 0, 0] = np.nan
    broken["dw"] = broken["dw"] * np.nan
    assert verdict("y", broken).status == "inconclusive"
    assert verdict("dx", broken).status == "passed"  # x has no part in it
    assert "elements are wrong" in verdict("dw", broken).reason  # of the other group
    row = verdict("y", dot(np.float16(6e4), "f2", (300, 1.5, 100), (300, 1.5, -300)))
    assert (row.status, "overflow float16" in row.reason) == ("inconclusive", True)
    many = {"x": np.full((1, 1, 300), 1.5), "w": np.full((1, 1, 300), 0.5), "y": np.full((1, 1, 1), 225.0)}
    row = verdict("y", many, computed_in="bfloat16")
    assert (row.status, "300 products has no rounding bound" in row.reason) == ("inconclusive", True)
    row = verdict("y", members, max_macs=10)
    assert (row.status, row.reason) == ("inconclusive", "2160 products are more than --max-macs 10")
    del members["dy"]
    row = verdict("dx", members)
    assert (row.status, "dy, which it follows from, is missing" in row.reason) == ("inconclusive", True)


def test_tiny_numbers_may_underflow(dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    for got, status in ((0, "passed"), (tiny, "passed"), (4 * tiny, "failed")):
        values = np.full(3, np.sqrt(tiny.astype(float)) / 2)
        assert verdict("y", dot(dtype.type(got), dtype, values, values)).status == status


def test_a_layer_that_is_another_one_is_known_by_its_own_y():
    """Padding at the other side: y and its gradients are wrong, and belong together."""
    other = ConvGeometry(MIXED.x_shape, MIXED.w_shape, (2, 1), ((2, 1), (1, 0)), (1, 2), 2)
    PLACES[other] = np.array(list(products(other))).T
    for kind in ("float32", "float64, 3 digits"):
        members, judge = made(kind, other, 1)
        y = judge.rows(submission({**members, **parameters(MIXED)}), "f")[0]
        assert "with this y, <dx, x> = <dy, y - b> = <dw, w> holds for dx and dw: " in y.reason
        members["dx"] = members["dx"] * 2
        y = judge.rows(submission({**members, **parameters(MIXED)}), "f")[0]
        assert "holds for dw: " in y.reason


def test_what_agrees_with_any_y_says_nothing():
    """dx is wrong where x is 0, and y where dy is: the identity holds with the right y, too."""
    members = {**integer_operands(MIXED), **parameters(MIXED)}
    members["x"][0, 0, 0, 0] = members["dy"][0, 0, 0, 0] = 0
    for op in ("y", "dx"):
        members[op] = submission(members).right(op)
        members[op][0, 0, 0, 0] += 1
    rows = Judge().rows(submission(members), "f")
    assert [row.status for row in rows] == ["failed", "failed"]
    assert "holds for" not in rows[0].reason


def test_y_without_its_bias_is_known():
    members, _ = made("float32", MIXED, 1)
    b, members["b"] = members["b"], np.zeros(6, np.float32)
    members["y"] = computed(MIXED, members, through("f4"), np.random.default_rng(0))["y"].astype("f4")
    assert verdict("y", members).status == "passed"
    members["b"] = b
    assert "b is missing" in verdict("y", members).reason


@pytest.fixture
def convback(monkeypatch, capsys, tmp_path):
    """Run the command in this process, in an empty folder: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["convback", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code, *capsys.readouterr()

    return run


def write(path, **changes):
    members, _ = made("float32", MIXED, 0)
    members = {**members, **changes}
    arrayfiles.write(path, {name: value for name, value in members.items() if value is not None})


@pytest.mark.parametrize("suffix", arrayfiles.SUFFIXES)
def test_files_of_every_format(convback, tmp_path, suffix):
    write(tmp_path / f"mine{suffix}")
    code, out, _ = convback("check", f"mine{suffix}", "--format", "json")
    report = json.loads(out)
    assert (code, report["summary"]["passed"]) == (0, 4)
    assert [row["computed_in"] for row in report["rows"]] == ["float32"] * 4


def test_a_failure_is_told_with_what_to_do(convback, tmp_path):
    dx = made("float32", MIXED, 0)[0]["dx"]
    dx[1, 2, 3, 4] += 1
    write(tmp_path / "my file.npz", dx=dx, stride=None, padding=None)
    code, out, err = convback("check", "my file.npz", "--stride", "2,1", "--padding", "1:2,0:1")
    assert (code, err) == (1, "")
    for told in (
        "dx float32 rounding WRONG 1 of 240",
        "FAILED: dx: 1 of 240 elements are wrong; to find the mistake, run: convback diagnose 'my file.npz' "
        "'--stride=(2,1)' '--padding=((1,2),(0,1))'",
        " worst at dx[1, 2, 3, 4]: got ",
        "3 passed, 1 failed.",
    ):
        assert told in re.sub(" +", " ", out)
    again, _, _ = convback("check", "my file.npz", "--stride=(2,1)", "--padding=((1,2),(0,1))", "--format", "csv")
    assert again == 1


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["mine.npz", "--padding", "0"], 2, "dy has shape"),
        (["mine.npz", "--padding", "smae"], 2, "Did you mean 'same'?"),
        (["mine.npz", "--stride", "1.5"], 2, "'1.5'"),
        (["mine.npz", "--stride", "(" * 99], 2, "is not understood"),
        (["mine.npz", "--draws", "3"], 2, "--draws goes with --cmd"),
        (["mine.npz", "--max-memory", "1KiB"], 2, "mine.npz"),
        (["nothing.npz"], 2, "nothing.npz"),
        (["none.npz"], 4, "nothing was checked"),
        (["mine.npz", "--max-macs", "1"], 4, "--max-macs 1"),
        ([], 2, "expected either a FILE or --cmd"),
        (["mine.npz", "--cmd", "a {in} {out}"], 2, "expected either a FILE or --cmd"),
    ],
)
def test_exit_codes_and_reasons(convback, tmp_path, arguments, code, told):
    write(tmp_path / "mine.npz")
    write(tmp_path / "none.npz", y=None, dx=None, dw=None, db=None)
    found, out, err = convback("check", *arguments)
    assert (found, "Traceback" in err) == (code, False)
    assert told in out + err
