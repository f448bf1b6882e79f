"""The use case: from usernames to ranked lists, in two rounds of requests, or one where the lists are known."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, filterfalse, islice
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
    ApiUnreachable once the API is dead and old data has stood in for nobody.
    """
    tallies: dict[int, Tally] = {}
    failed: dict[int, AcmeError] = {}
    known: dict[str, _Customer] = {}
    recent: dict[str, _Customer] = {}
    windows = (
        _Window([recent.get(name) or known.get(name) or _Customer.of(name, limit, listed=listed) for name in names])
        for names in _batches(usernames)
    )

    def are_counted(product_ids: Sequence[int], new: dict[int, tuple[Endpoint[Any], Endpoint[Any]]]) -> bool:
        """Count those of them that are new and whose answers are there by now; return whether those are all."""
        lacking = list(dict.fromkeys(filter(new.__contains__, product_ids)))
        if not lacking:
            return True
        ready = [product_id for product_id in lacking if api.has_answers(new[product_id])]
        asked = [endpoint for product_id in ready for endpoint in new.pop(product_id)]
        answers = iter(api.answers(asked))
        for product_id, product, purchases in zip(ready, answers, answers, strict=True):
            if isinstance(product, AcmeError):
                failed[product_id] = product
            elif isinstance(purchases, AcmeError):
                failed[product_id] = purchases
            else:
                tallies[product_id] = Tally(product_id, product, purchases, since=since, by_buyer=exclude_self)
        api.drop(asked, settled=True)
        return len(ready) == len(lacking)

    def ranking(customer: _Customer) -> Ranking:
        error = customer.error
        if failed and error is None:
            error = next((failed[one] for one in customer.product_ids if one in failed), None)
        if error is None:
            counted = map(tallies.__getitem__, customer.product_ids)
            excluded = (customer.username, customer.spelt) if exclude_self else ()
            return Ranking(customer.username, rank(counted, excluded=excluded))
        if api.is_dead and api.failure is None and isinstance(error, ApiError | ApiUnreachable):
            raise error
        return Ranking(customer.username, error=error)

    window = next(windows, None)
    while window is not None:
        window.hear(api)
        wanted = chain.from_iterable([customer.product_ids for customer in window.customers])
        unknown = dict.fromkeys(filterfalse(tallies.__contains__, wanted))
        new = {one: endpoints.of_product(one) for one in unknown if one not in failed}
        # A name may come again, soon or much later; then the cache knows it, but for those who failed.
        recent = {customer.username: customer for customer in window.customers}
        known.update({name: one for name, one in recent.items() if one.error} if api.stores else recent)
        coming = next(windows, None)
        due = deque(window.customers)
        asked = [*chain.from_iterable(new.values()), *(coming.endpoints if coming else ())]
        for _ in chain(api.asking(asked), [None]):
            while due and (not new or are_counted(due[0].product_ids, new)):
                yield ranking(due.popleft())
        api.drop(window.endpoints)
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


class _Customer(msgspec.Struct):
    """One user on the way from a name to a ranking: what to ask for, and what is known by now."""

    username: str
    spelt: str
    endpoints: Sequence[Endpoint[Any]] = ()
    product_ids: Sequence[int] = ()
    error: AcmeError | None = None

    @classmethod
    def of(cls, username: str, limit: int, *, listed: bool) -> "_Customer":
        """Return one of whom nothing is known."""
        try:
            asked = endpoints.of_user(username, limit)
        except UsageError as error:
            return cls(username, username, error=error)
        return cls(username, username, asked[1:] if listed else asked)

    def hear(self, api: DataApi, answers: Sequence[Any]) -> None:
        """Take in what the API says to `endpoints`; after that, nothing is left to ask for."""
        asked, self.endpoints = self.endpoints, ()
        if len(answers) > 1:
            user: User | AcmeError | None = answers[0]
            if user is None:
                # What was said of an unknown user's purchases must not outlive that: he may come to exist.
                api.forget(asked[-1])
                self.error = UserNotFound(self.username)
                return
            if isinstance(user, AcmeError):
                self.error = user
                return
            self.spelt = user.username
        recent = answers[-1]
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
            if customer.endpoints:
                end = start + len(customer.endpoints)
                customer.hear(api, answers[start:end])
                start = end
