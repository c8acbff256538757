"""Which backends there are: found by entry points, loaded one by one and only when asked for."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable
from functools import cache
from importlib.metadata import EntryPoint
from typing import Any

from convback.contract import violations
from convback.errors import BackendUnavailable, ParameterError, UnknownBackend, did_you_mean, quoted

GROUP = "convback.backends"


def backends() -> list[str]:
    """Names of all installed backends, sorted. None of them is loaded."""
    return sorted(offers())


def get_backend(name: str) -> Any:
    """Load one backend and check it against the contract.

    Parameters
    ----------
    name : str
        One of `backends()`.

    Returns
    -------
    module or object
        Something that satisfies `convback.contract`.

    Raises
    ------
    ParameterError
        If `name` is not a string.
    UnknownBackend
        If no installed distribution offers this name.
    BackendUnavailable
        If it cannot be imported, breaks the contract, or is offered by two distributions.
    """
    if not isinstance(name, str):
        raise ParameterError(f"backend is {quoted(name)} ({type(name).__name__}); expected the name of a backend")
    installed = offers()
    if name not in installed:
        raise UnknownBackend(
            f"no backend named {name!r}.{did_you_mean(name, installed)} Installed: {', '.join(backends()) or 'none'}."
        )
    outcome = _loaded(name)
    if isinstance(outcome, str):
        raise BackendUnavailable(f"backend {name!r} is not usable: {outcome}")
    return outcome


def origin(name: str) -> str:
    """Where an installed backend comes from: its distribution and entry point, both of each where there are two."""
    return " and ".join(f"{_distribution(e)} ({e.value})" for e in offers()[name])


@cache
def offers() -> dict[str, list[EntryPoint]]:
    """All entry points of the group by name; a name that two distributions claim has two."""
    return _by_name(_without_repeats(importlib.metadata.entry_points(group=GROUP)))


def _without_repeats(found: Iterable[EntryPoint]) -> list[EntryPoint]:
    # A distribution can be seen twice, once installed and once as a checkout on sys.path: that is no clash.
    return list({(e.name, e.value, _distribution(e).partition(" ")[0]): e for e in found}.values())


def _by_name(found: Iterable[EntryPoint]) -> dict[str, list[EntryPoint]]:
    names: dict[str, list[EntryPoint]] = {}
    for entry in found:
        names.setdefault(entry.name, []).append(entry)
    return names


def _distribution(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "an unnamed distribution"


@cache
def _loaded(name: str) -> Any:
    """The backend, or the reason why it cannot be used, in words: both are remembered."""
    claims = offers()[name]
    if len(claims) > 1:
        return f"two distributions offer it, {origin(name)}; uninstall one of them"
    try:
        backend = claims[0].load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a stranger's module may fail in any way; it must not take others along
        return f"{type(error).__name__}: {error}"
    broken = violations(backend)
    return f"it breaks the contract of convback.contract: {'; '.join(broken)}" if broken else backend
