#!/usr/bin/env python3
"""Make the README's pictures anew: what a terminal shows, and the head of a report, as a browser shows them.

.ci/pictures        with the environment of `pip install '.[browser]'`, Chromium, and fonts for what faces are made of
                    (Debian: chromium fonts-dejavu fonts-noto-core fonts-noto-cjk fonts-symbola)
"""

import html
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright
from rich.cells import cell_len

HERE = Path(__file__).parent
ACME = str(Path(sys.executable).with_name("acme"))
COMMAND = ["popular", "Frannie79", "--demo"]
SGR = {"1": "font-weight:bold", "2": "opacity:.6", "36": "color:#4fc1d0", "0": ""}
TERMINAL = """<!doctype html><meta charset="utf-8">
<style>i{{display:inline-block;font-style:normal;height:1.35em;vertical-align:top;overflow:visible;white-space:pre}}</style>
<body style="margin:0;background:#14161b">
<pre style="margin:0;padding:20px 24px;display:inline-block;color:#e6e6e6;font:15px/1.35 'DejaVu Sans Mono'">{}</pre>
"""


def main() -> None:
    """Write both pictures beside this file."""
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        environment = {"PATH": os.environ["PATH"], "HOME": scratch, "LC_ALL": "C.UTF-8", "COLUMNS": "80"}
        report = Path(scratch, "report.html")
        run = ["script", "-qec", f"stty cols 80; {ACME} {' '.join(COMMAND)} --color always -q", "/dev/null"]
        shown = subprocess.run(run, env=environment, capture_output=True, check=True, stdin=subprocess.DEVNULL).stdout
        subprocess.run(
            [ACME, "report", "--all", "--demo", "-q", "--format", "html", "-o", str(report)],
            env=environment,
            check=True,
        )
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 900, "height": 600}, device_scale_factor=2)
        page.set_content(TERMINAL.format(f"$ acme {' '.join(COMMAND)}\n{as_html(shown.decode())}"))
        page.locator("pre").screenshot(path=HERE / "terminal.png")
        whole_report(page, report)
        browser.close()


def whole_report(page: Page, report: Path) -> None:
    """Show the top of the report."""
    page.set_viewport_size({"width": 900, "height": 760})
    page.goto(report.as_uri())
    page.screenshot(path=HERE / "report.png")


def as_html(text: str) -> str:
    """Return a terminal's text with its colours."""
    parts = re.split(r"\x1b\[([\d;]*)m", text.replace("\r", ""))
    shown = html.escape(parts[0])
    for codes, words in zip(parts[1::2], parts[2::2], strict=True):
        style = ";".join(SGR.get(code, "") for code in codes.split(";"))
        shown += f'<span style="{style}">{"".join(map(cell, clusters(words)))}</span>'
    return shown


def clusters(text: str) -> list[str]:
    """Return the characters, each with the marks that are drawn over it."""
    found: list[str] = []
    for character in text:
        if found and cell_len(character) == 0:
            found[-1] += character
        else:
            found.append(character)
    return found


def cell(cluster: str) -> str:
    """Return what stands in a terminal's cells; a browser would make it as wide as its font does."""
    shown = html.escape(cluster)
    width = cell_len(cluster)
    return shown if cluster.isascii() else f'<i style="width:{width}ch">{shown}</i>'


if __name__ == "__main__":
    main()
