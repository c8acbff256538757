"""Which backend runs, and how accurately: argument > `use_*` context > default > environment > built-in choice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from convback import environment
from convback.errors import ParameterError, quoted
from convback.registry import get_backend

ACCURACIES = ("fast", "strict")

_context_backend: ContextVar[str | None] = ContextVar("convback_backend", default=None)
_context_accuracy: ContextVar[str | None] = ContextVar("convback_accuracy", default=None)
_default_backend: str | None = None


def current_backend() -> str:
    """Name of the backend that a call without `backend=` asks for here and now."""
    return _context_backend.get() or _default_backend or environment.variable("CONVBACK_BACKEND") or "auto"


def current_accuracy() -> str:
    """The accuracy of a call without `accuracy=` here and now; unchecked, as it may be the environment's."""
    return _context_accuracy.get() or environment.variable("CONVBACK_ACCURACY") or "fast"


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Run everything inside the `with` block on one backend.

    The choice is a `contextvars.ContextVar`: it is local to the thread and to the asyncio task, and new threads start
    without it. Pass `backend=`, or use `set_default_backend`, to reach threads started inside the block.

    Parameters
    ----------
    name : str
        One of `convback.backends()`.

    Raises
    ------
    ParameterError, UnknownBackend, BackendUnavailable
        As `get_backend`, on entry.
    """
    get_backend(name)
    token = _context_backend.set(name)
    try:
        yield
    finally:
        _context_backend.reset(token)


@contextmanager
def use_accuracy(accuracy: str) -> Iterator[None]:
    """Let `auto` choose inside the `with` block as `accuracy` says; see `conv` for the two words.

    Raises
    ------
    ParameterError
        If `accuracy` is neither "fast" nor "strict".
    """
    token = _context_accuracy.set(checked_accuracy(accuracy))
    try:
        yield
    finally:
        _context_accuracy.reset(token)


def set_default_backend(name: str | None) -> None:
    """Set the backend of all calls of this process that name none; None returns to the environment or `auto`.

    Raises
    ------
    ParameterError, UnknownBackend, BackendUnavailable
        As `get_backend`; the default then stays what it was.
    """
    global _default_backend
    if name is not None:
        get_backend(name)
    _default_backend = name


def checked_accuracy(accuracy: object) -> str:
    """`accuracy` if it is one of the two words.

    Raises
    ------
    ParameterError
        If it is not.
    """
    if not isinstance(accuracy, str) or accuracy not in ACCURACIES:
        raise ParameterError(f"accuracy is {quoted(accuracy)}; expected 'fast' or 'strict'")
    return accuracy
