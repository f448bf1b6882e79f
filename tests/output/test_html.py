"""The page as bytes: what it holds, that text of the API stays text in it, and that it asks for nothing."""

import re
from base64 import b64encode
from collections import Counter
from hashlib import sha256
from html.parser import HTMLParser

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acme_cli.models import Failure, Head, PopularProduct, Record
from acme_cli.output.html import NAMES_LISTED, NAMES_SHOWN, render_html
from acme_cli.output.sanitise import visible

PATIENT = settings(max_examples=40, deadline=None)  # a busy machine is no failure
FORBIDDEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
HEAD = Head(1_790_859_600_000_001, 1_790_800_000_000_000, 1_790_859_500_000_000)
SMILE = PopularProduct(1, 555622, "。◕‿◕。", 1100, 27, ("Frannie79", "Barney_Bins18"), 3000, 2, 1_790_859_600_000_001)
GONE = PopularProduct(2, -7, None, None, None, (), 0, 0, None, gone=True)
VAGUE = PopularProduct(3, 8, None, None, 4, ("x",), 1, 1, None)
VOID = {"meta", "link", "input", "br", "img"}


class Page(HTMLParser):
    """The page's elements with their attributes, and each text with the elements around it."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[tuple[str, ...], str]] = []
        self.open: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((tuple(self.open), data))

    def all(self, attribute: str) -> list[str]:
        return [attributes[attribute] or "" for _, attributes in self.elements if attribute in attributes]

    def within(self, tag: str) -> list[str]:
        return [text for around, text in self.texts if tag in around]


def source(*records: Record, head: Head = HEAD) -> str:
    return b"".join(render_html(records, head)).decode()


def text(*records: Record, head: Head = HEAD) -> str:
    """What a person reads: the body without markup, white space as one space."""
    body = re.sub(r"(?s).*<body>|<script>.*</script>|<[^>]*>", "", source(*records, head=head))
    return re.sub(r"[\s\xa0]+", " ", body)


def user(*products: PopularProduct, name: str = "Frannie79", index: int = 0) -> Record:
    return Record(index, name, products)


def failed(name: str = "Nobody") -> Record:
    return Record(1, name, (), Failure("user_not_found", f"User with username of '{name}' was not found", 3, None))


def test_the_same_records_give_the_same_bytes_and_times_stand_in_one_element() -> None:
    assert source(user(SMILE, GONE)) == source(user(SMILE, GONE))
    later = source(user(SMILE, GONE), head=Head(HEAD.made_at + 10**12))
    without_times = re.compile(r'<p id="made">.*</p>')
    assert without_times.sub("", later) == without_times.sub("", source(user(SMILE, GONE)))
    assert later.count("<time") == 1


def test_what_it_covers() -> None:
    page = source(user(SMILE), user(SMILE, VAGUE, name="x"), failed())
    covers = re.findall(r"<dt>(\w+)</dt><dd>([\d,]+)</dd>", page)
    assert covers == [("users", "3"), ("failed", "1"), ("products", "2"), ("buyers", "3"), ("purchases", "3,001")]


def test_how_fresh_it_is() -> None:
    assert (
        "Made 2026-10-01 13:00:00 UTC · oldest data 2026-09-30 20:26:40 UTC · newest data 2026-10-01 12:58:20 UTC"
        in text()
    )
    assert '<time datetime="2026-10-01T13:00:00Z">' in source()
    assert "oldest data not known · newest data not known" in text(head=Head(0))
    assert "Made not known" in text(head=Head(2**63))


def test_an_outage_is_said_first() -> None:
    head = msgspec.structs.replace(HEAD, outage="It answered <503>\x1b")
    page = text(head=head)
    assert page.index("The data API failed; this is from stored data. It answered &lt;503&gt;\\u001b") < page.index(
        "Made"
    )
    assert "failed;" not in text()


def test_a_card() -> None:
    page = re.sub(r"\s", "", text(user(SMILE, GONE, VAGUE)))
    assert "1。◕‿◕。id555622·price1,100·size273,000purchasesbyFrannie79,Barney_Bins18" in page
    assert "2nolongersoldid-70purchasesnobuyers" in page
    assert "3–id8·price–·size41purchasebyx" in page


def test_bars_are_relative_and_never_vanish() -> None:
    half, little, none = (msgspec.structs.replace(SMILE, id=number, purchases=number) for number in (1500, 1, 0))
    page = source(user(SMILE, half, little, none))
    assert re.findall(r'<p class="bar w(\d+)">', page) == ["100", "50", "1", "0"]
    assert re.findall(r'<td class="bar w(\d+)">', page) == ["100", "50", "1", "0"]


def test_users_without_purchases_say_so_and_so_does_a_report_without_users() -> None:
    assert "Frannie79 No purchases." in text(user())
    assert "No users." in text()
    assert "No users." in text(failed())


def test_failures() -> None:
    page = text(failed("Bob\u202e"))
    assert (
        "1 user has no ranking Bob\\u202e User with username of &#39;Bob\\u202e&#39; was not found user_not_found"
        in page
    )
    assert "Failures" not in text(user(SMILE))


def test_a_card_names_the_newest_and_the_page_lists_more_once() -> None:
    names = tuple(f"buyer{number}" for number in range(NAMES_LISTED + 50))
    popular = msgspec.structs.replace(SMILE, recent=names, buyers=len(names))
    page = source(user(popular), user(popular, name="x"))
    assert page.count(f'<button popovertarget="p1">+{len(names) - NAMES_SHOWN} more</button>') == 2
    [listed] = re.findall(r"<pre>([^<]*)</pre>", page)
    assert listed.splitlines() == list(names[:NAMES_LISTED])
    assert f"150 buyers, newest first; the newest {NAMES_LISTED} are" in page


def test_who_shares_most_is_linked_if_there_is_a_card() -> None:
    page = source(user(SMILE), user(SMILE, name="Barney_Bins18"))
    assert 'Shares most products with <a href="#u1"><bdi>Barney_Bins18</bdi></a> (1)' in page
    assert "Shares most products with <bdi>Barney_Bins18</bdi> (1)" in source(user(SMILE))


def test_its_policy_allows_its_own_style_and_script_and_an_empty_icon_and_nothing_else() -> None:
    page = source(user(SMILE))
    [policy] = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)
    for kind in ("style", "script"):
        [own] = re.findall(rf"(?s)<{kind}>(.*?)</{kind}>", page)
        digest = b64encode(sha256(own.encode()).digest()).decode()
        assert f"{kind}-src &#39;sha256-{digest}&#39;" in policy
    assert policy.startswith("default-src &#39;none&#39;; ")
    assert "unsafe" not in policy
    parsed = Page(page)
    assert not {"src", "srcset", "style", "action", "background"} & {
        name for _, attrs in parsed.elements for name in attrs
    }
    assert not re.search(r"https?:|//[a-z]", page)
    assert "@import" not in page
    assert "url(" not in page


NASTY = st.text(
    st.one_of(st.characters(), st.sampled_from("\x00\x1b\x9b\u202e\u2066\u2028\ud800\t\r\n<>\"'`=&;/!-{}%#")),
    min_size=1,
    max_size=12,
)
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style></script>",
    "{{ 7*7 }}{% raw %}",
    "<!--",
]
TEXT = st.sampled_from(HOSTILE) | NASTY
PRODUCTS = st.lists(
    st.builds(
        PopularProduct,
        rank=st.integers(1, 9),
        id=st.integers(0, 5),
        face=st.none() | TEXT,
        price=st.none() | st.integers(),
        size=st.none() | st.integers(),
        recent=st.lists(TEXT, max_size=9, unique=True).map(tuple),
        purchases=st.integers(0, 10**9),
        buyers=st.integers(0),
        last_purchased=st.none(),
        gone=st.booleans(),
    ),
    max_size=4,
    unique_by=lambda product: product.id,
).map(lambda products: tuple(sorted(products, key=lambda product: -product.purchases)))
RECORDS = st.lists(
    st.builds(Record, st.integers(), TEXT, PRODUCTS)
    | st.builds(Record, st.integers(), TEXT, st.just(()), st.builds(Failure, TEXT, TEXT, st.just(3), st.none())),
    max_size=4,
)


@PATIENT
@given(RECORDS, st.none() | TEXT)
def test_text_of_the_api_is_only_ever_text(records: list[Record], outage: str | None) -> None:
    whole = source(*records, head=Head(0, outage=outage))
    assert not FORBIDDEN.search(whole.replace("\n", ""))
    page = Page(whole)
    assert Counter(tag for tag, _ in page.elements if tag in {"script", "style", "img", "iframe"}) == {
        "script": 1,
        "style": 1,
    }
    for tag, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes), tag
    ids = page.all("id")
    assert len(set(ids)) == len(ids)
    assert set(page.all("popovertarget")) <= set(ids)
    assert {href[1:] for href in page.all("href") if href != "data:,"} <= set(ids)
    assert all(re.fullmatch(r"[up]\d+|[a-z]+", one) for one in ids)
    names = [visible(record.username) for record in records if not record.error]
    assert [text for around, text in page.texts if around[-3:] == ("article", "h3", "bdi")] == names


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_text_stands_as_it_is_in_an_element_of_its_own(hostile: str) -> None:
    product = msgspec.structs.replace(SMILE, face=hostile, recent=(hostile,))
    page = Page(source(user(product, name="ann"), failed(hostile), head=Head(0, outage=hostile)))
    assert (
        page.within("bdi").count(hostile) == 7
    )  # outage, table, failure, the card's face, buyer, sharer; the list's head
    assert page.within("pre") == [f"{hostile}\n"]
