"""Exported files in a browser: onnxruntime-web in headless Chromium (``make test-web``)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

from hedge.exporting import to_onnx
from hedge.graph import PRECISIONS
from tests.architectures import ARCHITECTURES
from tests.exporting.conftest import MATRICES, Make
from tests.exporting.test_runtimes import feed_of, onnx_runtime

ENABLED_BY = "HEDGE_TEST_WEB"
WEB = Path(__file__).parent / "web"
RUNTIME = WEB / "node_modules" / "onnxruntime-web" / "dist"
TYPES = {
    ".html": "text/html",
    ".json": "application/json",
    ".mjs": "text/javascript",
    ".onnx": "application/octet-stream",
    ".wasm": "application/wasm",
}
QUIET = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip

pytestmark = pytest.mark.skipif(
    ENABLED_BY not in os.environ, reason=f"needs npm and Chromium: make test-web ({ENABLED_BY}=1)"
)


@contextmanager
def served(folder: Path, posted: Queue[bytes]) -> Iterator[str]:
    """The folder and the runtime on localhost; what the page posts goes into the queue."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = unquote(self.path).lstrip("/")
            inside_runtime = path.startswith("onnxruntime-web/")
            file = RUNTIME / path.partition("/")[2] if inside_runtime else folder / path
            if not file.is_file():
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Type", TYPES[file.suffix])
            self.end_headers()
            self.wfile.write(file.read_bytes())

        def do_POST(self) -> None:
            posted.put(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("localhost", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}/page.html"
        server.shutdown()


def in_browser(folder: Path, profile: Path) -> dict[str, Any]:
    """What the page posts: outputs by case, or the words of an error."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    assert browser, "needs Chromium (Debian's package is chromium)"
    assert RUNTIME.is_dir(), "needs onnxruntime-web: make test-web installs it"
    posted: Queue[bytes] = Queue()
    with served(folder, posted) as address:
        running = subprocess.Popen(
            [browser, *QUIET, f"--user-data-dir={profile}", address],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            found: dict[str, Any] = json.loads(posted.get(timeout=180))
        except Empty:
            pytest.fail("the page has posted nothing for three minutes")
        finally:
            running.terminate()
            running.wait()
    return found


def test_a_browser_computes_what_onnxruntime_does(made: Make, tmp_path: Path) -> None:
    """All kinds of matrices in all precisions, and all architectures, within 1e-5."""
    tanh = ARCHITECTURES["tanh"]()
    models = {
        f"{kind}, {precision}": to_onnx(made(tanh, kind, precision))
        for kind in MATRICES
        for precision in PRECISIONS
    } | {
        name: to_onnx(made(build(), "low rank", "float32")) for name, build in ARCHITECTURES.items()
    }
    folder = tmp_path / "site"
    (folder / "models").mkdir(parents=True)
    shutil.copy(WEB / "page.html", folder)
    cases = []
    for name, model in models.items():
        (folder / "models" / f"{name}.onnx").write_bytes(model.SerializeToString())
        inputs = {
            key: {"shape": x.shape, "values": x.ravel().tolist()}
            for key, x in feed_of(model).items()
        }
        cases.append({"name": name, "inputs": inputs})
    (folder / "cases.json").write_text(json.dumps(cases))

    found = in_browser(folder, tmp_path / "profile")
    assert found.keys() == models.keys()
    worst = 0.0
    for name, model in models.items():
        assert isinstance(found[name], list), f"{name}: {found[name]}"
        for values, expected in zip(found[name], onnx_runtime(model, feed_of(model)), strict=True):
            error = np.linalg.norm(np.array(values) - expected.ravel()) / np.linalg.norm(expected)
            assert error < 1e-5, name
            worst = max(worst, float(error))
    print(f"{len(models)} models in onnxruntime-web: at most {worst:.1e} from onnxruntime")
