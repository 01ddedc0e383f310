"""The page in headless Chromium: it loads without an error, shows its numbers, and fits a phone."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import hedge
from hedge.reporting.numbers import count, error, quantity
from tests.reporting.conftest import Files
from tests.reporting.documents import bench_document
from tests.reporting.html_page import HtmlPage

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
QUIET = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars",
]  # fmt: skip
WIDTH = 390

pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="needs Chromium (Debian's package is chromium)"
)


@pytest.fixture(scope="module")
def page(files: Files, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("page") / "report.html"
    wide = bench_document(["x" * 200 + ".onnx", "y " * 100 + ".onnx"])
    (out.parent / "wide.json").write_text(json.dumps(wide))
    hedge.report([*files.all, out.parent / "wide.json"], out)
    return out


def loaded(address: Path, profile: Path) -> tuple[str, str]:
    """The document after loading, as Chromium has it, and what its console said."""
    done = subprocess.run(
        [
            str(BROWSER), *QUIET, f"--user-data-dir={profile}", "--enable-logging=stderr",
            "--virtual-time-budget=2000", "--dump-dom", address.as_uri(),
        ],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    return done.stdout, "\n".join(re.findall(r".*CONSOLE.*", done.stderr))


def test_it_loads_and_holds_what_was_written(page: Path, tmp_path: Path) -> None:
    """A browser that has to mend a page makes another document of it."""
    document, console = loaded(page, tmp_path / "profile")
    assert console == ""
    written, seen = HtmlPage(page.read_text(encoding="utf-8")), HtmlPage(document)
    assert seen.headings == written.headings
    assert seen.tables == written.tables
    assert len(seen.drawings) == len(written.drawings)


def test_it_shows_its_numbers_on_a_phone(page: Path, files: Files, tmp_path: Path) -> None:
    """In a frame as wide as a phone: nothing sticks out, and the numbers are visible text."""
    outer = tmp_path / "phone.html"
    inner = html.escape(page.read_text(encoding="utf-8"))
    outer.write_text(
        f'<!doctype html><iframe style="width:{WIDTH}px;height:800px;border:0" srcdoc="{inner}"></iframe>'
        "<pre></pre><script>onload = () => {"
        'const frame = document.querySelector("iframe"), inside = frame.contentDocument;'
        "const root = inside.documentElement;"
        "const shown = `width ${root.clientWidth} of ${root.scrollWidth}\\n${inside.body.innerText}`;"
        "frame.remove(); document.querySelector('pre').textContent = shown; }</script>",
        encoding="utf-8",
    )
    document, console = loaded(outer, tmp_path / "profile")
    assert console == ""
    shown = html.unescape(document.partition("<pre>")[2].partition("</pre>")[0])
    assert shown.startswith(f"width {WIDTH} of {WIDTH}\n")
    plan = files.plan
    measured = bench_document(["heat.onnx", "heat.pi.onnx"])["models"][-1]
    for text in (
        count(plan.parameters),
        error(plan.relative_error),
        quantity(measured["median_s"], "s"),
        plan.source_sha256,
    ):
        assert text in shown
