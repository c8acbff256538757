"""Entries that the tests of `convback explain` explain, of several layers, and the command run in this process."""

from click.testing import CliRunner
from convback_tools import cli, suites
from convback_tools.explanation.terms import explain
from convback_tools.integers import integer_operands
from convback_tools.notation import arguments
from convback_tools.submission import MODES, submission

from convback import ConvGeometry

SEED = suites.case("seed-8x8").geom
MIXED = suites.case("mixed-10x12").geom
DEEP = ConvGeometry((2, 4, 4, 5, 6), (6, 2, 2, 3, 2), (1, 2, 3), ((1, 0), (2, 1), (0, 3)), (2, 1, 1), 2)
FLAT = ConvGeometry((2, 3, 11), (5, 3, 4), 2, ((2, 1),), 2)
GEOMETRIES = {"seed": SEED, "mixed": MIXED, "3-D": DEEP, "1-D": FLAT}
# One entry of each kind: in the middle, on a border, on a map that the stride reaches nowhere.
ENTRIES = (
    ("seed", "dx", (0, 1, 3, 4)), ("seed", "dx", (0, 0, 0, 0)), ("mixed", "dx", (1, 2, 4, 5)),
    ("mixed", "y", (0, 5, 0, 1)), ("mixed", "dw", (5, 1, 0, 0)), ("mixed", "db", (3,)), ("3-D", "dx", (1, 1, 2, 3, 3)),
    ("3-D", "dx", (0, 0, 0, 0, 2)), ("3-D", "dw", (2, 1, 1, 0, 1)), ("1-D", "dx", (0, 1, 5)), ("1-D", "y", (1, 4, 0)),
)  # fmt: skip


def layer_of(geom, mode=MODES[0], **changes):
    return submission({**integer_operands(geom), **changes}, **arguments(geom), mode=mode)


def explained(name, op, index, form="gather", mode=MODES[0]):
    return explain(op, index, layer_of(GEOMETRIES[name], mode), form)


def text_of(*arguments):
    """What the command prints, run in this process."""
    result = CliRunner().invoke(cli.cli, ["explain", *map(str, arguments)], standalone_mode=False)
    if result.exception:
        raise result.exception
    return result.stdout
