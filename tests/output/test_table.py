"""The table: as it looks at several widths and in a pipe, and that no text of the API spoils it."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from acme_cli.models import PopularProduct
from acme_cli.output.sanitise import visible
from acme_cli.output.table import render_table

PATIENT = settings(deadline=None)  # a busy machine is no failure
EXPECTED = Path(__file__).parent / "expected"
ANSI = re.compile(r"\x1b\[[0-9;]*m")
CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

MANY = tuple(f"Buyer{number}" for number in range(1, 151))
PRODUCTS = [
    PopularProduct(1, 555622, "。◕‿◕。", 1100, 27, MANY, 152, 150, 0),
    PopularProduct(2, 7, "[bold]¯\\_(ツ)_/¯[/] :smile: \\", 90, 8, ("Ann", "Bob", "Zoë"), 91, 3, 0),
    PopularProduct(3, 123456, "日本語の顔がとても長い顔です", 1156, 17, ("Barney_Bins18",), 54, 1, 0),
    PopularProduct(4, 8, "👩\u200d👧 e\u0301\u202e", None, 3, ("x" * 80,), 1, 1, 0),
    PopularProduct(5, 591879, None, None, None, (), 0, 0, None, gone=True),
    PopularProduct(6, 9, None, 5, None, ("long name " * 8, "Bob", "Cid"), 2, 3, None),
]


def table(
    products: list[PopularProduct] = PRODUCTS, width: int | None = None, *, colour: bool = False, note: str = ""
) -> str:
    return render_table(
        "Kaley_Orn68", products, width=width, colour=colour, terminal=width is not None, note=note or None
    )


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200, None])
def test_the_table_as_it_looks(width: int | None) -> None:
    file = EXPECTED / f"table_{width or 'piped'}.txt"
    assert table(width=width, note="data: 3 min old") == file.read_text(encoding="utf-8")


def test_colours_are_of_the_sixteen_and_change_no_text() -> None:
    coloured = table(PRODUCTS, 80, colour=True)
    assert ANSI.sub("", coloured) == table(PRODUCTS, 80)
    assert set(ANSI.findall(coloured)) == {"\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[36m"}


def test_the_environment_has_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, coloured = table(width=200), table(width=200, colour=True)
    for name, value in {"TERM": "dumb", "NO_COLOR": "1", "FORCE_COLOR": "1", "COLUMNS": "30"}.items():
        monkeypatch.setenv(name, value)
    assert table(width=200) == plain
    assert table(width=200, colour=True) == coloured


def test_a_terminal_of_unknown_width_has_80_columns() -> None:
    assert render_table("Kaley_Orn68", PRODUCTS, width=None, colour=False, terminal=True) == table(width=80)


def test_no_purchases() -> None:
    assert render_table("[b]Ann\n", [], width=80, colour=False, terminal=True) == "[b]Ann\\n has no purchases.\n"
    assert table([], note="data: 3 min old") == "Kaley_Orn68 has no purchases.\n\ndata: 3 min old\n"


def test_a_long_note_wraps_on_a_terminal_only() -> None:
    note = "data: 3 min old " * 6
    assert max(map(cell_len, table(width=60, note=note).splitlines())) <= 60
    assert note in table(note=note)


def test_fifty_products_line_up() -> None:
    fifty = [PopularProduct(n, n, "x" * n, n, n, MANY[:n], 100 - n, n, 0) for n in range(1, 51)]
    lines = table(fifty, 120).splitlines()[4:]
    assert len(lines) == 50
    assert {line.index("Buyer1") for line in lines} == {lines[0].index("Buyer1")}


def test_nobody_bought_anything_since() -> None:
    lines = table([PopularProduct(1, 1, "x", 1, 1, (), 0, 0, None)]).splitlines()
    assert lines[-1].split() == ["1", "x", "1", "1", "1", "0", "–"]


def test_more_buyers_than_there_is_room_to_count() -> None:
    crowd = tuple(str(number) for number in range(1_000_000, 1_100_002))
    line = table([PopularProduct(1, 1, "x" * 99, 1, 1, crowd, 200_000, len(crowd), 0)], 50).splitlines()[-1]
    assert line.endswith("… +100001 more")


TEXT = st.text(st.one_of(st.characters(), st.sampled_from("[]/\\:\x1b\x9b\u202e日👩\u200d\ufe0f\u0301 ")), max_size=30)
ANY_PRODUCTS = st.lists(
    st.builds(
        PopularProduct,
        rank=st.integers(1, 50),
        id=st.integers(0, 10**9),
        face=st.none() | TEXT,
        price=st.none() | st.integers(0, 10**7),
        size=st.none() | st.integers(0, 1000),
        recent=st.lists(TEXT, max_size=6).map(tuple),
        purchases=st.integers(0, 10**6),
        buyers=st.integers(0, 10**6),
        last_purchased=st.none(),
    ),
    min_size=1,
    max_size=4,
)


@PATIENT
@given(ANY_PRODUCTS)
def test_a_pipe_gets_every_text_whole(products: list[PopularProduct]) -> None:
    lines = table(products).split("\n")[4:-1]
    assert len(lines) == len(products)
    for line, product in zip(lines, products, strict=True):
        assert visible(product.face or "") in line
        assert line.endswith(", ".join(map(visible, product.recent)) if product.recent else "–")


@PATIENT
@given(ANY_PRODUCTS, st.integers(40, 220), st.booleans())
def test_a_terminal_is_neither_overrun_nor_controlled(products: list[PopularProduct], width: int, colour: bool) -> None:
    text = ANSI.sub("", table(products, width, colour=colour))
    assert not CONTROLS.search(text)
    assert all(cell_len(line) <= width for line in text.split("\n"))
    assert len(text.split("\n")[4:-1]) == len(products)
