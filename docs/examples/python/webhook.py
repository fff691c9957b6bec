"""Receives the events of tasks as webhooks, and prints them, with the standard library alone."""

import base64
import hashlib
import hmac
import http.server
import json
import os
import sys
import time

TOLERANCE = 5 * 60  # Seconds.
MAX_BODY = 64 * 1024

KEY = base64.b64decode(os.environ["REFRACT_WEBHOOK_SECRET"].removeprefix("whsec_"), validate=True)
if len(KEY) < 24:
    sys.exit("REFRACT_WEBHOOK_SECRET is not a secret of a webhook endpoint")  # With an empty key, anyone could sign.


def verify(headers, body):
    """Returns the event in a request, or raises ValueError. The body is that of the request, byte for byte."""
    event_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if "." in event_id or not timestamp.isascii() or not timestamp.isdigit():
        raise ValueError("a header is malformed")
    digest = hmac.digest(KEY, f"{event_id}.{timestamp}.".encode() + body, hashlib.sha256)
    expected = b"v1," + base64.b64encode(digest)
    # During a rotation, there is one signature for each secret.
    signatures = headers.get("webhook-signature", "").encode().split(b" ")
    if not any(hmac.compare_digest(signature, expected) for signature in signatures):
        raise ValueError("no signature matches")
    if abs(time.time() - int(timestamp)) > TOLERANCE:
        raise ValueError("the request is old, or a clock is wrong")
    return json.loads(body)


def handle(event_id, event):
    """Is called at least once for each event. An exception leads to another call, later."""
    # Here: store the id and what follows from the event in one transaction. An id that is there already was handled.
    task = event["data"]
    print(event_id, event["type"], task.get("state"), len(task.get("outputs", [])), flush=True)


class Receiver(http.server.BaseHTTPRequestHandler):
    timeout = 15

    def do_POST(self):
        try:
            size = int(self.headers.get("Content-Length", ""))
            if not 0 <= size <= MAX_BODY:
                raise ValueError("the body is too large")
            event = verify(self.headers, self.rfile.read(size))
        except ValueError as e:
            print("refused:", e, file=sys.stderr)
            self.answer(400)
            return
        try:
            handle(self.headers["webhook-id"], event)
            self.answer(204)
        except Exception as e:
            print("failed:", e, file=sys.stderr)
            self.answer(500)

    def answer(self, status):
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_):
        pass


def main():
    host, port = os.environ.get("ADDRESS", "127.0.0.1:3000").split(":")
    server = http.server.ThreadingHTTPServer((host, int(port)), Receiver)
    print(f"http://{host}:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
