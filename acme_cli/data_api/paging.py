"""How a list is read to its end, page by page: pure, told the pages and telling which to ask for next.

The API gives no total and no next link, and servers differ: some treat ``limit`` as exclusive, some cap it, some
ignore ``skip``. A list must come out whole on each of them, or not at all.
"""

from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple, TypeVar

import msgspec

from acme_cli.errors import ApiError

Row = TypeVar("Row")
Kept = TypeVar("Kept")

MOST_ROWS, MOST_PAGES = 2_000_000, 5_000
"""A list that is longer is taken for one that never ends."""

SHORTEST_CAP = 10
"""Nobody caps a page below the contract's default limit."""


class Page(NamedTuple):
    """One request for part of a list."""

    skip: int
    limit: int


Listing = Generator[list[Page], Sequence[Sequence[Row]], list[Kept]]
"""Yields pages to ask for, is sent their rows, and returns what is kept of all of them."""

_SIXTY_BITS = 2**60 - 1
_encode = msgspec.json.Encoder().encode  # unlike msgpack's it takes integers of any size


class LimitCap(msgspec.Struct):
    """What is known of a server's cap on ``limit``: the length of its longest page, if that is less than asked.

    A first page that is shorter than asked is the whole list when its length is at most `whole`; it is not when it
    is exactly `cap`. Otherwise nobody knows, and the longest such list of a run is asked for a page more.
    """

    cap: int | None = None
    whole: int = SHORTEST_CAP - 1
    unsure: set[int] = set()
    """Lengths of the lists that wait to know."""

    def goes_on(self, length: int, limit: int) -> bool | None:
        """Whether a list whose first page has `length` rows has more; None if that is to be found out."""
        if length >= limit - 1:
            self.learn(limit, more=False)
            return True
        if length == self.cap:
            return True
        return False if length <= self.whole else None

    def learn(self, length: int, *, more: bool) -> None:
        """Note that after a page of `length` rows there was more, or that there was not.

        If there was not, shorter lists are whole as well. Of one just as long that proves nothing: it may be cut at
        this very length, while the list that was asked for happens to end there.
        """
        if more:
            self.cap, self.whole = length, length - 1
        else:
            self.whole = max(length - 1, self.whole)
            if self.cap is not None and self.cap <= self.whole:
                self.cap = None

    def remembered(self) -> bytes:
        """Return what is worth keeping for other runs."""
        return msgspec.json.encode((self.cap, self.whole))

    def recall(self, remembered: bytes) -> None:
        """Take over what another run found out. Raises msgspec.DecodeError."""
        self.cap, self.whole = msgspec.json.decode(remembered, type=tuple[int | None, int])


def read_list(limit: int, widest: int, cap: LimitCap, keep: Callable[[Row], Kept]) -> Listing[Row, Kept]:
    """Yield the pages to ask for, at the same time; be sent their rows; return what `keep` makes of each, once.

    An empty list of pages means: nothing before every other list of the run has shown its first page. Windows
    double up to `widest` pages. Raises ApiError for a list that cannot be read to its end.
    """
    rows: dict[int, Kept] = {}
    (first,) = yield [Page(0, limit)]
    _add(rows, first, keep)
    step = position = len(first)
    window = 1
    while (more := cap.goes_on(step, limit)) is None:
        cap.unsure.add(step)
        yield []
        if cap.goes_on(step, limit) is None and step == max(cap.unsure, default=0):
            try:
                (batch,) = yield [Page(step, limit)]
            finally:
                cap.unsure.clear()
            cap.learn(step, more=bool(batch))
            _append(rows, Page(step, limit), batch, keep)
            position += len(batch)
            more = len(batch) >= step
            break
    while more:
        pages = [Page(position + index * step, limit) for index in range(window)]
        batches = yield pages
        window = min(2 * window, widest)
        for index, (page, batch) in enumerate(zip(pages, batches, strict=True)):
            # A page with known rows shows that rows have moved on: those after it, if they were sent before that,
            # do not join it.
            joins = len(batch) == step and rows.keys().isdisjoint(map(_identity, batch))
            _append(rows, page, batch, keep)
            position = page.skip + len(batch)
            if position > MOST_ROWS or position > MOST_PAGES * step:
                raise _error(
                    page, f"the list does not end: {position:,} rows so far; if it is that long, ask for a larger page"
                )
            more = len(batch) >= min(step, limit - 1)
            if not joins and ((more and index + 1 < len(pages)) or any(batches[index + 1 :])):
                window = 1
                more = True
                break
            if not more:
                break
    return list(rows.values())


def _identity(row: Row) -> int:
    """Return what equal rows have in common, and no others: a number in place of a row, of which there may be millions.

    It has 60 bits, which an int of 32 bytes can hold: the chance that any two of a million other rows are taken for
    equal is one in two million.
    """
    return hash(_encode(row)) & _SIXTY_BITS


def _add(rows: dict[int, Kept], batch: Sequence[Row], keep: Callable[[Row], Kept]) -> None:
    for row in batch:
        identity = _identity(row)
        if identity not in rows:
            rows[identity] = keep(row)


def _append(rows: dict[int, Kept], page: Page, batch: Sequence[Row], keep: Callable[[Row], Kept]) -> None:
    """Add a later page's rows, dropping those already received. Raises ApiError if `skip` seems to be ignored."""
    before = len(rows)
    _add(rows, batch, keep)
    if batch and len(rows) == before:
        # Rows that moved on by a few places while we read show the end of the last page again; that is harmless.
        distinct = list(dict.fromkeys(map(_identity, batch)))
        if len(distinct) == before or list(rows)[-len(distinct) :] != distinct:
            raise _error(page, "the list cannot be paged: a later page holds only rows of earlier ones")


def _error(page: Page, problem: str) -> ApiError:
    """Return an error whose message completes the list's URL."""
    return ApiError(f"?skip={page.skip}&limit={page.limit}: {problem}")
