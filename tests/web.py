"""A web server on loopback whose connections break where a test says so. Not a test itself."""

import contextlib
import hashlib
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Request:
    """What was asked for, and the status and bytes of the answer."""

    path: str
    range: str | None
    if_range: str | None
    status: int = 0
    sent: int = 0


@dataclass
class Site:
    """files: content by path. faults: what the next answers to a path do wrong, in order.

    A fault is ("cut", n): n bytes and the end of the connection; ("status", code); ("redirect",
    url); or a flag: "whole" (Range is ignored), "shifted" (another part than was asked for),
    "chunked" (no length), "weak" (no ETag).
    """

    files: dict = field(default_factory=dict)
    faults: dict = field(default_factory=dict)
    headers: dict = field(default_factory=dict)
    requests: list = field(default_factory=list)
    url: str = ""

    def asked(self, path):
        return [request for request in self.requests if request.path == path]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        site = self.server.site
        self.close_connection = True
        request = Request(self.path, self.headers.get("Range"), self.headers.get("If-Range"))
        site.requests.append(request)
        faults = site.faults.get(self.path, [])
        kind, value = faults.pop(0) if faults else (None, None)
        content = site.files.get(self.path)
        if kind == "redirect":
            self._head(request, 302, Location=value, Content_Length="0")
        elif kind == "status" or content is None:
            self._head(request, value if kind == "status" else 404, Content_Length="0")
        else:
            self._content(request, content, kind, value)

    def _content(self, request, content, kind, value):
        tag = f'"{hashlib.sha256(content).hexdigest()[:8]}"'
        headers = {} if kind == "weak" else {"ETag": tag}
        headers |= self.server.site.headers.get(request.path, {})
        start, status = 0, 200
        if request.range and kind != "whole" and request.if_range in (None, tag):
            start = int(request.range.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self._head(request, 416, Content_Length="0")
                return
            start = start - 1 if kind == "shifted" else start
            status = 206
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        body = content[start:]
        if kind == "chunked":
            headers["Transfer-Encoding"] = "chunked"
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        else:
            headers["Content-Length"] = str(len(body))
        self._head(request, status, **headers)
        body = body[:value] if kind == "cut" else body
        request.sent = len(body)
        self.wfile.write(body)

    def _head(self, request, status, **headers):
        request.status = status
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.send_header("Connection", "close")
        self.end_headers()


@contextlib.contextmanager
def served(**files):
    """A Site that is being served; `url` is its address, without a slash at the end."""
    site = Site(files={f"/{name}": content for name, content in files.items()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.site = site
    site.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    )
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def closed_port():
    """The address of a port of this machine where nobody listens."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        return f"http://127.0.0.1:{server.server_port}"
