"""Random data sets, in every style of server, against a computation that shares nothing with the program."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from acme_cli.cache.freshness import Policy
from acme_cli.cache.memory import MemoryStore
from acme_cli.cache.store import Guarded
from acme_cli.data_api.client import DataApi
from acme_cli.data_api.transport import Response
from acme_cli.models import PopularProduct
from acme_cli.popular import popular_purchases

if TYPE_CHECKING:
    from conftest import Acme, Server, Shop

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
START = datetime(2026, 1, 1, tzinfo=UTC)
HABITS = (
    "camel",
    "bare",
    "empty_missing",
    "no_purchases_404",
    "exclusive_limit",
    "shifting",
    "extras",
    "date_styles",
    "capped",
)
SIZES = (0, 1, 2, 8, 9, 10, 10, 11, 12, 20, 21, 30, 49, 50, 50, 51, 60, 99, 100, 101, 120)


class Case:
    """One random data set and question; `answer` is right by the rules of the contract, in the plainest way."""

    def __init__(self, seed: int, make: Callable[..., "Shop"]) -> None:
        self.seed = seed
        draw = random.Random(seed)
        habits = {habit for habit in HABITS if draw.random() < (0.5 if habit == "capped" else 0.3)}
        # With one row a page, rows that shift look like a `skip` that is ignored.
        self.page_size = draw.choice([3 if "shifting" in habits else 2, 3, 7, 10, 11, 25, 50, 51, 99, 100, 100])
        self.limit = draw.randint(1, min(self.page_size, 8))
        self.exclude_self = draw.random() < 0.3
        self.since = START + timedelta(days=draw.randint(0, 40)) if draw.random() < 0.3 else None
        self.shop = make({}, *habits, cap=draw.choice([10, 50]))
        self._fill(draw)
        self.sent = self.limit - ("exclusive_limit" in habits)

    def _fill(self, draw: random.Random) -> None:
        shop = self.shop
        users = ["ann", *(f"u{number}" for number in range(draw.randint(0, 30)))]
        alike = draw.choice(["ids", "dates", ""])  # not both: rows equal in everything are one purchase
        number, recent = 0, []
        for product_id in draw.sample(range(100), draw.randint(0, 7)):
            if draw.random() < 0.9:
                shop.products[product_id] = {"id": product_id, "face": draw.choice(["[x]", "", None]), "price": number}
            rows = shop.by_product[product_id] = []
            for _ in range(draw.choice(SIZES)):
                number += 1
                after = (
                    timedelta(hours=draw.randint(0, 5)) if alike == "dates" else timedelta(minutes=number * 997 % 1000)
                )
                undated = alike != "ids" and draw.random() < 0.05
                row = {
                    "id": number % 3 if alike == "ids" else number,
                    "username": draw.choice(users),
                    "product_id": product_id,
                    "date": draw.choice([None, "soon"]) if undated else START + after,
                }
                rows.append(row)
            for row in draw.sample(rows, min(len(rows), draw.randint(1, 2))):
                row["username"] = "ann"
                recent.append(row)
            if draw.random() < 0.1 and len(rows) > 2:
                twice = draw.randrange(len(rows))
                rows.insert(twice, dict(rows[twice]))
        draw.shuffle(recent)
        if recent:
            shop.by_user["ann"] = recent

    def answer(self) -> list[tuple[object, ...]]:
        """Return id, face, price, size, names, purchases, distinct buyers and last purchase of each product."""
        bought: list[int] = []
        for row in self.shop.by_user.get("ann", [])[: self.sent]:
            if row["product_id"] not in bought:
                bought.append(row["product_id"])
        products = []
        for product_id in bought:
            counted: list[tuple[int, str]] = []
            seen = []
            for row in self.shop.by_product[product_id]:
                same = (row["id"], row["username"], row["date"])
                if same in seen:
                    continue
                seen.append(same)
                date = (row["date"] - EPOCH) // MICROSECOND if isinstance(row["date"], datetime) else None
                if self.exclude_self and row["username"] == "ann":
                    continue
                if self.since and (date is None or date < (self.since - EPOCH) // MICROSECOND):
                    continue
                counted.append((-(10**18) if date is None else date, row["username"]))
            names: list[str] = []
            for moment in sorted({date for date, _ in counted}, reverse=True):
                for date, username in counted:
                    if date == moment and username not in names:
                        names.append(username)
            last = max((date for date, _ in counted), default=-(10**18))
            known = self.shop.products.get(product_id, {})
            details = [known.get(key) for key in ("face", "price", "size")]
            last_known = None if last == -(10**18) else last
            products.append((product_id, *details, names, len(counted), len(names), last_known))
        products.sort(key=lambda product: -int(str(product[5])))
        return products


class InProcess:
    """A transport that asks a shop without a network."""

    def __init__(self, shop: "Shop") -> None:
        self.shop = shop

    def get(self, path: str, _etag: str | None = None) -> Response:
        """Answer as the shop's server would."""
        status, body = self.shop.answer(path)
        return Response(status, body, None, 0.0, 1)

    def succeeded(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def computed(case: Case) -> list[tuple[object, ...]]:
    api = DataApi(
        base_url="http://shop.example/",
        namespace="",
        connect=lambda: InProcess(case.shop),  # type: ignore[arg-type,return-value]  # all that is asked of one
        store=Guarded(MemoryStore(), lambda text: None),
        policy=Policy(600, 0),
        page_size=case.page_size,
        concurrency=1 + case.seed % 16,
    )
    since = None if case.since is None else (case.since - EPOCH) // MICROSECOND
    with api:
        return [
            without_rank(product)
            for product in popular_purchases(api, "ann", limit=case.limit, since=since, exclude_self=case.exclude_self)
        ]


def without_rank(product: PopularProduct) -> tuple[object, ...]:
    return (
        product.id, product.face, product.price, product.size, list(product.recent),
        product.purchases, product.buyers, product.last_purchased,
    )  # fmt: skip


def test_500_random_data_sets_have_no_difference(make_shop: Callable[..., "Shop"]) -> None:
    different, longest = [], 0
    for seed in range(500):
        case = Case(seed, make_shop)
        right = case.answer()  # first: a server whose rows shift changes its data
        longest = max(longest, len(right))
        if computed(case) != right:
            different.append((seed, case.shop.departures, case.page_size, case.shop.cap))
    assert different == []
    assert longest > 4


def test_random_data_sets_through_the_command(acme: "Acme", api: "Server", make_shop: Callable[..., "Shop"]) -> None:
    fields = ("id", "face", "price", "size", "recent", "purchases", "buyers")
    for seed in range(1000, 1006):
        case = Case(seed, make_shop)
        right = [dict(zip(fields, product, strict=False)) for product in case.answer()]
        options = ["--limit", str(case.limit), "--page-size", str(case.page_size), "--fields", ",".join(fields)]
        options += ["--exclude-self"] if case.exclude_self else []
        options += ["--since", case.since.isoformat()] if case.since else []
        assert acme("popular", "ann", "--json", "--api-url", api.url(case.shop), *options).json == right, seed
