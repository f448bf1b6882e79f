"""What users' popular purchases say together: examples of the rules, and what holds for all data."""

from hypothesis import given, settings
from hypothesis import strategies as st

from acme_cli.insights import overall, sharers
from acme_cli.models import PopularProduct, Record

patient = settings(max_examples=60, deadline=None, derandomize=True)


def product(id_: int, *recent: str, purchases: int | None = None) -> PopularProduct:
    return PopularProduct(
        rank=1,
        id=id_,
        face=f"({id_})",
        price=10 * id_,
        size=id_,
        recent=recent,
        purchases=len(recent) if purchases is None else purchases,
        buyers=len(recent),
        last_purchased=None,
    )


def user(name: str, *products: PopularProduct) -> Record:
    return Record(0, name, products)


def test_the_overall_ranking_is_by_purchases_then_users_then_id() -> None:
    one, two, three, four = (product(n, "x", purchases=count) for n, count in ((1, 5), (2, 5), (3, 5), (4, 9)))
    ranked = overall([user("ann", one, three), user("bob", three, two), user("cy", four)])
    assert [(place.product.rank, place.product.id, place.users) for place in ranked] == [
        (1, 4, 1),
        (2, 3, 2),
        (3, 1, 1),
        (4, 2, 1),
    ]
    assert (ranked[0].product.face, ranked[0].product.price, ranked[0].product.size) == ("(4)", 40, 4)


def test_of_a_product_that_users_see_differently_the_fullest_counts() -> None:
    fuller = product(1, "ann", "bob", "cy")
    [place] = overall([user("ann", product(1, "bob", "cy")), user("dee", fuller), user("bob", product(1, "ann", "cy"))])
    assert place.product == fuller
    assert place.users == 3


def test_who_shares_most_is_by_products_then_first_appearance() -> None:
    ann = user("ann", product(1, "ann", "bob", "cy", "dee"), product(2, "cy", "ann", "bob"), product(3, "cy", "eve"))
    assert sharers(ann) == [("cy", 3), ("bob", 2)]
    assert sharers(ann, most=1) == [("cy", 3)]


def test_with_one_product_everyone_who_bought_it_shares_it() -> None:
    assert sharers(user("ann", product(1, "bob", "ann", "cy"))) == [("bob", 1), ("cy", 1)]
    assert sharers(user("ann")) == []


def test_nothing_comes_of_nothing() -> None:
    assert overall([]) == []
    assert overall([user("ann")]) == []


NAMES = st.lists(st.sampled_from("abcdefghij"), unique=True, max_size=6)
RECORDS = st.lists(
    st.builds(
        lambda name, products: user(name, *products),
        st.sampled_from("abcdefghij"),
        st.lists(
            st.builds(lambda id_, recent: product(id_, *recent), st.integers(1, 9), NAMES),
            max_size=5,
            unique_by=lambda one: one.id,
        ),
    ),
    max_size=6,
)


@patient
@given(RECORDS)
def test_for_all_users(records: list[Record]) -> None:
    ranked = overall(records)
    assert [place.product.rank for place in ranked] == list(range(1, len(ranked) + 1))
    assert {place.product.id for place in ranked} == {one.id for record in records for one in record.products}
    assert sum(place.users for place in ranked) == sum(len(record.products) for record in records)
    for record in records:
        shared = sharers(record)
        assert len(shared) <= 5
        assert [count for _, count in shared] == sorted((count for _, count in shared), reverse=True)
        for name, count in shared:
            assert name != record.username
            assert count == sum(name in one.recent for one in record.products) >= min(2, len(record.products))


def test_a_user_who_was_typed_otherwise_shares_nothing_with_himself() -> None:
    products = [product(number, "Frannie79", "bob") for number in range(2)]
    assert sharers(user("FRANNIE79", *products)) == [("bob", 2)]
    assert sharers(user("Frannie79", *products)) == [("bob", 2)]
    both = [product(number, "ann", "Ann") for number in range(2)]
    assert sharers(user("ann", *both)) == [("Ann", 2)]
