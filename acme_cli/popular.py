"""The use case: from usernames to ranked lists, in two rounds of requests, or one where the lists are known."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from .data_api import endpoints
from .data_api.client import DataApi
from .data_api.endpoints import Endpoint
from .errors import AcmeError, UsageError, UserNotFound
from .models import PopularProduct, Product, Purchase, User
from .ranking import Tally, rank, tally

T = TypeVar("T")

_FIRST_WINDOW, _LARGEST_WINDOW = 16, 256
"""Users that are asked for at the same time: few at first, so that the first answer comes soon."""


class Ranking(NamedTuple):
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
    known to exist. What products have in common is asked for and counted once. Memory grows with the number of
    products, not of users. Raises ApiError or ApiUnreachable once the API is dead and stored data does not help.
    """
    tallies: dict[int, Tally | AcmeError] = {}
    windows = ([_Customer(name, limit, listed=listed) for name in names] for names in _windows(usernames))
    window = next(windows, None)
    while window is not None:
        api.gather(_asked_of(window))
        for customer in window:
            customer.hear(api)
        new = dict.fromkeys(one for customer in window for one in customer.product_ids if one not in tallies)
        coming = next(windows, None)
        details = endpoints.of_products(new)
        answers = iter(api.gather(details, ahead=_asked_of(coming or [])))
        for product_id in new:
            tallies[product_id] = _tally(product_id, next(answers), next(answers), since)
        api.drop([*_asked_of(window), *details])
        for customer in window:
            ranking = customer.ranking(tallies, exclude_self=exclude_self)
            if ranking.error is not None and ranking.error.may_use_stale and api.is_dead():
                raise ranking.error
            yield ranking
        window = coming


def _windows(batches: Iterable[Sequence[str]]) -> Iterator[Sequence[str]]:
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
    """One user on the way from a name to a ranking."""

    def __init__(self, username: str, limit: int, *, listed: bool) -> None:
        self.username = username
        self.product_ids: list[int] = []
        self.endpoints: list[Endpoint[Any]] = []
        self._spellings = {username}
        self._error: AcmeError | None = None
        try:
            self._recent = endpoints.recent_purchases(username, limit)
            self.endpoints = [self._recent] if listed else [endpoints.user(username), self._recent]
        except UsageError as error:
            self._error = error

    def hear(self, api: DataApi) -> None:
        """Take in what the API says of the user and the recent purchases."""
        if self._error is not None:
            return
        *found, recent = api.gather(self.endpoints)
        try:
            if found:
                user: User | None = _known(found[0])
                if user is None:
                    # What was said of an unknown user's purchases must not outlive that: he may come to exist.
                    api.forget(self._recent)
                    raise UserNotFound(self.username)
                self._spellings.add(user.username)
            purchases: list[Purchase] = _known(recent)
            self.product_ids = endpoints.product_ids(purchases)
        except AcmeError as error:
            self._error = error

    def ranking(self, tallies: dict[int, Tally | AcmeError], *, exclude_self: bool) -> Ranking:
        """Return what is known once the products are counted, or why they could not be."""
        try:
            if self._error is not None:
                raise self._error
            counted = [_known(tallies[product_id]) for product_id in self.product_ids]
        except AcmeError as error:
            return Ranking(self.username, error=error)
        return Ranking(self.username, rank(counted, excluded=self._spellings if exclude_self else ()))


def _asked_of(window: Iterable[_Customer]) -> list[Endpoint[Any]]:
    return [endpoint for customer in window for endpoint in customer.endpoints]


def _tally(
    product_id: int, product: Product | AcmeError | None, purchases: list[Purchase] | AcmeError, since: int | None
) -> Tally | AcmeError:
    """Count a product's purchases, or return why they are not known."""
    if isinstance(product, AcmeError):
        return product
    return purchases if isinstance(purchases, AcmeError) else tally(product_id, product, purchases, since=since)


def _known(answer: T | AcmeError) -> T:
    """Return the answer, or raise what took its place."""
    if isinstance(answer, AcmeError):
        raise answer
    return answer
