"""Reads what can be mutated: the lines of a module that compute, with texts and comments blanked out."""

from __future__ import annotations

import re
import tokenize
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, TypeAlias

Statement: TypeAlias = list[tokenize.TokenInfo]

# The files of a backend that compute.
FILES = {
    "naive": ("__init__.py",),
    "einsum": ("__init__.py",),
    "cython": ("direct.py", "direct.pxi"),
    "gemm": (
        "planning.py", "window.pxi", "axes.py", "gather.py", "gather.pxi", "strips.pxi", "reduction.py",
        "reduction.pxi", "planes.py", "planes.pxi", "pointwise.py", "pointwise.pxi",
    ),
    "winograd": ("winograd.py", "winograd.pxi", "winograd_reduction.pxi"),
    "fft": ("__init__.py", "spectra.py"),
}  # fmt: skip

# Where they are, if not in a package of the backend's own.
PACKAGES = dict.fromkeys(("gemm", "winograd"), "convback_cython")

# Backends that share these files; they are judged together.
JUDGED = {"gemm": ("gemm", "grouped", "depthwise")}

# Functions that compute no gradient: what they say is for people, or is a refusal.
TALK = ("supports", "info", "build_report", "_plane_bytes", "_planes", "_filters")

# Lines whose change can never give another number.
NO_MATHS = {
    r"CONTRACT|LAYOUT|from |import |cimport |ctypedef |raise\b|return f?\"|@|class |def |try|except": "not computation",
    r"BLOCK_BYTES =|MOST_PADDED_BYTES =|PRACTICAL_MACS =": "only how fast",
    r"PARALLEL_MACS =|parallel =|threads =": "only how fast",
    r"PAIRWISE =|CTYPES =|kernel = \{": "names",
    r"(width|height) = min\(|parts = PARTS|1, \(depth, height|lambda count: 2": "the sizes of blocks: any will do",
    r"return min\(range\(1, most|if len\(spacing\) != 1": "how many rows roll: only how fast",
    r"cdef Py_ssize_t (shares|together|runs) =": "how work is shared out: any number will do",
    r"(rows|step_\w|J, taps|plane, planes, filters|some|many|size, most) =": "the sizes of blocks: any will do",
    r"OWN_BYTES =|COPY_BYTES =|SHARED_BYTES =|TILES =|MOST_COLUMNS =|FINITE_BLOCK =|OWN_SLOTS =": "any number will do",
    r"GROUP_CHANNELS =|FEWEST_|MOST_SUMMED_TILES =": "any number will do",
    r"LANES =": "a dot product has as many partial sums as one likes",
    r".*(malloc|free|NULL)\b": "memory, not numbers",
}

DECLARATION = r"(?!for |return |yield )(cdef )?(const )?\w+(\[\w+\])? \*?\w+(,|$)"


class Line(NamedTuple):
    """A line that computes: its number, the text as it is, and three views of it that operators look at.

    All views are as long as the text. `code` has blanks for strings and comments; `types` also has the declarations
    of variables, where `code` has nothing; `strings` has only the strings of einsum. `scope` has the names that the
    function uses, and with a dot before them the attributes that the module uses.
    """

    number: int
    text: str
    code: str
    types: str
    strings: str
    scope: frozenset[str]


def package(backend: str) -> Path:
    """The folder of a backend, as it is installed, without importing it."""
    spec = find_spec(PACKAGES.get(backend, f"convback_{backend}"))
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def lines(path: Path) -> Iterator[Line]:
    """The lines of a module that compute."""
    texts = path.read_text(encoding="utf-8").splitlines()
    statements = list(_owned(_statements(path)))
    scopes = _scopes(statements)
    for owner, statement in statements:
        first, last = statement[0].start[0], statement[-1].end[0]
        start = texts[first - 1].strip()
        signature = re.match(r"c?def .*[:(]$", start)
        if owner in TALK or signature or any(re.match(pattern, start) for pattern in NO_MATHS):
            continue
        declaration = " = " not in start and re.match(DECLARATION, start)
        for number in range(first, last + 1):
            text = texts[number - 1]
            code = _without(text, number, statement, (tokenize.STRING, tokenize.COMMENT))
            strings = re.sub(r'"[a-z,]+->[a-z]+"|.', lambda found: found[0] if found[0][1:] else " ", text)
            yield Line(number, text, "" if declaration else code, code, strings, scopes.get(owner, frozenset()))


def _owned(statements: Iterable[Statement]) -> Iterator[tuple[str, Statement]]:
    """Each statement with the function or class at the left margin that it belongs to."""
    owner = ""
    for statement in statements:
        if statement[0].start[1] == 0:
            found = re.match(r"(?:def|cdef|class)\b[^(:]*?(\w+)[(:]", statement[0].line)
            owner = found[1] if found else ""
        yield owner, statement


def _scopes(statements: Iterable[tuple[str, Statement]]) -> dict[str, frozenset[str]]:
    names: dict[str, set[str]] = {}
    attributes = set()
    for owner, statement in statements:
        for before, token in pairwise(statement):
            if before.string == ".":
                attributes.add(f".{token.string}")
            else:
                names.setdefault(owner, set()).add(token.string)
    return {owner: frozenset(own | attributes) for owner, own in names.items()}


def _statements(path: Path) -> Iterator[Statement]:
    """The tokens of each statement; Cython's are near enough to Python's."""
    statement: list[tokenize.TokenInfo] = []
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type in (tokenize.NEWLINE, tokenize.ENDMARKER):
                if statement:
                    yield statement
                statement = []
            elif token.type == tokenize.COMMENT:
                statement += [token] if statement else []
            elif token.type not in (tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING):
                statement.append(token)


def _without(text: str, number: int, tokens: Statement, kinds: tuple[int, ...]) -> str:
    for token in tokens:
        if token.type in kinds and token.start[0] <= number <= token.end[0]:
            start = token.start[1] if token.start[0] == number else 0
            end = token.end[1] if token.end[0] == number else len(text)
            text = text[:start] + " " * (end - start) + text[end:]
    return text
