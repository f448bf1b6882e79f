"""The formats for programs: what they hold, that they parse back, and that no text of the API breaks out of them."""

import csv
import io
import re
import subprocess
import sys

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acme_cli.errors import UsageError
from acme_cli.models import PopularProduct
from acme_cli.output.sanitise import visible
from acme_cli.output.structured import DEFAULT_FIELDS, FIELDS, FORMATS, parse_fields, render

PATIENT = settings(deadline=None)  # a busy machine is no failure
SMILE = PopularProduct(1, 555622, "。◕‿◕。", 1100, 27, ("Frannie79", "Barney_Bins18"), 3, 2, 1_790_859_600_000_001)
GONE = PopularProduct(2, -7, None, None, None, (), 0, 0, None)
FORBIDDEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

NASTY = st.text(st.one_of(st.characters(), st.sampled_from("\x1b\x9b\u202e\t\r\n|\\`*_<[\"'=+-@:\ud800 ")), max_size=20)
PRODUCTS = st.lists(
    st.builds(
        PopularProduct,
        rank=st.integers(1, 50),
        id=st.integers(),
        face=st.none() | NASTY,
        price=st.none() | st.integers(),
        size=st.none() | st.integers(),
        recent=st.lists(NASTY, max_size=4).map(tuple),
        purchases=st.integers(0),
        buyers=st.integers(0),
        last_purchased=st.none() | st.integers(-(2**63), 2**63),
    ),
    max_size=4,
)


def product(face: str) -> PopularProduct:
    return msgspec.structs.replace(SMILE, face=face)


def lines(name: str, *products: PopularProduct, fields: str) -> list[str]:
    return render(name, products, fields=parse_fields(fields)).decode().splitlines()


def test_json_is_the_contract() -> None:
    line = '[{"id":555622,"face":"。◕‿◕。","price":1100,"size":27,"recent":["Frannie79","Barney_Bins18"]}]\n'
    assert render("json", [SMILE]).decode() == line
    assert render("json", [SMILE], fields=DEFAULT_FIELDS).decode() == line


def test_json_indented() -> None:
    assert render("json", [GONE], fields=("recent", "id"), indent=True).decode() == (
        '[\n  {\n    "recent": [],\n    "id": -7\n  }\n]\n'
    )


@pytest.mark.parametrize(
    ("name", "empty"),
    [
        ("json", "[]\n"),
        ("ndjson", ""),
        ("csv", "id,face,price,size,recent\n"),
        ("tsv", "id\tface\tprice\tsize\trecent\n"),
        ("markdown", "| id | face | price | size | recent |\n| ---: | --- | ---: | ---: | --- |\n"),
    ],
)
def test_no_products(name: str, empty: str) -> None:
    assert render(name, [], indent=True).decode() == empty


def test_ndjson_is_a_line_a_product() -> None:
    assert lines("ndjson", SMILE, GONE, fields="rank,last_purchased") == [
        '{"rank":1,"last_purchased":"2026-10-01T13:00:00.000001Z"}',
        '{"rank":2,"last_purchased":null}',
    ]


def test_csv_and_tsv_of_all_fields() -> None:
    everything = ",".join(FIELDS)
    assert lines("csv", SMILE, GONE, fields=everything) == [
        "id,face,price,size,recent,rank,purchases,buyers,last_purchased",
        '555622,。◕‿◕。,1100,27,"Frannie79, Barney_Bins18",1,3,2,2026-10-01T13:00:00.000001Z',
        "'-7,,,,,2,0,0,",
    ]
    assert lines("tsv", SMILE, GONE, fields=everything)[1:] == [
        "555622\t。◕‿◕。\t1100\t27\tFrannie79, Barney_Bins18\t1\t3\t2\t2026-10-01T13:00:00.000001Z",
        "-7\t\t\t\t\t2\t0\t0\t",
    ]


@pytest.mark.parametrize(
    ("face", "in_csv", "in_tsv"),
    [
        ("=1+1", "'=1+1", "=1+1"),
        ("+1", "'+1", "+1"),
        ("-1", "'-1", "-1"),
        ("@SUM(A1)", "'@SUM(A1)", "@SUM(A1)"),
        ("\t=1", r"'\t=1", r"\t=1"),
        ("\r=1", r"'\r=1", r"\r=1"),
        ("\n=1", r"\n=1", r"\n=1"),
        ("a\tb\rc\nd", r"a\tb\rc\nd", r"a\tb\rc\nd"),
        ('a "b", c\\', '"a ""b"", c\\"', 'a "b", c\\'),
        ("\u202ex", r"\u202ex", r"\u202ex"),
    ],
)
def test_csv_and_tsv_cells(face: str, in_csv: str, in_tsv: str) -> None:
    assert lines("csv", product(face), fields="rank,face")[1] == f"1,{in_csv}"
    assert lines("tsv", product(face), fields="rank,face")[1] == f"1\t{in_tsv}"


@pytest.mark.parametrize(
    ("face", "cell"),
    [
        ("。◕‿◕。", "。◕‿◕。"),
        ("(ツ) Barney_Bins18, O'Neil-2.0", "(ツ) Barney_Bins18, O'Neil-2.0"),
        ("a|b", r"a\|b"),
        ("[bold] <b> :smile:", "`[bold] <b> :smile:`"),
        (r"¯\_(ツ)_/¯", r"`¯\_(ツ)_/¯`"),
        ("trailing\\", "`trailing\\`"),
        (r"\|", r"`\\|`"),
        ("a`b``c", "```a`b``c```"),
        ("`", "`` ` ``"),
        (" [x] ", "`  [x]  `"),
        ("_x_", "`_x_`"),
        ("WWW.example.com", "`WWW.example.com`"),
        ("a\nb", r"`a\nb`"),
    ],
)
def test_markdown_cells_render_as_the_text_they_are(face: str, cell: str) -> None:
    assert lines("markdown", product(face), fields="face") == ["| face |", "| --- |", f"| {cell} |"]


@PATIENT
@given(PRODUCTS)
def test_json_parses_back_to_what_came_in(products: list[PopularProduct]) -> None:
    import json

    expected = [
        {name: read(product) for name, read in FIELDS.items()} | {"recent": list(product.recent)}
        for product in products
    ]
    fields = tuple(FIELDS)
    for indent in (True, False):
        assert json.loads(render("json", products, fields=fields, indent=indent)) == expected
    by_line = render("ndjson", products, fields=fields).decode().split("\n")[:-1]
    assert [json.loads(line) for line in by_line] == expected


@PATIENT
@given(PRODUCTS)
def test_csv_parses_back_to_the_visible_text(products: list[PopularProduct]) -> None:
    fields = tuple(FIELDS)
    parsed = list(csv.DictReader(io.StringIO(render("csv", products, fields=fields).decode(), newline="")))
    assert len(parsed) == len(products)
    for row, product in zip(parsed, products, strict=True):
        assert row["face"].removeprefix("'") == visible(product.face or "").removeprefix("'")
        assert row["recent"].removeprefix("'") == visible(", ".join(product.recent)).removeprefix("'")
        assert row["price"].lstrip("'") == ("" if product.price is None else str(product.price))
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row.values())


@PATIENT
@given(PRODUCTS)
def test_tsv_and_markdown_keep_their_cells(products: list[PopularProduct]) -> None:
    fields = tuple(FIELDS)
    for row in render("tsv", products, fields=fields).decode().split("\n")[:-1]:
        assert row.count("\t") == len(fields) - 1
    for row in render("markdown", products, fields=fields).decode().split("\n")[:-1]:
        assert len(re.findall(r"(?<!\\)\|", row)) == len(fields) + 1


@PATIENT
@given(PRODUCTS, st.sampled_from(sorted(FORMATS)), st.booleans())
def test_nothing_that_controls_a_terminal(products: list[PopularProduct], name: str, indent: bool) -> None:
    text = render(name, products, fields=tuple(FIELDS), indent=indent).decode()
    assert not FORBIDDEN.search(text.replace("\t", "") if name == "tsv" else text)
    assert text.endswith("\n") or (name == "ndjson" and not products)
    assert not text.endswith("\n\n")


def test_lone_surrogates_survive_json() -> None:
    surrogate = [product("\ud800é")]
    assert render("json", surrogate, fields=("face",)) == b'[{"face":"\\ud800\\u00e9"}]\n'
    assert render("json", surrogate, fields=("face",), indent=True) == (
        b'[\n  {\n    "face": "\\ud800\\u00e9"\n  }\n]\n'
    )


def test_parse_fields() -> None:
    assert parse_fields("recent, id,last_purchased") == ("recent", "id", "last_purchased")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("id,Fcae", "unknown field 'Fcae'. Known fields: id, face, price,", "Did you mean 'face'?"),
        ("zzz\x1b", r"unknown field 'zzz\u001b'.", None),
        ("id,,face", "empty field name", "Known fields: id, face, price,"),
        ("", "empty field name", "Known fields: id, face, price,"),
        ("id,face,id", "names 'id' twice", "once"),
    ],
)
def test_parse_fields_refuses(text: str, message: str, hint: str | None) -> None:
    with pytest.raises(UsageError) as caught:
        parse_fields(text)
    assert message in caught.value.message
    assert (hint or "") in (caught.value.hint or "")
    assert (caught.value.hint is None) == (hint is None)


def test_json_loads_no_slow_module() -> None:
    script = """
import sys, msgspec
before = set(sys.modules)  # msgspec, and what measures coverage, may have brought some of them
from acme_cli.models import PopularProduct
from acme_cli.output.structured import parse_fields, render
from acme_cli.output import progress, table, write
render("json", [PopularProduct(1, 2, "x", 3, 4, ("a",), 1, 1, None)], fields=parse_fields("id,face"))
print({"json", "csv", "difflib", "rich", "unicodedata"} & (set(sys.modules) - before))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
