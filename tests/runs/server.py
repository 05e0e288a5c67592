"""A stand-in for W&B's server that can fall silent or drop connections: it takes runs, files and rows."""

import gzip
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Server"]

_PROJECT = {"id": "p", "name": "lightning-gen", "entity": {"id": "e", "name": "me"}}
_ANSWERS: dict[str, Any] = {
    "viewer": {"id": "u", "entity": "me", "username": "me", "flags": "{}", "teams": {"edges": []}},
    "serverInfo": {"features": [], "cliVersionInfo": {"max_cli_version": "0.99.0"}},
    "model": {**_PROJECT, "bucket": None},
    "project": {**_PROJECT, "run": None},
}


class Server:
    """On a port of this machine, as a context; `state` is ``up``, ``silent`` (takes requests, never answers) or
    ``down`` (drops connections).

    Args:
        then: its state once it has `after` rows of history; what it was asked last stays without an answer.
        after: number of rows.
    """

    def __init__(self, then: str = "up", after: int = 0) -> None:
        self.state, self.then, self.after = "up", then, after
        self.rows: dict[int, dict[str, Any]] = {}  # of the history, by their place
        self.refused = 0
        self.exit: Any = None
        handler = type("Handler", (_Handler,), {"owner": self})
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.http.handle_error = lambda *_: None  # a client that has hung up is what the tests are about
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"

    def __enter__(self) -> "Server":
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.state = "down"
        self.http.shutdown()
        self.http.server_close()

    def answer(self, path: str, body: bytes) -> Any:
        """What a request with this body is answered."""
        if path.endswith("/file_stream"):
            sent = json.loads(body)
            for name, chunk in sent.get("files", {}).items():
                if name == "wandb-history.jsonl":
                    rows = {chunk["offset"] + i: json.loads(line) for i, line in enumerate(chunk["content"])}
                    self.rows |= rows
            if self.then != "up" and len(self.rows) >= self.after:
                self.state, self.then = self.then, "up"
            if sent.get("complete"):
                self.exit = sent.get("exitcode")
            return {"exitcode": None, "limits": {}}
        return self._query(json.loads(body)) if path.endswith("/graphql") else {}

    def _query(self, asked: dict[str, Any]) -> Any:
        query, variables = asked["query"], asked.get("variables") or {}
        if "upsertBucket" in query:
            name = variables.get("name") or variables.get("id")
            bucket = {"id": "b", "name": name, "displayName": name, "config": "{}", "project": _PROJECT}
            return {"data": {"upsertBucket": {"bucket": {**bucket, "historyLineCount": 0}, "inserted": True}}}
        if "createRunFiles" in query:
            files = [{"name": name, "uploadUrl": f"{self.url}/put/{name}"} for name in variables.get("files", [])]
            return {"data": {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}}
        known = {key: value for key, value in _ANSWERS.items() if re.search(rf"\b{key}\b", query)}
        return {"data": known}


class _Handler(BaseHTTPRequestHandler):
    owner: Server
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        if self.owner.state != "up":
            return self._fail()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
        text = json.dumps(self.owner.answer(self.path, body)).encode()
        if self.owner.state != "up":
            return self._fail()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _fail(self) -> None:
        self.owner.refused += 1
        while self.owner.state == "silent":
            time.sleep(0.05)
        self.close_connection = True

    do_GET = do_POST = do_PUT = _serve  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Not on the console."""
