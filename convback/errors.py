"""Every error that convback raises on purpose derives from `ConvbackError`."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

LONGEST_QUOTE = 200


class ConvbackError(Exception):
    """Base class of all errors of convback."""


class ShapeError(ConvbackError, ValueError):
    """Shapes that do not fit together, or an array that has the wrong shape."""


class ParameterError(ConvbackError, ValueError):
    """A parameter (stride, padding, backend name...) whose value or form is not allowed."""


class DTypeError(ConvbackError, TypeError):
    """Something that is not an ndarray, or an ndarray of a dtype convback does not compute in."""


class UnknownBackend(ConvbackError):
    """No installed distribution offers a backend of that name."""


class BackendUnavailable(ConvbackError):
    """The backend is installed, but cannot be loaded or breaks the contract."""


class CacheError(ConvbackError):
    """What was measured cannot be remembered."""


class UnsupportedProblem(ConvbackError):
    """The backend that was asked for does not handle this problem, and says why.

    Attributes
    ----------
    reason : str
        The backend's own words; the message has them after its name and the problem.
    """

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason or message


def quoted(value: object) -> str:
    """A value as messages show it: its repr, cut where it is long (an array, say, in place of its shape)."""
    try:
        text = repr(value)
    except Exception:  # of an integer beyond sys.get_int_max_str_digits(), or of a stranger's class
        text = f"<{type(value).__name__} that cannot be printed>"
    return text if len(text) <= LONGEST_QUOTE else f"{text[:LONGEST_QUOTE]}..."


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence, after a space, that suggests the nearest of the known words; nothing where none is near."""
    near = get_close_matches(word.lower(), list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
