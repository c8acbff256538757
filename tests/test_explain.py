"""`convback explain`: the terms of an entry sum to what is right, in every form, and are shown as they are."""

import csv
import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from convback_tools import cli, suites
from convback_tools.explanation import presentation, terms
from convback_tools.explanation.formulas import plain
from convback_tools.explanation.latex import latex
from convback_tools.explanation.rows import Row
from convback_tools.explanation.terms import explain, forms
from convback_tools.submission import MODES, submission
from convback_tools.verification import oracle
from explained import DEEP, ENTRIES, FLAT, MIXED, SEED, explained, layer_of, text_of
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import FAR, layers

from convback import ConvGeometry, ParameterError, ShapeError

EXAMPLES = settings(max_examples=settings.default.max_examples // 16)


@given(layers(may_be_empty=False), st.integers(0, 2**32))
@EXAMPLES
def test_terms_sum_to_what_is_right(drawn, seed):
    layer = layer_of(drawn.geom, drawn.parameters["mode"])
    for op in ("y", "dx", "dw", "db"):
        right = layer.right(op)
        at = tuple(np.unravel_index(seed % right.size, right.shape))
        found = [explain(op, list(map(int, at)), layer, form) for form in forms(op)]
        counts = oracle.terms(op, None if op == "db" else drawn.geom, drawn.geom.y_shape)
        where = at if op == "db" or layer.mode == MODES[0] or op != "dw" else (*at[:2], *terms.in_kernel(at[2:], layer))
        for explanation in found:
            assert explanation.value == right[at]
            assert len(explanation.terms) == np.broadcast_to(counts, right.shape)[where]
            assert all(type(factor.value) is float for term in explanation.terms for factor in term.factors)
            check_terms(explanation)


def check_terms(explanation):
    """Every factor is what stands at its index, indices meet as they say, and every tap is accounted for."""
    layer, geom = explanation.layer, explanation.layer.geom
    total = explanation.start.value if explanation.start else 0
    for term in explanation.terms:
        values = [getattr(layer, factor.name)[factor.index] for factor in term.factors]
        total += np.prod(values)
        assert [factor.value for factor in term.factors] == values
        assert (term.product, term.sum) == (np.prod(values), total)
        for i, k, r, s, d, (lo, _) in zip(
            term.output, term.tap, term.input, geom.stride, geom.dilation, geom.padding, strict=bool(term.tap)
        ):
            assert r == i * s + k * d - lo
    places = len(explanation.terms) // max(1, len(explanation.leads)) + len(explanation.missing)
    assert places == explanation.candidates


@given(layers(may_be_empty=False), st.integers(0, 2**32))
@EXAMPLES
def test_both_forms_of_dx_have_the_same_terms(drawn, seed):
    layer = layer_of(drawn.geom)
    at = tuple(map(int, np.unravel_index(seed % layer.x.size, layer.x.shape)))
    gather, scatter = ([replace(term, sum=0) for term in explain("dx", at, layer, f).terms] for f in forms("dx"))
    assert set(gather) == set(scatter)
    assert len(set(gather)) == len(gather) == len(scatter)
    assert gather == sorted(gather, key=lambda term: (term.f, term.tap))
    assert scatter == sorted(scatter, key=lambda term: (term.f, term.output))


def test_reasons_of_missing_taps():
    """Stride 2, padding 1, kernel 3 on 8 positions: an even one has tap 1 alone, an odd one the taps 0 and 2."""
    layer = layer_of(suites.case("strided-8x8").geom)

    def reasons(op, *index):
        return {missing.index: missing.reason for missing in explain(op, index, layer).missing}

    ones = {(1, 0), (1, 1), (1, 2), (0, 1), (2, 1)}
    assert reasons("dx", 0, 0, 3, 3) == dict.fromkeys(ones, "stride")
    # At the end, tap 0 would need a fifth window.
    beyond = {(0, 0), (0, 2), (2, 0)}
    assert reasons("dx", 0, 0, 7, 7) == {**dict.fromkeys(ones, "stride"), **dict.fromkeys(beyond, "border")}
    assert reasons("y", 0, 0, 0, 1) == dict.fromkeys({(0, 0), (0, 1), (0, 2)}, "padding")
    assert reasons("dw", 0, 0, 0, 1) == dict.fromkeys({(0, j) for j in range(4)}, "padding")
    assert reasons("db", 0) == {}


def test_a_step_that_is_never_taken_may_have_any_length():
    geom = ConvGeometry((1, 1, 2, 4), (1, 1, 1, 3), (FAR, FAR), 0, (FAR, 1))
    for at in np.ndindex(2, 4):
        assert explain("dx", (0, 0, *at), layer_of(geom)).value == layer_of(geom).right("dx")[0, 0][at]


@pytest.mark.parametrize(
    ("op", "index", "told"),
    [
        ("dx", (0, 1, 3), "dx has shape (1, 4, 8, 8), so its index is 4 integers, n c r s; got 0 1 3"),
        ("dx", (), "got none"),
        ("db", (0, 0), "db has shape (4,), so its index is 1 integer, f; got 0 0"),
        ("dx", (0, 4, 0, 0), "dx has shape (1, 4, 8, 8), and c is 4; expected 0 to 3"),
        ("dw", (0, 0, 0, 3), "dw has shape (4, 4, 3, 3), and l is 3; expected 0 to 2"),
        ("y", (0, 0, 0, -1), "y has shape (1, 4, 6, 6), and j is -1; expected 0 to 5; a negative index does not count"),
        ("y", (0, 0, 10**30, 0), "i is 1" + 30 * "0"),
    ],
)
def test_an_index_that_is_none_is_refused(op, index, told):
    with pytest.raises(ShapeError, match=re.escape(told)):
        explain(op, index, layer_of(SEED))


def test_what_cannot_be_explained_is_refused():
    layer = layer_of(SEED)
    with pytest.raises(ShapeError, match="expected nothing, as there is no entry"):
        explain("dx", (0, 0, 0, 0), layer_of(ConvGeometry((0, 1, 3, 3), (1, 1, 2, 2))))
    with pytest.raises(ParameterError, match="dy, which it follows from, is missing"):
        explain("dx", (0, 0, 0, 0), submission({"x": layer.x, "w": layer.w}))
    with pytest.raises(ParameterError, match="'scatter'; expected 'gather' of dw"):
        explain("dw", (0, 0, 0, 0), layer, "scatter")
    with pytest.raises(ParameterError, match="sums over 260000 places, more than the 200000"):
        explain("db", (0,), layer_of(ConvGeometry((260, 1, 1000), (1, 1, 1))))


def test_sums_of_nothing():
    geom = ConvGeometry((0, 2, 4, 4), (3, 2, 2, 2))
    assert explain("dw", (0, 0, 0, 0), layer_of(geom)).value == 0
    geom = ConvGeometry((1, 0, 4, 4), (3, 0, 2, 2))
    layer = layer_of(geom)
    assert explain("y", (0, 2, 0, 0), layer).value == layer.b[2]


def test_formulas_hold_the_numbers_of_the_layer():
    layer, flipped = layer_of(MIXED), layer_of(MIXED, MODES[1])
    assert plain("dx", "gather", layer) == (
        "dx[n,2*g+c,r,s] = sum over f,k,l of dy[n,f,i,j] * w[f,c,k,l], "
        "where i = (r + 1 - k)/2, j = (s - 2*l)/3, g = f//3"
    )
    assert plain("dx", "scatter", layer) == (
        "dy[n,f,i,j] * w[f,c,k,l] lands on dx[n,2*g+c,r,s], where r = 2*i + k - 1, s = 3*j + 2*l, g = f//3"
    )
    assert plain("y", "gather", flipped).startswith(
        "y[n,f,i,j] = b[f] + sum over c,k,l of x[n,2*g+c,r,s] * w[f,c,K-1-k,L-1-l], "
    )
    assert plain("dx", "gather", layer_of(SEED)).endswith("where i = r - k, j = s - l")
    assert plain("dw", "gather", layer_of(FLAT)) == (
        "dw[f,c,l] = sum over n,j of dy[n,f,j] * x[n,c,s], where s = 2*j + 2*l - 2"
    )
    assert plain("db", "gather", layer_of(DEEP)) == "db[f] = sum over n,h,i,j of dy[n,f,h,i,j]"


def test_the_table_of_the_seed():
    lines = [line.split() for line in text_of("dx", 0, 1, 3, 4, "--case", "seed-8x8").splitlines()]
    layer = layer_of(SEED)
    value = int(layer.right("dx")[0, 1, 3, 4])
    assert ["term", "f", "k", "l", "K-1-k", "L-1-l", "i", "j", "dy[0,f,i,j]", "w[f,1,k,l]", "product", "sum"] in lines
    table = [list(map(int, line)) for line in lines if line and line[0].isdigit()]
    assert len(table) == 36 and table[-1][-1] == value
    for number, (term, f, k, l, K_k, L_l, i, j, dy, w, product, _) in enumerate(table, 1):
        assert (term, K_k, L_l, i, j) == (number, 2 - k, 2 - l, 3 - k, 4 - l)
        assert (dy, w, product) == (layer.dy[0, f, i, j], layer.w[f, 1, k, l], dy * w)
    assert f"dx[0,1,3,4] = {value}, the sum of 36 terms." in map(" ".join, lines)
    assert presentation.ROTATION in map(" ".join, lines)


def test_headers_name_what_is_the_same_in_all_terms():
    def columns(*arguments):
        return " ".join(presentation.report_of(explained(*arguments), "", everything=False).columns)

    assert columns("mixed", "y", (0, 5, 1, 1)) == "term c k l r s x[0,2+c,r,s] w[5,c,k,l] product sum"
    assert columns("mixed", "dw", (5, 1, 0, 0)) == "term n i j r s dy[n,5,i,j] x[n,3,r,s] product sum"
    assert columns("mixed", "db", (5,)) == "term n i j dy[n,5,i,j] sum"
    scatter = columns("mixed", "dx", (1, 3, 4, 5), "scatter")
    assert scatter == "term f i j k l r s dy[1,f,i,j] w[f,1,k,l] product sum"
    assert "w[f,2,L-1-l]" in columns("1-D", "dx", (1, 2, 4), "gather", MODES[1])


def test_long_sums_are_cut_in_the_table_alone():
    line = ("dw", 0, 0, 0, 0, "--case", "mb2ic1ih9iw8oc2kh3kw3")
    table, whole = text_of(*line), text_of(*line, "--all")
    assert "60 terms are not shown; --all shows them" in table and "..." in table
    assert len(table.splitlines()) == len(whole.splitlines()) - 60 + 2
    assert "not shown" not in whole
    for count in (len(json.loads(text_of(*line, "--format", "json"))["rows"]), len(rows_of_csv(line))):
        assert count == 84


def rows_of_csv(line):
    return list(csv.DictReader(io.StringIO(text_of(*line, "--format", "csv"))))


def test_json_has_all():
    document = json.loads(text_of("dx", 1, 2, 4, 5, "--case", "mixed-10x12", "--form", "scatter", "--format", "json"))
    explanation = explained("mixed", "dx", (1, 2, 4, 5), "scatter")
    told = {
        "op": "dx", "index": [1, 2, 4, 5], "form": "scatter", "terms": 3, "bias": None, "sum": explanation.value,
        "given": None, "candidates": 6,
    }  # fmt: skip
    assert {name: document[name] for name in told} == told
    skipped = [[0, 0], [0, 1], [1, 0], [2, 0], [2, 1]]
    assert document["missing"] == {"stride": {"count": 5, "index": skipped}}
    first, term = document["rows"][0], explanation.terms[0]
    assert set(first) == set(Row.__dataclass_fields__)
    assert [first[letter] for letter in "nfchijmkqr"] == [1, 3, 0, None, 2, 1, None, 1, None, 4]
    assert (first["rotated_k"], first["rotated_l"], first["rotated_m"]) == (1, 0, None)
    assert (first["left"], first["right"]) == ("dy[1,3,2,1]", "w[3,0,1,1]")
    assert first["left_value"] * first["right_value"] == first["product"] == term.product


def test_numbers_that_are_not_finite_are_null():
    layer = layer_of(SEED, dy=np.full(SEED.y_shape, np.inf))
    report = presentation.report_of(explain("dx", (0, 0, 0, 0), layer), "", everything=False)
    assert report.extra["sum"] is None
    assert "dx[0,0,0,0] = nan, the sum of 4 terms." in report.notes


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("name", "op", "index"), ENTRIES)
def test_latex_is_whole_and_true(name, op, index, mode):
    for form in forms(op):
        explanation = explained(name, op, index, form, mode)
        text = latex(explanation, everything=True)
        assert text.startswith("\\begin{align*}\n") and text.endswith("\n\\end{align*}\n")
        depths = np.cumsum([(c == "{") - (c == "}") for c in text])
        assert depths.min() >= 0 and depths[-1] == 0
        lines = text.splitlines()[1:-1]
        assert [line.endswith(r" \\") for line in lines] == [True] * (len(lines) - 1) + [False]
        assert all("&" in line for line in lines)
        products = [line for line in lines if "&& =" in line]
        assert len(products) == len(explanation.terms) + bool(explanation.start)
        assert sum(int(re.search(r"&& = \(?(-?\d+)\)?(?: \\\\)?$", line)[1]) for line in products) == explanation.value
        assert lines[-1].endswith(f"&= {int(explanation.value)}")


def test_latex_of_many_terms_and_of_other_numbers():
    layer = layer_of(SEED, dy=np.full(SEED.y_shape, 1.5e-20), w=np.full(SEED.w_shape, -np.inf))
    text = latex(explain("dx", (0, 1, 3, 4), layer))
    assert r"1.5 \cdot 10^{-20} \cdot (-\infty)" in text
    cut, whole = (latex(explained("mixed", "db", (3,)), everything) for everything in (False, True))
    assert (cut.count(r"\mathit{dy}"), whole.count(r"\mathit{dy}")) == (1 + 24, 1 + 72)
    assert r"& \quad\vdots && \quad\vdots && \quad\text{(48 more)} \\" in cut


def test_a_file_is_explained_with_its_parameters_and_its_result(tmp_path):
    layer = layer_of(MIXED)
    wrong = layer.right("dx") + 1
    arrays = {"x": layer.x, "w": layer.w, "dy": layer.dy, "dx": wrong}
    parameters = {"stride": MIXED.stride, "padding": MIXED.padding, "dilation": MIXED.dilation, "groups": MIXED.groups}
    np.savez(tmp_path / "mine.npz", **arrays, **parameters)
    np.savez(tmp_path / "bare.npz", **arrays)
    told = [
        f"dx[1,2,4,5] = {int(wrong[1, 2, 4, 5]) - 1}, the sum of 3 terms.",
        f"mine.npz has dx[1,2,4,5] = {int(wrong[1, 2, 4, 5])}.",
    ]
    lines = text_of("dx", 1, 2, 4, 5, "--file", tmp_path / "mine.npz").splitlines()
    assert set(told) <= set(lines)
    options = ("--stride", "2,3", "--padding", "1:2,0:1", "--dilation", "1,2", "--groups", "2")
    assert told[0] in text_of("dx", 1, 2, 4, 5, "--file", tmp_path / "bare.npz", *options).splitlines()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["dx", "0", "0", "0", "-1", "--case", "seed-8x8"], "negative index does not count from the end"),
        (["dx", "0", "0", "0", "x", "--case", "seed-8x8"], "'x' is no integer"),
        (["dx", "0", "0", "0", "0", "--cse", "seed-8x8"], "No such option '--cse'. (Did you mean one of: '--case'"),
        (["dx", "0", "0", "0", "0"], "either by --case WORD or by --file FILE"),
        (["dx", "0", "0", "0", "0", "--case", "sed-8x8"], "Did you mean 'seed-8x8'?"),
        (["dz", "0", "--case", "seed-8x8"], "'dz'"),
        (["dw", "0", "0", "0", "0", "--case", "seed-8x8", "--form", "scatter"], "--form scatter is of dx"),
        (["db", "0", "--case", "seed-8x8", "--stride", "2"], "--stride go with --file"),
        (["db", "0", "--case", "seed-8x8", "--latex", "--format", "json"], "--latex and --format json"),
        (["db", "0", "--case", "seed-8x8", "--max-memory", "1KiB"], "--max-memory"),
        (["db", "0", "--case", "mb99999999ic99ih999oc9kh9"], "choose a smaller layer"),
        (["db", "0", "--file", "none.npz"], "none.npz"),
        (["db", "0", "--case", "seed-8x8", "--picture", "picture.txt"], "picture.txt"),
    ],
)
def test_wrong_usage_is_told(monkeypatch, capsys, arguments, told):
    monkeypatch.setattr("sys.argv", ["convback", "explain", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    printed = capsys.readouterr()
    assert (end.value.code, printed.out) == (2, ""), printed
    assert told in printed.err


def test_results_go_to_the_file_that_is_named(tmp_path):
    line = ("db", 0, "--case", "seed-8x8")
    for extra in ([], ["--latex"]):
        assert text_of(*line, *extra, "-o", tmp_path / "file") == ""
        assert (tmp_path / "file").read_text(encoding="utf-8").strip() == text_of(*line, *extra).strip()
