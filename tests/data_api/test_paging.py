"""Reading lists page by page, against simulated servers with every habit that lists have in the wild."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from itertools import count
from math import log2

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acme_cli.data_api import paging
from acme_cli.data_api.paging import LimitCap, Page, read_list
from acme_cli.errors import ApiError

brisk = settings(max_examples=100, deadline=None, derandomize=True)

Lists = list[list[int]]
Reader = Generator[list[Page], Sequence[Sequence[int]], list[int]]


def itself(row: int) -> int:
    return row


@dataclass
class Server:
    """Lists of rows, and the habits with which they are served."""

    lists: Lists
    exclusive: bool = False
    cap: int | None = None
    ignores_skip: bool = False
    uneven: bool = False
    """Every other page is as short as an exclusive limit makes it."""
    arrivals: Sequence[int] = ()
    """How many rows turn up at the front of every list after each round."""
    endless: bool = False
    asked: list[list[Page]] = field(default_factory=list)
    """The pages asked of each list."""
    rounds: int = 0
    _new: "count[int]" = field(default_factory=lambda: count(-1, -1))

    def __post_init__(self) -> None:
        self.asked = [[] for _ in self.lists]

    def page(self, number: int, page: Page) -> list[int]:
        assert page.limit > 0
        self.asked[number].append(page)
        size = page.limit
        if self.exclusive or (self.uneven and page.skip // page.limit % 2):
            size -= 1
        if self.cap is not None:
            size = min(size, self.cap)
        if self.endless:
            return list(range(page.skip, page.skip + size))
        skip = 0 if self.ignores_skip else page.skip
        return self.lists[number][skip : skip + size]

    def end_round(self) -> None:
        arrived = self.arrivals[self.rounds] if self.rounds < len(self.arrivals) else 0
        for rows in self.lists:
            rows[:0] = [next(self._new) for _ in range(arrived)]
        self.rounds += 1


def read_all(server: Server, *, limit: int, widest: int, cap: LimitCap) -> list[list[int] | ApiError]:
    """Read all lists side by side, one round of requests at a time, as the client does."""
    readers: list[Reader] = [read_list(limit, widest, cap, itself) for _ in server.lists]
    outcomes: dict[int, list[int] | ApiError] = {}
    wanted: dict[int, list[Page]] = {}
    parked: list[int] = []

    def advance(index: int, batches: list[list[int]] | None) -> None:
        try:
            pages = readers[index].send(batches)  # type: ignore[arg-type]  # None starts a generator
        except StopIteration as stop:
            outcomes[index] = stop.value
        except ApiError as error:
            outcomes[index] = error
        else:
            assert len(pages) <= widest
            if pages:
                wanted[index] = pages
            else:
                parked.append(index)

    for index in range(len(readers)):
        advance(index, None)
    while wanted or parked:
        assert server.rounds < 5_000, "it never ends"
        if not wanted:
            resumed, parked[:] = parked[:], []
            for index in resumed:
                advance(index, [])
            continue
        asked = dict(wanted)
        wanted.clear()
        answers = {index: [server.page(index, page) for page in pages] for index, pages in asked.items()}
        server.end_round()
        for index, batches in answers.items():
            advance(index, batches)
    return [outcomes[index] for index in range(len(readers))]


def rows_of(lengths: Sequence[int]) -> Lists:
    """Lists of different rows; those of the first are 0, 1, 2, …"""
    return [[index * 1_000_000 + row for row in range(length)] for index, length in enumerate(lengths)]


lengths = st.integers(0, 40) | st.integers(0, 400)


@st.composite
def servers(draw: st.DrawFn) -> tuple[Server, int]:
    limit = draw(st.integers(2, 60))
    arrivals = draw(st.lists(st.integers(0, 1 if limit < 10 else 4), max_size=12)) if limit > 4 else []
    server = Server(
        rows_of(draw(st.lists(lengths, min_size=1, max_size=6))),
        exclusive=draw(st.booleans()),
        cap=draw(st.none() | st.integers(10, 70)),
        arrivals=arrivals,
    )
    return server, limit


@brisk
@given(servers(), st.integers(1, 20))
def test_every_list_comes_out_whole_each_row_once_in_order(served: tuple[Server, int], widest: int) -> None:
    server, limit = served
    expected = [list(rows) for rows in server.lists]
    assert read_all(server, limit=limit, widest=widest, cap=LimitCap()) == expected
    for pages in server.asked:
        assert pages[0] == Page(0, limit)
        assert {page.limit for page in pages} == {limit}
        assert server.arrivals or len(set(pages)) == len(pages), "asked twice"


@brisk
@given(st.integers(0, 120), st.integers(2, 20), st.integers(1, 20))
def test_pages_that_are_short_by_a_row_hide_none(length: int, limit: int, widest: int) -> None:
    """No page of `limit - 1` rows is taken for the last one, and the next skip is the number of rows received."""
    server = Server(rows_of([length]), uneven=True)
    assert read_all(server, limit=limit, widest=widest, cap=LimitCap(whole=limit)) == rows_of([length])


@brisk
@given(st.lists(lengths, min_size=1, max_size=6), st.integers(6, 60), st.integers(1, 20), st.booleans())
def test_repeated_rows_are_dropped(sizes: list[int], limit: int, widest: int, exclusive: bool) -> None:
    server = Server([[row // 2 for row in rows] for rows in rows_of(sizes)], exclusive=exclusive)
    expected = [list(dict.fromkeys(rows)) for rows in server.lists]
    assert read_all(server, limit=limit, widest=widest, cap=LimitCap()) == expected


@brisk
@given(st.integers(0, 3_000), st.sampled_from([1, 2, 4, 8, 16, 32]), st.booleans(), st.integers(2, 50))
def test_one_list_takes_few_rounds_and_few_pages(length: int, widest: int, exclusive: bool, limit: int) -> None:
    server = Server(rows_of([length]), exclusive=exclusive)
    cap = LimitCap(whole=limit)  # known: there is none
    assert read_all(server, limit=limit, widest=widest, cap=cap) == rows_of([length])
    pages = length // (limit - exclusive) + 1
    doubtful = not exclusive and length % limit == limit - 1  # a page short by one row is not taken for the last
    round_before = 1  # of the user and the recent purchases
    assert round_before + server.rounds <= 2 + log2(widest) + pages / widest + doubtful
    assert len(server.asked[0]) <= min(2 * pages, pages + widest) + doubtful


@brisk
@given(st.lists(lengths, min_size=1, max_size=6), st.sampled_from([1, 4, 16]), st.integers(10, 99))
def test_what_a_server_caps_costs_one_round_once(sizes: list[int], widest: int, largest: int) -> None:
    limit = 100
    cap = LimitCap()
    for turn in ("first", "second"):
        server = Server(rows_of(sizes), cap=largest)
        assert read_all(server, limit=limit, widest=widest, cap=cap) == rows_of(sizes)
        pages = max(sizes) // min(largest, limit - 1) + 1
        settled = turn == "second" or max(sizes) < 10
        assert 1 + server.rounds <= 2 + log2(widest) + pages / widest + (not settled), turn
    if max(sizes) > largest and largest < limit - 1:
        assert cap.cap == largest
        assert cap.whole == largest - 1


@brisk
@given(st.lists(st.integers(0, 97), min_size=1, max_size=6, unique=True))
def test_of_several_short_lists_only_the_longest_is_asked_for_more(sizes: list[int]) -> None:
    server = Server(rows_of(sizes))
    cap = LimitCap()
    assert read_all(server, limit=100, widest=16, cap=cap) == rows_of(sizes)
    probes = [pages[1:] for pages in server.asked if len(pages) > 1]
    assert probes == ([[Page(max(sizes), 100)]] if max(sizes) >= 10 else [])
    assert (cap.cap, cap.whole) == (None, max(9, *(size - 1 for size in sizes)))

    shorter = [size for size in sizes if size < max(sizes)]
    again = Server(rows_of(shorter))
    assert read_all(again, limit=100, widest=16, cap=cap) == rows_of(shorter)
    assert all(len(pages) == 1 for pages in again.asked)


@pytest.mark.parametrize("sizes", [[10, 11], [11, 10], [50, 120, 50, 50]])
def test_a_list_that_ends_where_the_server_caps_hides_no_rows_of_another(sizes: list[int]) -> None:
    server = Server(rows_of(sizes), cap=min(50, *sizes))
    cap = LimitCap()
    assert read_all(server, limit=100, widest=16, cap=cap) == rows_of(sizes)
    assert cap.cap == server.cap


@pytest.mark.parametrize("full", [99, 100, 250])
def test_a_full_page_proves_that_there_is_no_cap(full: int) -> None:
    server = Server(rows_of([50, full, 98, 20]))
    cap = LimitCap()
    assert read_all(server, limit=100, widest=16, cap=cap) == rows_of([50, full, 98, 20])
    assert [len(server.asked[index]) for index in (0, 2, 3)] == [1, 1, 1]
    assert cap.cap is None
    assert cap.whole >= 98


@pytest.mark.parametrize(
    ("length", "pages"), [(0, 1), (9, 1), (98, 1), (99, 2), (100, 2), (101, 2), (199, 4), (200, 4), (25_000, 254)]
)
def test_pages_asked_for_at_the_default_size(length: int, pages: int) -> None:
    server = Server(rows_of([length]))
    assert read_all(server, limit=100, widest=16, cap=LimitCap(whole=100)) == rows_of([length])
    assert len(server.asked[0]) <= pages + 10


def test_windows_double_up_to_the_widest() -> None:
    reader: Reader = read_list(10, 5, LimitCap(), itself)
    position, widths = 0, []
    pages = next(reader)
    while position < 200:
        widths.append(len(pages))
        assert [page.skip for page in pages] == list(range(position, position + 10 * len(pages), 10))
        position += 10 * len(pages)
        pages = reader.send([range(page.skip, page.skip + 10) for page in pages])
    assert widths == [1, 1, 2, 4, 5, 5, 5]


@brisk
@given(st.lists(st.integers(0, 300), min_size=1, max_size=4), st.integers(2, 60), st.booleans())
def test_lists_whose_skip_is_ignored_are_refused_unless_they_are_short(
    sizes: list[int], limit: int, exclusive: bool
) -> None:
    server = Server(rows_of(sizes), ignores_skip=True, exclusive=exclusive)
    for size, outcome in zip(sizes, read_all(server, limit=limit, widest=16, cap=LimitCap()), strict=True):
        if isinstance(outcome, ApiError):
            assert "cannot be paged" in outcome.message
            assert size >= min(10, limit - 1)
        else:
            assert len(outcome) == size
            assert size < max(10, limit - 1)
    assert all(len(pages) <= 2 for pages in server.asked)


def test_endless_lists_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "MOST_ROWS", 3_000)
    server = Server([[], []], endless=True)
    outcomes = read_all(server, limit=100, widest=16, cap=LimitCap())
    for outcome in outcomes:
        assert isinstance(outcome, ApiError)
        assert outcome.message.startswith("?skip=3000&limit=100: the list does not end: 3,100 rows so far")
    assert all(len(pages) <= 3_000 / 100 + 16 for pages in server.asked)


def test_a_known_cap_that_was_raised_or_lowered_is_found_out_again() -> None:
    cap = LimitCap()
    for largest in (50, 80, 99):
        server = Server(rows_of([95, 60, 20]), cap=largest)
        assert read_all(server, limit=100, widest=4, cap=cap) == rows_of([95, 60, 20])
    assert cap.cap is None

    cap = LimitCap(cap=80, whole=40)
    server = Server(rows_of([95, 60, 20]), cap=50)
    assert read_all(server, limit=100, widest=4, cap=cap) == rows_of([95, 60, 20])
    assert (cap.cap, cap.whole) == (50, 49)


def test_when_the_longest_cannot_be_asked_for_more_the_next_one_is() -> None:
    cap = LimitCap()
    longest: Reader = read_list(100, 16, cap, itself)
    other: Reader = read_list(100, 16, cap, itself)
    for reader, length in ((longest, 50), (other, 30)):
        assert next(reader) == [Page(0, 100)]
        assert reader.send([range(length)]) == []
    assert longest.send([]) == [Page(50, 100)]
    assert other.send([]) == [], "waits for what the longest brings"
    failure = ApiError("500")
    with pytest.raises(ApiError) as raised:
        longest.throw(failure)
    assert raised.value is failure
    pages: list[Page] = []
    while not pages:
        pages = other.send([])
    assert pages == [Page(30, 100)]
    with pytest.raises(StopIteration) as stop:
        other.send([[]])
    assert stop.value.value == list(range(30))


def test_rows_that_arrive_while_a_window_is_read_hide_none() -> None:
    """Pages of one window are answered in any order: the first may be seen after an arrival, the next before it."""
    rows = list(range(500))
    later = [-1, *rows]
    reader: Reader = read_list(100, 16, LimitCap(), itself)
    assert next(reader) == [Page(0, 100)]
    assert reader.send([rows[:100]]) == [Page(100, 100)]
    window = reader.send([rows[100:200]])
    assert window == [Page(200, 100), Page(300, 100)]
    batches = [later[200:300], rows[300:400]]
    try:
        while True:
            window = reader.send(batches)
            batches = [later[page.skip : page.skip + page.limit] for page in window]
    except StopIteration as stop:
        assert stop.value == rows  # noqa: PT017  the generator's own way to return
