"""The pool: how many at a time, what comes back, and how it ends."""

import threading

import pytest

from acme_cli.data_api.pool import Pool


def taken(pool: Pool[int, int], count: int) -> dict[int, int]:
    """Return what comes of so many jobs."""
    done: dict[int, int] = {}
    while len(done) < count:
        done.update(pool.take(20))
    return done


def test_each_outcome_comes_with_its_job() -> None:
    pool: Pool[int, int] = Pool(3, lambda job: job * job)
    for job in range(50):
        pool.submit(job)
    assert taken(pool, 50) == {job: job * job for job in range(50)}
    pool.close()


def test_no_more_threads_than_jobs_and_never_more_than_its_size() -> None:
    names: set[str] = set()
    together = threading.Barrier(3)

    def work(job: int) -> int:
        names.add(threading.current_thread().name)
        if job:
            together.wait(20)
        return job

    pool: Pool[int, int] = Pool(3, work)
    pool.submit(0)
    assert taken(pool, 1) == {0: 0}
    assert names == {"acme-1"}
    for job in range(1, 7):
        pool.submit(job)
    assert len(taken(pool, 6)) == 6
    assert names == {"acme-1", "acme-2", "acme-3"}
    pool.close()


def test_waiting_has_an_end() -> None:
    assert Pool[int, int](1, abs).take(0.01) == []


def test_what_the_work_raises_is_raised_where_it_is_taken() -> None:
    def work(job: int) -> int:
        raise RuntimeError(str(job))

    pool: Pool[int, int] = Pool(1, work)
    pool.submit(7)
    with pytest.raises(RuntimeError, match="7"):
        pool.take(20)
    pool.close()


def test_closing_begins_nothing_and_ends_the_threads() -> None:
    begun, let_go = threading.Event(), threading.Event()
    jobs: list[int] = []

    def work(job: int) -> int:
        jobs.append(job)
        begun.set()
        let_go.wait(20)
        return job

    pool: Pool[int, int] = Pool(1, work)
    for job in range(5):
        pool.submit(job)
    begun.wait(20)
    pool.close()
    let_go.set()
    for thread in threading.enumerate():
        if thread.name.startswith("acme"):
            thread.join(20)
    assert jobs == [0]
