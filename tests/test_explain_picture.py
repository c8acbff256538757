"""What `convback explain` draws: maps of the numbers that meet, and the picture that is made of them."""

import re
import sys
import xml.etree.ElementTree as ElementTree

import click
import numpy as np
import pytest
from convback_tools.explanation import maps, presentation
from convback_tools.explanation.terms import explain, forms
from convback_tools.submission import MODES
from explained import ENTRIES, MIXED, explained, layer_of, text_of

from convback import ConvGeometry

# The maps of a picture, which need no matplotlib.


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("name", "op", "index"), ENTRIES)
def test_maps_show_the_numbers_that_meet(name, op, index, mode):
    """Cells with one label hold the factors of one term; these sum to the entry, where all of them are shown."""
    for form in forms(op):
        explanation = explained(name, op, index, form, mode)
        pairs, more = maps.factors(explanation, 100)
        assert more == 0
        assert maps.result(explanation).title.startswith(f"{op}[" if op != "db" else "db")
        assert [cell.text for cell in maps.result(explanation).cells.values() if cell.kind == "entry"] == [
            f"{int(explanation.value)}"
        ]
        total = explanation.start.value if explanation.start else 0
        for pair in pairs:
            met = [
                {c.mark.label: int(c.text) for c in panel.cells.values() if c.mark and c.mark.shade is not None}
                for panel in pair
            ]
            assert all(labels.keys() == met[0].keys() for labels in met)
            assert not any(panel.is_cut for panel in pair)
            total += sum(np.prod([labels[label] for labels in met]) for label in met[0])
        assert total == explanation.value


def test_dy_is_spread_in_the_gather_form_alone():
    ((dy, w), *_), _ = maps.factors(explained("mixed", "dx", (1, 2, 4, 5)), 4)
    assert dy.title == "dy[1,3,i,j], spread by the stride" and dy.step == (2, 3)
    layer = layer_of(MIXED)
    for (row, column), cell in dy.cells.items():
        between = row % 2 or column % 3
        assert (cell.kind, cell.text) == (
            ("gap", "0") if between else ("plain", f"{layer.dy[1, 3, row // 2, column // 3]:.0f}")
        )
    missing = {cell.mark.label: at for at, cell in dy.cells.items() if cell.mark and cell.mark.shade is None}
    assert missing == {"0,0": (5, 5), "1,0": (4, 5), "2,0": (3, 5), "0,1": (5, 3), "2,1": (3, 3)}
    assert {cell.mark.label for cell in w.cells.values()} == {*missing, "1,1"}
    ((dy, _), *_), _ = maps.factors(explained("mixed", "dx", (1, 2, 4, 5), "scatter"), 4)
    assert (dy.title, dy.step) == ("dy[1,3,i,j]", (1, 1))


def test_windows_begin_where_the_stride_says():
    result = maps.result(explained("mixed", "dx", (1, 2, 4, 5), "scatter"))
    assert set(result.starts) == {(r, s) for r in (1, 3, 5, 7) for s in (3, 6)}
    assert [at for at, shade in result.starts.items() if shade is not None] == [(3, 3)]
    assert maps.result(explained("seed", "dx", (0, 0, 3, 3))).starts == {}


def test_padding_stands_around_x():
    ((x, _), *_), _ = maps.factors(explained("mixed", "y", (0, 5, 0, 1)), 4)
    assert {(at[0], cell.text) for at, cell in x.cells.items() if cell.kind == "padding"} == {(-1, "0")}
    dx = maps.result(explained("mixed", "dx", (1, 2, 1, 1)))
    # What lands there is no zero, but nobody asks for it.
    assert {(at[0], cell.text) for at, cell in dx.cells.items() if cell.kind == "padding"} == {(-1, "")}


def test_of_a_large_map_a_window_is_shown():
    geom = ConvGeometry((1, 1, 60, 60), (1, 1, 3, 3), 1, 12, 12)
    ((x, _),), _ = maps.factors(explain("y", (0, 0, 5, 5), layer_of(geom)), 4)
    assert (x.rows, x.columns, x.is_cut) == (range(5, 18), range(5, 18), True)
    ((_, x),), _ = maps.factors(explain("dw", (0, 0, 1, 1), layer_of(geom)), 4)
    assert (len(x.rows), len(x.columns), x.is_cut) == (14, 14, True)


# Pictures, which need matplotlib.


@pytest.fixture
def picture():
    return pytest.importorskip("convback_tools.explanation.picture", exc_type=ImportError)


def test_a_picture_is_well_formed_and_always_the_same(picture, tmp_path):
    explanation = explained("1-D", "dx", (0, 1, 5))
    for file in ("one.svg", "two.svg"):
        picture.save(explanation, "a$b$c<&>", tmp_path / file)
    text = (tmp_path / "one.svg").read_text(encoding="utf-8")
    assert text == (tmp_path / "two.svg").read_text(encoding="utf-8")
    words = ["".join(node.itertext()) for node in ElementTree.fromstring(text).iter() if node.tag.endswith("}text")]
    assert f"{presentation.headline(explanation)} (a$b$c<&>)" in words
    assert "the entry" in words


@pytest.mark.parametrize(
    ("name", "op", "index", "more"),
    [("mixed", "dx", (1, 2, 4, 5), 1), ("mixed", "y", (0, 5, 0, 1), 0), ("3-D", "dx", (0, 0, 0, 0, 2), 0)],
)
def test_what_a_picture_tells_does_not_overlap(picture, name, op, index, more):
    figure = picture.figure(explained(name, op, index), "source")
    figure.draw_without_rendering()
    (axes,) = figure.axes
    texts = [text for text in [*axes.texts, *axes.get_legend().get_texts()] if text.get_text()]
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    corners = np.array([drawn.get_window_extent().extents for drawn in (*texts, *dots)])
    assert (corners[:, :2] >= 0).all() and (corners[:, 2:] <= figure.bbox.size).all()
    x0, y0, x1, y1 = corners.T
    across = np.minimum.outer(x1, x1) - np.maximum.outer(x0, x0)
    along = np.minimum.outer(y1, y1) - np.maximum.outer(y0, y0)
    overlap = np.argwhere((across > 1) & (along > 1) & ~np.eye(len(corners), dtype=bool))
    assert overlap.size == 0, [corners[pair] for pair in overlap[:4]]
    assert (f"+ {more} more =" in [text.get_text() for text in texts]) == bool(more)
    assert figure.get_size_inches()[0] <= picture.WIDEST


def test_the_command_draws(picture, monkeypatch, tmp_path):
    line = ("db", 1, "--case", "seed-8x8", "--picture")
    assert "db[1] = " in text_of(*line, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(click.BadParameter, match=re.escape('pip install "convback[plot]"')):
        text_of(*line, tmp_path / "other.png")
