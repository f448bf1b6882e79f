"""What came of a benchmark, and the table that says so."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

WIDEST = 110


class Row(NamedTuple):
    """One comparison: our figures, and what they are held against, in the same unit.

    `scale` turns the figures into `unit`. The ratio of the medians is to be at most `target`.
    """

    number: str
    what: str
    unit: str
    ours: Sequence[float]
    theirs: Sequence[float]
    target: float
    against: str
    scale: float = 1

    @property
    def ratio(self) -> float:
        """Return how many times the other side's median ours is."""
        return statistics.median(self.ours) / statistics.median(self.theirs)

    def cells(self) -> list[str]:
        """Return the row's part of the table."""
        figures = [self.scale * figure for figure in self.ours]
        return [
            self.number,
            self.what,
            f"{_figure(statistics.median(figures))} {self.unit}",
            f"{_figure(min(figures))}..{_figure(max(figures))}",
            _figure(self.scale * statistics.median(self.theirs)),
            f"{self.ratio:.2f}",
            f"≤ {self.target:.2f}",
            "ok" if self.ratio <= self.target else "MISSED",
        ]


HEADS = ["", "", "median", "min..max", "against", "ratio", "target", ""]


def table(rows: Sequence[Row]) -> str:
    """Return the rows as aligned text, with what each is held against below."""
    cells = [HEADS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADS))]
    lines = [_line(line, widths) for line in cells]
    against = dict.fromkeys(f"{row.number:<{widths[0]}}  against {row.against}" for row in rows)
    return "\n".join([*lines, "", *against])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    left = {0, 1, len(cells) - 1}
    padded = (
        cell.ljust(width) if column in left else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join(padded).rstrip()


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
