"""The environment variables, each read once, at its first use."""

from __future__ import annotations

import os
from functools import cache

from convback.errors import ParameterError


@cache
def variable(name: str) -> str | None:
    """Value of an environment variable when it was first asked for; unset and empty are None."""
    return os.environ.get(name, "").strip() or None


@cache
def positive_integer(name: str) -> int | None:
    """Value of a variable that holds a positive integer, or None when it is unset.

    Raises
    ------
    ParameterError
        If it is set to anything else.
    """
    text = variable(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise ParameterError(
            f"the environment variable {name} is {text!r}; expected a positive integer. Correct it or unset it."
        )
    return int(text)
