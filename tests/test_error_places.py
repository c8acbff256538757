"""Where errors stand, in words and as a map."""

import numpy as np
import pytest
from convback_tools.diagnosis.heatmap import terminal_map
from convback_tools.diagnosis.location import location
from mistakes import CASES, SEED


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ((slice(None), slice(None), slice(8, None)), "only in rows 8 to 9, the last 2 of 10"),
        ((2,), "only in images 2, the last of 3"),
        ((slice(None), slice(2, 4)), "only in channels 2 to 3, the last 2 of 4"),
        ((slice(None), slice(None), slice(None), slice(1, None, 3)), "only in columns 1, 4, ...: one in 3"),
    ],
)
def test_where_errors_stand(wrong, words):
    marks = np.zeros((3, 4, 10, 12), bool)
    marks[wrong] = True
    assert words in location("dx", marks, CASES["mixed-10x12"])


def test_a_border_of_errors():
    marks = np.ones((1, 4, 8, 8), bool)
    marks[:, :, 2:-2, 2:-2] = False
    assert "only in the border, 2 wide" in location("dx", marks, SEED)


def test_the_map_shades_errors():
    error = np.zeros((2, 3, 4, 5))
    error[1, 2, 3, 4] = 2
    lines = terminal_map(error)
    assert lines[0] == "┌──────────┐" and lines[4] == "│        ██│" and lines[1] == "│          │"
