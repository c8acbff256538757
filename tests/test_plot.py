"""`bench --plot` draws what was timed, and says beforehand what it cannot draw."""

import pytest
from convback_tools.benchmark.machine import Machine
from convback_tools.benchmark.rows import Row

plot = pytest.importorskip("convback_tools.benchmark.plot", exc_type=ImportError)

LINE = ("bench", "-b", "einsum", "--op", "dx", "--seconds", "0", "--threads", "1")
BEGINNINGS = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


@pytest.mark.parametrize("suffix", BEGINNINGS)
def test_a_picture_has_the_format_of_its_name(command, tmp_path, suffix):
    path = tmp_path / f"picture.{suffix}"
    result = command(*LINE, "-b", "naive", "--plot", str(path))
    assert (result.code, "Traceback" in result.err) == (0, False), result.err
    assert path.read_bytes().startswith(BEGINNINGS[suffix])


def panels(rows, series_of_cases=()):
    return plot.figure(rows, Machine(1, {"float32": 1e9}, 1e9), "title", series_of_cases).axes


def row(case, backend, ratio, seconds=1.0, op="dx", status="timed", macs=1000):
    return Row(
        case, op, backend, "float32", 1, "fast", status, "base", seconds, seconds, 5.0, macs, ratio_to_baseline=ratio
    )


def bars(axes):
    """(from, to) of each bar, by series."""
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    ends = [[(bar.get_x(), bar.get_x() + bar.get_width()) for bar in series] for series in axes.containers]
    return dict(zip(names, ends, strict=True))


def test_bars_show_the_speed_up_of_each_case():
    rows = [
        row("a", "base", 1.0), row("a", "mine", 4.0), row("a", "mine", 0.5, op="dw"), row("b", "mine", 2.0),
        row("c", "mine", None, status="wrong"),
    ]  # fmt: skip
    left, right = panels(rows)
    assert bars(left) == {"dx float32": [(1, 4), (1, 2)], "dw float32": [(1, 0.5)]}
    assert [label.get_text() for label in left.get_yticklabels()] == ["a", "b"]
    assert "base" in left.get_xlabel()
    assert (left.get_xscale(), right.get_xscale(), right.get_yscale()) == ("log", "log", "log")
    assert 1 in [line.get_xdata()[0] for line in left.lines]


def test_several_backends_are_told_apart():
    left, _ = panels([row("a", "base", 1.0), row("a", "mine", 4.0), row("a", "other", 3.0)])
    assert bars(left) == {"mine dx float32": [(1, 4)], "other dx float32": [(1, 3)]}


def test_without_a_baseline_bars_show_gflops():
    left, _ = panels([row("a", "base", 1.0)])
    ((_, end),) = bars(left)["dx float32"]
    assert (end, left.get_xlabel()) == (5.0, "GFLOP/s")


def test_time_stands_against_products_and_lines_join_what_grows():
    rows = [
        row(case, "mine", 2.0, seconds, macs=macs) for case, macs, seconds in (("a", 10, 1), ("b", 40, 4), ("c", 20, 3))
    ]
    _, right = panels(rows, [["a", "b"], ["d"]])
    points, joined, limit = ([tuple(map(float, data)) for data in line.get_data()] for line in right.lines)
    assert points == [(10, 40, 20), (1, 4, 3)]
    assert joined == [(10, 40), (1, 4)]
    assert limit[1] == pytest.approx([2 * macs / 1e9 for macs in limit[0]])


@pytest.mark.parametrize("name", ["picture.txt", "picture", "no/such/folder/picture.png"])
def test_what_cannot_be_written_is_refused_before_anything_is_timed(command, tmp_path, name):
    result = command(*LINE, "--plot", str(tmp_path / name))
    assert (result.code, result.out, name in result.err) == (2, "", True)


def test_without_matplotlib_it_says_what_to_install(command, tmp_path):
    (tmp_path / "matplotlib.py").write_text("raise ImportError('not here')\n")
    result = command(*LINE, "--plot", str(tmp_path / "picture.png"), plugins=[tmp_path])
    assert (result.code, result.out, "Traceback" in result.err) == (2, "", False)
    assert 'pip install "convback[plot]"' in result.err and "not here" in result.err
    assert command(*LINE, plugins=[tmp_path]).code == 0
