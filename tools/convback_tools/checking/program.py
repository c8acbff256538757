"""Runs a user's program on an in-file and reads its out-file, whatever it does instead.

The program gets no shell, no stdin, and a time limit; no file that it writes may grow beyond the budget of memory; and
it is ended with all that it has started.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import click
import numpy as np

from convback import ParameterError
from convback.contract import Array
from convback.errors import quoted
from convback_tools import arrayfiles
from convback_tools.submission import RESULTS

SKIP = 77  # the exit code for "I cannot do this case", as automake has it
IN, OUT = "{in}", "{out}"
STDOUT, STDERR = "stdout.txt", "stderr.txt"
LONGEST = 1e6  # seconds, also in place of infinity and NaN, which no timer takes
LAST_LINES, LONGEST_TAIL = 3, 400  # of what it printed, in a reason


class Trouble(Exception):
    """The program did not do its part; the message says what it did."""


class Skipped(Exception):
    """The program says that it cannot do this case."""


@dataclass(frozen=True)
class Program:
    """A command line with places for the two files.

    Attributes
    ----------
    words : tuple of str
        The program and its arguments.
    suffix : str
        Format of both files, one of `arrayfiles.SUFFIXES`.
    timeout : float
        Seconds for one run.
    max_memory : int
        The largest file that it may write, in bytes, and the budget for reading it.
    """

    words: tuple[str, ...]
    suffix: str
    timeout: float
    max_memory: int

    def run(self, folder: Path, members: Mapping[str, Any]) -> dict[str, Array]:
        """Write the in-file to an empty folder, run the program, and read what it left there: some of y, dx, dw and db.

        Raises
        ------
        Trouble, Skipped
            If there is no out-file with results.
        click.UsageError
            If the program cannot be started.
        """
        source, target = self.source(folder), self.target(folder)
        arrayfiles.write(source, members)
        words = [word.replace(IN, str(source)).replace(OUT, str(target)) for word in self.words]
        code = self._execute(words, folder)
        if code == SKIP:
            raise Skipped(f"it skips this case (exit code {SKIP}){_tail(folder)}")
        if code != 0:
            raise Trouble(f"{_ending(code)}{_tail(folder)}")
        return self._results(target, folder)

    def source(self, folder: Path) -> Path:
        return folder / f"in{self.suffix}"

    def target(self, folder: Path) -> Path:
        return folder / f"out{self.suffix}"

    def _execute(self, words: list[str], folder: Path) -> int:
        """The exit code of the program, which is negative if a signal ended it."""
        expired = threading.Event()
        with (folder / STDOUT).open("wb") as stdout, (folder / STDERR).open("wb") as stderr:
            process = self._started(words, stdout, stderr)

            def expire() -> None:
                expired.set()
                _kill(process)

            # `wait` with a limit would look only every twentieth of a second whether the program has ended.
            timer = threading.Timer(self.timeout, expire)
            timer.start()
            try:
                code = process.wait()
            finally:  # at Ctrl-C, too
                timer.cancel()
                _kill(process)
                process.wait()
        if expired.is_set():
            raise Trouble(f"it did not end within {self.timeout:g} seconds (--timeout){_tail(folder)}")
        return code

    def _started(self, words: list[str], stdout: IO[bytes], stderr: IO[bytes]) -> subprocess.Popen[bytes]:
        try:
            with _limited_files(self.max_memory):
                return subprocess.Popen(
                    words, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, start_new_session=True
                )
        except OSError as error:
            raise click.UsageError(
                f"--cmd: {quoted(words[0])} cannot be started: {error.strerror or error}. Expected a program and its "
                f"arguments, such as './mycnn {IN} {OUT}'; there is no shell"
            ) from None

    def _results(self, target: Path, folder: Path) -> dict[str, Array]:
        try:
            size = target.stat().st_size
        except OSError as error:
            raise Trouble(f"it left no out-file: {error.strerror}{_tail(folder)}") from None
        if size > self.max_memory:
            raise Trouble(f"its out-file has {size} bytes, more than --max-memory {self.max_memory}")
        try:
            members = arrayfiles.read(target, self.max_memory)
        except ParameterError as error:
            raise Trouble(f"its out-file is of no use: {error}{_tail(folder)}") from None
        # As float64, since the dtype of the file is no excuse: the integers that are right fit into any of them.
        results = {name: members[name].astype(np.float64) for name in RESULTS if name in members}
        if not results:
            held = ", ".join(members) or "nothing"
            raise Trouble(f"its out-file holds {held}; expected some of {', '.join(RESULTS)}")
        return results


def program(command: str, suffix: str, timeout: float, max_memory: int) -> Program:
    """The program of a command line as one writes it for a shell.

    Raises
    ------
    click.UsageError
        If the line has no places for the files, or its quotes do not match.
    """
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise click.UsageError(f"--cmd {quoted(command)} is not understood: {error}") from None
    if missing := [place for place in (IN, OUT) if not any(place in word for word in words)]:
        raise click.UsageError(
            f"--cmd {quoted(command)} has no {' and no '.join(missing)}; expected places for the two files, such as "
            f"'./mycnn {IN} {OUT}'"
        )
    return Program(words, suffix, timeout if timeout < LONGEST else LONGEST, max_memory)


@contextmanager
def _limited_files(size: int) -> Iterator[None]:
    """While a program is started, the largest file that it may write; not where the system knows no such limit."""
    try:
        import resource
    except ImportError:  # on Windows
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    lower = [size, *(limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY)]
    resource.setrlimit(resource.RLIMIT_FSIZE, (min(lower), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the program and all that it has started."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):  # they have ended
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()


def _ending(code: int) -> str:
    if code >= 0:
        return f"it ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    if name == "SIGXFSZ":
        return "it wrote a file larger than --max-memory allows"
    return f"it crashed: {signal.strsignal(-code) or 'killed'} ({name})"


def _tail(folder: Path) -> str:
    """The last lines that the program printed, of its errors if there are any."""
    for name in (STDERR, STDOUT):
        lines: list[str] = []
        with suppress(OSError), (folder / name).open("rb") as file:  # it may have removed them
            file.seek(max(0, file.seek(0, os.SEEK_END) - 4 * LONGEST_TAIL))
            lines = file.read().decode("utf-8", "replace").splitlines()
        # Whatever a terminal would take for a command is left out.
        printable = ("".join(c for c in line if c.isprintable()).strip() for line in lines)
        if text := " | ".join([line for line in printable if line][-LAST_LINES:]):
            return f"; the last it printed: {text[-LONGEST_TAIL:]}"
    return ""
