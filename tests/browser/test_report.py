"""The page in a browser: its search, its silence, its shape on every screen, and whom it would keep out."""

import socket
from collections.abc import Callable
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest

from acme_cli.models import Head, Record

from .conftest import HOSTILE, product

if TYPE_CHECKING:
    from playwright.sync_api import Page

Open = Callable[..., "Page"]

OUTAGE = Head(1_790_859_600_000_001, outage="The data API answered 503 <script>ran=1</script>")
WIDTHS = (360, 768, 1440)


def shown(page: "Page") -> list[str]:
    names: list[str] = page.locator("article:visible h3").all_text_contents()
    return names


def look_for(page: "Page", text: str) -> None:
    page.get_by_role("searchbox").fill(text)
    page.wait_for_timeout(400)  # longer than the search waits for more


def lay_out_all(page: "Page") -> None:
    """Lay out what is far off the screen, too."""
    page.evaluate("document.querySelectorAll('article').forEach((card) => (card.style.contentVisibility = 'visible'))")


def test_the_search_finds_users_products_and_buyers(opened: Open, mixed: list[Record]) -> None:
    page = opened(mixed)
    everyone = shown(page)
    page.keyboard.press("/")
    page.keyboard.type("BARNEY")
    page.wait_for_timeout(400)
    assert shown(page) == ["Frannie79", "Barney", "Gone"]  # Barney is a buyer in the others
    assert page.get_by_role("status").inner_text() == f"3 of {len(everyone)} users"
    for text, users in (
        ("=^..", ["Barney"]),
        ("  zoë ", ["Gone"]),
        ("zoe\u0308", ["Gone"]),
        ("nothing", []),
        ("nob", ["Nobody"]),
    ):
        look_for(page, text)
        assert shown(page) == users
    page.keyboard.press("Escape")
    assert shown(page) == everyone
    assert page.get_by_role("status").inner_text() == ""


def test_a_link_to_a_card_that_the_search_hides_shows_it(opened: Open, mixed: list[Record]) -> None:
    page = opened(mixed)
    look_for(page, "zoë")
    assert shown(page) == ["Gone"]
    page.get_by_role("link", name="Barney").click()
    assert "Barney" in shown(page)
    assert page.evaluate("document.querySelector(':target').querySelector('h3').textContent") == "Barney"


@pytest.mark.parametrize("scripted", [True, False])
def test_more_buyers_open_over_the_page(opened: Open, mixed: list[Record], scripted: bool) -> None:
    page = opened(mixed, java_script_enabled=scripted)
    page.get_by_role("button", name="+9 more").first.click()
    dialog = page.get_by_role("dialog")
    assert dialog.locator("pre").inner_text().count("\n") == len(HOSTILE)
    page.keyboard.press("Escape")
    assert dialog.count() == 0
    page.get_by_role("button", name="3 buyers of number").click()
    assert dialog.locator("pre").inner_text() == "Frannie79\nBarney\nAiko\n"
    dialog.get_by_role("button", name="Close").click()
    assert dialog.count() == 0


def test_no_script_from_data_runs(opened: Open, mixed: list[Record]) -> None:
    page = opened(mixed, OUTAGE)
    for text in ("<", "ran=1", "7*7", HOSTILE[1]):
        look_for(page, text)
    page.get_by_role("button", name="+9 more").first.click()
    assert page.evaluate("typeof ran") == "undefined"
    assert page.evaluate("document.scripts.length") == 1
    assert page.evaluate("document.querySelectorAll('img, iframe').length") == 0
    assert not page.evaluate("/[\\u202e\\x00\\x1b\\x07]/.test(document.documentElement.textContent)")


def test_a_name_from_right_to_left_leaves_the_others_in_place(opened: Open) -> None:
    lefts = """() => [...document.querySelectorAll('.names bdi')].map((name) => name.getBoundingClientRect().left)"""
    page = opened([Record(0, "x", (product(1, 1, "f", ["a", "עברית", "1", "עוד", "b"], 5),))])
    assert page.evaluate(lefts) == sorted(page.evaluate(lefts))
    page.get_by_role("button", name="5 buyers of number").click()
    direction = "getComputedStyle(document.querySelector(':popover-open pre')).unicodeBidi"
    assert page.evaluate(direction) == "plaintext"


def test_its_policy_holds(opened: Any, mixed: list[Record]) -> None:
    page = opened(mixed)
    with socket.create_server(("127.0.0.1", 0)) as server:
        page.evaluate(
            """(address) => {
                window.refused = [];
                addEventListener("securitypolicyviolation", (event) => refused.push(event.effectiveDirective));
                document.body.append(Object.assign(new Image(), {src: address}));
                document.body.append(Object.assign(document.createElement("script"), {text: "window.ran = 1"}));
                document.body.setAttribute("style", "color: red");
                fetch(address).catch(() => 0);
            }""",
            f"http://127.0.0.1:{server.getsockname()[1]}/",
        )
        page.wait_for_function("refused.length === 4")
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert page.evaluate("refused.sort()") == ["connect-src", "img-src", "script-src-elem", "style-src-attr"]
    assert page.evaluate("typeof ran") == "undefined"
    opened.complaints.clear()  # of what was refused,
    opened.requests.clear()  # which counts as asked for


def test_without_scripts_everything_is_there_but_the_search(opened: Open, mixed: list[Record]) -> None:
    page = opened(mixed, OUTAGE, java_script_enabled=False)
    assert not page.locator("#search").is_visible()
    assert len(shown(page)) == len(mixed) - len(HOSTILE)
    assert page.get_by_text("The data API failed; this is from stored data.").is_visible()
    assert page.locator(".failures li").count() == len(HOSTILE)
    assert page.get_by_role("table").get_by_role("row").count() == 1 + 3 + len(HOSTILE)


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_screen(opened: Open, mixed: list[Record], width: int) -> None:
    page = opened(mixed, OUTAGE, viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    inside = "[...document.querySelectorAll('article *')].every((e) => e.getBoundingClientRect().right <= innerWidth)"
    lay_out_all(page)
    assert page.evaluate(inside)
    page.get_by_role("button", name="+9 more").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_on_paper(opened: Open, mixed: list[Record]) -> None:
    page = opened(mixed)
    page.emulate_media(media="print")
    assert not page.locator("#search").is_visible()
    assert page.evaluate("getComputedStyle(document.querySelector('article')).breakInside") == "avoid"
    assert page.evaluate("getComputedStyle(document.querySelector('.bar'), '::after').printColorAdjust") == "exact"


@pytest.mark.parametrize("width", [360, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_kept_out(opened: Open, mixed: list[Record], scheme: str, width: int) -> None:
    pytest.importorskip("axe_playwright_python", reason="axe is missing: pip install '.[browser]'")
    axe = (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")
    page = opened(mixed, OUTAGE, color_scheme=scheme, viewport={"width": width, "height": 800})
    lay_out_all(page)
    page.evaluate(axe)
    for opening in ("", "+9 more"):
        if opening:
            page.get_by_role("button", name=opening).first.click()
        found = page.evaluate("axe.run({resultTypes: ['violations']})")
        assert [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in found["violations"]] == []


def test_ten_thousand_users_load_and_are_searched(opened: Open, many: list[Record]) -> None:
    page = opened(many)
    look_for(page, "user04242")
    page.get_by_role("status").get_by_text("of 10,000 users").wait_for()
    found = page.evaluate("document.querySelectorAll('article:not([hidden])').length")
    assert 0 < found < 1000
    assert page.get_by_role("status").inner_text() == f"{found} of 10,000 users"
    look_for(page, "")
    page.wait_for_function("document.querySelectorAll('article[hidden]').length === 0")
