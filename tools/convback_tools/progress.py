"""Progress of long work: a bar on stderr where that is a terminal, else nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column


@contextmanager
def progress(title: str, total: int, quiet: bool) -> Iterator[Callable[[str], None]]:
    """A function to call at each of `total` steps with what is under way.

    Until the end, what backends print goes to stderr: stdout is for the results.
    """
    console = Console(file=sys.stderr)
    bar = Progress(
        TextColumn("{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
        expand=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with redirect_stdout(sys.stderr), bar:
        task = bar.add_task(title, total=total)
        yield lambda description: bar.update(task, advance=1, description=f"{title} {description}")
