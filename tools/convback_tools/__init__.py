"""The command `convback`: verification, benchmarks, and what helps people whose own gradients are wrong.

`convback_tools.diagnose` is the command `convback diagnose` for programs.
"""

from typing import Any

__all__ = ["diagnose"]


def __getattr__(name: str) -> Any:
    """`diagnose`, imported where it is wanted: pytest imports this package in every session, for its plug-in."""
    if name == "diagnose":
        from convback_tools.diagnosis.diagnose import diagnose

        return diagnose
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
