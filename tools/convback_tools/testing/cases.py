"""Which layers a test runs for: those of a suite, without what the convolution under test does not have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, TypeVar

from convback import ConvGeometry, ParameterError, ShapeError
from convback.errors import did_you_mean, quoted
from convback.geometry import Pairs, Shape
from convback_tools import suites
from convback_tools.suites import Case
from convback_tools.verification.tasks import DTYPES

T = TypeVar("T")


class _Parameters(NamedTuple):
    stride: Shape
    padding: Pairs
    dilation: Shape
    groups: int


def _alike(axes: tuple[T, ...]) -> tuple[T, ...]:
    """Every axis as the first one."""
    return axes[:1] * len(axes)


# What becomes of a layer that does without a feature.
WITHOUT: dict[str, Callable[[_Parameters], _Parameters]] = {
    "stride": lambda p: p._replace(stride=(1,) * len(p.stride)),
    "padding": lambda p: p._replace(padding=((0, 0),) * len(p.padding)),
    "dilation": lambda p: p._replace(dilation=(1,) * len(p.dilation)),
    "groups": lambda p: p._replace(groups=1),
    "per-axis": lambda p: _Parameters(_alike(p.stride), _alike(p.padding), _alike(p.dilation), p.groups),
    "asymmetric": lambda p: p._replace(padding=tuple((max(pair), max(pair)) for pair in p.padding)),
}
FEATURES = tuple(WITHOUT)


@dataclass(frozen=True)
class Wanted:
    """What the marker says: `@pytest.mark.convback(...)`.

    Attributes
    ----------
    dtype : {"float32", "float64"}
    suite : str
        A built-in suite, whose cases the test runs for.
    cases : sequence of str
        Problem words and names of layers; if there are any, they take the place of the suite.
    features : sequence of str
        Those of `FEATURES` that the convolution under test has; cases do without the others. "per-axis" is a stride,
        padding or dilation that differs between axes, "asymmetric" a padding that differs between the ends of one.
    """

    dtype: str = "float32"
    suite: str = "discriminating"
    cases: Sequence[str] = ()
    features: Sequence[str] = FEATURES

    def __post_init__(self) -> None:
        _check("dtype", self.dtype, DTYPES)
        for feature in self.features:
            _check("feature", feature, FEATURES)

    def layers(self, more: Sequence[str] = ()) -> list[Case]:
        """The cases, and those of some more problem words.

        Raises
        ------
        ConvbackError
            If a suite or a case is not known, or none is possible without the other features.
        """
        named = [suites.case(word) for word in self.cases]
        plain = (without(case, set(FEATURES) - set(self.features)) for case in named or suites.suite(self.suite))
        found = [case for case in plain if case] + [suites.case(word) for word in more]
        if not found:
            raise ParameterError(f"features are {quoted(self.features)}, but every case needs others")
        return list({case.geom: case for case in found}.values())


def wanted(**marker: Any) -> Wanted:
    """What a marker with these arguments says.

    Raises
    ------
    ParameterError
        If one of them is unknown or wrong.
    """
    known = [field.name for field in fields(Wanted)]
    for name in marker:
        if name not in known:
            raise ParameterError(f"there is no {name!r}.{did_you_mean(name, known)} Known: {', '.join(known)}")
    return Wanted(**marker)


def without(case: Case, absent: set[str]) -> Case | None:
    """The case without some features, or None where it is impossible without them."""
    g, dropped = case.geom, []
    left = _Parameters(g.stride, g.padding, g.dilation, g.groups)
    for feature in FEATURES:
        if feature in absent and (changed := WITHOUT[feature](left)) != left:
            left = changed
            dropped.append(feature)
    if not dropped:
        return case
    try:
        geom = ConvGeometry(g.x_shape, (g.F, g.C // left.groups, *g.kernel), *left)
    except ShapeError:  # the kernel fits on the padded input only
        return None
    return Case(f"{case.name}-without-{'-'.join(dropped)}", geom)


def _check(what: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ParameterError(
            f"{what} is {quoted(value)}.{did_you_mean(str(value), known)} Expected one of {', '.join(known)}"
        )
