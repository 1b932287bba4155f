"""A host for the tests of downloads: it resumes, breaks off or forgets how to, as a test asks."""

import http.server
import threading
import time

import pytest

CONTENT = bytes(range(256)) * 2000  # 512,000 bytes


class Server(http.server.ThreadingHTTPServer):
    """Serves `content` at any address; keeps what it was asked and how much it sent."""

    def __init__(self, content):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.knows_ranges, self.cut_after, self.pause = content, True, None, 0
        self.asked, self.ranges, self.sent = [], [], 0

    @property
    def base(self):
        return f"http://127.0.0.1:{self.server_port}/"

    @property
    def url(self):
        return self.base + "archive.tar"


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.server.asked.append("HEAD")
        self._head(200, len(self.server.content))

    def do_GET(self):
        server, start = self.server, 0
        server.asked.append("GET")
        asked = self.headers.get("Range")
        if asked:
            server.ranges.append(asked)
        if asked and server.knows_ranges:
            start = int(asked[len("bytes=") : -1])
        body = server.content[start:]
        self._head(206 if start else 200, len(body))
        self._send(body if server.cut_after is None else body[: server.cut_after])

    def _head(self, status, length):
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        if self.server.knows_ranges:
            self.send_header("Accept-Ranges", "bytes")
        self.end_headers()

    def _send(self, body):
        for start in range(0, len(body), 1 << 16):
            # counted first: whoever has received the last byte may look at the count at once
            self.server.sent += len(body[start : start + (1 << 16)])
            self.wfile.write(body[start : start + (1 << 16)])
            time.sleep(self.server.pause)


@pytest.fixture
def server():
    with Server(CONTENT) as running:
        threading.Thread(
            target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()
        yield running
        running.shutdown()
