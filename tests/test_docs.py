"""README, CONTRIBUTING, CHANGELOG and the help texts say what the code does."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from acme_cli.errors import ExitCode
from acme_cli.main import build
from acme_cli.models import Product, Purchase, Purchases, parse_date
from acme_cli.output.structured import FIELDS
from acme_cli.output.table import render_table
from acme_cli.ranking import Tally, rank
from acme_cli.settings import SETTINGS
from mock_server.dataset import bundled

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CLI: Any = typer.main.get_command(build())


def commands(command: Any = CLI, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, sub in getattr(command, "commands", {}).items():
        yield from commands(sub, (*path, name))


COMMANDS = dict(commands())


def example_lines(text: str) -> list[str]:
    """The lines of code blocks and help texts that run acme, without their comments, pipes and redirections."""
    found = re.findall(r"(?m)(?:^|[\s(\"`])acme((?: (?![|>#&;)`]).*?)?)(?=\s*(?:[|>#&;)`]|$|  ))", text)
    return [line for line in found if line.strip()]


def words(line: str) -> list[str]:
    return shlex.split(line.replace("…", ""), posix=True)


def check_example(line: str) -> None:
    """Every option in the line belongs to the command that the line starts with."""
    path: tuple[str, ...] = ()
    tokens = words(line)
    while tokens and (*path, tokens[0]) in COMMANDS:
        path = (*path, tokens.pop(0))
    known = {name for parameter in COMMANDS[path].params for name in (*parameter.opts, *parameter.secondary_opts)}
    known |= {"-h", "--help"}
    for token in tokens:
        if token.startswith("-") and token != "-":
            assert token.partition("=")[0] in known, f"acme {line}"


@pytest.mark.parametrize("line", sorted(set(example_lines(README))))
def test_options_in_the_readme_exist(line: str) -> None:
    check_example(line)


def test_the_readme_shows_every_command() -> None:
    for path in COMMANDS:
        if path and path != ("cache",):
            assert f"acme {' '.join(path)}" in README


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_help_text_has_examples_that_exist(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    assert "Examples:" in command.help
    lines = example_lines(command.help.partition("Examples:")[2])
    assert lines
    for line in lines:
        check_example(line)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_option_is_explained(path: tuple[str, ...]) -> None:
    for parameter in COMMANDS[path].params:
        assert parameter.help, f"acme {' '.join(path)}: {parameter.name}"


def table(header: str) -> list[list[str]]:
    """The cells of the README's table whose header row starts with `header`, without backticks."""
    _, _, after = README.partition(f"\n| {header} |")
    rows = after.split("\n\n")[0].splitlines()[2:]
    return [[cell.strip().strip("`") for cell in row.strip("|").split("|")] for row in rows]


def test_the_settings_table_is_the_code() -> None:
    shown = {name: (environment, default, says) for name, environment, default, says in table("Setting")}
    expected = {setting.name: (setting.environment, setting.default_text, setting.help) for setting in SETTINGS}
    assert shown == expected


def test_the_exit_codes_are_the_code() -> None:
    documented = {int(code) for row in table("Code") for code in row[0].split(",")}
    assert documented == set(ExitCode)


def test_the_fields_are_named() -> None:
    _, _, after = README.partition("`--fields` chooses")
    sentence = after.split(".\n")[0].split(". ")[0]
    assert set(re.findall(r"`(\w+)`", sentence)) == set(FIELDS)


def test_the_picture_of_the_table_is_what_it_shows_at_80_columns() -> None:
    shop = bundled()
    recent = dict.fromkeys(purchase.product_id for purchase in shop.by_user("Frannie79", limit=5))
    tallies = []
    for product_id in recent:
        found = shop.product(product_id)
        product = None if found is None else Product(found.id, found.face, found.price, found.size)
        rows = shop.by_product(product_id, limit=1000)
        purchases = [Purchase(row.username, parse_date(row.date)) for row in rows]
        tallies.append(Tally(product_id, product, Purchases.of(purchases)))
    shown = render_table(
        "Frannie79", rank(tallies), width=80, colour=False, terminal=True, note="data fetched just now"
    )
    assert f"$ acme popular Frannie79 --demo\n{shown}```" in README


def test_the_changelog_starts_with_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    headings = re.findall(r"(?m)^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    assert headings[0] == version


def test_the_rooms_that_are_described_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    import acme_cli

    packages = Path(acme_cli.__file__).parent.parent
    rooms = re.findall(r"^\| `([^`]+)`", text, flags=re.MULTILINE)
    assert len(rooms) > 5
    for room in rooms:
        assert (packages / room).exists(), room
