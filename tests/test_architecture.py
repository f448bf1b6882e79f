"""Who may import whom, read from the sources; heavy libraries in one room each; and suppressions with reasons."""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import acme_cli
import mock_server

ROOTS = {"acme_cli": Path(acme_cli.__file__).parent, "mock_server": Path(mock_server.__file__).parent}
SOURCES = {
    ".".join((package, *path.relative_to(root).with_suffix("").parts)).removesuffix(".__init__"): path
    for package, root in ROOTS.items()
    for path in sorted(root.rglob("*.py"))
}

PURE = {"errors", "models"}
MAY_IMPORT = {
    # room: the rooms below it that it may use, beside itself
    "main": {"commands", "output", "errors"},
    "commands": {"report", "popular", "parts", "usernames", "output", "data_api", "cache", "settings", "values", *PURE},
    "report": {"popular", "data_api", *PURE},
    "parts": {"values", *PURE},
    "usernames": {"errors"},
    "popular": {"ranking", "data_api", *PURE},
    "output": {"insights", *PURE},
    "data_api": {"cache", *PURE},
    "cache": set(),
    "settings": {"values", "errors"},
    "values": set(),
    "ranking": {"models"},
    "insights": {"models"},
    "models": set(),
    "errors": set(),
    "__main__": {"main"},
    "": set(),
}
"""main > commands > popular, output > data_api > cache > settings > models, errors, as far as the code needs it."""

STANDARD = set(sys.stdlib_module_names)
CLOCKS_AND_DOORS = {"time", "datetime", "os", "pathlib", "socket", "threading", "random", "subprocess", "sqlite3", "io"}
PURE_MODULES = {
    "acme_cli.ranking": {"acme_cli.models"},
    "acme_cli.insights": {"acme_cli.models"},
    "acme_cli.models": set(),
    "acme_cli.errors": set(),
    "acme_cli.cache.freshness": set(),
    "acme_cli.cache.entry": set(),
    "acme_cli.data_api.payloads": {"acme_cli.models", "acme_cli.errors"},
    "acme_cli.data_api.paging": {"acme_cli.errors"},
    "acme_cli.data_api.endpoints": {"acme_cli.models", "acme_cli.errors", "acme_cli.data_api.payloads"},
}

HEAVY = {
    "httpx": {"acme_cli.data_api.lean_httpx"},
    "httpcore": {"acme_cli.data_api.transport", "acme_cli.data_api.network", "acme_cli.data_api.deadline"},
    "stamina": {"acme_cli.data_api.transport"},
    "diskcache": {"acme_cli.cache.writer"},
    "sqlite3": {"acme_cli.cache.database", "acme_cli.cache.disk", "acme_cli.cache.writer", "acme_cli.commands.cache"},
    "rich": {"acme_cli.output.table", "acme_cli.output.progress", "acme_cli.commands.config"},
    "flask": {"mock_server.app"},
    "waitress": {"mock_server.app"},
    "werkzeug": {"mock_server.app"},
    "jinja2": {"acme_cli.output.html"},
    "dotenv": {"acme_cli.settings"},
    "platformdirs": {"acme_cli.settings"},
    "tomllib": {"acme_cli.settings"},
}
"""The only modules that may import each heavy library, anywhere in them."""

LATE = {*HEAVY, "asyncio", "pydantic", "importlib.metadata", "logging", "concurrent"} - {"sqlite3"}
LATE_ROOMS = {
    "acme_cli.data_api.lean_httpx",
    "acme_cli.data_api.transport",
    "acme_cli.data_api.network",
    "acme_cli.data_api.deadline",
    "acme_cli.cache.writer",
    "acme_cli.output.html",
    "mock_server.app",
}
"""Modules that are themselves imported late, and so may import heavy libraries at their top."""


class Import:
    """One import of one module."""

    def __init__(self, module: str, *, at_top: bool, typing_only: bool) -> None:
        self.module = module
        self.at_top = at_top
        self.typing_only = typing_only


@cache
def imports_of(name: str) -> list[Import]:
    """Return everything that the module imports, each `from package import submodule` as the submodule."""
    path = SOURCES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found: list[Import] = []

    def visit(node: ast.AST, at_top: bool, typing_only: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                found.extend(Import(alias.name, at_top=at_top, typing_only=typing_only) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = child.module or ""
                if child.level:
                    above = package.split(".")[: len(package.split(".")) - child.level + 1]
                    base = ".".join((*above, *filter(None, [child.module])))
                for alias in child.names:
                    whole = f"{base}.{alias.name}"
                    module = whole if whole in SOURCES else base
                    found.append(Import(module, at_top=at_top, typing_only=typing_only))
            else:
                inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                is_typing = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
                visit(child, at_top and not inside, typing_only or is_typing)

    visit(ast.parse(path.read_text("utf-8")), True, False)
    return found


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


OURS = sorted(name for name in SOURCES if name.split(".")[0] == "acme_cli")


def test_the_sources_were_found() -> None:
    assert len(OURS) > 20
    assert {room(name) for name in OURS} == set(MAY_IMPORT)


@pytest.mark.parametrize("name", OURS)
def test_nothing_is_imported_upward(name: str) -> None:
    allowed = MAY_IMPORT[room(name)] | {room(name)}
    for found in imports_of(name):
        if found.module.split(".")[0] == "acme_cli" and found.module != "acme_cli":
            assert room(found.module) in allowed, f"{name} imports {found.module}"


def test_the_table_has_no_circle() -> None:
    order = [
        "__main__",
        "main",
        "commands",
        "report",
        "parts",
        "usernames",
        "popular",
        "output",
        "data_api",
        "cache",
        "settings",
        "values",
        "ranking",
        "insights",
        "models",
    ]
    order += ["errors", ""]
    for name, allowed in MAY_IMPORT.items():
        assert all(order.index(other) > order.index(name) for other in allowed), name


def test_rooms_have_no_circles_inside() -> None:
    graph = {
        name: {found.module for found in imports_of(name) if found.module in SOURCES and not found.typing_only}
        for name in SOURCES
    }
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, f"a circle: {' > '.join((*above, name))}"
        if name not in done:
            for other in graph[name] - {name}:
                if not name.startswith(f"{other}."):  # a package's own __init__
                    visit(other, (*above, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("name", PURE_MODULES)
def test_pure_modules_have_no_clock_and_no_doors(name: str) -> None:
    for found in imports_of(name):
        top = found.module.split(".")[0]
        if top == "acme_cli":
            known = {module for allowed in PURE_MODULES[name] for module in (allowed, allowed.rpartition(".")[0])}
            assert found.module in known, f"{name} imports {found.module}"
        elif (name, top) != ("acme_cli.models", "datetime"):  # which reads dates there, and asks for no time
            assert top not in CLOCKS_AND_DOORS, f"{name} imports {top}"
            assert top in STANDARD | {"msgspec"}, f"{name} imports {top}"
    called = {
        ast.unparse(node.func)
        for node in ast.walk(ast.parse(SOURCES[name].read_text("utf-8")))
        if isinstance(node, ast.Call)
    }
    assert not called & {"open", "print", "input", "datetime.now", "datetime.utcnow", "datetime.today"}


@pytest.mark.parametrize("library", HEAVY)
def test_each_heavy_library_has_its_rooms(library: str) -> None:
    users = {
        name
        for name in SOURCES
        for found in imports_of(name)
        if found.module.split(".")[0] == library and not found.typing_only
    }
    assert users == HEAVY[library]


def test_heavy_libraries_are_imported_late() -> None:
    for name in SOURCES:
        for found in imports_of(name):
            heavy = any(found.module == late or found.module.startswith(f"{late}.") for late in LATE)
            if heavy and found.at_top and not found.typing_only and name.startswith("acme_cli."):
                assert name in LATE_ROOMS, f"{name} imports {found.module} at its top"


def test_late_rooms_are_entered_late() -> None:
    for name in OURS:
        for found in imports_of(name):
            if found.module in LATE_ROOMS and name not in LATE_ROOMS and not found.typing_only:
                assert not found.at_top, f"{name} imports {found.module} at its top"


def test_the_mock_server_stands_alone() -> None:
    for name in SOURCES:
        for found in imports_of(name):
            if name.startswith("mock_server"):
                assert found.module.split(".")[0] != "acme_cli", name
            elif found.module.split(".")[0] == "mock_server":
                assert room(name) in {"main", "commands"}, f"{name} imports {found.module}"


def test_only_declared_libraries_are_imported() -> None:
    declared = {"typer", "msgspec", "httpx", "httpcore", "stamina", "diskcache", "rich", "platformdirs", "dotenv"}
    declared |= {"flask", "waitress", "werkzeug", "jinja2"}  # werkzeug is Flask's own
    for name in SOURCES:
        for found in imports_of(name):
            assert found.module.split(".")[0] in STANDARD | declared | set(ROOTS), f"{name} imports {found.module}"


def suppressions() -> Iterator[tuple[str, int, str]]:
    for name, path in SOURCES.items():
        for token in tokenize.generate_tokens(io.StringIO(path.read_text("utf-8")).readline):
            if token.type == tokenize.COMMENT and re.search(r"\bnoqa\b|type: ?ignore|pragma:|nosec", token.string):
                yield name, token.start[0], token.string


def test_every_suppression_is_narrow_and_has_a_reason() -> None:
    found = list(suppressions())
    assert len(found) > 5
    for name, line, comment in found:
        match = re.fullmatch(
            r"# (?:noqa: [A-Z]+\d+(?:, [A-Z]+\d+)*|type: ignore\[[a-z-]+(?:, ?[a-z-]+)*\])  (?:# )?(\S.{6,})", comment
        )
        assert match, f"{name}:{line}: {comment}"


@pytest.mark.parametrize("name", SOURCES)
def test_every_module_opens_with_a_sentence_on_what_lives_there(name: str) -> None:
    source = SOURCES[name].read_text("utf-8")
    if source:
        docstring = ast.get_docstring(ast.parse(source))
        assert docstring, name
        assert re.match(r"\S.{20,}?[.:]($|\s)", docstring, re.DOTALL), name


def test_none_asks_whether_it_is_tested() -> None:
    for name, path in SOURCES.items():
        text = path.read_text("utf-8")
        assert "pytest" not in text, name
        assert "no cover" not in text, name
