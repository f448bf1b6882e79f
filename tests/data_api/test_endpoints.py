"""What is asked for: paths, of which a username is exactly one segment, and how bodies become values."""

from urllib.parse import unquote, urlsplit

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from acme_cli.data_api import endpoints
from acme_cli.data_api.endpoints import segment
from acme_cli.errors import ExitCode, UsageError
from acme_cli.models import Product, Purchase, Purchases, User

brisk = settings(max_examples=200, deadline=None, derandomize=True)

usernames = st.text(
    st.characters(exclude_categories=("Cc", "Cs")) | st.sampled_from("./%?#&=+ \\:@;é\u0301\u202e"), min_size=1
).filter(lambda name: name not in {".", ".."})


@brisk
@given(usernames)
@example("a/b")
@example("%2e%2e")
@example("%")
@example("?x=1")
@example("#f")
@example("//host/x")
@example("...")
@example("..%2f")
@example(" ")
@example("\u202e")
@example("e\u0301")
@example("\xe9")
def test_a_username_is_one_segment_and_comes_back_as_it_was(username: str) -> None:
    encoded = segment(username)
    assert unquote(encoded, errors="strict") == username
    assert encoded.isascii()
    assert not set(encoded) & set("/?#\\ ;")
    assert encoded not in {"", ".", ".."}
    for path in (endpoints.of_user(username, 5)[0].path, endpoints.of_user(username, 5)[1].path):
        url = httpx.URL("http://shop.example/a%20b/").copy_with(raw_path=b"/a%20b/" + path.encode("ascii"))
        split = urlsplit(str(url))
        segments = split.path.split("/")
        assert segments[:2] == ["", "a%20b"]
        assert segments[2:-1] in (["users"], ["purchases", "by_user"])
        assert unquote(segments[-1]) == username
        assert url.host == "shop.example"
        assert split.query in ("", "limit=5")


@pytest.mark.parametrize(
    "username",
    [
        *["", ".", "..", "\0", "a\nb", "a\tb", "\r", "\x1b[2J", "\x7f", "\x80", "\x9b", "x" * 4_097, "ü" * 683],
        *["x" * 70_000, "\ud800", "a\udcffb"],
    ],
)
def test_what_cannot_be_one_segment_is_refused_before_any_request(username: str) -> None:
    for make in (segment, lambda name: endpoints.of_user(name, 5)):
        with pytest.raises(UsageError) as caught:
            make(username)
        assert caught.value.exit is ExitCode.USAGE
        assert caught.value.message.isprintable()
        assert len(caught.value.message) < 200


@given(st.text(st.characters(categories=("Cc", "Cs")) | st.sampled_from("ab"), min_size=1))
@settings(parent=brisk)
def test_control_characters_and_lone_surrogates_are_refused(username: str) -> None:
    if set(username) <= set("ab"):
        assert segment(username) == username
    else:
        with pytest.raises(UsageError):
            segment(username)


def test_the_longest_usernames() -> None:
    assert segment("x" * 4_096) == "x" * 4_096
    assert len(segment("ü" * 682)) == 4_092


def test_paths() -> None:
    assert endpoints.of_user("Zoë K.", 5)[0].path == "users/Zo%C3%AB%20K."
    assert endpoints.of_user("ann", 5)[1].path == "purchases/by_user/ann?limit=5"
    assert endpoints.product(-3).path == "products/-3"
    assert endpoints.buyers(7).path == "purchases/by_product/7"


def test_a_404_means_missing() -> None:
    assert endpoints.of_user("ann", 5)[0].read(None) is None
    assert endpoints.product(7).read(None) is None
    assert endpoints.of_user("ann", 5)[1].read(None) == []
    assert endpoints.buyers(7).read(None) == []


def test_that_a_user_is_missing_is_never_remembered() -> None:
    assert not endpoints.of_user("ann", 5)[0].keep_missing
    assert endpoints.product(7).keep_missing


def test_bodies_become_values() -> None:
    body = b'{"purchases": [{"id": %d, "username": "ann", "product_id": 7, "date": "1970-01-01"}%s]}'
    second = b', {"id": 2, "username": "bob", "product_id": 8}'
    assert endpoints.of_user("ann", 5)[0].read(b'{"username": "Ann"}') == User("Ann")
    assert endpoints.product(7).read(b'{"product": {"id": 7}}') == Product(7)
    assert endpoints.of_user("ann", 2)[1].read(body % (1, second)) == [7, 8]
    assert endpoints.of_user("ann", 1)[1].read(body % (1, second)) == [7], "no more than asked"
    listed = endpoints.buyers(7)
    assert listed.row is not None
    rows = listed.read(body % (1, second))
    assert listed.whole is not None
    kept = [listed.row(row) for row in rows]
    assert kept == [Purchase("ann", 0), Purchase("bob")]
    assert listed.whole(kept) == Purchases(["ann", "bob"], [0])
    assert rows != listed.read(body % (3, second)), "the id tells rows apart while pages are read"
