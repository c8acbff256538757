"""The options of the conformance kit. pytest loads this file in every session, so it imports nothing but pytest.

The kit itself is `convback_tools.conformance`.
"""

from __future__ import annotations

import pytest

WAIVERS = {
    "nan-leak": "NaN may reach results of other images and groups",
    "load-state": "loading may change the state of the process",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("convback", "convback: pytest --pyargs convback_tools.conformance")
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
