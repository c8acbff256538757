"""What a diagnosis found: frozen rows, for reports and for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from convback.contract import Array
from convback_tools.checking.rows import Row

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Alternative:
    """Another mistake that explains the same numbers.

    Attributes
    ----------
    id, what : str
        As in `Finding`.
    apart : str
        A case on which the two give different results; empty where none of ours does.
    """

    id: str
    what: str
    apart: str


@dataclass(frozen=True)
class Finding:
    """A wrong result, and the mistake that explains it.

    Attributes
    ----------
    id : str
        Of the catalogue; of two mistakes "a + b"; "unknown" where none explains it.
    array : str
        y, dx, dw or db.
    title, what : str
        The mistake, and the variant of it.
    scale : float or None
        The factor that is on top of it: 1 where there is none.
    residual : float or None
        What is left unexplained, relative to the result, in the Euclidean norm.
    formula, right : str
        What was computed, and what should be.
    fix : str
        What to change.
    place : str
        Where wrong entries stand.
    ties : tuple of Alternative
        Other mistakes that explain it just as well; of an unknown one those that come nearest.
    """

    id: str
    array: str
    title: str
    what: str
    scale: float | None
    residual: float | None
    formula: str
    right: str
    fix: str
    place: str
    ties: tuple[Alternative, ...] = ()


@dataclass(frozen=True)
class Diagnosis:
    """All that is said of a submission.

    Attributes
    ----------
    findings : tuple of Finding
        One for each result that is wrong, in the order y, dx, dw, db.
    verdicts : tuple of Row
        Of `convback check`, for each result.
    notes : tuple of str
        What else is worth knowing.
    errors : dict of ndarray
        Of each wrong result of the right shape what it is, less what it should be.
    """

    findings: tuple[Finding, ...]
    verdicts: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    errors: Mapping[str, Array] = field(default_factory=dict)

    @property
    def is_right(self) -> bool:
        """Whether everything that was given is right."""
        return bool(self.verdicts) and all(row.status == "passed" for row in self.verdicts)
