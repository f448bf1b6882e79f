"""The answer for people: a table that fits a terminal, and that a pipe gets whole."""

import io
from bisect import bisect_right
from collections.abc import Iterator, Sequence

from acme_cli.models import PopularProduct
from acme_cli.output.sanitise import visible

Part = tuple[str, str]
"""A piece of a line, and its style: bold, dim, or one of the 16 colours that dark and light screens both show well."""

_HEADERS = {
    "rank": "#",
    "face": "product",
    "id": "id",
    "price": "price",
    "size": "size",
    "purchases": "purchases",
    "recent": "newest buyers",
}
_TO_THE_RIGHT = {"rank", "id", "price", "size"}
_GAP = "  "
_EIGHTHS = "▏▎▍▌▋▊▉"

# Cells of the longest bar: on a terminal of 100 columns or more, on any other and in a pipe, where space is short.
_WIDE_BAR, _BAR, _SHORT_BAR = 20, 10, 6
# On a narrow terminal these columns go, in this order, until faces and buyers have cells enough.
_EXPENDABLE = ("size", "id", "price", "recent")
_ENOUGH = {"face": 14, "recent": 16}
_PIPED_RULE_UNDER_BUYERS = 40


def render_table(
    username: str,
    products: Sequence[PopularProduct],
    *,
    width: int | None,
    colour: bool,
    terminal: bool,
    note: str | None = None,
) -> str:
    """Return a title, the table, and the note (how old the data is) below it; ends in a newline.

    On a terminal it fits `width` columns (None: 80): columns go, then faces and lists of buyers are shortened.
    Otherwise a product is one line with every name, however long. Text is shown as `visible` leaves it.
    """
    from rich.console import Console  # slow: imported where it is needed
    from rich.text import Text

    fit = (width or 80) if terminal else None
    name = (visible(username), "bold")
    lines: list[list[Part]] = (
        [[("Popular purchases of ", ""), name], [], *_table(products, fit)]
        if products
        else [[name, (" has no purchases.", "")]]
    )
    if note:
        lines += [[], [(visible(note), "dim")]]

    text = io.StringIO()
    console = Console(
        file=text,
        width=fit or 80,
        height=25,  # with both sizes given, rich asks neither the terminal nor the environment
        force_terminal=colour,
        color_system="standard" if colour else None,
        no_color=not colour,
        legacy_windows=False,
    )
    for line in lines:
        # Text is never parsed as markup. What is over-long can only be the title or the note, which may wrap.
        console.print(Text.assemble(*line), soft_wrap=fit is None)
    return text.getvalue()


def _table(products: Sequence[PopularProduct], fit: int | None) -> Iterator[list[Part]]:
    """Yield the header, a rule, and a line for each product; at most `fit` cells wide, if that is given."""
    most = max(product.purchases for product in products)
    widths = {
        column: max(_width([(header, "")]), *(_width(_cell(column, product, None, most)) for product in products))
        for column, header in _HEADERS.items()
    }
    rule = dict(widths)
    if fit is None:
        rule["recent"] = min(widths["recent"], _PIPED_RULE_UNDER_BUYERS)
    else:
        widths = rule = _fitted(widths, fit, digits=len(str(most)))

    yield _line({column: [(_shortened(_HEADERS[column], widths[column]), "dim")] for column in widths}, widths)
    yield [("─" * (sum(rule.values()) + len(_GAP) * (len(rule) - 1)), "dim")]
    for product in products:
        yield _line({column: _cell(column, product, widths[column], most) for column in widths}, widths)


def _fitted(natural: dict[str, int], fit: int, digits: int) -> dict[str, int]:
    """Return the columns that a terminal has room for, with their widths."""
    widths = dict(natural)

    def room() -> int:
        return fit - sum(w for c, w in widths.items() if c not in _ENOUGH) - len(_GAP) * (len(widths) - 1)

    def enough() -> bool:
        return room() >= sum(min(widths.get(column, 0), cells) for column, cells in _ENOUGH.items())

    if fit >= 100:
        widths["purchases"] += _WIDE_BAR - _BAR
    if not enough():
        widths["purchases"] = max(digits + 1 + _SHORT_BAR, len(_HEADERS["purchases"]))
    for column in _EXPENDABLE:
        if not enough():
            del widths[column]
    # What is over goes to the buyers, unless their names need less; two fifths are the product's in any case.
    face = max(room() - widths.get("recent", 0), room() * 2 // 5, 1)
    widths["face"] = min(widths["face"], face)
    if "recent" in widths:
        widths["recent"] = min(widths["recent"], room() - widths["face"])
    return widths


def _line(cells: dict[str, list[Part]], widths: dict[str, int]) -> list[Part]:
    """Return the cells side by side, each filled up with spaces to its width but for the last."""
    line: list[Part] = []
    for column, cell in cells.items():
        space = (" " * (widths[column] - _width(cell)), "")
        line += [space, *cell] if column in _TO_THE_RIGHT else [*cell, space]
        line.append((_GAP, ""))
    return line[:-2]  # the last column is never one to the right, so these are spaces


def _cell(column: str, product: PopularProduct, width: int | None, most: int) -> list[Part]:
    """Return what a product has in a column, in at most `width` cells if that is given."""
    match column:
        case "face" if product.is_blank:
            return [(_shortened("no longer sold", width), "dim")]
        case "face" if product.face is not None:
            return [(_shortened(visible(product.face), width), "bold")]
        case "purchases":
            digits = len(str(most))
            cells = _BAR if width is None else width - digits - 1
            bar = _bar(product.purchases, most, cells)
            return [(f"{product.purchases:>{digits}}", ""), (f" {bar}" if bar else "", "cyan")]
        case "recent" if product.recent:
            return _buyers([visible(name) for name in product.recent], width)
    value = {"rank": product.rank, "id": product.id, "price": product.price, "size": product.size}.get(column)
    return [("–", "dim")] if value is None else [(str(value), "" if column == "price" else "dim")]


def _bar(count: int, most: int, cells: int) -> str:
    """Return a bar in eighths of a cell, `cells` long for the largest count, never empty for one purchase or more."""
    if count <= 0:
        return ""
    full, eighths = divmod(max(1, count * cells * 8 // most), 8)
    return "█" * full + _EIGHTHS[:eighths][-1:]


def _buyers(names: list[str], width: int | None) -> list[Part]:
    """Return the names, newest first; in `width` cells as many as fit and how many more there are."""
    everyone = ", ".join(names)
    if width is None or _cells(everyone) <= width:
        return [(everyone, "")]
    if len(names) == 1:
        return [(_shortened(everyone, width), "")]
    shown, more = 1, f" +{len(names) - 1} more"
    for count in range(2, len(names)):
        next_more = f" +{len(names) - count} more"
        if _cells(", ".join(names[:count]) + next_more) > width:
            break
        shown, more = count, next_more
    return [(_shortened(", ".join(names[:shown]), width - len(more)), ""), (more, "dim")]


def _shortened(text: str, width: int | None) -> str:
    """Return the text, or as much of it as fits before an ellipsis; combining marks stay with their letter."""
    if width is None or _cells(text) <= width:
        return text
    end = bisect_right(range(len(text) + 1), max(width - 1, 0), key=lambda length: _cells(text[:length])) - 1
    return text[:end].rstrip(" \u200d") + "…"


def _width(cell: list[Part]) -> int:
    return sum(_cells(text) for text, _style in cell)


def _cells(text: str) -> int:
    """Return how many cells of a terminal the text takes."""
    from rich.cells import cell_len  # slow: imported where it is needed

    return cell_len(text)
