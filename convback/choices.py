"""What was measured on this machine: how long backends took for a gradient of a layer, remembered in a file.

The file is an SQLite database in the user's cache folder, or in the folder of the environment variable CONVBACK_CACHE.
It is a cache: to lose it costs time and nothing else. So whatever is wrong with it, reading finds less in it or none,
and writing sets it aside and begins anew. A row counts only for the processor, the number of threads and the version
of convback that it was measured with. SQLite lets several processes write at once.

This process reads the file once, when it first recalls something.
"""

from __future__ import annotations

import json
import math
import os
import platform
import warnings
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import convback
from convback import environment
from convback.contract import OPS
from convback.errors import CacheError, ConvbackError
from convback.geometry import ConvGeometry

try:
    import sqlite3
except ImportError:  # a Python that was built without it remembers nothing
    sqlite3 = None  # type: ignore[assignment]

T = TypeVar("T")

SCHEMA = 1
KEY = "threads, op, dtype, layer"
COLUMNS = f"processor, version, {KEY}, seconds"
TABLE = f"create table choices ({COLUMNS}, primary key (processor, version, {KEY})) without rowid"

# In /proc/cpuinfo, on x86 and on ARM: tells processors apart that bear one name.
DETAILS = ("cpu family", "model", "stepping", "CPU implementer", "CPU variant", "CPU part")

# Seconds to wait for another process: a reader can do without, and a writer has time.
READER_WAITS, WRITER_WAITS = 0.1, 30.0


@dataclass(frozen=True)
class Problem:
    """One gradient of one layer, as it is computed."""

    op: str
    geom: ConvGeometry
    dtype: str
    threads: int


@dataclass(frozen=True)
class Choice:
    """How long backends took for a problem.

    Attributes
    ----------
    problem : Problem
    seconds : dict of str to float
        Of a call of each backend, the fastest first; there is at least one.
    processor, version : str
        The processor, and the version of convback, that this was measured with.
    """

    problem: Problem
    seconds: dict[str, float]
    processor: str
    version: str

    @property
    def counts(self) -> bool:
        """Whether it holds here and now."""
        return (self.processor, self.version) == (processor(), convback.__version__)


def recall(problem: Problem) -> dict[str, float]:
    """Seconds of a call by backend, the fastest first, as measured on this machine; empty if it was not."""
    return _seconds(_mine().get(_key(problem)))


def remember(problem: Problem, seconds: Mapping[str, float]) -> None:
    """Keep what was measured, in place of what was known of the same problem.

    Raises
    ------
    CacheError
        If the file cannot be written.
    """
    row = (processor(), convback.__version__, *_key(problem), json.dumps(dict(seconds)))
    _write(lambda db: db.execute("insert or replace into choices values (?, ?, ?, ?, ?, ?, ?)", row))


def check() -> None:
    """Make sure that the file can be written; a damaged one is set aside.

    Raises
    ------
    CacheError
        If it cannot.
    """
    _write(_check_pages)


def remembered() -> list[Choice]:
    """All that the file holds, in a fixed order; what cannot be understood is left out."""
    rows = _read(f"select {COLUMNS} from choices order by processor, version, threads, layer, dtype, op")
    return [choice for row in rows if (choice := _choice(*row)) is not None]


def forget() -> int:
    """Empty the file, and say how many choices it held.

    Raises
    ------
    CacheError
        If there is a file that cannot be written.
    """
    if not _file().exists():
        return 0
    return int(_write(lambda db: db.execute("delete from choices").rowcount))


def folder() -> Path:
    """Where the file is.

    Raises
    ------
    CacheError
        If there is no place for it.
    """
    if (given := environment.variable("CONVBACK_CACHE")) is not None:
        return Path(given).absolute()
    from platformdirs import user_cache_path  # not before it is needed: it takes some milliseconds

    with suppress(RuntimeError):  # of newer versions; older ones return a path that begins with ~
        if (path := user_cache_path("convback", appauthor=False)).is_absolute():
            return path
    raise CacheError("this user has no home folder to remember anything in; set CONVBACK_CACHE to a folder")


@cache
def processor() -> str:
    """The processor by name, and by its `DETAILS`."""
    listing = Path("/proc/cpuinfo")
    facts: dict[str, str] = {}
    with suppress(OSError):
        for line in listing.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            facts.setdefault(key.strip(), value.strip())
    name = facts.get("model name") or platform.processor() or platform.machine()
    details = [f"{key} {facts[key]}" for key in DETAILS if key in facts]
    return f"{name} ({', '.join(details)})" if details else name


def _key(problem: Problem) -> tuple[int, str, str, str]:
    g = problem.geom
    layer = json.dumps([g.x_shape, g.w_shape, g.stride, g.padding, g.dilation, g.groups], separators=(",", ":"))
    return problem.threads, problem.op, problem.dtype, layer


@cache
def _mine() -> dict[Any, Any]:
    """What counts for this machine, by `_key`; as text, since few of it are ever needed."""
    query = f"select {KEY}, seconds from choices where processor = ? and version = ?"
    return {tuple(key): text for *key, text in _read(query, processor(), convback.__version__)}


def _seconds(text: Any) -> dict[str, float]:
    try:
        found = json.loads(text or "{}")
    except (TypeError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    numbers = {name: s for name, s in found.items() if isinstance(s, int | float) and 0 < s < math.inf}
    return {name: numbers[name] for name in sorted(numbers, key=numbers.__getitem__)}


def _choice(processor: Any, version: Any, threads: Any, op: Any, dtype: Any, layer: Any, text: Any) -> Choice | None:
    try:
        geom = ConvGeometry(*json.loads(layer))
    except (ConvbackError, TypeError, ValueError, RecursionError):
        return None
    seconds = _seconds(text)
    sound = op in OPS and dtype in ("float32", "float64") and isinstance(threads, int) and seconds
    return Choice(Problem(op, geom, dtype, threads), seconds, str(processor), str(version)) if sound else None


def _file() -> Path:
    if sqlite3 is None:
        raise CacheError("this Python was built without SQLite (the module sqlite3), so nothing can be remembered")
    return folder() / f"choices-{SCHEMA}.sqlite3"


def _read(query: str, *parameters: str) -> list[Any]:
    try:
        path = _file()
        if not path.is_file():
            return []
    except (CacheError, OSError):
        return []
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=READER_WAITS)) as db:
            db.text_factory = lambda text: text.decode(errors="replace")
            return list(db.execute(query, parameters)) if _is_ours(db) else []
    except sqlite3.Error as error:
        warnings.warn(f"{str(path)!r} is ignored: {error}. `convback tune` writes it anew.", stacklevel=2)
        return []


def _write(action: Callable[[Any], T]) -> T:
    """Do something in a transaction; a file that is damaged, or not ours, is set aside first."""
    path = _file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        found = path.stat() if path.exists() else None
        try:
            return _transaction(path, action)
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
            _set_aside(path, found, error)
            return _transaction(path, action)
    except (OSError, sqlite3.Error) as error:
        raise CacheError(
            f"{str(path)!r} cannot be written: {error}. Set CONVBACK_CACHE to a folder that can be."
        ) from error
    finally:
        _mine.cache_clear()


def _transaction(path: Path, action: Callable[[Any], T]) -> T:
    with closing(sqlite3.connect(path, timeout=WRITER_WAITS, isolation_level=None)) as db:
        db.execute("begin immediate")
        if not _is_ours(db):
            db.execute(TABLE)
            db.execute(f"pragma user_version = {SCHEMA}")
        result = action(db)
        db.execute("commit")
        return result


def _is_ours(db: Any) -> bool:
    """Whether the file has our table; False if it has nothing at all yet.

    Raises
    ------
    sqlite3.DatabaseError
        If it has something else.
    """
    (version,), tables = (
        db.execute("pragma user_version").fetchone(),
        list(db.execute("select name from sqlite_master")),
    )
    if not tables:
        return False
    if version != SCHEMA or ("choices",) not in tables:
        raise sqlite3.DatabaseError("it is a database, but not one of convback")
    db.execute(f"select {COLUMNS} from choices limit 0")
    return True


def _check_pages(db: Any) -> None:
    (verdict,) = db.execute("pragma quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)


def _is_damage(error: Any) -> bool:
    """Rather than that the file is locked, or may not be written: those have other codes."""
    kinds = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF in kinds


def _set_aside(path: Path, found: os.stat_result | None, error: Exception) -> None:
    if found is None or not path.exists() or not os.path.samestat(found, path.stat()):
        return  # another process has done so meanwhile
    aside = path.with_name(f"{path.name}.broken")
    warnings.warn(f"{str(path)!r} is set aside as {aside.name!r}: {error}.", stacklevel=2)
    path.replace(aside)
