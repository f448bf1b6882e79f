"""Threads that do one thing each with what they are given. They cost a third of what `concurrent.futures` does."""

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

Job = TypeVar("Job")
Outcome = TypeVar("Outcome")


class Pool(Generic[Job, Outcome]):
    """At most `size` threads that call `work` with jobs, for one caller who takes what comes of them.

    They never keep the process alive.
    """

    def __init__(self, size: int, work: Callable[[Job], Outcome]) -> None:
        self._size = size
        self._work = work
        self._threads = 0
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._done: SimpleQueue[tuple[Job, Outcome] | BaseException] = SimpleQueue()

    def submit(self, job: Job) -> None:
        """Have it done as soon as a thread is free."""
        if self._threads < self._size:
            self._threads += 1
            threading.Thread(target=self._run, name=f"acme-{self._threads}", daemon=True).start()
        self._jobs.put(job)

    def take(self, timeout: float) -> list[tuple[Job, Outcome]]:
        """Return all that is done, waiting up to `timeout` seconds for the first; raise what the work raised."""
        done: list[tuple[Job, Outcome]] = []
        try:
            item = self._done.get(timeout=timeout)
            while True:
                if isinstance(item, BaseException):
                    raise item
                done.append(item)
                item = self._done.get_nowait()
        except Empty:
            return done

    def close(self) -> None:
        """Let the threads end, each after what it is doing now; nothing else is begun."""
        try:
            while True:
                self._jobs.get_nowait()
        except Empty:
            for _ in range(self._threads):
                self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                self._done.put((job, self._work(job)))
            except BaseException as error:  # noqa: BLE001  raised where outcomes are taken
                self._done.put(error)
