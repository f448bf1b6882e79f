"""DataApi: answers from the cache where they are fresh, from the network otherwise, many at once, none twice.

Threads only ask. What to ask for, what to keep and what to answer is decided in the calling thread, so an
interrupt finds one owner and the outcome does not depend on which response came first.
"""

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from acme_cli.cache.entry import LARGEST_BODY, DamagedEntry, Entry, encode_pages, to_bytes, verified, vouched
from acme_cli.cache.freshness import Policy
from acme_cli.cache.store import Guarded
from acme_cli.errors import AcmeError, OfflineMiss, without_frames

from .endpoints import Endpoint
from .exchange import Exchange, Fetched, Reading, Request, Stored, Unchanged, exchange
from .paging import LimitCap

if TYPE_CHECKING:
    from .pool import Pool
    from .transport import Response, Transport

_CAP_KEPT_FOR = 7 * 24 * 3600.0
_TICK = 0.1
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.002, 0.05
"""Seconds between looks into the cache for what another process is fetching."""

_MOST_AT_ONCE = 512
"""Endpoints that are fetched before others who wait for them get to see any."""

Observer = Callable[[str, "Response | AcmeError"], None]
"""Told the path of each request and what came of it."""


class _Job(NamedTuple):
    """A request, the exchange that it belongs to, and its place among those that were asked for together."""

    exchange: int
    place: int
    request: Request


_Answer = tuple[Any, float | None]
"""A value or what took its place, and when it was fetched."""

_Outcome = Fetched | Unchanged | AcmeError


class DataApi:
    """The data API at one base URL, as one user sees it.

    `connect` makes the transport, on the first miss; `namespace` separates stored responses by base URL and
    credential; `page_size` rows are asked for at a time; `patience` (seconds) is how long to wait for what another
    process is fetching.
    """

    def __init__(
        self,
        *,
        base_url: str,
        namespace: str,
        connect: "Callable[[], Transport]",
        store: Guarded,
        policy: Policy,
        page_size: int,
        concurrency: int,
        patience: float = 30,
        clock: Callable[[], float] = time.time,
        observe: Observer | None = None,
    ) -> None:
        self._base_url = base_url
        self._namespace = namespace
        self._connect = connect
        self._store = store
        self._policy = policy
        self._page_size = page_size
        self._concurrency = concurrency
        self._patience = patience
        self._clock = clock
        self._observe = observe
        self.tick: Callable[[int, int], None] | None = None
        """Called about ten times a second while waiting, with the requests that are done, and all so far."""
        self._transport: Transport | None = None
        self._pool: Pool[_Job, Response | AcmeError] | None = None
        self._answers: dict[str, _Answer] = {}
        self._stand_ins: dict[str, AcmeError] = {}
        """The failures for which stored data stands in, by path."""
        self._settled: set[str] = set()
        self._cap = LimitCap()
        self._cap_path = f"limit-cap?limit={page_size}"
        self.requests = 0
        """How many requests were sent, retries not counted."""
        self.answered = 0
        """How many endpoints were asked for."""
        self.cached = 0
        """How many of them were answered without a request."""
        self.oldest: float | None = None
        """When the oldest data among the answers was fetched, in seconds since 1970."""
        self.newest: float | None = None
        """The same of the newest."""
        self.failure: AcmeError | None = None
        """The first failure for which old data stood in."""

    def __enter__(self) -> "DataApi":
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of threads and connections without waiting for requests under way."""
        if self._pool is not None:
            self._pool.close()
        if self._transport is not None:
            self._transport.close()
        self._store.close()

    def gather(self, endpoints: Sequence[Endpoint[Any]]) -> list[Any]:
        """Return what the API says of each endpoint, in their order; an AcmeError in place of what failed."""
        for _ in self.asking(endpoints):
            pass
        return self.answers(endpoints)

    def asking(self, endpoints: Iterable[Endpoint[Any]]) -> Iterator[None]:
        """Ask for all endpoints at the same time, and yield whenever there may be more answers than before.

        Nothing is asked for twice before it is dropped. What a value that is too old leads to is asked for along with
        it: it is mostly still right.
        """
        stored: dict[str, Stored] = {}
        missing = self._not_stored(endpoints, stored)
        asked = {endpoint.path for endpoint in missing}
        led_to = [
            next_one
            for endpoint in missing
            if endpoint.leads_to is not None and endpoint.path in stored
            for next_one in endpoint.leads_to(stored[endpoint.path].value)
            if next_one.path not in asked and next_one.path not in self._settled
        ]
        missing += self._not_stored(led_to, stored)
        if self.stores:
            yield from self._fetch_once(missing, stored)
        elif missing:
            yield from self._fetch(missing, stored)

    def has_answers(self, endpoints: Iterable[Endpoint[Any]]) -> bool:
        """Return whether all of them are answered by now."""
        return all(endpoint.path in self._answers for endpoint in endpoints)

    def answers(self, endpoints: Sequence[Endpoint[Any]]) -> list[Any]:
        """Return the answers to what was asked, in order; an AcmeError in place of what failed."""
        answers = [self._answers[endpoint.path] for endpoint in endpoints]
        if self._stand_ins and self.failure is None:
            failures = (self._stand_ins.get(endpoint.path) for endpoint in endpoints)
            self.failure = next(filter(None, failures), None)
        times = [fetched_at for _, fetched_at in answers if fetched_at is not None]
        if times:
            self.oldest = min(times) if self.oldest is None else min(self.oldest, *times)
            self.newest = max(times) if self.newest is None else max(self.newest, *times)
        return [value for value, _ in answers]

    def drop(self, endpoints: Iterable[Endpoint[Any]], *, settled: bool = False) -> None:
        """Let go of these answers, so that memory does not grow with what was asked.

        What is `settled` will not be gathered again, so nothing leads to it any more.
        """
        paths = [endpoint.path for endpoint in endpoints]
        for path in paths:
            self._answers.pop(path, None)
        for path in self._stand_ins.keys() & paths:
            del self._stand_ins[path]
        if settled:
            self._settled.update(paths)

    def forget(self, endpoint: Endpoint[Any]) -> None:
        """Remove what is stored of the endpoint."""
        self._store.delete(self._key(endpoint.path))

    @property
    def is_dead(self) -> bool:
        """Whether nothing more is asked, since so many requests in a row have failed."""
        return self._transport is not None and self._transport.is_dead

    @property
    def was_heard(self) -> bool:
        """Whether any response made sense."""
        return self._transport is not None and self._transport.was_heard

    @property
    def stores(self) -> bool:
        """Whether what was fetched is found in the cache when it is asked for again."""
        return self._store.in_use and self._policy.ttl > 0 and not self._policy.refresh

    def _not_stored(self, endpoints: Iterable[Endpoint[Any]], stored: dict[str, Stored]) -> list[Endpoint[Any]]:
        """Answer from what is stored where that will do, and return the endpoints that are to be fetched.

        What is found of those is put into `stored`.
        """
        start = self._key("")
        asked = {start + one.path: one for one in endpoints if one.path not in self._answers}
        if not asked:
            return []
        self.answered += len(asked)
        if self._load(asked, stored) == len(asked):
            return []
        missing = [endpoint for endpoint in asked.values() if endpoint.path not in self._answers]
        if not self._policy.offline:
            return missing
        now = self._clock()
        self._answers.update((one.path, self._offline(one, stored.get(one.path), now)) for one in missing)
        return []

    def _load(self, asked: Mapping[str, Endpoint[Any]], stored: dict[str, Stored]) -> int:
        """Answer, of what is asked by key, what is stored and fresh; put into `stored` what is only stored.

        Return how many were answered. On the way learn what is known of the limit's cap.
        """
        answers = self._answers
        before = len(answers)
        cap_key = self._key(self._cap_path)
        found = self._store.get_many([*asked, cap_key])
        now = self._clock()
        fresh_after = self._policy.fresh_after(now)
        self._recall_cap(cap_key, found.pop(cap_key, b""), now)
        for key, data in found.items():
            try:
                endpoint = asked[key]
                fetched_at, body = verified(key, data)
                value = endpoint.decode(body)
            except (KeyError, DamagedEntry, ValueError, RecursionError):
                continue  # what cannot be read, or has another name in the table than in the index, is asked for again
            if fresh_after < fetched_at <= now:
                answers[endpoint.path] = value, fetched_at
            else:
                stored[endpoint.path] = Stored(Entry(fetched_at, vouched(data), body), value)
        answered = len(answers) - before
        self.cached += answered
        return answered

    def _recall_cap(self, key: str, data: bytes, now: float) -> None:
        with suppress(DamagedEntry, ValueError):
            fetched_at, body = verified(key, data)
            if 0 <= now - fetched_at < _CAP_KEPT_FOR and not self._policy.refresh:
                self._cap.recall(body)

    def _offline(self, endpoint: Endpoint[Any], stored: Stored | None, now: float) -> _Answer:
        """Return what is stored if it is not too old for that, or that nothing is."""
        if stored is not None and self._policy.may_stand_in(stored.entry.fetched_at, now):
            self.cached += 1
            return stored.value, stored.entry.fetched_at
        kind = "nothing" if stored is None else "nothing recent enough"
        hint = "ask once without --offline, or allow older data with --max-stale"
        return OfflineMiss(f"offline, and {kind} is stored of {self._base_url}{endpoint.path}", hint), None

    def _fetch_once(self, endpoints: Sequence[Endpoint[Any]], stored: dict[str, Stored]) -> Iterator[None]:
        """Fetch what no other process is fetching, and wait for the rest to appear in the cache.

        Whoever waits goes ahead when the other one is killed, has failed, or takes longer than `patience`.
        """
        began, last = self._clock(), time.monotonic() + self._patience
        pause = _SHORTEST_PAUSE
        waiting = list(endpoints)
        while waiting:
            tried, mine = self._take(waiting, began, last)
            # Once more: it may have been stored just before it became ours.
            self._load({self._key(endpoint.path): endpoint for endpoint in tried}, stored)
            done = {endpoint.path for endpoint in tried if endpoint.path in self._answers}
            missing = [endpoint for endpoint in mine if endpoint.path not in done]
            self._store.release((yield from self._fetch(missing, stored)) if missing else ())
            done.update(endpoint.path for endpoint in mine)
            waiting = [endpoint for endpoint in waiting if endpoint.path not in done]
            if waiting and not done:
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
                if self.tick is not None:
                    self.tick(self.requests, self.requests + len(waiting))
            yield

    def _take(
        self, waiting: Iterable[Endpoint[Any]], began: float, last: float
    ) -> tuple[list[Endpoint[Any]], list[Endpoint[Any]]]:
        """Return the endpoints that were tried, and those that are now ours to fetch: few enough to wait for."""
        tried: list[Endpoint[Any]] = []
        mine: list[Endpoint[Any]] = []
        for endpoint in waiting:
            tried.append(endpoint)
            if self._is_mine(endpoint, began, last):
                mine.append(endpoint)
                if len(mine) == _MOST_AT_ONCE:
                    break
        return tried, mine

    def _is_mine(self, endpoint: Endpoint[Any], began: float, last: float) -> bool:
        key = self._key(endpoint.path)
        return self._store.acquire(key) or self._store.abandoned(key, began) or time.monotonic() > last

    def _fetch(self, endpoints: Sequence[Endpoint[Any]], stored: dict[str, Stored]) -> Generator[None, None, list[str]]:
        """Ask for all endpoints, note the answers as they come, store them in one batch.

        Return the keys of which nothing is stored.
        """
        cap_before = self._cap.remembered()
        items: dict[str, bytes] = {}

        def keep(path: str, now: float, vouched: bytes, body: bytes) -> None:
            key = self._key(path)
            items[key] = to_bytes(key, Entry(now, vouched, body))

        def settle(index: int, outcome: _Outcome) -> None:
            endpoint, now = endpoints[index], self._clock()
            old = stored.get(endpoint.path)
            if isinstance(outcome, AcmeError):
                answer: _Answer = (outcome, None)
                if old is not None and self._may_stand_in(old.entry, now, outcome):
                    self.cached += 1
                    self._stand_ins[endpoint.path] = outcome
                    answer = (old.value, old.entry.fetched_at)
            elif isinstance(outcome, Unchanged):
                keep(endpoint.path, now, outcome.stored.entry.vouched, outcome.stored.entry.body)
                answer = (outcome.stored.value, now)
            elif outcome.value is None and not endpoint.keep_missing:
                answer = (None, None)
                if old is not None:
                    self.forget(endpoint)
            else:
                answer = (outcome.value, now)
                if self._store.in_use and len(body := msgspec.json.encode(outcome.value)) <= LARGEST_BODY:
                    keep(endpoint.path, now, encode_pages(outcome.pages), body)
            self._answers[endpoint.path] = answer

        reading = Reading(self._base_url, self._page_size, self._concurrency, self._cap, self._heard)
        exchanges = [
            exchange(endpoint, None if self._policy.refresh else stored.get(endpoint.path), reading)
            for endpoint in endpoints
        ]
        yield from self._drive(exchanges, settle)
        if self._cap.remembered() != cap_before:
            keep(self._cap_path, self._clock(), b"", self._cap.remembered())
        is_stored = self._store.set_many(items)
        keys = [self._key(endpoint.path) for endpoint in endpoints]
        return [key for key in keys if key not in items or not is_stored]

    def _may_stand_in(self, entry: Entry, now: float, error: AcmeError) -> bool:
        stale_is_allowed = error.may_use_stale and self._policy.max_stale > 0
        return stale_is_allowed and self._policy.may_stand_in(entry.fetched_at, now)

    def _key(self, path: str) -> str:
        return f"{self._namespace}\n{path}"

    def _heard(self, path: str, failure: AcmeError | None) -> None:
        assert self._transport is not None
        if failure is None:
            self._transport.succeeded()
        else:
            self._transport.failed(path, failure)

    def _drive(self, exchanges: Sequence[Exchange], settle: Callable[[int, _Outcome], None]) -> Iterator[None]:
        """Run the exchanges side by side, each request in a thread, and settle each; yield after every few."""
        received: dict[int, list[Response | AcmeError | None]] = {}
        lacking: dict[int, int] = {}
        parked: list[int] = []

        def advance(index: int, results: "Sequence[Response | AcmeError] | None") -> None:
            running = exchanges[index]
            failed = next((result for result in results or () if isinstance(result, AcmeError)), None)
            try:
                requests = running.throw(failed) if failed else running.send(results)  # type: ignore[arg-type]  # no error among them
            except StopIteration as stop:
                settle(index, stop.value)
            except AcmeError as error:
                settle(index, without_frames(error))
            else:
                if not requests:
                    parked.append(index)
                    return
                received[index] = [None] * len(requests)
                lacking[index] = len(requests)
                for place, request in enumerate(requests):
                    self._submit(_Job(index, place, request))

        for index in range(len(exchanges)):
            advance(index, None)
        while lacking or parked:
            if not lacking:
                resumed, parked[:] = parked[:], []
                for index in resumed:
                    advance(index, ())
                continue
            assert self._pool is not None
            done = self._pool.take(_TICK)
            if self.tick is not None:
                self.tick(self.requests - sum(lacking.values()) + len(done), self.requests)
            for job, result in done:
                if isinstance(result, AcmeError) and result.unasked:
                    self.requests -= 1
                if self._observe is not None:
                    self._observe(job.request.path, result)
                received[job.exchange][job.place] = result
                lacking[job.exchange] -= 1
            for index in dict.fromkeys(job.exchange for job, _ in done):
                if not lacking[index]:
                    del lacking[index]
                    advance(index, received.pop(index))  # type: ignore[arg-type]  # none is lacking
            yield

    def _submit(self, job: _Job) -> None:
        if self._pool is None:
            from .pool import Pool  # needed after a miss only

            self._transport = self._connect()
            self._pool = Pool(self._concurrency, self._get)
        self.requests += 1
        self._pool.submit(job)

    def _get(self, job: _Job) -> "Response | AcmeError":
        assert self._transport is not None
        try:
            return self._transport.get(*job.request)
        except AcmeError as error:
            return error
