"""Runs tasks on backends, in this process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from convback import ConvbackError
from convback_tools.verification.respondent import Respondent
from convback_tools.verification.rows import Row, unavailable
from convback_tools.verification.tasks import Settings, Task


def verify(tasks: Iterable[Task], backends: Sequence[str], settings: Settings) -> Iterator[Row]:
    """Rows of all tasks, the backends of one task after each other; first, those of backends that cannot be loaded."""
    usable = []
    for name in backends:
        try:
            usable.append(Respondent(name))
        except ConvbackError as error:
            yield unavailable(name, str(error))
    for task in tasks:
        yield from task.rows(usable, settings)
