"""The use case: from a username to the ranked list, in two rounds of requests, or one where the list is known."""

from collections.abc import Iterable
from typing import Any, TypeVar

from .data_api import endpoints
from .data_api.client import DataApi
from .data_api.endpoints import Endpoint
from .errors import AcmeError, UserNotFound
from .models import PopularProduct, Purchase
from .ranking import rank

T = TypeVar("T")


def popular_purchases(
    api: DataApi, username: str, *, limit: int, since: int | None = None, exclude_self: bool = False
) -> list[PopularProduct]:
    """Return the ranking of the `limit` products that the user bought last.

    `since` is in microseconds since 1970. Raises UsageError for an unusable name, UserNotFound, ApiError and
    ApiUnreachable. A user without purchases has an empty ranking.
    """
    who, what = endpoints.user(username), endpoints.recent_purchases(username, limit)
    # An old list is mostly still right: what it names is asked for along with the list itself.
    old = api.stored(what)
    found, recent = api.gather([who, what], ahead=_of_products(_product_ids(old or [])))
    user = _known(found)
    if user is None:
        # What was said of an unknown user's purchases must not outlive that: he may come to exist.
        api.forget(what)
        raise UserNotFound(username)
    product_ids = _product_ids(_known(recent))
    fetched = iter(api.gather(_of_products(product_ids)))
    candidates = [(product_id, _known(next(fetched)), _known(next(fetched))) for product_id in product_ids]
    excluded = {username, user.username} if exclude_self else set()
    return rank(candidates, excluded=excluded, since=since)


def _product_ids(purchases: Iterable[Purchase]) -> list[int]:
    """Return the ids of the products, each at its first place."""
    return list(dict.fromkeys(purchase.product_id for purchase in purchases))


def _of_products(product_ids: Iterable[int]) -> list[Endpoint[Any]]:
    """Return for each product in turn what it is, and who bought it."""
    return [ask(product_id) for product_id in product_ids for ask in (endpoints.product, endpoints.buyers)]


def _known(answer: T | AcmeError) -> T:
    """Return the answer, or raise what took its place."""
    if isinstance(answer, AcmeError):
        raise answer
    return answer
