"""DataApi over a made-up transport and clock: what is asked, what is stored, and what is answered with."""

import json
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec
import pytest

from acme_cli.cache.entry import Entry, from_bytes, to_bytes
from acme_cli.cache.freshness import Policy
from acme_cli.cache.memory import MemoryStore
from acme_cli.cache.store import Guarded, Store
from acme_cli.data_api import endpoints
from acme_cli.data_api.client import DataApi
from acme_cli.data_api.transport import Response
from acme_cli.errors import AcmeError, ApiError, ApiStatusError, ApiUnreachable, OfflineMiss, PayloadError
from acme_cli.models import Product, Purchases, User

BASE = "http://shop.example/api/"
START = 1_800_000_000.0
TTL, MAX_STALE = 600.0, 3_600.0
DAY = 86_400.0
USUAL = Policy(TTL, MAX_STALE)


@dataclass
class Clock:
    now: float = START

    def __call__(self) -> float:
        return self.now


@dataclass
class Shop:
    """A data API without a network. `failing` has what to raise or send for some paths, '' for all."""

    users: dict[str, str] = field(default_factory=lambda: {"ann": "a@x"})
    products: dict[int, str] = field(default_factory=lambda: {number: f"face {number}" for number in range(50)})
    purchases: dict[int, list[tuple[int, str]]] = field(default_factory=dict)
    failing: dict[str, AcmeError | bytes | BaseException] = field(default_factory=dict)
    etags: bool = True
    cap: int | None = None
    log: list[tuple[str, str | None]] = field(default_factory=list)
    under_way: Callable[[str], None] = lambda path: None
    closed: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, path: str, etag: str | None = None) -> Response:
        with self._lock:
            self.log.append((path, etag))
        self.under_way(path)
        failure = self.failing.get(path, self.failing.get(""))
        if isinstance(failure, BaseException):
            raise failure
        body = failure if failure is not None else self.body(path)
        if body is None:
            return Response(404, b"", None, 0.01, 1)
        new_etag = f'"{zlib.crc32(body):08x}"' if self.etags else None
        if etag is not None and etag == new_etag:
            return Response(304, b"", None, 0.01, 1)
        return Response(200, body, new_etag, 0.01, 1)

    def succeeded(self) -> None:
        """Nobody counts."""

    def failed(self, path: str, error: AcmeError) -> None:
        """Nobody counts."""

    def body(self, path: str) -> bytes | None:
        split = urlsplit(path)
        kind, _, name = split.path.rpartition("/")
        name = unquote(name)
        query = {key: int(values[0]) for key, values in parse_qs(split.query).items()}
        if kind == "users":
            return encoded({"user": {"username": name, "email": self.users[name]}}) if name in self.users else None
        if kind == "products":
            face = self.products.get(int(name))
            return None if face is None else encoded({"product": {"id": int(name), "face": face}})
        if kind == "purchases/by_user":
            rows = [(number, buyer, product) for product, row in self.purchases.items() for number, buyer in row]
            mine = [(number, buyer, product) for number, buyer, product in rows if buyer == name]
        else:
            mine = [(number, buyer, int(name)) for number, buyer in self.purchases.get(int(name), [])]
        skip, limit = query.get("skip", 0), query["limit"]
        page = mine[skip : skip + min(limit, self.cap or limit)]
        return encoded({"purchases": [dict(zip(("id", "username", "product_id"), row, strict=True)) for row in page]})

    def close(self) -> None:
        self.closed += 1

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.log]

    def forget_log(self) -> None:
        self.log.clear()


def encoded(document: object) -> bytes:
    return json.dumps(document).encode()


def no_warning(text: str) -> None:
    pytest.fail(f"warned: {text}")


@dataclass
class World:
    """One shop, one store, one clock; any number of runs."""

    shop: Shop = field(default_factory=Shop)
    store: Store = field(default_factory=MemoryStore)
    clock: Clock = field(default_factory=Clock)
    policy: Policy = USUAL

    def run(self, **changes: Any) -> DataApi:
        chosen: dict[str, Any] = {
            "base_url": BASE,
            "namespace": f"{BASE}\n-",
            "connect": lambda: self.shop,
            "store": Guarded(self.store, no_warning),
            "policy": self.policy,
            "page_size": 100,
            "concurrency": 4,
            "clock": self.clock,
        }
        return DataApi(**chosen | changes)

    def ask(self, *asked: endpoints.Endpoint[Any], **changes: Any) -> list[Any]:
        with self.run(**changes) as api:
            return api.gather(asked)


@pytest.fixture
def world() -> World:
    return World()


ANN = endpoints.of_user("ann", 5)[0]


def test_answers_come_in_the_order_asked_and_failures_are_values(world: World) -> None:
    world.shop.purchases = {1: [(1, "ann"), (2, "bob")], 2: [(3, "ann")]}
    world.shop.failing = {"products/2": ApiStatusError("GET products/2 answered 500", 500), "products/3": b"[]"}
    api = world.run()
    with api:
        user, gone, broken, unreadable, buyers, recent, nobody = api.gather(
            [
                ANN,
                endpoints.product(99),
                endpoints.product(2),
                endpoints.product(3),
                endpoints.buyers(1),
                endpoints.of_user("ann", 5)[1],
                endpoints.of_user("nobody", 5)[0],
            ]
        )
    assert user == User("ann", "a@x")
    assert gone is None
    assert broken is world.shop.failing["products/2"]
    assert isinstance(unreadable, PayloadError)
    assert unreadable.message == f"GET {BASE}products/3: $: expected object, got array"
    assert buyers == Purchases(["ann", "bob"], [])
    assert recent == [1, 2]
    assert nobody is None
    assert (api.requests, api.answered, api.cached) == (7, 7, 0)
    assert api.oldest == START
    assert api.failure is None
    assert world.shop.closed == 1


def test_no_request_is_made_twice(world: World) -> None:
    with world.run() as api:
        first = api.gather([ANN, endpoints.product(1), ANN, endpoints.of_user("ann", 5)[0]])
        assert api.gather([endpoints.product(1), ANN]) == [first[1], first[0]]
        assert api.gather([]) == []
    assert sorted(world.shop.paths) == ["products/1", "users/ann"]
    assert first[0] == first[2] == first[3]


def test_a_failure_is_not_asked_for_again_either(world: World) -> None:
    world.shop.failing = {"": ApiUnreachable("refused")}
    with world.run() as api:
        first, second = api.gather([ANN]), api.gather([ANN])
    assert first[0] is second[0]
    assert len(world.shop.log) == 1


def test_a_fresh_answer_needs_no_connection(world: World) -> None:
    world.shop.purchases = {7: [(number, f"user {number}") for number in range(250)]}
    asked: list[endpoints.Endpoint[Any]] = [
        ANN,
        endpoints.product(1),
        endpoints.product(99),
        endpoints.buyers(7),
        endpoints.of_user("ann", 5)[1],
    ]
    first = world.ask(*asked)
    world.clock.now += TTL - 1
    api = world.run(connect=lambda: pytest.fail("connected"))
    with api:
        assert api.gather(asked) == first
    assert (api.requests, api.answered, api.cached) == (0, 5, 5)
    assert api.oldest == START
    assert [len(first[3].usernames), len(first[4])] == [250, 0]


def test_that_a_user_is_missing_is_never_remembered(world: World) -> None:
    assert world.ask(endpoints.of_user("bob", 5)[0]) == [None]
    world.shop.users["bob"] = "b@x"
    assert world.ask(endpoints.of_user("bob", 5)[0]) == [User("bob", "b@x")]
    del world.shop.users["bob"]
    world.clock.now += TTL
    assert world.ask(endpoints.of_user("bob", 5)[0]) == [None]
    (offline,) = world.ask(endpoints.of_user("bob", 5)[0], policy=Policy(TTL, MAX_STALE, offline=True))
    assert isinstance(offline, OfflineMiss)


FAILED = ApiUnreachable("refused")
AGES = [0.0, TTL - 1, TTL, TTL + MAX_STALE, TTL + MAX_STALE + 1, -DAY]


@pytest.mark.parametrize("age", AGES)
@pytest.mark.parametrize("max_stale", [0.0, MAX_STALE])
@pytest.mark.parametrize("works", [True, False])
@pytest.mark.parametrize("mode", ["", "refresh", "offline"])
def test_what_a_stored_answer_is_good_for(world: World, age: float, max_stale: float, works: bool, mode: str) -> None:
    world.shop.etags = False
    world.ask(ANN)
    world.shop.forget_log()
    world.shop.users["ann"] = "new@x"
    world.clock.now += age
    if not works:
        world.shop.failing = {"": FAILED}
    policy = Policy(TTL, max_stale, refresh=mode == "refresh", offline=mode == "offline")
    api = world.run(policy=policy)
    with api:
        (answer,) = api.gather([ANN])

    is_fresh = 0 <= age < TTL and mode != "refresh"
    may_stand_in = age <= TTL + max_stale
    old, new = User("ann", "a@x"), User("ann", "new@x")
    assert len(world.shop.log) == (not is_fresh and mode != "offline")
    if is_fresh:
        assert answer == old
    elif mode == "offline":
        assert answer == old if may_stand_in else isinstance(answer, OfflineMiss)
    elif works:
        assert answer == new
        assert api.oldest == world.clock.now
    elif may_stand_in and max_stale:
        assert answer == old
        assert (api.failure, api.oldest) == (FAILED, START)
    else:
        assert answer is FAILED
    assert (api.failure is None) == (answer != old or is_fresh or mode == "offline")


@pytest.mark.parametrize(
    ("failure", "bridged"),
    [
        (ApiUnreachable("timed out"), True),
        *[(ApiStatusError("status", status), True) for status in (408, 429, 500, 502, 503, 504)],
        *[(ApiStatusError("status", status), False) for status in (301, 302, 400, 401, 403, 410, 418)],
        (ApiError("packed in an unknown way"), True),
        (b"<html>", True),
        (b'{"user": []}', True),
    ],
)
def test_old_data_bridges_outages_but_no_refusals(world: World, failure: AcmeError | bytes, bridged: bool) -> None:
    world.ask(ANN)
    world.clock.now += TTL
    world.shop.failing = {"": failure}
    api = world.run()
    with api:
        (answer,) = api.gather([ANN])
    if bridged:
        assert answer == User("ann", "a@x")
        assert api.failure is not None
        assert api.oldest == START
    else:
        assert answer is failure
        assert api.failure is None
    world.shop.failing = {}
    assert world.ask(ANN) == [User("ann", "a@x")], "a failure leaves what is stored alone"


def test_offline_nothing_is_asked(world: World) -> None:
    world.ask(ANN)
    api = world.run(policy=Policy(TTL, MAX_STALE, offline=True), connect=lambda: pytest.fail("connected"))
    world.clock.now += TTL + 1
    with api:
        stored, never = api.gather([ANN, endpoints.product(1)])
    assert stored == User("ann", "a@x")
    assert isinstance(never, OfflineMiss)
    assert never.message == f"offline, and nothing is stored of {BASE}products/1"
    assert never.hint is not None


def test_unchanged_answers_are_only_vouched_for(world: World) -> None:
    world.shop.purchases = {7: [(number, f"user {number}") for number in range(150)]}
    asked: list[endpoints.Endpoint[Any]] = [ANN, endpoints.product(1), endpoints.buyers(7)]
    first = world.ask(*asked)
    fetched = set(world.shop.paths)
    world.shop.forget_log()
    world.clock.now += TTL
    api = world.run()
    with api:
        assert api.gather(asked) == first
    assert set(world.shop.paths) == fetched
    assert all(etag is not None for _, etag in world.shop.log)
    assert api.oldest == world.clock.now
    assert api.cached == 0
    world.shop.forget_log()
    world.clock.now += TTL - 1
    assert world.ask(*asked) == first
    assert world.shop.log == []


def test_a_changed_answer_replaces_the_old_one(world: World) -> None:
    world.ask(ANN)
    world.shop.users["ann"] = "new@x"
    world.clock.now += TTL
    world.shop.forget_log()
    assert world.ask(ANN) == [User("ann", "new@x")]
    assert len(world.shop.log) == 1
    assert world.ask(ANN) == [User("ann", "new@x")]
    assert len(world.shop.log) == 1


@pytest.mark.parametrize("changed", [0, 99, 100, 249])
def test_a_list_of_which_one_page_changed_is_read_anew(world: World, changed: int) -> None:
    rows = [(number, f"user {number}") for number in range(250)]
    world.shop.purchases = {7: list(rows)}
    world.ask(endpoints.buyers(7))
    pages = sorted(world.shop.paths)
    world.shop.purchases[7][changed] = (changed, "somebody else")
    world.clock.now += TTL
    world.shop.forget_log()
    (buyers,) = world.ask(endpoints.buyers(7))
    assert buyers.usernames == [name for _, name in world.shop.purchases[7]]
    unconditional = sorted(path for path, etag in world.shop.log if etag is None)
    assert sorted({path for path, etag in world.shop.log if etag is not None}) == pages
    assert len(unconditional) == len(set(unconditional))
    assert set(unconditional) >= set(pages) - {f"purchases/by_product/7?skip={changed // 100 * 100}&limit=100"}


def test_a_list_that_grew_or_shrank_is_read_to_its_new_end(world: World) -> None:
    everybody = [(number, f"user {number}") for number in range(400)]
    for length in (150, 250, 400, 100, 5, 0, 150):
        world.shop.purchases = {7: everybody[:length]}
        (buyers,) = world.ask(endpoints.buyers(7))
        assert buyers.usernames == [name for _, name in everybody[:length]]
        world.clock.now += TTL


def test_without_etags_all_is_asked_for_again(world: World) -> None:
    world.shop.etags = False
    world.ask(ANN)
    world.clock.now += TTL
    world.ask(ANN)
    assert world.shop.log == [("users/ann", None)] * 2


def test_refresh_asks_for_everything_unconditionally_and_stores_it(world: World) -> None:
    world.ask(ANN)
    world.shop.users["ann"] = "new@x"
    world.shop.forget_log()
    assert world.ask(ANN, policy=Policy(TTL, MAX_STALE, refresh=True)) == [User("ann", "new@x")]
    assert world.shop.log == [("users/ann", None)]
    world.shop.forget_log()
    assert world.ask(ANN) == [User("ann", "new@x")]
    assert world.shop.log == []


def probes(shop: Shop) -> int:
    """Return how many pages after the first were asked for."""
    return sum("skip=0" not in path for path in shop.paths)


def test_whether_the_limit_is_capped_is_found_out_once_a_week(world: World) -> None:
    world.policy = Policy(0, MAX_STALE)
    world.shop.etags = False
    world.shop.purchases = {7: [(number, "ann") for number in range(40)], 8: [(number, "bob") for number in range(150)]}
    world.ask(endpoints.buyers(7), endpoints.buyers(8))
    asked_more = []
    for days in (0, 1, 5.9, 0.2):
        world.clock.now += days * DAY
        world.shop.forget_log()
        (buyers,) = world.ask(endpoints.buyers(7))
        assert len(buyers.usernames) == 40
        asked_more.append(probes(world.shop))
    assert asked_more == [0, 0, 0, 1]


def test_what_was_learned_holds_for_one_api_and_page_size_only(world: World) -> None:
    world.shop.purchases = {7: [(number, "ann") for number in range(40)], 8: [(number, "bob") for number in range(150)]}
    world.policy = Policy(0, MAX_STALE)
    world.shop.etags = False
    world.ask(endpoints.buyers(7), endpoints.buyers(8))
    for changes, asked_more in (
        ({}, 0),
        ({"page_size": 90}, 1),
        ({"namespace": "other\n-"}, 1),
        ({"policy": Policy(0, 0, refresh=True)}, 1),
    ):
        world.shop.forget_log()
        world.ask(endpoints.buyers(7), **changes)
        assert probes(world.shop) == asked_more, changes


@pytest.mark.parametrize("cap", [10, 50, 98])
def test_lists_of_a_server_that_caps_the_limit_are_whole(world: World, cap: int) -> None:
    world.shop.cap = cap
    world.shop.purchases = {
        number: [(row, f"user {row}") for row in range(length)] for number, length in enumerate([0, 9, cap, 120, 333])
    }
    for _ in range(2):
        lists = world.ask(*map(endpoints.buyers, range(5)))
        assert [len(each.usernames) for each in lists] == [0, 9, cap, 120, 333]
        world.clock.now += TTL


def test_a_list_that_cannot_be_paged_names_its_url(world: World) -> None:
    page = encoded({"purchases": [{"id": row, "username": "ann", "product_id": 7} for row in range(100)]})
    world.shop.failing = {"": page}
    (error,) = world.ask(endpoints.buyers(7))
    assert isinstance(error, ApiError)
    assert error.message.startswith(f"GET {BASE}purchases/by_product/7?skip=100&limit=100: the list cannot be paged")


class Tampered(MemoryStore):
    """Changes what it gives back."""

    def __init__(self, change: Callable[[str, bytes], bytes]) -> None:
        super().__init__()
        self.change = change

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        return {key: self.change(key, data) for key, data in super().get_many(keys).items()}


def of_another_kind(key: str, data: bytes) -> bytes:
    entry = from_bytes(key, data)
    return to_bytes(key, Entry(entry.fetched_at, entry.vouched, b'{"other": 1}'))


def nested_too_deeply(key: str, data: bytes) -> bytes:
    entry = from_bytes(key, data)
    body = b'{"username": "ann", "more": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    return to_bytes(key, Entry(entry.fetched_at, entry.vouched, body))


def test_a_failure_that_is_kept_keeps_no_response_alive(world: World) -> None:
    world.shop.failing = {"products/2": FAILED, "products/3": b"[]"}
    refused, nonsense = world.ask(endpoints.product(2), endpoints.product(3))
    for failure in (refused, nonsense, nonsense.__cause__):
        assert isinstance(failure, Exception)
        assert failure.__traceback__ is None


def test_an_entry_with_another_name_than_was_asked_for_is_ignored() -> None:
    """A bit that flipped in the table, while the index still has the key, gives it another one."""

    class Renaming(MemoryStore):
        def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
            return {f"{key}~": data for key, data in super().get_many(keys).items()}

    world = World(store=Renaming())
    first = world.ask(ANN, endpoints.product(1))
    assert world.ask(ANN, endpoints.product(1)) == first
    assert len(world.shop.log) == 4


@pytest.mark.parametrize(
    "change",
    [
        lambda key, data: b"",
        lambda key, data: data[:-1],
        lambda key, data: data + b"\0",
        lambda key, data: data[:20] + bytes([data[20] ^ 1]) + data[21:],
        lambda key, data: to_bytes("another key", from_bytes(key, data)),
        of_another_kind,
        nested_too_deeply,
    ],
)
def test_damaged_entries_are_ignored(change: Callable[[str, bytes], bytes]) -> None:
    world = World(store=Tampered(change))
    world.shop.purchases = {7: [(number, f"user {number}") for number in range(40)]}
    first = world.ask(ANN, endpoints.buyers(7))
    assert world.ask(ANN, endpoints.buyers(7)) == first
    assert len(world.shop.log) == 6
    world.shop.failing = {"": FAILED}
    assert world.ask(ANN) == [FAILED], "damaged data never stands in"


def test_apis_and_credentials_are_kept_apart(world: World) -> None:
    for number, namespace in enumerate(("http://a/\n-", "http://b/\n-", "http://a/\nsecret's digest")):
        world.shop.users["ann"] = f"{number}@x"
        assert world.ask(ANN, namespace=namespace) == [User("ann", f"{number}@x")]
    assert world.ask(ANN, namespace="http://a/\n-") == [User("ann", "0@x")]
    assert len(world.shop.log) == 3


class Broken(MemoryStore):
    """Fails in some of its methods."""

    def __init__(self, *methods: str) -> None:
        super().__init__()
        self.methods = methods
        self.calls: list[str] = []

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name in self.methods:
            raise RuntimeError(f"{name} failed")

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        self._call("get_many")
        return super().get_many(keys)

    def set_many(self, items: Mapping[str, bytes]) -> None:
        self._call("set_many")
        super().set_many(items)

    def delete(self, key: str) -> None:
        self._call("delete")
        super().delete(key)

    def acquire(self, key: str) -> bool:
        self._call("acquire")
        return super().acquire(key)

    def release(self, unstored: Iterable[str]) -> None:
        self._call("release")
        super().release(unstored)

    def close(self) -> None:
        self._call("close")


@pytest.mark.parametrize("method", ["get_many", "set_many", "acquire", "release", "close", "delete"])
def test_a_store_that_fails_costs_one_warning_and_no_answer(method: str) -> None:
    world = World(store=Broken(method))
    if method == "delete":
        world.store.set_many({f"{BASE}\n-\nusers/ann": to_bytes(f"{BASE}\n-\nusers/ann", Entry(0, b"", b"null"))})
        world.shop.users = {}
    warnings: list[str] = []
    with world.run(store=Guarded(world.store, warnings.append)) as api:
        answers = api.gather([ANN]) + api.gather([endpoints.product(1)]) + api.gather([endpoints.product(2)])
    user = None if method == "delete" else User("ann", "a@x")
    assert answers == [user, Product(1, "face 1"), Product(2, "face 2")]
    quiet = method in {"acquire", "release", "close"}  # without locks a request may be made twice, that is all
    assert warnings == ([] if quiet else [f"the cache is not used: {method} failed"])
    if not quiet:
        assert isinstance(world.store, Broken)
        assert world.store.calls.count(method) == 1


def test_one_batch_is_stored_for_each_gather() -> None:
    world = World(store=Broken())
    assert isinstance(world.store, Broken)
    world.ask(ANN, *map(endpoints.product, range(20)))
    assert world.store.calls.count("set_many") == 1
    assert world.store.calls[-1] == "close"


def test_only_requests_are_made_in_threads_and_not_too_many() -> None:
    here = threading.current_thread()
    all_are_here = threading.Barrier(3)
    seen: list[str] = []

    def under_way(path: str) -> None:
        seen.append(threading.current_thread().name)
        all_are_here.wait(5)  # breaks unless three at a time are under way

    class Watched(MemoryStore):
        def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
            assert threading.current_thread() is here
            return super().get_many(keys)

        def set_many(self, items: Mapping[str, bytes]) -> None:
            assert threading.current_thread() is here
            super().set_many(items)

    world = World(store=Watched())
    world.shop.under_way = under_way
    observed: list[tuple[str, threading.Thread]] = []
    answers = world.ask(
        *map(endpoints.product, range(30)),
        concurrency=3,
        observe=lambda path, outcome: observed.append((path, threading.current_thread())),
    )
    assert answers == [Product(number, f"face {number}") for number in range(30)]
    assert len(set(seen)) == 3
    assert threading.current_thread().name not in seen
    assert {thread for _, thread in observed} == {here}
    assert sorted(path for path, _ in observed) == sorted(world.shop.paths)


def test_the_order_in_which_answers_arrive_changes_nothing() -> None:
    results = []
    for order in (range(4), reversed(range(4))):
        world = World()
        world.shop.purchases = {7: [(number, f"user {number}") for number in range(310)]}
        turn = threading.Condition()
        waiting = [f"products/{number}" for number in order]

        def in_turn(path: str, waiting: list[str] = waiting, turn: threading.Condition = turn) -> None:
            if path.startswith("products/"):
                with turn:
                    assert turn.wait_for(lambda: waiting[0] == path, 5)
                    waiting.pop(0)
                    turn.notify_all()

        world.shop.under_way = in_turn
        asked: list[endpoints.Endpoint[Any]] = [endpoints.buyers(7), *map(endpoints.product, range(4))]
        answers = world.ask(*asked, concurrency=8)
        stored = world.store.get_many([f"{BASE}\n-\n{endpoint.path}" for endpoint in asked])
        results.append((answers, stored))
    assert results[0] == results[1]
    assert len(results[0][1]) == 5


class Stop(BaseException):
    """What a signal handler raises."""


def test_an_interrupt_ends_the_run_though_requests_hang(world: World) -> None:
    let_go = threading.Event()
    world.shop.under_way = lambda path: None if let_go.wait(20) else pytest.fail("never let go")
    before = threading.active_count()
    api = world.run(concurrency=4)

    def tick(done: int, sent: int) -> None:
        assert (done, sent) == (0, 30)
        raise Stop

    api.tick = tick
    start = time.monotonic()
    with pytest.raises(Stop), api:
        api.gather([endpoints.product(number) for number in range(30)])
    assert time.monotonic() - start < 1
    assert world.shop.closed == 1
    let_go.set()
    for thread in threading.enumerate():
        if thread.name.startswith("acme"):
            thread.join(5)
    assert threading.active_count() == before
    assert len(world.shop.log) == 4, "what had not begun was cancelled"


def test_a_bug_in_a_thread_is_not_swallowed(world: World) -> None:
    world.shop.failing = {"users/ann": ZeroDivisionError("bug")}
    with pytest.raises(ZeroDivisionError):
        world.ask(ANN, endpoints.product(1))


def test_what_connect_raises_reaches_the_caller(world: World) -> None:
    def connect() -> Shop:
        raise ApiUnreachable("no certificates")

    with pytest.raises(ApiUnreachable):
        world.ask(ANN, connect=connect)


class Busy(MemoryStore):
    """Another process is fetching everything; `look` is called at each look into the store."""

    def __init__(self, look: Callable[["Busy", int], None] = lambda store, looks: None) -> None:
        super().__init__()
        self.look = look
        self.looks = 0
        self.in_vain = False

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        self.looks += 1
        self.look(self, self.looks)
        return super().get_many(keys)

    def acquire(self, key: str) -> bool:
        return False

    def abandoned(self, key: str, since: float) -> bool:
        return self.in_vain


def fetched_elsewhere(store: Busy, looks: int) -> None:
    if looks == 4:
        key = f"{BASE}\n-\nusers/ann"
        store.set_many({key: to_bytes(key, Entry(START, b"", msgspec.json.encode(User("ann", "other process"))))})


def test_what_another_process_fetches_is_not_asked_for() -> None:
    world = World(store=Busy(fetched_elsewhere))
    ticks: list[tuple[int, int]] = []
    with world.run() as api:
        api.tick = lambda done, known: ticks.append((done, known))
        assert api.gather([ANN]) == [User("ann", "other process")]
    assert world.shop.log == []
    assert api.cached == 1
    assert ticks == [(0, 1), (0, 1)]


def test_what_another_process_fetched_in_vain_is_asked_for() -> None:
    store = Busy()
    store.in_vain = True
    world = World(store=store)
    assert world.ask(ANN) == [User("ann", "a@x")]
    assert len(world.shop.log) == 1


def test_patience_with_another_process_ends() -> None:
    world = World(store=Busy())
    start = time.monotonic()
    assert world.ask(ANN, patience=0.2) == [User("ann", "a@x")]
    assert 0.2 <= time.monotonic() - start < 2
    assert len(world.shop.log) == 1


def test_refresh_waits_for_nobody() -> None:
    world = World(store=Busy())
    start = time.monotonic()
    world.ask(ANN, policy=Policy(TTL, MAX_STALE, refresh=True))
    assert time.monotonic() - start < 2
    assert len(world.shop.log) == 1


@pytest.fixture(autouse=True)
def _threads_end() -> Iterator[None]:
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("acme"):
            thread.join(5)
            assert not thread.is_alive()
