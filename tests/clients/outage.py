"""A proxy in front of the server that fails the first requests, as outages do.

    outage.py PORT SERVER_PORT FAILURES

FAILURES are words, one for each of the first requests that carry events, separated by commas:

    lost    the server takes the events, but the client is told 503
    503     the server never sees them, and the client is told 503
    429     likewise, and the client is told to come again in a second
    hang    the server takes the events, and the client waits in vain until it gives up
    cut     the server takes the events, and the connection ends without an answer
"""

import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

port, server = (int(it) for it in sys.argv[1:3])
failures = [it for it in sys.argv[3].split(",") if it]
lock = threading.Lock()
# Longer than any client here is told to wait for an answer.
HANG = 6


class Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        with lock:
            failure = failures.pop(0) if failures else None
        self.answer(failure)

    def do_GET(self):
        self.answer(None)

    def do_OPTIONS(self):
        self.answer(None)

    def answer(self, failure):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        status, headers, text = 503, [], b'{"success":false}'
        if failure not in ("503", "429"):
            status, headers, text = self.passed_on(body)
        if failure == "429":
            status, headers = 429, [("retry-after", "1")]
        if failure == "lost":
            status, text = 503, b'{"success":false}'
        if failure in ("hang", "cut"):
            time.sleep(HANG if failure == "hang" else 0)
            self.close_connection = True
            return
        if failure:
            # A browser reads an answer only if it says so.
            headers.append(("access-control-allow-origin", "*"))
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def passed_on(self, body):
        skipped = ("connection", "content-length", "transfer-encoding")
        # The host stays: settings name it as the place to send events to.
        headers = {name: value for name, value in self.headers.items() if name.lower() not in skipped}
        url = f"http://127.0.0.1:{server}{self.path}"
        request = urllib.request.Request(url, body or None, headers, method=self.command)
        try:
            answer = urllib.request.urlopen(request)
        except urllib.error.HTTPError as refusal:
            answer = refusal
        with answer:
            kept = [(name, value) for name, value in answer.headers.items() if name.lower() not in skipped]
            kept = [(name, value) for name, value in kept if name.lower() not in ("date", "server")]
            return answer.status, kept, answer.read()

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", port), Proxy).serve_forever()
