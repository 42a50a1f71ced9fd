"""A real HTTP server on this machine, which behaves as badly as a test wants."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["Handler", "Server", "serving"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        self.close_connection = True
        self.server.seen.append((self.path, dict(self.headers.items())))
        behave = self.server.replies.pop(0) if self.server.replies else Handler.well
        with suppress(BrokenPipeError, ConnectionResetError):  # the client has had enough
            behave(self)

    def start(self, status: int = 200, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.send_header("Connection", "close")
        self.end_headers()

    def well(self) -> None:
        """Serve the body, or the rest of it."""
        body, tag = self.server.body, self.server.tag
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked and self.headers.get("If-Range", tag) == tag:
            first = int(asked[1])
            if first >= len(body):
                self.start(416, Content_Range=f"bytes */{len(body)}", Content_Length=0)
                return
            span = f"bytes {first}-{len(body) - 1}/{len(body)}"
            self.start(206, Content_Range=span, Content_Length=len(body) - first, ETag=tag)
            self.wfile.write(body[first:])
            return
        self.start(Content_Length=len(body), ETag=tag)
        self.wfile.write(body)

    def log_message(self, format: str, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """``replies`` are what it does with the next requests, after which it behaves; ``seen`` was asked."""

    daemon_threads = True

    def __init__(self, body: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.tag = body, '"first"'
        self.replies: list[Callable[[Handler], None]] = []
        self.seen: list[tuple[str, dict[str, str]]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def serving(body: bytes) -> Iterator[Server]:
    server = Server(body)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def cut_after(size: int) -> Callable[[Handler], None]:
    """Promise everything, give ``size`` bytes more than are there, and hang up."""

    def behave(handler: Handler) -> None:
        body = handler.server.body
        asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        first = int(asked[1]) if asked else 0
        headers = {"Content_Length": len(body) - first, "ETag": handler.server.tag}
        if asked:
            headers["Content_Range"] = f"bytes {first}-{len(body) - 1}/{len(body)}"
        handler.start(206 if asked else 200, **headers)
        handler.wfile.write(body[first : first + size])

    return behave


def answer(status: int, body: bytes = b"", **headers: object) -> Callable[[Handler], None]:
    def behave(handler: Handler) -> None:
        handler.start(status, **{"Content_Length": len(body), **headers})
        handler.wfile.write(body)

    return behave


def endless(handler: Handler) -> None:
    handler.start(Transfer_Encoding="chunked")
    while True:
        handler.wfile.write(b"10000\r\n" + bytes(2**16) + b"\r\n")


def chunked(handler: Handler) -> None:
    body = handler.server.body
    handler.start(Transfer_Encoding="chunked")
    handler.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))


def until_closed(handler: Handler) -> None:
    """As HTTP/1.0 did: the end of the connection is the end of the file, or a cut. Nobody knows."""
    handler.start()
    handler.wfile.write(handler.server.body)


def stall(handler: Handler) -> None:
    handler.start(Content_Length=len(handler.server.body), ETag=handler.server.tag)
    handler.wfile.write(handler.server.body[:1000])
    handler.wfile.flush()
    time.sleep(1)
