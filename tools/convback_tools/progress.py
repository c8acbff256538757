"""Progress of long work: a bar on stderr where that is a terminal, else nothing; and stdout kept for the results."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column


@contextmanager
def stdout_for_results() -> Iterator[None]:
    """Send to stderr what backends print meanwhile, by Python, by C, or from processes of their own."""
    try:
        saved = os.dup(1)
    except OSError:  # there is no stdout
        saved = None
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        with suppress(AttributeError, OSError, TypeError):  # C keeps what it printed for later
            ctypes.CDLL(None).fflush(None)
        if saved is not None:
            os.dup2(saved, 1)
            os.close(saved)


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
    with stdout_for_results(), bar:
        task = bar.add_task(title, total=total)
        yield lambda description: bar.update(task, advance=1, description=f"{title} {description}")
