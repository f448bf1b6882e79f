"""The application behind a real socket: the contract, every style, odd names, and the server's life."""

import contextlib
import logging
import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote, urljoin

import httpx
import pytest

from mock_server.app import THREADS, create_app, serve
from mock_server.behaviour import Behaviour
from mock_server.dataset import Dataset, Product, User, bundled
from mock_server.errors import MockServerError

ODD_NAMES = [
    "a/b", "a%2Fb", "..x", "x..", "a b", "a?b", "a#b", "100%", "%", "Zoë", "Zoe\u0308", "山田", "/a", "a/", "//",
    "a//b", "+", "a\nb", "a\n", "O'Keefe", "<b>", "by_user",
]  # fmt: skip
IDLE = "idle"


def small() -> Dataset:
    """`busy` purchased product 1 a hundred and twenty times and the vanished product 9 once; `idle` nothing."""
    users = [User(name, f"{number}@example.com") for number, name in enumerate(["busy", IDLE, *ODD_NAMES])]
    products = [Product(number, f"face {number}", number * 10, number) for number in (1, 2, 3)]
    rows = [(number, "busy", 1, number * 1000) for number in range(120)]
    rows += [(500 + number, name, 2, 10**9 + number) for number, name in enumerate(ODD_NAMES)]
    return Dataset(users, products, [*rows, (900, "busy", 9, 10**10)])


def client_of(*styles: str, dataset: Dataset | None = None) -> Iterator[httpx.Client]:
    app = create_app(dataset or small(), Behaviour((0, 0), styles=styles))
    with serve(app) as server, httpx.Client(base_url=server.url) as client:
        yield client


@pytest.fixture(scope="module")
def api() -> Iterator[httpx.Client]:
    yield from client_of()


@pytest.fixture
def styled(request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    yield from client_of(*request.param)


def style(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("styled", [names], indirect=True, ids=["+".join(names)])


def ids(response: httpx.Response) -> list[int]:
    assert response.status_code == 200
    return [purchase["id"] for purchase in response.json()["purchases"]]


def test_users_and_products(api: httpx.Client) -> None:
    assert api.get("users/busy").json() == {"user": {"username": "busy", "email": "0@example.com"}}
    assert api.get("products/2").json() == {"product": {"id": 2, "face": "face 2", "price": 20, "size": 2}}
    assert [user["username"] for user in api.get("users?skip=1&limit=2").json()["users"]] == [IDLE, "a/b"]
    assert len(api.get("users").json()["users"]) == 10
    assert [product["id"] for product in api.get("products?skip=1").json()["products"]] == [2, 3]
    assert api.get("users/busy").headers["content-type"] == "application/json"


def test_purchases_are_paged_newest_first(api: httpx.Client) -> None:
    first = api.get("purchases/by_user/busy?limit=1").json()["purchases"]
    assert first == [{"id": 900, "username": "busy", "product_id": 9, "date": "1970-01-01T02:46:40.000Z"}]
    for path, newest in (("by_product/1", [*range(119, -1, -1)]), ("by_user/busy", [900, *range(119, -1, -1)])):
        assert ids(api.get(f"purchases/{path}")) == newest[:10]
        assert ids(api.get(f"purchases/{path}?limit=0")) == newest[:10]
        assert ids(api.get(f"purchases/{path}?limit=100")) == newest[:100]
        assert ids(api.get(f"purchases/{path}?skip=100&limit=100")) == newest[100:]
        assert ids(api.get(f"purchases/{path}?skip=999999999999999999&limit=100")) == []
    assert ids(api.get("purchases/by_user/idle")) == []
    assert ids(api.get("purchases/by_product/3")) == []
    assert ids(api.get("purchases/by_product/9")) == [900]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_username_is_one_segment(api: httpx.Client, name: str) -> None:
    segment = quote(name, safe="")
    for response in (api.get(f"users/{segment}"), api.get(f"users/{segment}", follow_redirects=True)):
        assert response.json()["user"]["username"] == name
    assert ids(api.get(f"purchases/by_user/{segment}?limit=5")) == [500 + ODD_NAMES.index(name)]


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("users/nobody", "user 'nobody' was not found"),
        ("users/busy%2F", "user 'busy/' was not found"),
        ("users/%2Fbusy", "user '/busy' was not found"),
        ("users/%FF", "user '\ufffd' was not found"),
        ("users/BUSY", "user 'BUSY' was not found"),
        ("products/9", "product 9 was not found"),
        ("products/99999999999999999999999", "product 99999999999999999999999 was not found"),
        ("purchases/by_user/nobody", "user 'nobody' was not found"),
        ("purchases/by_product/7", "product 7 was not found"),
        ("products/x", "no such endpoint; the page at / lists them"),
        ("products/-1", "no such endpoint; the page at / lists them"),
        ("users/", "no such endpoint; the page at / lists them"),
        ("purchases", "no such endpoint; the page at / lists them"),
        ("static/x", "no such endpoint; the page at / lists them"),
    ],
)
def test_what_is_missing_is_404(api: httpx.Client, path: str, error: str) -> None:
    response = api.get(path)
    assert (response.status_code, response.json()) == (404, {"error": error})
    assert "etag" not in response.headers


@pytest.mark.parametrize("query", ["skip=-1", "limit=-1", "skip=x", "limit=", "limit=1.5", "limit=1_0", "skip=١"])
@pytest.mark.parametrize("path", ["users", "products", "purchases/by_user/busy", "purchases/by_product/1"])
def test_a_bad_page_is_400(api: httpx.Client, path: str, query: str) -> None:
    response = api.get(f"{path}?{query}")
    name = query.partition("=")[0]
    assert (response.status_code, response.json()) == (400, {"error": f"{name} must be a whole number, 0 or more"})


def test_huge_numbers_and_other_methods_are_refused_in_json(api: httpx.Client) -> None:
    assert api.get("users", params={"limit": "9" * 5000}).status_code == 400
    response = api.post("users")
    assert response.status_code == 405
    assert "GET" in response.headers["allow"]
    assert "not allowed" in response.json()["error"]


def test_etag(api: httpx.Client) -> None:
    for path in ("users", "users/busy", "products/1", "purchases/by_user/idle", "purchases/by_product/1?limit=100"):
        response = api.get(path)
        tag = response.headers["etag"]
        assert api.get(path).headers["etag"] == tag
        again = api.get(path, headers={"If-None-Match": tag})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert api.get(path, headers={"If-None-Match": f'"other", W/{tag}'}).status_code == 304
        assert api.get(path, headers={"If-None-Match": '"other"'}).content == response.content
    assert api.get("users/busy").headers["etag"] != api.get("users/idle").headers["etag"]


@style("camel")
def test_camel(styled: httpx.Client) -> None:
    for path in ("by_user/busy", "by_product/9"):
        assert styled.get(f"purchases/{path}?limit=1").json()["purchases"] == [
            {"id": 900, "username": "busy", "productId": 9, "date": "1970-01-01T02:46:40.000Z"}
        ]


@style("bare")
def test_bare(styled: httpx.Client) -> None:
    assert styled.get("users/busy").json() == {"username": "busy", "email": "0@example.com"}
    assert styled.get("products/2").json() == {"id": 2, "face": "face 2", "price": 20, "size": 2}
    assert len(styled.get("users").json()["users"]) == 10


@style("empty")
def test_empty(styled: httpx.Client) -> None:
    for path in ("users/nobody", "products/9"):
        response = styled.get(path)
        assert (response.status_code, response.json()) == (200, {})
    for path in ("purchases/by_user/nobody", "purchases/by_product/7"):
        assert ids(styled.get(path)) == []


@style("no-purchases-404")
def test_no_purchases_404(styled: httpx.Client) -> None:
    response = styled.get("purchases/by_user/idle")
    assert (response.status_code, response.json()) == (404, {"error": "user 'idle' has no purchases"})
    assert styled.get("users/idle").status_code == 200
    assert len(ids(styled.get("purchases/by_user/busy"))) == 10
    assert ids(styled.get("purchases/by_user/busy?skip=1000")) == []


@style("exclusive")
def test_exclusive(styled: httpx.Client) -> None:
    assert [len(ids(styled.get(f"purchases/by_product/1?limit={n}"))) for n in (100, 5, 1, 0)] == [99, 4, 0, 9]
    assert len(styled.get("users").json()["users"]) == 9


@style("capped")
def test_capped(styled: httpx.Client) -> None:
    assert [len(ids(styled.get(f"purchases/by_product/1?limit={n}"))) for n in (100, 50, 49, 0)] == [50, 50, 49, 10]


@style("capped", "exclusive", "camel", "bare")
def test_styles_combine(styled: httpx.Client) -> None:
    assert [len(ids(styled.get(f"purchases/by_product/1?limit={n}"))) for n in (100, 50)] == [50, 49]
    assert "productId" in styled.get("purchases/by_user/busy").json()["purchases"][0]
    assert "username" in styled.get("users/busy").json()


def links(page: httpx.Response) -> list[str]:
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    return re.findall(r'<a href="([^"]*)"', page.text)


@pytest.mark.parametrize("path", ["/", "/api/"])
def test_the_page_lists_endpoints_that_work(path: str) -> None:
    for client in client_of(dataset=bundled()):
        page = client.get(urljoin(str(client.base_url), path))
        found = links(page)
        assert len(found) > 12
        for link in found:
            assert client.get(urljoin(str(client.base_url), link)).status_code == 200, link
        for text in ("<strong>40</strong> users", "<strong>60</strong> products", "<strong>1,561</strong> purchases"):
            assert text in page.text
        assert f"{client.base_url}" in page.text
        assert "Frannie79</a>" in page.text
        assert "http" not in page.text.replace(str(client.base_url), ""), "no external resources"


def test_the_page_escapes_names_and_links_vanished_products() -> None:
    names = ['<b>"&', "a/b", "../x"]
    dataset = Dataset([User(name, "") for name in names], [], [(n, name, n, 0) for n, name in enumerate(names)])
    for client in client_of(dataset=dataset):
        page = client.get(urljoin(str(client.base_url), "/"))
        assert "<b>" not in page.text
        assert "&lt;b&gt;&#34;&amp;</a>" in page.text
        assert not any(link.startswith("/api/products/") for link in links(page))
        for link in links(page):
            assert client.get(urljoin(str(client.base_url), link)).status_code == 200, link


def test_the_page_of_an_empty_data_set() -> None:
    for client in client_of(dataset=Dataset([], [], [])):
        page = client.get(urljoin(str(client.base_url), "/"))
        assert "<strong>0</strong> users" in page.text
        assert "Some of the users" not in page.text
        assert len(links(page)) == 4


def test_made_up_failures_are_json_and_leave_the_page_alone() -> None:
    with serve(create_app(small(), Behaviour((0, 0), error_rate=1, seed=1))) as server:
        responses = [httpx.get(f"{server.url}users/busy") for _ in range(10)]
        assert {response.status_code for response in responses} == {500, 503}
        assert all(response.json() == {"error": "a made-up failure, see --error-rate"} for response in responses)
        assert httpx.get(server.url).status_code == 200


def test_a_busy_server_says_when_to_come_back() -> None:
    with serve(create_app(small(), Behaviour((0, 0), error_rate=1, faults=["busy"]))) as server:
        response = httpx.get(f"{server.url}users/busy")
        assert (response.status_code, response.headers["retry-after"]) == (429, "1")


def test_a_body_can_be_cut() -> None:
    app = create_app(small(), Behaviour((0, 0), error_rate=1, faults=["cut"]))
    with serve(app) as server, httpx.stream("GET", f"{server.url}users/busy") as response:
        chunks: list[bytes] = []
        with pytest.raises(httpx.RemoteProtocolError):
            chunks.extend(response.iter_raw())
        assert 0 < len(b"".join(chunks)) < int(response.headers["content-length"])


def test_a_body_can_be_slow() -> None:
    app = create_app(small(), Behaviour((0, 0), error_rate=1, faults=["slow"]))
    with serve(app) as server, httpx.stream("GET", f"{server.url}users/busy", timeout=5) as response:
        first = next(response.iter_raw())
        assert 0 < len(first) < int(response.headers["content-length"])


def test_an_unexpected_error_is_json(caplog: pytest.LogCaptureFixture) -> None:
    app = create_app(small(), Behaviour((0, 0)))
    app.add_url_rule("/bug", view_func=lambda: str(1 // 0))
    with serve(app) as server, caplog.at_level(logging.ERROR):
        response = httpx.get(urljoin(server.url, "/bug"))
    assert response.status_code == 500
    assert "internal" in response.json()["error"]
    assert "ZeroDivisionError" in caplog.text


def test_waiting_requests_overlap_in_silence(capfd: pytest.CaptureFixture[str]) -> None:
    with (
        serve(create_app(small(), Behaviour((0.5, 0.5)))) as server,
        httpx.Client(base_url=server.url, limits=httpx.Limits(max_connections=THREADS)) as client,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        began = time.monotonic()
        statuses = list(pool.map(lambda _: client.get("users/busy").status_code, range(THREADS)))
        took = time.monotonic() - began
    assert statuses == [200] * THREADS
    assert 0.5 <= took < THREADS * 0.5 / 4, "one after the other they would take 32 s"
    assert capfd.readouterr() == ("", "")


def test_connections_are_kept() -> None:
    with serve(create_app(small(), Behaviour((0, 0)))) as server:
        url = httpx.URL(server.url)
        with socket.create_connection((url.host, url.port or 0), timeout=5) as connection:
            for _ in range(2):
                connection.sendall(b"GET /api/users/idle HTTP/1.1\r\nHost: x\r\n\r\n")
                answer = b""
                while not answer.endswith(b"}}"):
                    chunk = connection.recv(65536)
                    assert chunk, answer
                    answer += chunk
                assert answer.startswith(b"HTTP/1.1 200")


def test_close_waits_for_no_sleeper_and_frees_the_port() -> None:
    before = threading.active_count()
    app = create_app(small(), Behaviour((3000, 3000)))
    server = serve(app)
    port = httpx.URL(server.url).port or 0
    arrived = threading.Event()
    app.before_request_funcs["api"].insert(0, arrived.set)
    with ThreadPoolExecutor(1) as pool:
        request = pool.submit(lambda: httpx.get(f"{server.url}users", timeout=60))
        assert arrived.wait(10)
        began = time.monotonic()
        server.close()
        server.close()
        assert time.monotonic() - began < 2
        with contextlib.suppress(httpx.TransportError):  # dropped before its answer left
            assert request.result().status_code == 503
    assert threading.active_count() == before
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.url)
    with serve(create_app(small(), Behaviour((0, 0))), port=port) as again:
        assert httpx.get(f"{again.url}users/busy").status_code == 200


def test_an_application_can_be_served_again() -> None:
    app = create_app(small(), Behaviour((0, 0)))
    for _ in range(2):
        with serve(app) as server:
            assert httpx.get(f"{server.url}users/busy").status_code == 200


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::1", "[::1]")])
def test_the_url_can_be_asked(host: str, shown: str) -> None:
    if ":" in host and not can_bind(host):
        pytest.skip("no IPv6 here")
    with serve(create_app(small(), Behaviour((0, 0))), host) as server:
        assert re.fullmatch(rf"http://{re.escape(shown)}:\d+/api/", server.url)
        assert httpx.get(f"{server.url}users/busy").status_code == 200


def can_bind(host: str) -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True


def test_where_it_cannot_listen_it_says_so() -> None:
    app = create_app(small(), Behaviour((0, 0)))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(MockServerError, match=f"^cannot listen on 127.0.0.1 port {port}: Address already in use; "):
            serve(app, port=port)
    for port in (-1, 65536):
        with pytest.raises(MockServerError, match=f"^--port {port}: give a number from 1 to 65535"):
            serve(app, port=port)
    for host in ("a..b", "999.999.999.999"):
        with pytest.raises(MockServerError, match="is not a name or address of this machine"):
            serve(app, host)
