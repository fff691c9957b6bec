"""Submits a task over REST, follows it by server-sent events and downloads the result, with the standard library alone."""

import hashlib
import json
import os
import time
import urllib.error
import urllib.request

BASE = os.environ.get("REFRACT_URL", "http://127.0.0.1:8080")


def request(url, body=None, **headers):
    headers["Authorization"] = "Bearer " + os.environ["REFRACT_TOKEN"]
    if body is not None:
        headers["Content-Type"] = "application/json"
        body = json.dumps(body).encode()
    # A stream that is silent for 45 seconds is dead.
    return urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=45)


def follow(task_id):
    """Yields every event of a task once and in order, over as many connections as it takes."""
    revision = "0"
    while True:
        try:
            headers = {"Accept": "text/event-stream", "Last-Event-ID": revision}
            with request(f"{BASE}/v1/tasks/{task_id}:watch", **headers) as stream:
                if stream.status == 204:  # The task is terminal, and every event was read.
                    return
                message = {}
                for line in stream:
                    key, _, value = line.decode().rstrip("\n").partition(": ")
                    if key:
                        message[key] = value
                        continue
                    # An empty line ends a message: an event, a bookmark, or an error after which another stream follows.
                    if message.get("event") == "event":
                        revision = message["id"]
                        yield json.loads(message["data"])
                    message = {}
        except urllib.error.HTTPError as e:
            if e.code not in (429, 500, 502, 503, 504):
                raise RuntimeError(json.load(e)["message"]) from e
        except OSError:
            pass  # The connection broke.
        time.sleep(1)


def main():
    # The request id makes the call safe to repeat: one id, one task, one payment.
    with request(BASE + "/v1/tasks", {
        "requestId": os.environ.get("REQUEST_ID", "order-4711"),
        "prompt": "A neon city at dusk, in the rain",
        "source": {"uri": "https://example.com/clip.mp4"},
    }) as response:
        task = json.load(response)["task"]
    for event in follow(task["id"]):
        print(event["revision"], event["state"])
        for output in event.get("outputs", []):
            with request(output["downloadUri"]) as response:
                content = response.read()
            assert hashlib.sha256(content).hexdigest() == output["sha256"], "the file is damaged"
            print(len(content), "bytes")


if __name__ == "__main__":
    main()
