"""The fixture `convback_case`, and the options of the conformance kit.

pytest loads this file in every session, so it imports nothing but pytest. The layers of the fixture are in
`convback_tools.testing`, and the kit is `convback_tools.conformance`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from convback_tools.testing.layer_case import LayerCase

WAIVERS = {
    "nan-leak": "NaN may reach results of other images and groups",
    "load-state": "loading may change the state of the process",
}
MARKER = (
    'convback(dtype="float32", suite="discriminating", cases=(), features=("stride", "padding", "dilation", "groups", '
    '"per-axis", "asymmetric")): the layers that a test with the fixture convback_case runs for; features are what the '
    "convolution under test has."
)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("convback", "convback: the fixture convback_case, and convback_tools.conformance")
    group.addoption(
        "--convback-backend", action="append", default=[], metavar="NAME",
        help="Hold this backend to the contract (repeatable); without it, every installed one that is usable.",
    )  # fmt: skip
    group.addoption(
        "--convback-case", action="append", default=[], metavar="WORD",
        help="Ask about this problem as well, in words as `convback verify --case` takes them (repeatable).",
    )  # fmt: skip
    group.addoption(
        "--convback-allow", action="append", default=[], choices=WAIVERS,
        help="Waive a promise, whose test is then skipped (repeatable): "
        + "; ".join(f"{word}, {meaning}" for word, meaning in WAIVERS.items()),
    )  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)
    names, words = config.getoption("convback_backend"), config.getoption("convback_case")
    if not names and not words:
        return
    import convback
    from convback_tools import suites

    try:
        for word in words:
            suites.case(word)
        for name in names:
            if name not in convback.backends():
                convback.get_backend(name)  # says which there are; one that is broken is a test that fails
    except convback.ConvbackError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "convback_case" not in metafunc.fixturenames:
        return
    from convback import ConvbackError
    from convback_tools.testing.cases import wanted

    marker = metafunc.definition.get_closest_marker("convback")
    try:
        asked = wanted(**marker.kwargs) if marker else wanted()
        layers = asked.layers(metafunc.config.getoption("convback_case"))
    except ConvbackError as error:
        raise pytest.Collector.CollectError(f"@pytest.mark.convback of {metafunc.function.__name__}: {error}") from None
    parameters = [pytest.param((layer, asked.dtype), id=layer.name) for layer in layers]
    metafunc.parametrize("convback_case", parameters, indirect=True)


@pytest.fixture
def convback_case(request: pytest.FixtureRequest) -> LayerCase:
    """A layer with operands x, w, dy and b and the right y, dx, dw and db; a test runs for several.

    They are integers, so `convback_case.check(dx=my_dx)` asks for equality. See `@pytest.mark.convback`.
    """
    from convback_tools.testing.layer_case import LayerCase

    return LayerCase(*request.param)
