"""What it takes to answer one endpoint: requests, a round after another, and what their responses say."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from acme_cli.cache.entry import Entry, Pages
from acme_cli.errors import AcmeError, ApiError, PayloadError

from .endpoints import Endpoint
from .paging import LimitCap, Listing, read_list

if TYPE_CHECKING:
    from .transport import Response


class Request(NamedTuple):
    """One GET below the base URL, only if the answer differs from `etag` when that is given."""

    path: str
    etag: str | None = None


class Stored(msgspec.Struct, frozen=True):
    """A stored response, and the value it holds."""

    entry: Entry
    value: Any


class Fetched(NamedTuple):
    """What fetching brought: the value (None: missing), and the path and ETag of each request, if all had one."""

    value: Any
    pages: Pages


class Unchanged(NamedTuple):
    """The API vouched for what was stored."""

    stored: Stored


class Reading(NamedTuple):
    """How responses are read: for one base URL, in pages of a size, so many at once, with what is known of a cap.

    `heard` is told of each body whether it made sense.
    """

    base_url: str
    page_size: int
    concurrency: int
    cap: LimitCap
    heard: Callable[[str, AcmeError | None], None]


Exchange = Generator[list[Request], "Sequence[Response]", Fetched | Unchanged]
"""Yields requests to make at the same time, is sent their responses, and returns what they say."""


def exchange(endpoint: Endpoint[Any], stored: Stored | None, reading: Reading) -> Exchange:
    """Yield the requests that `endpoint` takes, be sent their responses, and return what they say.

    Stored pages are asked for with their ETags; if one has changed, the list is read anew. Of what was sent then only
    the first page is of use: rows may have moved on before those that are asked for next. Raises ApiError.
    """
    in_hand: dict[str, Response] = {}
    pages = () if stored is None else stored.entry.pages
    if stored is not None and pages:
        responses = yield [Request(path, etag) for path, etag in pages]
        if all(response.status == 304 for response in responses):
            return Unchanged(stored)
        if responses[0].status != 304:
            in_hand[pages[0][0]] = responses[0]
    if endpoint.row is not None:
        return (yield from _read_pages(endpoint, endpoint.row, in_hand, reading))
    response = in_hand.get(endpoint.path) or (yield [Request(endpoint.path)])[0]
    return Fetched(_value(endpoint, endpoint.path, response, reading), _vouched({endpoint.path: response.etag}))


def _read_pages(
    endpoint: Endpoint[Any], keep: Callable[[Any], Any], in_hand: "dict[str, Response]", reading: Reading
) -> Exchange:
    etags: dict[str, str | None] = {}
    listing: Listing[Any, Any] = read_list(reading.page_size, reading.concurrency, reading.cap, keep)
    with closing(listing):
        wanted = next(listing)
        while True:
            paths = [f"{endpoint.path}?skip={page.skip}&limit={page.limit}" for page in wanted]
            lacking = [path for path in paths if path not in in_hand]
            if lacking or not paths:
                in_hand.update(zip(lacking, (yield [Request(path) for path in lacking]), strict=True))
            etags.update((path, in_hand[path].etag) for path in paths)
            rows = [_value(endpoint, path, in_hand.pop(path), reading) for path in paths]
            try:
                wanted = listing.send(rows)
            except StopIteration as stop:
                value = stop.value if endpoint.whole is None else endpoint.whole(stop.value)
                return Fetched(value, _vouched(etags))
            except ApiError as error:
                raise ApiError(f"GET {reading.base_url}{endpoint.path}{error.message}") from error


def _value(endpoint: Endpoint[Any], path: str, response: "Response", reading: Reading) -> Any:
    try:
        value = endpoint.read(None if response.status == 404 else response.body)
    except PayloadError as error:
        hint = "`acme doctor` checks whether this is a data API"
        failure = PayloadError(f"GET {reading.base_url}{path}: {error.message}", hint)
        reading.heard(path, failure)
        raise failure from error
    reading.heard(path, None)
    return value


def _vouched(etags: Mapping[str, str | None]) -> Pages:
    """Return the requests with their ETags, or nothing if one has none: then none can be revalidated."""
    pages = tuple((path, etag) for path, etag in etags.items() if etag is not None)
    return pages if len(pages) == len(etags) else ()
