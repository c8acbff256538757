"""Fixtures of the kit: each test runs for every backend that is asked for, and for every question that concerns it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from itertools import filterfalse
from typing import Any

import pytest

import convback
from convback import ConvbackError
from convback_tools.conformance import claims
from convback_tools.verification.respondent import Respondent

ENVIRONMENT = dict(os.environ)  # as it is before any backend is loaded

Select = Callable[[str, tuple[str, ...]], Iterable[Any]]

# By the name of a test's argument: what the test runs for, and why it does not where that is nothing.
SELECTIONS: dict[str, tuple[Select, str]] = {
    "name": (claims.itself, ""),
    "layer": (claims.layers, ""),
    "taken": (claims.taken, "it supports nothing"),
    "refused": (claims.refused, "it refuses nothing"),
    "computed": (claims.computed, "it supports nothing"),
    "planned": (claims.planned, "it makes no plan"),
    "summed": (claims.summed, "none of its gradients is a sum of products"),
    "bounded": (claims.bounded, "it declares no error_bound"),
    "relayed": (claims.relayed, "it passes nothing on"),
    "sample": (claims.sample, "it supports nothing"),
    "crowded": (claims.crowded, "it supports nothing"),
    "busy": (claims.busy, "it supports nothing with work for several threads"),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    named, words = option(metafunc.config, "backend"), option(metafunc.config, "case")
    installed = tuple(convback.backends())
    if "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", named or installed)
    for name, (select, otherwise) in SELECTIONS.items():
        if name in metafunc.fixturenames:
            subjects = named or filterfalse(why_unusable, installed)
            metafunc.parametrize(name, [p for b in subjects for p in parameters(b, select, words, otherwise)])


def option(config: pytest.Config, name: str) -> tuple[str, ...]:
    """What was given for an option; nothing under `-p no:convback`."""
    return tuple(dict.fromkeys(config.getoption(f"convback_{name}", default=())))


def parameters(backend: str, select: Select, words: tuple[str, ...], otherwise: str) -> list[Any]:
    """A parameter for each that is selected; if that is none, one that is skipped with the reason."""
    if why_unusable(backend):
        found, otherwise = [], "it cannot be used"
    else:
        found = [pytest.param(one, id=str(one)) for one in select(backend, words)]
    return found or [pytest.param(None, id=backend, marks=pytest.mark.skip(reason=f"{backend}: {otherwise}"))]


def why_unusable(backend: str) -> str:
    """Why a backend cannot be used; empty if it can."""
    try:
        convback.get_backend(backend)
    except ConvbackError as error:
        return str(error)
    return ""


@pytest.fixture
def is_named(request: pytest.FixtureRequest, backend: str) -> bool:
    """Whether the backend was asked for by name."""
    return backend in option(request.config, "backend")


@pytest.fixture
def objection(backend: str) -> str:
    """Why the backend cannot be used; empty if it can."""
    return why_unusable(backend)


@pytest.fixture
def respondent(name: str) -> Respondent:
    """Each backend that can be used."""
    return claims.respondent(name)


@pytest.fixture
def environment() -> dict[str, str]:
    """The environment variables that the session began with."""
    return ENVIRONMENT


@pytest.fixture
def words(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The problems that --convback-case names."""
    return option(request.config, "case")


@pytest.fixture
def waived(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The promises that --convback-allow leaves out."""
    return option(request.config, "allow")
