"""Provide a server and a separate cache for tests of downloads."""

import contextlib
import http.server
import socketserver
import threading
from pathlib import Path

import pytest

CONTENT = b"weights" * 100_000


@contextlib.contextmanager
def server(answer):
    """Serve ``answer(handler)``, and yield the address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            with contextlib.suppress(ConnectionError):  # the client has closed the connection
                answer(self)

        def log_message(self, *_):
            pass

    class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{found.server_port}"
        found.shutdown()


def sends(
    content: bytes = CONTENT, length: int | None = None, kind: str = "application/octet-stream", status: int = 200
):
    def answer(handler):
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(content) if length is None else length))
        handler.end_headers()
        handler.wfile.write(content)

    return answer


@pytest.fixture(autouse=True, name="cache")
def downloads_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "a/b/cache"))
    return tmp_path / "a/b/cache"


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
