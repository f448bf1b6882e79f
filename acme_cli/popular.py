"""The use case: from a username to the ranked list, in two rounds of requests."""

from typing import TypeVar

from .data_api import endpoints
from .data_api.client import DataApi
from .errors import AcmeError, UserNotFound
from .models import PopularProduct
from .ranking import rank

T = TypeVar("T")


def popular_purchases(
    api: DataApi, username: str, *, limit: int, since: int | None = None, exclude_self: bool = False
) -> list[PopularProduct]:
    """Return the ranking of the `limit` products that the user bought last.

    `since` is in microseconds since 1970. Raises UsageError for an unusable name, UserNotFound, ApiError and
    ApiUnreachable. A user without purchases has an empty ranking.
    """
    found, recent = api.gather([endpoints.user(username), endpoints.recent_purchases(username, limit)])
    user = _known(found)
    if user is None:
        raise UserNotFound(username)
    product_ids = list(dict.fromkeys(purchase.product_id for purchase in _known(recent)))
    fetched = api.gather(
        [endpoints.product(product_id) for product_id in product_ids]
        + [endpoints.buyers(product_id) for product_id in product_ids]
    )
    products, buyers = fetched[: len(product_ids)], fetched[len(product_ids) :]
    candidates = [
        (product_id, _known(product), _known(purchases))
        for product_id, product, purchases in zip(product_ids, products, buyers, strict=True)
    ]
    excluded = {username, user.username} if exclude_self else set()
    return rank(candidates, excluded=excluded, since=since)


def _known(answer: T | AcmeError) -> T:
    """Return the answer, or raise what took its place."""
    if isinstance(answer, AcmeError):
        raise answer
    return answer
