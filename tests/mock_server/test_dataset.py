"""The data set: indexes against brute force, files of every wrong shape, and made-up data that never changes."""

import hashlib
import unicodedata
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mock_server.dataset import Dataset, Product, Purchase, Row, User, bundled, generate, load
from mock_server.errors import MockServerError

NAMES = ["ann", "bob", "cy"]


def everything(dataset: Dataset) -> bytes:
    products = [product.id for product in dataset.products]
    purchases = [dataset.by_product(product_id, limit=dataset.purchase_count) for product_id in products]
    return msgspec.json.encode([dataset.users, dataset.products, purchases])


def keys(purchases: list[Purchase]) -> list[tuple[int, str, int]]:
    return [(purchase.id, purchase.username, purchase.product_id) for purchase in purchases]


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 9), st.sampled_from([*NAMES, "gone"]), st.integers(1, 4), st.integers(0, 5)),
        max_size=40,
    ),
    skip=st.integers(0, 45),
    limit=st.integers(0, 45),
)
def test_pages_are_those_of_a_plain_search(rows: list[Row], skip: int, limit: int) -> None:
    dataset = Dataset([User(name, "") for name in NAMES], [Product(n, "x", 1, 1) for n in (1, 2, 3)], rows)
    newest_first = [row[:3] for row in sorted(rows, key=lambda row: -row[3])]
    for name in [*NAMES, "gone", "never"]:
        expected = [row for row in newest_first if row[1] == name]
        assert keys(dataset.by_user(name, skip, limit)) == expected[skip : skip + limit]
    for product_id in range(6):
        expected = [row for row in newest_first if row[2] == product_id]
        assert keys(dataset.by_product(product_id, skip, limit)) == expected[skip : skip + limit]
        assert dataset.knows_product(product_id) == (product_id in {1, 2, 3} or bool(expected))


def test_example_usernames_prefer_those_with_purchases() -> None:
    users = [User(name, "") for name in ("a", "b", "c", "d")]
    assert Dataset(users, [], [(1, "d", 1, 0), (2, "b", 1, 0)]).example_usernames() == ["b", "d", "a"]
    assert Dataset([], [], []).example_usernames() == []


def test_made_up_data_never_changes() -> None:
    made_up = everything(generate(users=30, products=20, purchases=300, seed=7))
    digest = "4435efa044e81b632bfb9e49c179d96e2e2a4454e00426bae432289d6abfab54"
    assert hashlib.sha256(made_up).hexdigest() == digest


def test_made_up_data_depends_on_its_seed_and_names_everyone_differently() -> None:
    dataset = generate(users=2000, products=500, purchases=1000, seed=1)
    assert everything(dataset) == everything(generate(users=2000, products=500, purchases=1000, seed=1))
    assert everything(dataset) != everything(generate(users=2000, products=500, purchases=1000, seed=2))
    assert len({user.username for user in dataset.users}) == 2000
    assert len({product.id for product in dataset.products}) == 500
    assert dataset.purchase_count == 1000
    counts = [len(dataset.by_product(product.id, limit=1000)) for product in dataset.products]
    assert sum(counts) == 1000
    assert sum(counts[:50]) > 4 * sum(counts[-50:]), "the first products are the popular ones"


@pytest.mark.parametrize("name", ["users", "products", "purchases"])
@pytest.mark.parametrize("size", [-1, 10_000_001])
def test_impossible_sizes_are_refused(name: str, size: int) -> None:
    with pytest.raises(MockServerError, match=f"^--{name} {size}: give a number from 0 to 10000000$"):
        generate(**{name: size})


def test_purchases_without_anybody_are_refused() -> None:
    with pytest.raises(MockServerError, match="a purchase needs a user and a product"):
        generate(users=0)
    assert generate(users=0, products=0, purchases=0).purchase_count == 0


def test_bundled_data_has_what_the_demonstration_needs() -> None:
    dataset = bundled()
    assert (len(dataset.users), len(dataset.products)) == (40, 60)
    assert dataset.example_usernames() == ["Frannie79", "Barney_Bins18", "Aiko.Sato"]
    assert dataset.product(555622) == Product(555622, "。◕‿◕。", 1100, 27)

    counts = {product.id: len(dataset.by_product(product.id, limit=1000)) for product in dataset.products}
    assert max(counts.values()) > 150
    assert min(counts.values()) == 0
    for name in ("Frannie79", "Barney_Bins18"):
        recent = [purchase.product_id for purchase in dataset.by_user(name, limit=5)]
        assert len({counts[product_id] for product_id in recent}) == 5, "five different counts"
        assert max(counts[product_id] for product_id in recent) > 10 * min(counts[product_id] for product_id in recent)

    assert [user.username for user in dataset.users if not dataset.by_user(user.username)] == ["NewHere_1"]
    gone = [purchase for purchase in dataset.by_user("Aiko.Sato", limit=5) if not dataset.product(purchase.product_id)]
    assert len(gone) == 1

    faces = [product.face for product in dataset.products]
    assert len(set(faces)) == 60
    for hard in ("[bold]", "[/]", ":smile:", "¯\\_(ツ)_/¯", "<b>"):
        assert any(hard in face for face in faces), hard
    assert any(face.endswith("\\") for face in faces)
    assert any("\u200d" in face for face in faces), "joined emoji"
    assert any(unicodedata.east_asian_width(letter) == "W" for face in faces for letter in face), "wide letters"
    names = "".join(user.username for user in dataset.users)
    for odd in (" ", ".", "'", "/", "%", "ü", "山"):
        assert odd in names, odd


USER = {"username": "ann", "email": "ann@example.com"}
PRODUCT = {"id": 1, "face": "x", "price": 2, "size": 3}
PURCHASE = {"id": 1, "username": "ann", "product_id": 1, "date": "2026-01-02T03:04:05Z"}


def written(path: Path, *, users: object = (), products: object = (), purchases: object = ()) -> Path:
    path.write_bytes(msgspec.json.encode({"users": users, "products": products, "purchases": purchases}))
    return path


@pytest.mark.parametrize(
    ("date", "served"),
    [
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000Z"),
        ("2026-01-02T03:04:05", "2026-01-02T03:04:05.000Z"),
        ("2026-01-02T03:04:05.123+02:00", "2026-01-02T01:04:05.123Z"),
        ("2026-01-02T03:04:05.123456Z", "2026-01-02T03:04:05.123456Z"),
        ("2026-01-02", "2026-01-02T00:00:00.000Z"),
        ("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"),
    ],
)
def test_dates_of_a_file(tmp_path: Path, date: str, served: str) -> None:
    dataset = load(written(tmp_path / "x.json", users=[USER], purchases=[PURCHASE | {"date": date}]))
    assert dataset.by_user("ann") == [Purchase(1, "ann", 1, served)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"users": {}}, "$.users: Expected array, got object; the file must look like"),
        ({"users": [{"username": "x"}]}, "$.users[0]: Object missing required field email;"),
        ({"users": [USER | {"username": ""}]}, "$.users[0].username: Expected str of length >= 1;"),
        ({"users": [USER, USER]}, "$.users[1].username: 'ann' is already that of $.users[0]; change one"),
        ({"products": [PRODUCT, PRODUCT]}, "$.products[1].id: 1 is already that of $.products[0]; change one"),
        ({"products": [PRODUCT | {"id": 2**63}]}, "$.products[0].id: Expected int <= 9223372036854775807;"),
        ({"products": [PRODUCT | {"price": "2"}]}, "$.products[0].price: Expected int, got str;"),
        ({"purchases": [PURCHASE, PURCHASE | {"username": 3}]}, "$.purchases[1].username: Expected str, got int;"),
        ({"purchases": [PURCHASE | {"date": "soon"}]}, "$.purchases[0].date: 'soon' is not an ISO 8601 date"),
        (
            {"purchases": [PURCHASE | {"date": "0001-01-01T00:00+14:00"}]},
            "$.purchases[0].date: '0001-01-01T00:00+14:00' is not an ISO 8601 date",
        ),
    ],
)
def test_a_file_of_the_wrong_shape_is_refused_with_the_place(
    tmp_path: Path, content: dict[str, object], message: str
) -> None:
    path = written(tmp_path / "x.json", **content)
    with pytest.raises(MockServerError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "Input data was truncated;"),
        (b"[]", "Expected object, got array;"),
        (b"{'users': []}", "JSON is malformed: "),
        (b'{"users": [], "products": [], "purchases": []} x', "JSON is malformed: trailing characters"),
        (b'{"users": "\xff"}', "byte 11 is not UTF-8; save the file as UTF-8"),
        (b'{"more": ' + b"[" * 100_000, "nested too deeply;"),
    ],
)
def test_a_file_that_is_not_json_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(MockServerError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: {message}")


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MockServerError, match="No such file or directory; --data takes a JSON file"):
        load(tmp_path / "none.json")
    with pytest.raises(MockServerError, match="Is a directory; --data takes a JSON file"):
        load(tmp_path)
