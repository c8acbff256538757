"""Why some mutants survive: they are no bugs. Each is named by what its line becomes, whatever its number."""

from __future__ import annotations

from mutants.operators import Mutant

EQUIVALENT: dict[str, tuple[str, ...]] = {}


def reason(mutant: Mutant) -> str:
    """Why a mutant cannot give another result, or nothing."""
    changed = mutant.changed.strip()
    return next((why for why, lines in EQUIVALENT.items() if changed in lines), "")
