"""What `acme doctor` asks of a data API, and what it concludes from the answers."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import urlsplit

import msgspec

from acme_cli.errors import AcmeError, ApiError, ApiStatusError, ApiUnreachable, ExitCode, UsageError
from acme_cli.models import parse_date

from . import payloads
from .endpoints import segment
from .paging import SHORTEST_CAP

if TYPE_CHECKING:
    from .client import Observer
    from .transport import Response, Transport

REACHABLE = "API reachable"
CONTRACT = "API contract"

_FIRST_QUESTION = "users?skip=0&limit=2"

_FIELDS = {
    "user": ("username", "email"),
    "product": ("id", "face", "price", "size"),
    "purchase": ("id", "username", "product_id", "date"),
}
_KINDS = {"users": "user", "products": "product", "purchases": "purchase"}

_HANDLED = {
    "camelCase keys": "read like snake_case",
    "users or products without envelope": "read all the same",
    "200 with {} for what is missing": "read like 404",
    "404 for a user without purchases": "read as an empty list",
    "exclusive limit": "a page that is one row short is not taken for the last",
    "capped limit": "lists of that length are asked for more",
    "limit is ignored": "what was not asked for is dropped, or kept where all is wanted",
    "a user's purchases are not newest first": "the API's order decides what is recent",
    "purchases of products that are gone": "shown without face, price and size",
    "repeated purchase ids": "not used to tell purchases apart",
    "unknown fields": "ignored",
    "missing fields": "null in the answer; without a date a purchase counts as the oldest",
    "dates without a time zone": "read as UTC",
    "unreadable dates": "such purchases count as the oldest",
}
"""Departures from the contract that change no answer, and what acme does about each."""

_Read = Callable[[bytes | None], Any]
"""Turns a body (None: 404) into a value, noting departures. Raises ApiError."""


class Finding(msgspec.Struct, frozen=True):
    """One line of the report; `exit` is the exit code that a failure calls for, otherwise 0."""

    check: str
    status: Literal["ok", "warning", "failed", "skipped"]
    text: str = msgspec.field(name="finding")
    remedy: str | None = None
    exit: int = ExitCode.OK


class _List(NamedTuple):
    """A list of which the first page is known."""

    path: str
    first: Sequence[Any]
    read: _Read


class Prober:
    """Asks the data API behind `transport`, with at most 25 requests, and collects `findings` in order."""

    def __init__(
        self,
        transport: "Transport",
        base_url: str,
        *,
        page_size: int,
        concurrency: int,
        observe: "Observer | None" = None,
    ) -> None:
        self._transport = transport
        self._base_url = base_url
        self._page_size = page_size
        self._concurrency = concurrency
        self._observe = observe
        self._etag: str | None = None
        self._requests = 0
        self._failures: set[str] = set()
        self._departures: dict[str, dict[str, None]] = {}
        self._purchases: dict[payloads.PurchaseRow, None] = {}
        self.findings: list[Finding] = []

    def reach(self, connect: "Callable[[str], Transport]") -> bool:
        """Return whether something at the base URL answers in JSON; `connect` tries the paths next to it if not."""
        try:
            response = self._get(_FIRST_QUESTION)
        except AcmeError as error:
            self._add("failed", error.message, _remedy(error), error.exit, check=REACHABLE)
            return False
        if response.status == 200 and _is_json(response.body):
            self._etag = response.etag
            self._add("ok", f"answers in {1000 * response.seconds:.0f} ms", check=REACHABLE)
            return True
        says = "answers, but is no data API" if response.status == 200 else "answered 404 Not Found"
        remedy = "check the path of the base URL: users, products and purchases stand right below it"
        for url in _neighbours(self._base_url):
            if self._is_there(connect, url):
                remedy = f"a data API answers at {url}: make that the base URL"
                break
        self._add("failed", f"GET {self._base_url}{_FIRST_QUESTION} {says}", remedy, ExitCode.API_ERROR, REACHABLE)
        return False

    def examine(self) -> None:
        """Find out whether the API speaks the contract, and which departures from it there are."""
        try:
            users, products = self._lists_and_the_unknown()
            longest = self._details(users, products)
            self._ask_again()
            self._paging([longest, max(users, products, key=lambda one: len(one.first))])
        except AcmeError as error:
            self._fail(error)
        ids = Counter(row.id for row in self._purchases)
        self._note("repeated purchase ids", *(str(number) for number, count in ids.items() if count > 1))
        for name, examples in self._departures.items():
            shown = ", ".join(list(examples)[:3]) + (", …" if len(examples) > 3 else "")
            self._add("ok", f"{name} ({shown}): {_HANDLED[name]}")

    def _lists_and_the_unknown(self) -> tuple[_List, _List]:
        lists = {
            "users": self._list("users", lambda body: payloads.users(_there(body))),
            "products": self._list("products", lambda body: payloads.products(_there(body))),
        }
        paths = {name: f"{name}?skip=0&limit={self._page_size}" for name in lists}
        number = 2_000_000_000 + int.from_bytes(os.urandom(3), "big")
        found = self._ask(
            {
                **{paths[name]: read for name, read in lists.items()},
                f"users/nobody-{os.urandom(4).hex()}": self._unknown("user", payloads.user),
                f"products/{number}": self._unknown("product", payloads.product),
            }
        )
        users, products = (_List(name, found.get(paths[name], ()), read) for name, read in lists.items())
        if paths["users"] in found and not users.first:
            self._add("warning", "there are no users, so that not everything could be checked")
        return users, products

    def _details(self, users: _List, products: _List) -> _List:
        """Look at single users and products, and at purchases; return the longest list of a product's purchases."""
        limit = self._page_size
        names = [user.username for user in users.first if _can_be_asked_for(user.username)]
        plain = [name for name in names if segment(name) == name]
        odd = [name for name in names if segment(name) != name]
        known = [product.id for product in products.first]
        buyers = [f"purchases/by_user/{name}?limit={limit}" for name in dict.fromkeys(plain[:4] + plain[-2:])]
        found = self._ask(
            {
                **{f"users/{name}": self._one("user", payloads.user) for name in plain[:1]},
                **{f"users/{segment(name)}": self._odd_user(name) for name in odd[:1]},
                **{f"products/{number}": self._one("product", payloads.product) for number in known[:1]},
                **dict.fromkeys(buyers, self._list("purchases", self._bought)),
            }
        )
        purchased = Counter(row.product_id for path in buyers for row in found.get(path, ()))
        lists = [f"purchases/by_product/{number}" for number, _ in purchased.most_common(3)] or [
            f"purchases/by_product/{number}" for number in known[:3]
        ]
        read = self._list("purchases", lambda body: [] if body is None else payloads.purchases(body))
        unlisted = [number for number in purchased if number not in known][:2]
        found = self._ask(
            {
                **{f"{path}?skip=0&limit={limit}": read for path in lists},
                **{f"products/{number}": self._perhaps_gone(number) for number in unlisted},
            }
        )
        pages = [_List(path, found.get(f"{path}?skip=0&limit={limit}", ()), read) for path in lists]
        longest = max(pages, key=lambda page: len(page.first), default=_List("", (), read))
        if not self._failures:
            counts = f"{len(users.first)} users, {len(products.first)} products and {len(self._purchases)} purchases"
            self._add("ok", f"{counts} looked at, all readable")
        return longest

    def _paging(self, lists: Iterable[_List]) -> None:
        """Find out what `skip` and `limit` do, from the first of `lists` that can tell."""
        limit = self._page_size
        lists = [one for one in lists if len(one.first) > 1]
        found = self._ask(
            {
                path: one.read
                for one in lists
                for path in (f"{one.path}?skip={len(one.first)}&limit={limit}", f"{one.path}?skip=0&limit=3")
            }
        )
        told_skip = told_limit = False
        for one in lists:
            rest = found.get(f"{one.path}?skip={len(one.first)}&limit={limit}")
            if rest is None:  # that it failed has been said
                continue
            ignored = bool(rest) and rest[0] == one.first[0]
            if ignored and not told_skip:
                remedy = "the data API must honour skip; until it does, long lists cannot be read"
                self._fail(ApiError(f"skip is ignored: {one.path} sends its first page again", remedy))
            elif not told_skip:
                self._add("ok", "skip is honoured")
            told_skip = True
            short = found.get(f"{one.path}?skip=0&limit=3", ())
            told_limit = told_limit or self._limit(one.first, () if ignored else rest, short)
        if not lists:
            self._add("ok", "what skip does could not be told: no list has two rows")
        if not told_limit:
            self._add("ok", f"whether limit={limit} is honoured could not be told: no list is long enough")

    def _limit(self, first: Sequence[Any], rest: Sequence[Any], short: Sequence[Any]) -> bool:
        """Say what a list tells of `limit`, and return whether it tells all.

        `first` is the answer to a limit of the page size, `rest` what follows it, `short` the answer to a limit of 3.
        """
        asked, got = self._page_size, len(first)
        if len(short) > 3:
            self._note("limit is ignored", f"3 asked for, {len(short)} sent")
            return True
        exclusive = got > 2 and len(short) == 2
        if exclusive:
            self._note("exclusive limit", "3 asked for, 2 sent")
        if got >= asked - exclusive:
            self._add("ok", f"limit is honoured up to {asked}, the page size")
        elif not rest:
            return False
        elif got < SHORTEST_CAP:
            remedy = f"set --page-size {got}, or have the data API send at least {SHORTEST_CAP} rows at a time"
            self._fail(ApiError(f"limit={asked} gives {got} rows of a longer list, which would be cut short", remedy))
        else:
            self._note("capped limit", f"{asked} asked for, {got} sent")
        return True

    def _list(self, name: str, read: Callable[[bytes | None], list[Any]]) -> _Read:
        def reader(body: bytes | None) -> list[Any]:
            rows = read(body)
            sent = _object(body)
            self._note("unknown fields", *(key for key in sent if key != name))
            for row in sent.get(name) or ():
                self._look(_KINDS[name], row)
            if name == "purchases":
                self._purchases.update(dict.fromkeys(rows))
            return rows

        return reader

    def _bought(self, body: bytes | None) -> list[payloads.PurchaseRow]:
        if body is None:
            self._note("404 for a user without purchases", "purchases/by_user")
            return []
        rows = payloads.purchases(body)
        dates = [date for row in rows if (date := payloads.purchase(row).date) is not None]
        if dates != sorted(dates, reverse=True):
            self._note("a user's purchases are not newest first", "purchases/by_user")
        return rows

    def _one(self, kind: str, read: Callable[[bytes], Any]) -> _Read:
        def reader(body: bytes | None) -> None:
            if body is None or read(body) is None:
                raise ApiError(f"the list has this {kind}, but alone it is not found")
            self._look_at_one(kind, body)

        return reader

    def _odd_user(self, name: str) -> _Read:
        def reader(body: bytes | None) -> None:
            if body is None or payloads.user(body) is None:
                remedy = "server and proxies must take users/NAME for one path segment, percent-encoded"
                self._add("warning", f"the list has the user {name!r}, but alone it is not found", remedy)
            else:
                self._look_at_one("user", body)

        return reader

    def _unknown(self, kind: str, read: Callable[[bytes], Any]) -> _Read:
        def reader(body: bytes | None) -> None:
            if body is None:
                return
            if read(body) is not None:
                raise ApiError(f"there is no such {kind}, yet the answer is one: it should be 404")
            self._note("200 with {} for what is missing", kind)

        return reader

    def _perhaps_gone(self, number: int) -> _Read:
        def reader(body: bytes | None) -> None:
            if body is None or payloads.product(body) is None:
                self._note("purchases of products that are gone", f"product {number}")
            else:
                self._look_at_one("product", body)

        return reader

    def _look_at_one(self, kind: str, body: bytes) -> None:
        sent = _object(body)
        if kind in sent:
            self._note("unknown fields", *(key for key in sent if key != kind))
            self._look(kind, sent[kind])
        elif sent:
            self._note("users or products without envelope", kind)
            self._look(kind, sent)

    def _look(self, kind: str, sent: dict[str, Any]) -> None:
        """Note the departures in one user, product or purchase that could be read."""
        keys = dict(sent)
        if "productId" in keys:
            self._note("camelCase keys", "productId")
            keys.setdefault("product_id", keys.pop("productId"))
        self._note("unknown fields", *(f"{kind}.{key}" for key in keys if key not in _FIELDS[kind]))
        self._note("missing fields", *(f"{kind}.{key}" for key in _FIELDS[kind] if keys.get(key) is None))
        date = keys.get("date") if kind == "purchase" else None
        if date is None:
            return
        if not isinstance(date, str) or parse_date(date) is None:
            self._note("unreadable dates", str(date)[:40])
        elif datetime.fromisoformat(date).tzinfo is None:
            self._note("dates without a time zone", date)

    def _note(self, departure: str, *examples: str) -> None:
        if examples:
            self._departures.setdefault(departure, {}).update(dict.fromkeys(examples))

    def _ask(self, questions: Mapping[str, _Read]) -> dict[str, Any]:
        """Return what is read at each path, all asked at the same time; what fails is left out, as a finding.

        Raises ApiUnreachable, since then nothing else will be answered either.
        """
        from concurrent.futures import ThreadPoolExecutor  # slow

        def get(path: str) -> "Response | AcmeError":
            try:
                response = self._transport.get(path)
            except AcmeError as error:
                return error
            self._transport.succeeded()  # whether it makes sense is what is being found out
            return response

        found = {}
        pool = ThreadPoolExecutor(min(self._concurrency, len(questions)) or 1, thread_name_prefix="acme")
        try:
            for (path, read), outcome in zip(questions.items(), pool.map(get, questions), strict=True):
                self._observed(path, outcome)
                if isinstance(outcome, ApiError):
                    self._fail(outcome, path)
                elif isinstance(outcome, AcmeError):
                    raise outcome
                else:
                    try:
                        found[path] = read(None if outcome.status == 404 else outcome.body)
                    except ApiError as error:
                        self._fail(ApiError(f"GET {self._base_url}{path}: {error.message}", error.hint), path)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        return found

    def _ask_again(self) -> None:
        """Find out what the first question's ETag is good for."""
        if self._etag is None:
            self._add("ok", "no ETags: what is no longer fresh is sent whole again")
        else:
            changed = self._get(_FIRST_QUESTION, self._etag).status != 304
            self._add(
                "ok", "ETags are sent, but 304 is not" if changed else "ETags: what did not change is not sent again"
            )

    def _get(self, path: str, etag: str | None = None) -> "Response":
        try:
            response = self._transport.get(path, etag)
        except AcmeError as error:
            self._observed(path, error)
            raise
        self._observed(path, response)
        return response

    def _observed(self, path: str, outcome: "Response | AcmeError") -> None:
        if self._observe is not None:
            self._observe(path, outcome)

    def _is_there(self, connect: "Callable[[str], Transport]", url: str) -> bool:
        with closing(connect(url)) as transport:
            try:
                outcome: Response | AcmeError = transport.get(_FIRST_QUESTION)
            except AcmeError as error:
                outcome = error
        self._observed(f"{url}{_FIRST_QUESTION}", outcome)
        return not isinstance(outcome, AcmeError) and isinstance(_object(outcome.body).get("users"), list)

    def _fail(self, error: AcmeError, path: str = "") -> None:
        """Add a failure, unless the same was found at another path."""
        essence = error.message.replace(f"{self._base_url}{path}", "") if path else error.message
        if essence not in self._failures:
            self._failures.add(essence)
            self._add("failed", error.message, _remedy(error), error.exit)

    def _add(
        self,
        status: Literal["ok", "warning", "failed"],
        text: str,
        remedy: str | None = None,
        code: int = ExitCode.OK,
        check: str = CONTRACT,
    ) -> None:
        self.findings.append(Finding(check, status, text, remedy, code))


def _remedy(error: AcmeError) -> str:
    if isinstance(error, ApiUnreachable):
        return "check that the data API runs, and host and port of its URL; if it is slow, give a longer --timeout"
    if error.hint is not None:
        return error.hint
    if isinstance(error, ApiStatusError):
        return "the log of the data API may say why; if it is overloaded, try again later"
    return "check that the base URL is that of a data API; if it is, its owner has to mend this"


def _neighbours(base_url: str) -> list[str]:
    """Return the URLs that may have been meant: with /api/ added, and with the last part of the path dropped."""
    parent = base_url.rstrip("/").rpartition("/")[0] + "/"
    added = [] if base_url.endswith("/api/") else [f"{base_url}api/"]
    return added + ([parent] if urlsplit(base_url).path != "/" else [])


def _can_be_asked_for(username: str) -> bool:
    try:
        segment(username)
    except UsageError:
        return False
    return True


def _there(body: bytes | None) -> bytes:
    if body is None:
        raise ApiError("it is 404, but the contract has this list")
    return body


def _is_json(body: bytes) -> bool:
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except ValueError:
        return False
    except RecursionError:
        pass
    return True


def _object(body: bytes | None) -> dict[str, Any]:
    """Return the object in a body for a look at its keys, or nothing if there is none or Python cannot hold it."""
    try:
        content = msgspec.json.decode(body or b"{}")
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
