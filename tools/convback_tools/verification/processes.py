"""Runs tasks in processes of their own: a backend that crashes, hangs or exits is a row, and several cores can work."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from threadpoolctl import threadpool_limits

import convback
from convback import ConvbackError
from convback_tools.verification.respondent import Respondent
from convback_tools.verification.rows import Row, unavailable
from convback_tools.verification.tasks import Settings, Task

# A backend that ends so many processes is not asked again: it would take hours to hear the same.
MOST_ENDINGS = 3


def verify_apart(
    tasks: Sequence[Task], backends: Sequence[str], settings: Settings, jobs: int, timeout: float
) -> Iterator[Row]:
    """Rows of one backend after another.

    Parameters
    ----------
    jobs : int
        Processes at work side by side, which share the threads.
    timeout : float
        Seconds that a task may take, and that a backend may take to load.
    """
    threads = max(1, convback.get_num_threads() // jobs)
    for name in backends:
        workers = Workers(name, settings, threads, timeout)
        with ThreadPoolExecutor(jobs) as pool:
            try:
                for rows in pool.map(workers.rows, tasks):
                    yield from rows
                    if workers.refusal:
                        break
            finally:  # at Ctrl-C, too: what is under way must not be waited for
                workers.end()
                pool.shutdown(cancel_futures=True)
        if workers.refusal:
            yield unavailable(name, workers.refusal)


@dataclass
class Workers:
    """The processes of one backend, one for each thread that asks; a new one is made when one has ended.

    Attributes
    ----------
    refusal : str
        Why the backend cannot be used, once that is known.
    endings : int
        How many processes it has ended.
    over : bool
        Whether nothing more is to be asked.
    """

    backend: str
    settings: Settings
    threads: int
    timeout: float
    refusal: str = ""
    endings: int = 0
    over: bool = False
    _own: threading.local = field(default_factory=threading.local)
    _all: list[Worker] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def rows(self, task: Task) -> list[Row]:
        """The rows of a task, or one that says how the process ended."""
        worker: Worker | None = getattr(self._own, "worker", None)
        with self._lock:
            if self.over or self.refusal or self.endings >= MOST_ENDINGS:
                return []
            fresh = worker is None
            if worker is None:
                self._own.worker = worker = Worker(self.backend, self.settings, self.threads)
                self._all.append(worker)
        if fresh:
            loaded = worker.reply(self.timeout)
            if loaded != "":
                self.refusal = loaded.told("when it is loaded") if isinstance(loaded, Ending) else str(loaded)
                return []
        worker.connection.send(task)
        reply = worker.reply(self.timeout)
        if not isinstance(reply, Ending):
            return list(reply)
        self._own.worker = None
        self.endings += 1
        reason = reply.told("when asked this")
        if self.endings == MOST_ENDINGS:
            reason += f"; nothing more was asked, as {MOST_ENDINGS} processes have ended so"
        return [task.row(self.backend, "error", reason)]

    def end(self) -> None:
        """Kill every process, whatever it is at; no other is made."""
        with self._lock:
            self.over = True
            for worker in self._all:
                worker.process.kill()
                worker.process.join()


@dataclass(frozen=True)
class Ending:
    """How a process ended without a reply."""

    timeout: float | None
    exitcode: int | None = None

    def told(self, occasion: str) -> str:
        if self.timeout is not None:
            return f"it gave no answer within {self.timeout:g} seconds {occasion}"
        code = self.exitcode or 0
        how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return f"it ended its process {how} {occasion}"


class Worker:
    """A process that answers tasks for one backend."""

    def __init__(self, backend: str, settings: Settings, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, backend, settings, threads), daemon=True)
        self.process.start()
        theirs.close()

    def reply(self, timeout: float) -> Any:
        """What the process sends next, or its `Ending`."""
        try:
            if self.connection.poll(timeout):
                return self.connection.recv()
        except (EOFError, ConnectionError):
            self.process.join(timeout)
            return Ending(None, self.process.exitcode)
        self.process.kill()
        return Ending(timeout)


def _serve(connection: Connection, backend: str, settings: Settings, threads: int) -> None:
    """In the process: load the backend, say "" or why that fails, then answer each task with its rows."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it too, and ends this process
    convback.set_num_threads(threads)
    try:
        respondent = Respondent(backend)
    except ConvbackError as error:
        connection.send(str(error))
        return
    connection.send("")
    with threadpool_limits(threads):
        while True:
            try:
                task = connection.recv()
            except EOFError:
                return
            connection.send(list(task.rows([respondent], settings)))
