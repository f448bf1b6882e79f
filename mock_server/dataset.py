"""What the server knows: users, products and purchases, with the indexes that answer every request."""

import random
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import msgspec

from mock_server.errors import MockServerError

Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Username = Annotated[str, msgspec.Meta(min_length=1)]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class User(msgspec.Struct, frozen=True, gc=False):
    """A customer."""

    username: Username
    email: str


class Product(msgspec.Struct, frozen=True, gc=False):
    """A product; its face is what is sold."""

    id: Id
    face: str
    price: Int64
    size: Int64


class Purchase(msgspec.Struct, frozen=True, gc=False):
    """One purchase; the date is ISO 8601."""

    id: Id
    username: Username
    product_id: Id
    date: str


class _File(msgspec.Struct):
    users: list[User]
    products: list[Product]
    purchases: list[Purchase]


Row = tuple[int, str, int, int]
"""A purchase as (id, username, product id, microseconds since 1970)."""


class Dataset:
    """Users and products in their given order; purchases newest first, equal dates in their given order.

    Purchases may name users and products that do not exist. They are kept in columns, as there may be millions.
    """

    def __init__(self, users: Sequence[User], products: Sequence[Product], purchases: Iterable[Row]) -> None:
        self.users = users
        self.products = products
        self._users = {user.username: user for user in users}
        self._products = {product.id: product for product in products}
        self._ids, self._product_ids, self._dates = array("q"), array("q"), array("q")
        self._usernames: list[str] = []
        for purchase_id, username, product_id, date in purchases:
            self._ids.append(purchase_id)
            self._usernames.append(username)
            self._product_ids.append(product_id)
            self._dates.append(date)
        self._by_user: dict[str, array[int]] = defaultdict(_rows)
        self._by_product: dict[int, array[int]] = defaultdict(_rows)
        self.purchase_count = len(self._ids)
        for row in sorted(range(self.purchase_count), key=self._dates.__getitem__, reverse=True):
            self._by_user[self._usernames[row]].append(row)
            self._by_product[self._product_ids[row]].append(row)

    def user(self, username: str) -> User | None:
        """The user of exactly that name."""
        return self._users.get(username)

    def product(self, product_id: int) -> Product | None:
        """The product of that id, if it still exists."""
        return self._products.get(product_id)

    def by_user(self, username: str, skip: int = 0, limit: int = 10) -> list[Purchase]:
        """What somebody purchased, newest first; empty when there is nothing."""
        return self._page(self._by_user.get(username, _NONE), skip, limit)

    def by_product(self, product_id: int, skip: int = 0, limit: int = 10) -> list[Purchase]:
        """The purchases of a product, newest first, whether or not it still exists; empty when there are none."""
        return self._page(self._by_product.get(product_id, _NONE), skip, limit)

    def knows_product(self, product_id: int) -> bool:
        """Whether the product exists, or did when somebody purchased it."""
        return product_id in self._products or product_id in self._by_product

    def example_usernames(self) -> list[str]:
        """Up to three users who exist, the first ones, those with purchases before those without."""
        return sorted(self._users, key=lambda username: username not in self._by_user)[:3]

    def _page(self, rows: "array[int]", skip: int, limit: int) -> list[Purchase]:
        return [
            Purchase(self._ids[row], self._usernames[row], self._product_ids[row], _iso(self._dates[row]))
            for row in rows[skip : skip + limit]
        ]


def bundled() -> Dataset:
    """The data set that is shipped with the package."""
    return load(Path(__file__).with_name("data.json"))


def load(path: Path) -> Dataset:
    """The data set in a JSON file: {"users": […], "products": […], "purchases": […]}.

    Raises MockServerError when the file cannot be read, or is of another shape; the message names the place.
    """
    try:
        content = msgspec.json.decode(path.read_text("utf-8"), type=_File)
    except OSError as error:
        raise MockServerError(f"{path}: {error.strerror}; --data takes a JSON file that can be read") from error
    except UnicodeDecodeError as error:
        raise MockServerError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    except RecursionError as error:
        raise MockServerError(f"{path}: nested too deeply; {_SHAPE}") from error
    except msgspec.DecodeError as error:
        what, _, place = str(error).partition(" - at ")
        where = f"{place.strip('`')}: " if place else ""
        raise MockServerError(f"{path}: {where}{what.replace('`', '')}; {_SHAPE}") from error
    _forbid_repeats(path, "users", "username", [user.username for user in content.users])
    _forbid_repeats(path, "products", "id", [product.id for product in content.products])
    return Dataset(content.users, content.products, _file_rows(path, content.purchases))


def generate(users: int = 40, products: int = 60, purchases: int = 2000, seed: int = 0) -> Dataset:
    """A made-up data set of that size, with some products far more popular than others.

    The same arguments give the same data, on every version of Python: only `Random.random` is used, whose sequence
    Python guarantees. Raises MockServerError for a negative or huge number, or purchases that nobody could make.
    """
    for name, number in (("users", users), ("products", products), ("purchases", purchases)):
        if not 0 <= number <= _MOST:
            raise MockServerError(f"--{name} {number}: give a number from 0 to {_MOST}")
    if purchases and not (users and products):
        raise MockServerError(
            f"--purchases {purchases} with --users {users} and --products {products}: "
            "a purchase needs a user and a product; give at least one of each, or --purchases 0"
        )
    draw = random.Random(seed).random  # noqa: S311  made-up data, no secrets

    def pick(options: Sequence[str]) -> str:
        return options[int(draw() * len(options))]

    def username(number: int) -> str:
        return f"{pick(_FIRST_NAMES)}{pick(_SEPARATORS)}{pick(_LAST_NAMES)}{number}"

    def product(number: int) -> Product:
        left, right = pick(_SIDES).split(" ")
        eye = pick(_EYES)
        face = f"{left}{eye}{pick(_MOUTHS)}{eye}{right}"
        return Product(number * 7 + int(draw() * 7), face, 50 + int(draw() * 1950), 12 + int(draw() * 29))

    names = [username(number) for number in range(users)]
    goods = [product(number) for number in range(1000, 1000 + products)]

    def rows() -> Iterator[Row]:
        for number in range(purchases):
            # A square favours the first products: the most popular one of 60 takes an eighth of all purchases.
            share = draw()
            date = _FROM + int(_MILLISECONDS * ((number + draw()) / purchases)) * 1000
            yield number, names[int(draw() * users)], goods[int(share * share * products)].id, date

    return Dataset([User(name, f"{name.lower()}@example.com") for name in names], goods, rows())


def _rows() -> "array[int]":
    return array("I")


def _iso(microseconds: int) -> str:
    moment = (_EPOCH + timedelta(microseconds=microseconds)).replace(tzinfo=None)
    return moment.isoformat(timespec="microseconds" if microseconds % 1000 else "milliseconds") + "Z"


def _microseconds(date: str) -> int:
    moment = datetime.fromisoformat(date)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment.astimezone(UTC) - _EPOCH) // _MICROSECOND


def _file_rows(path: Path, purchases: Iterable[Purchase]) -> Iterator[Row]:
    same: dict[str, str] = {}  # one string per user, not one per purchase
    for number, purchase in enumerate(purchases):
        try:
            date = _microseconds(purchase.date)
        except (ValueError, OverflowError) as error:
            raise MockServerError(
                f"{path}: $.purchases[{number}].date: {purchase.date!r} is not an ISO 8601 date like 2026-11-20T08:30Z"
            ) from error
        yield purchase.id, same.setdefault(purchase.username, purchase.username), purchase.product_id, date


def _forbid_repeats(path: Path, kind: str, key: str, values: Sequence[object]) -> None:
    first: dict[object, int] = {}
    for number, value in enumerate(values):
        if first.setdefault(value, number) != number:
            raise MockServerError(
                f"{path}: $.{kind}[{number}].{key}: {value!r} is already that of $.{kind}[{first[value]}]; change one"
            )


_NONE = _rows()
_MOST = 10_000_000
_SHAPE = (
    'the file must look like {"users": [{"username", "email"}], "products": [{"id", "face", "price", "size"}], '
    '"purchases": [{"id", "username", "product_id", "date"}]}'
)

_FROM = _microseconds("2025-12-01T00:00:00Z")
_MILLISECONDS = (_microseconds("2026-11-20T00:00:00Z") - _FROM) // 1000
_FIRST_NAMES = (
    "Ada", "Aiko", "Barney", "Bea", "Carlos", "Chidi", "Dana", "Edda", "Emil", "Fatima", "Frannie", "Gus", "Hana",
    "Ines", "Ivo", "Jalen", "Kira", "Lars", "Lupe", "Mei", "Milo", "Nadia", "Nils", "Olga", "Omar", "Petra", "Priya",
    "Quinn", "Rosa", "Ruben", "Sana", "Sven", "Tariq", "Tess", "Uma", "Vera", "Wanda", "Xenia", "Yusuf", "Zoe",
)  # fmt: skip
_SEPARATORS = ("", "", "_", ".")
_LAST_NAMES = (
    "", "", "", "Adler", "Bins", "Costa", "Dietrich", "Eze", "Farrell", "Gomez", "Hauck", "Ibarra", "Jansen", "Koss",
    "Lind", "Mayer", "Nkosi", "Okafor", "Parisian", "Rao", "Sato", "Toy", "Ueda", "Veum", "Wolf", "Yost", "Zulauf",
)  # fmt: skip
_SIDES = (
    "( )", "( )", "ʕ ʔ", "[ ]", "｡ ｡", "( )っ", "ヽ( )ﾉ", "╰( )╯", "¯\\_( )_/¯", "\\( )/", "c( )", "d[ ]b", "ლ( ლ)",
    "=^ ^=", "{ }", "ᕦ( )ᕤ",
)  # fmt: skip
_EYES = (*"◕•ಠ^°o-˘≧ʘ♥✿>ಥ◉⌐@*",)
_MOUTHS = (*"‿_ω▽ᴥ.3益∀﹏~o⌣д", "_ゝ", "‸", "‿‿", " ͜ʖ")
