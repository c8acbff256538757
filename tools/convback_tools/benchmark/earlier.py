"""An earlier report of `convback bench`, to compare with."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convback import ParameterError
from convback.errors import quoted
from convback_tools.benchmark.rows import Row
from convback_tools.report import SCHEMA

KEY = ("case", "op", "backend", "dtype", "threads")


@dataclass(frozen=True)
class Earlier:
    """The shortest times of a report, by what was timed."""

    name: str
    seconds: dict[tuple[Any, ...], float]

    def ratio(self, row: Row) -> float | None:
        """The time then over the time now: above 1 is faster now. None where it was not timed both times."""
        then = self.seconds.get(tuple(getattr(row, name) for name in KEY))
        return then / row.seconds_min if then and row.seconds_min else None


def read(path: Path) -> Earlier:
    """Read a report that `convback bench --format json` wrote.

    Raises
    ------
    ParameterError
        If the file is none.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterError(f"{str(path)!r} cannot be read: {error}") from None
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _foreign(path, f"it begins with {text[:40]!r}, which is no JSON ({error})") from None
    if not isinstance(document, dict) or not isinstance(document.get("rows"), list):
        raise _foreign(path, f"it is {quoted(document)}, without a list of rows")
    if document.get("schema") != SCHEMA:
        raise _foreign(path, f"its schema is {quoted(document.get('schema'))} and not {SCHEMA}")
    return Earlier(path.name, dict(found for row in document["rows"] if (found := _timed(path, row)) is not None))


def _timed(path: Path, row: Any) -> tuple[tuple[Any, ...], float] | None:
    """What was timed, and how long it took; None if a row has no time."""
    if not isinstance(row, dict) or not {*KEY, "seconds_min"} <= row.keys():
        raise _foreign(path, f"a row is {quoted(row)}")
    seconds = row["seconds_min"]
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
        raise _foreign(path, f"seconds_min of a row is {quoted(seconds)}")
    key = tuple(row[name] for name in KEY)
    if not all(isinstance(value, str | int) for value in key):
        raise _foreign(path, f"a row is of {quoted(key)}")
    return key, float(seconds)


def _foreign(path: Path, found: str) -> ParameterError:
    return ParameterError(f"{str(path)!r} is no report of `convback bench --format json`: {found}")
