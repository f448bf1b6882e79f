"""DataApi: answers from the cache where they are fresh, from the network otherwise, many at once, none twice.

Threads only ask. What to ask for, what to keep and what to answer is decided in the calling thread, so an
interrupt finds one owner and the outcome does not depend on which response came first.
"""

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from acme_cli.cache.entry import DamagedEntry, Entry, from_bytes, to_bytes
from acme_cli.cache.freshness import Policy, Standing, standing
from acme_cli.cache.store import Guarded
from acme_cli.errors import AcmeError, ApiError, OfflineMiss, PayloadError

from .endpoints import Endpoint
from .paging import LimitCap, Page, read_list

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from .transport import Response, Transport

T = TypeVar("T")

_CAP_KEPT_FOR = 7 * 24 * 3600.0
_TICK = 0.1

Observer = Callable[[str, "Response | AcmeError"], None]
"""Told the path of each request and what came of it."""


class _Request(NamedTuple):
    path: str
    etag: str | None = None


class _Fetched(NamedTuple):
    """What came of fetching: `value` None may mean missing; `unchanged` means the stored value still holds."""

    value: Any
    pages: tuple[tuple[str, str | None], ...]
    unchanged: bool = False


_Exchange = Generator[list[_Request], "Sequence[Response]", _Fetched]


class DataApi:
    """The data API at one base URL, as one user sees it.

    `connect` makes the transport, on the first miss; `namespace` separates stored responses by base URL and
    credential; `page_size` rows are asked for at a time.
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
        self._clock = clock
        self._observe = observe
        self.tick: Callable[[int, int], None] | None = None
        """Called about ten times a second while waiting, with the requests that are done, and all so far."""
        self._transport: Transport | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._answers: dict[str, Any] = {}
        self._cap: LimitCap | None = None
        self.requests = 0
        """How many requests were sent, retries not counted."""
        self.answered = 0
        """How many endpoints were asked for."""
        self.cached = 0
        """How many of them were answered without a request."""
        self.oldest: float | None = None
        """When the oldest data among the answers was fetched, in seconds since 1970."""
        self.failure: AcmeError | None = None
        """The first failure for which old data stood in."""

    def __enter__(self) -> "DataApi":
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of threads and connections without waiting for requests under way."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        if self._transport is not None:
            self._transport.close()
        self._store.close()

    def gather(self, endpoints: Sequence[Endpoint[Any]]) -> list[Any]:
        """Return what the API says of each endpoint, in their order; an AcmeError in place of what failed.

        Whatever is asked for is asked for at the same time, and never twice in the life of this object.
        """
        asked = {endpoint.path: endpoint for endpoint in endpoints if endpoint.path not in self._answers}
        entries = self._load(asked.values())
        now = self._clock()
        missing: list[Endpoint[Any]] = []
        for path, endpoint in asked.items():
            entry = entries.get(path)
            how = Standing.EXPIRED if entry is None else standing(entry.fetched_at, now, self._policy)
            if entry is not None and (how is Standing.FRESH or (self._policy.offline and how is Standing.STALE)):
                self._answer_from(entry, endpoint)
            elif self._policy.offline:
                hint = "ask once without --offline, or allow older data with --max-stale"
                kind = "nothing recent enough" if entry is not None else "nothing"
                self._answers[path] = OfflineMiss(f"offline, and {kind} is stored of {self._base_url}{path}", hint)
            else:
                missing.append(endpoint)
        self.answered += len(asked)
        if missing:
            self._fetch(missing, entries)
        return [self._answers[endpoint.path] for endpoint in endpoints]

    def _load(self, endpoints: Any) -> dict[str, Entry]:
        """Return what is stored of the endpoints, by path; and on the way what is known of the limit's cap."""
        keys = {self._key(endpoint.path): endpoint.path for endpoint in endpoints}
        if self._cap is None:
            keys[self._key(self._cap_path)] = self._cap_path
        entries: dict[str, Entry] = {}
        for key, stored in self._store.get_many(keys).items():
            with suppress(DamagedEntry):
                entries[keys[key]] = from_bytes(key, stored)
        if self._cap is None:
            self._cap = LimitCap()
            known = entries.pop(self._cap_path, None)
            if known is not None and 0 <= self._clock() - known.fetched_at < _CAP_KEPT_FOR and not self._policy.refresh:
                self._cap.cap, self._cap.whole = msgspec.json.decode(known.body, type=tuple[int | None, int])
        return entries

    def _fetch(self, endpoints: Sequence[Endpoint[Any]], entries: dict[str, Entry]) -> None:
        """Ask for all endpoints, note the answers, and store them in one batch."""
        assert self._cap is not None
        cap_before = (self._cap.cap, self._cap.whole)
        outcomes = self._drive([self._exchange(endpoint, entries.get(endpoint.path)) for endpoint in endpoints])
        now = self._clock()
        kept: dict[str, Entry] = {}
        for endpoint, outcome in zip(endpoints, outcomes, strict=True):
            entry = entries.get(endpoint.path)
            if isinstance(outcome, AcmeError):
                if entry is None or not self._may_stand_in(entry, now, outcome):
                    self._answers[endpoint.path] = outcome
                    continue
                self.failure = self.failure or outcome
                self._answer_from(entry, endpoint)
            elif outcome.unchanged and entry is not None:
                kept[endpoint.path] = Entry(now, entry.pages, entry.body)
                self._answer_from(kept[endpoint.path], endpoint, cached=False)
            elif outcome.value is None and not endpoint.keep_missing:
                self._answers[endpoint.path] = None
                if entry is not None:
                    self._store.delete(self._key(endpoint.path))
            else:
                pages = tuple((path, etag) for path, etag in outcome.pages if etag is not None)
                complete = pages if len(pages) == len(outcome.pages) else ()
                kept[endpoint.path] = Entry(now, complete, msgspec.json.encode(outcome.value))
                self._answer(endpoint, outcome.value, now)
        cap_now = (self._cap.cap, self._cap.whole)
        if cap_now != cap_before:
            kept[self._cap_path] = Entry(now, (), msgspec.json.encode(cap_now))
        items = {self._key(path): entry for path, entry in kept.items()}
        self._store.set_many({key: to_bytes(key, entry) for key, entry in items.items()})

    def _may_stand_in(self, entry: Entry, now: float, error: AcmeError) -> bool:
        if not error.may_use_stale or self._policy.max_stale == 0:
            return False
        return standing(entry.fetched_at, now, self._policy) is not Standing.EXPIRED

    def _answer_from(self, entry: Entry, endpoint: Endpoint[Any], *, cached: bool = True) -> None:
        self.cached += cached
        self._answer(endpoint, endpoint.canonical.decode(entry.body), entry.fetched_at)

    def _answer(self, endpoint: Endpoint[Any], value: Any, fetched_at: float) -> None:
        self._answers[endpoint.path] = value
        self.oldest = fetched_at if self.oldest is None else min(self.oldest, fetched_at)

    @property
    def _cap_path(self) -> str:
        return f"limit-cap?limit={self._page_size}"

    def _key(self, path: str) -> str:
        return f"{self._namespace}\n{path}"

    def _exchange(self, endpoint: Endpoint[Any], entry: Entry | None) -> _Exchange:
        """Yield the requests that `endpoint` takes, be sent their responses, and return what they say.

        Stored pages are asked for with their ETags; if one has changed, the list is read anew.
        """
        in_hand: dict[str, Response] = {}
        if entry is not None and entry.pages and not self._policy.refresh:
            responses = yield [_Request(path, etag) for path, etag in entry.pages]
            if all(response.status == 304 for response in responses):
                return _Fetched(None, (), unchanged=True)
            answered = zip(entry.pages, responses, strict=True)
            in_hand = {path: response for (path, _), response in answered if response.status != 304}
        if endpoint.row is not None:
            return (yield from self._read_pages(endpoint, endpoint.row, in_hand))
        response = in_hand.get(endpoint.path) or (yield [_Request(endpoint.path)])[0]
        return _Fetched(self._value(endpoint, endpoint.path, response), ((endpoint.path, response.etag),))

    def _read_pages(
        self, endpoint: Endpoint[Any], canonical: Callable[[Any], Any], in_hand: "dict[str, Response]"
    ) -> _Exchange:
        assert self._cap is not None
        pages: dict[str, str | None] = {}
        listing: Generator[list[Page], Sequence[Sequence[Any]], list[Any]] = read_list(
            self._page_size, self._concurrency, self._cap
        )
        wanted: list[Page] = next(listing)
        with closing(listing):
            while True:
                paths = [f"{endpoint.path}?skip={page.skip}&limit={page.limit}" for page in wanted]
                lacking = [path for path in paths if path not in in_hand]
                if lacking or not paths:
                    in_hand.update(zip(lacking, (yield [_Request(path) for path in lacking]), strict=True))
                pages.update((path, in_hand[path].etag) for path in paths)
                try:
                    wanted = listing.send([self._value(endpoint, path, in_hand.pop(path)) for path in paths])
                except StopIteration as stop:
                    return _Fetched([canonical(row) for row in stop.value], tuple(pages.items()))
                except ApiError as error:
                    raise ApiError(f"GET {self._base_url}{paths[-1]}: {error.message}") from error

    def _value(self, endpoint: Endpoint[Any], path: str, response: "Response") -> Any:
        try:
            return endpoint.read(None if response.status == 404 else response.body)
        except PayloadError as error:
            hint = "`acme doctor` checks whether this is a data API"
            raise PayloadError(f"GET {self._base_url}{path}: {error.message}", hint) from error

    def _drive(self, exchanges: "list[_Exchange]") -> "list[_Fetched | AcmeError]":
        """Run the exchanges side by side, each request in a thread; return their outcomes in order."""
        from concurrent.futures import FIRST_COMPLETED, wait  # slow, and needed after a miss only

        outcomes: dict[int, _Fetched | AcmeError] = {}
        batches: dict[int, list[Future[Response | AcmeError]]] = {}
        waiting: dict[Future[Response | AcmeError], tuple[int, str]] = {}
        parked: list[int] = []

        def advance(index: int, results: "Sequence[Response | AcmeError] | None") -> None:
            exchange = exchanges[index]
            failed = next((result for result in results or () if isinstance(result, AcmeError)), None)
            try:
                requests = exchange.throw(failed) if failed else exchange.send(results)  # type: ignore[arg-type]  # no error among them
            except StopIteration as stop:
                outcomes[index] = stop.value
            except AcmeError as error:
                outcomes[index] = error
            else:
                if not requests:
                    parked.append(index)
                batches[index] = [self._submit(request) for request in requests]
                waiting.update(
                    (future, (index, request.path)) for future, request in zip(batches[index], requests, strict=True)
                )

        for index in range(len(exchanges)):
            advance(index, None)
        while waiting or parked:
            if not waiting:
                resumed, parked[:] = parked[:], []
                for index in resumed:
                    advance(index, ())
                continue
            done, _ = wait(waiting, timeout=_TICK, return_when=FIRST_COMPLETED)
            if self.tick is not None:
                self.tick(self.requests - len(waiting) + len(done), self.requests)
            arrived = []
            for future in done:
                index, path = waiting.pop(future)
                arrived.append(index)
                if self._observe is not None:
                    self._observe(path, future.result())
            for index in dict.fromkeys(arrived):
                if all(future not in waiting for future in batches[index]):
                    advance(index, [future.result() for future in batches[index]])
        return [outcomes[index] for index in range(len(exchanges))]

    def _submit(self, request: _Request) -> "Future[Response | AcmeError]":
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._transport = self._connect()
            self._pool = ThreadPoolExecutor(self._concurrency, thread_name_prefix="acme")
        self.requests += 1
        return self._pool.submit(self._get, request)

    def _get(self, request: _Request) -> "Response | AcmeError":
        assert self._transport is not None
        try:
            return self._transport.get(*request)
        except AcmeError as error:
            return error
