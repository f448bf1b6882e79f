"""The use case: from usernames to ranked lists, in two rounds of requests, or one where the lists are known."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

import msgspec

from .data_api import endpoints
from .data_api.client import DataApi
from .data_api.endpoints import Endpoint
from .errors import AcmeError, ApiError, ApiUnreachable, UsageError, UserNotFound
from .models import PopularProduct, User
from .ranking import Tally, rank

_FIRST_WINDOW, _LARGEST_WINDOW = 4, 256
"""Users that are asked for at the same time: few at first, so that the first answer comes soon."""


class Ranking(msgspec.Struct, frozen=True):
    """The popular purchases of one user, or why they are not known."""

    username: str
    products: Sequence[PopularProduct] = ()
    error: AcmeError | None = None


def popular_purchases(
    api: DataApi, username: str, *, limit: int, since: int | None = None, exclude_self: bool = False
) -> list[PopularProduct]:
    """Return the ranking of the `limit` products that the user bought last.

    `since` is in microseconds since 1970. Raises UsageError for an unusable name, UserNotFound, ApiError and
    ApiUnreachable. A user without purchases has an empty ranking.
    """
    (ranking,) = rankings(api, [[username]], limit=limit, since=since, exclude_self=exclude_self)
    if ranking.error is not None:
        raise ranking.error
    return list(ranking.products)


def rankings(
    api: DataApi,
    usernames: Iterable[Sequence[str]],
    *,
    limit: int,
    since: int | None = None,
    exclude_self: bool = False,
    listed: bool = False,
) -> Iterator[Ranking]:
    """Yield what `popular_purchases` returns or raises, for many users in their order, each as soon as it is known.

    The names come in batches; an empty one says that the next may take a while. `listed` says that all of them are
    known to exist. What users' products have in common is asked for and counted once. Memory grows with the number of
    products, and with that of users only where the cache does not remember what they bought. Raises ApiError or
    ApiUnreachable once the API is dead and stored data does not help.
    """
    tallies: dict[int, Tally] = {}
    failed: dict[int, AcmeError] = {}
    known: dict[str, _Customer] = {}
    windows = (
        _Window([known.get(name) or _Customer(name, limit, listed=listed) for name in names])
        for names in _batches(usernames)
    )

    def is_counted(product_id: int) -> bool:
        if product_id not in tallies and product_id not in failed:
            asked = endpoints.of_products([product_id])
            if not api.has_answers(asked):
                return False
            product, purchases = api.answers(asked)
            error = next((answer for answer in (product, purchases) if isinstance(answer, AcmeError)), None)
            if error is None:
                tallies[product_id] = Tally(product_id, product, purchases, since=since, by_buyer=exclude_self)
            else:
                failed[product_id] = error
            api.drop(asked, settled=True)
        return True

    def ranking(customer: _Customer) -> Ranking:
        error = customer.error
        if failed and error is None:
            error = next((failed[one] for one in customer.product_ids if one in failed), None)
        if isinstance(error, ApiError | ApiUnreachable) and api.is_dead():
            raise error
        if error is not None:
            return Ranking(customer.username, error=error)
        counted = [tallies[product_id] for product_id in customer.product_ids]
        excluded = (customer.username, customer.spelt) if exclude_self else ()
        return Ranking(customer.username, rank(counted, excluded=excluded))

    window = next(windows, None)
    while window is not None:
        window.hear(api)
        wanted = dict.fromkeys(chain.from_iterable([customer.product_ids for customer in window.customers]))
        new = endpoints.of_products([one for one in wanted if one not in tallies and one not in failed])
        coming = next(windows, None)
        due = deque(window.customers)
        for _ in chain(api.asking([*new, *(coming.endpoints if coming else ())]), [None]):
            while due and (not new or all(map(is_counted, due[0].product_ids))):
                yield ranking(due.popleft())
        again = {endpoint.path for endpoint in coming.endpoints} if coming else set()
        api.drop(endpoint for endpoint in window.endpoints if endpoint.path not in again)
        if not api.stores:
            known.update((customer.username, customer.settled()) for customer in window.customers)
        window = coming


def _batches(batches: Iterable[Sequence[str]]) -> Iterator[Sequence[str]]:
    """Yield the same names in batches that are small at first and grow to a bound."""
    size = _FIRST_WINDOW
    for batch in batches:
        names = iter(batch)
        window = list(islice(names, size))
        yield window
        while window := list(islice(names, size)):
            size = min(2 * size, _LARGEST_WINDOW)
            yield window


class _Customer:
    """One user on the way from a name to a ranking: what to ask for, and what is known by now."""

    def __init__(self, username: str, limit: int, *, listed: bool) -> None:
        self.username = self.spelt = username
        self.product_ids: list[int] = []
        self.endpoints: Sequence[Endpoint[Any]] = ()
        self.error: AcmeError | None = None
        try:
            asked = endpoints.of_user(username, limit)
            self.endpoints = asked[1:] if listed else asked
        except UsageError as error:
            self.error = error

    def settled(self) -> "_Customer":
        """Return the same with nothing left to ask for."""
        self.endpoints = ()
        return self

    def hear(self, api: DataApi, answers: Sequence[Any]) -> None:
        """Take in what the API says to `endpoints`."""
        if not self.endpoints:
            return
        *users, recent = answers
        user: User | AcmeError | None
        for user in users:
            if user is None:
                # What was said of an unknown user's purchases must not outlive that: he may come to exist.
                api.forget(self.endpoints[-1])
                self.error = UserNotFound(self.username)
                return
            if isinstance(user, AcmeError):
                self.error = user
                return
            self.spelt = user.username
        if isinstance(recent, AcmeError):
            self.error = recent
        else:
            self.product_ids = recent


class _Window:
    """The users that are asked for at the same time."""

    def __init__(self, customers: Sequence[_Customer]) -> None:
        self.customers = customers
        self.endpoints = [endpoint for customer in customers for endpoint in customer.endpoints]

    def hear(self, api: DataApi) -> None:
        """Ask for what is not known yet, and take it in."""
        answers = api.gather(self.endpoints)
        start = 0
        for customer in self.customers:
            end = start + len(customer.endpoints)
            customer.hear(api, answers[start:end])
            start = end
