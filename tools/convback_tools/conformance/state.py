"""What a backend must leave as it was: the state of the process that others rely on."""

from __future__ import annotations

import os
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import convback
from convback.contract import Array
from convback_tools.conformance import claims


def keeps_subnormals() -> dict[str, bool]:
    """Whether subnormal numbers are read and made; a processor in flush-to-zero mode makes zeros of them."""
    found = {}
    for dtype, bits, smallest_normal in (("f4", "u4", 2.0**-126), ("f8", "u8", 2.0**-1022)):
        subnormal: Array = np.ones(2, bits).view(dtype)
        normal: Array = np.full(2, smallest_normal, dtype)
        with np.errstate(all="ignore"):
            found[f"{dtype} read"] = bool(np.multiply(subnormal, 2.0**100, dtype=dtype).all())
            found[f"{dtype} made"] = bool(np.multiply(normal, 0.5, dtype=dtype).all())
    return found


def numpy_random_state() -> tuple[Any, ...]:
    name, key, *rest = np.random.get_state(legacy=True)
    return name, np.asarray(key).tobytes(), *rest


def general_filters() -> list[Any]:
    """The filters that concern everybody: for no certain message or module, and no class of somebody's own."""
    return [
        (action, message, category, module, line)
        for action, message, category, module, line in warnings.filters
        if message is module is None and category.__module__ == "builtins"
    ]


PARTS: dict[str, Callable[[], Any]] = {
    "np.geterr()": np.geterr,
    "np.geterrcall()": np.geterrcall,
    "how subnormal numbers are treated": keeps_subnormals,
    "the random state of NumPy": numpy_random_state,
    "the random state of Python": random.getstate,
    "warnings.filters": general_filters,
    "the working directory": Path.cwd,
    "os.environ": lambda: dict(os.environ),
    "convback.get_num_threads()": convback.get_num_threads,
    "convback.current_backend()": convback.current_backend,
    "convback.current_accuracy()": convback.current_accuracy,
}


def snapshot() -> dict[str, Any]:
    """The state as it is now."""
    return {name: read() for name, read in PARTS.items()}


def main(what: str, backend: str, *words: str) -> str | None:
    """What loading or calling a backend changes, for sys.exit."""
    before = snapshot()
    convback.get_backend(backend)
    if what == "loading":
        return "; ".join(changes(before, snapshot())) or None
    before = snapshot()
    for claim in claims.sample(backend, words):
        claim.answer(claim.operands())
        if found := changes(before, snapshot()):
            return f"{claim}: {'; '.join(found)}"
    return None


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """A sentence for each part that is not as it was."""
    return [f"it changes {name}{_how(before[name], after[name])}" for name in PARTS if before[name] != after[name]]


def _how(before: Any, after: Any) -> str:
    """The entries that differ, where it is a dictionary or a list; else nothing, as it would be long."""
    if isinstance(before, dict):
        keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
        return ": " + ", ".join(f"{key} was {before.get(key)!r} and is {after.get(key)!r}" for key in keys)
    if isinstance(before, list):
        return f": {[x for x in after if x not in before]} came, {[x for x in before if x not in after]} went"
    return ""
