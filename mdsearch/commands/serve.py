"""`mdsearch serve`: ask and tell over HTTP, for training in any language and anywhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from space.shared.plain import InputError, from_plain, nearest

if TYPE_CHECKING:
    from search.ask_tell import Asked, AskTell

MOST_BYTES = 1 << 20  # of a request
Answer = dict[str, Any]


@dataclass(frozen=True)
class TellRequest:
    """What /tell takes."""

    key: str
    step: int
    scores: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class FailRequest:
    """What /fail takes."""

    key: str
    reason: str


def main(words: list[str]) -> int:
    from rich.console import Console

    from analysis.live import STANDARD
    from analysis.tables import result_table
    from mdsearch.api import serve_settings
    from search.ask_tell import AskTell

    settings, where, overrides = serve_settings(words)
    with AskTell(settings, overrides, STANDARD) as search:
        with server_of(search, where.host, where.port) as server:
            host, port = server.server_address[:2]
            print(f"{search.folder}: http://{host!s}:{port}; Ctrl-C ends it, and resume= goes on", flush=True)
            with suppress(KeyboardInterrupt):
                server.serve_forever()
        result = search.close()
    Console().print(result_table(result.history))
    print(f"\nreport: {result.report}")
    return 130 if result.interrupted else 0


def server_of(search: AskTell, host: str, port: int | None) -> ThreadingHTTPServer:
    """Raises InputError where the address cannot be had."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(HTTPStatus.OK, {"finished": search.finished, "folder": str(search.folder)})

        def do_POST(self) -> None:
            try:
                self._answer(HTTPStatus.OK, answer(search, self.path, self._body()))
            except InputError as error:
                self._answer(HTTPStatus.BAD_REQUEST, {"error": str(error)})

        def _body(self) -> Any:
            length = int(self.headers.get("Content-Length") or 0)
            if length > MOST_BYTES:
                raise InputError(f"request: {length} bytes are too many; allowed: up to {MOST_BYTES}")
            try:
                return json.loads(self.rfile.read(length) or b"{}")
            except ValueError as error:
                raise InputError(f"request: not JSON: {error}") from None

        def _answer(self, status: HTTPStatus, plain: Answer) -> None:
            text = json.dumps(plain).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *arguments: object) -> None:
            """The record says what happened."""

    try:
        return ThreadingHTTPServer((host, port or 0), Handler)
    except OSError as error:
        raise InputError(f"host, port: {host}:{port} cannot be had: {error.strerror}") from None


def answer(search: AskTell, path: str, body: Any) -> Answer:
    """What a request is answered. Raises InputError, which says what is wrong with it."""
    if path not in ANSWERS:
        raise InputError(f"{path}: no such request; {nearest(path, ANSWERS)}")
    return ANSWERS[path](search, body)


def _ask(search: AskTell, body: Any) -> Answer:
    return _plain(search.ask()) | {"finished": search.finished}


def _tell(search: AskTell, body: Any) -> Answer:
    request: TellRequest = from_plain(TellRequest, body)
    told = search.tell(request.key, request.step, request.scores, seconds=request.seconds)
    return {"state": told.state, "reason": told.reason, "finished": search.finished}


def _fail(search: AskTell, body: Any) -> Answer:
    request: FailRequest = from_plain(FailRequest, body)
    search.fail(request.key, request.reason)
    return {"finished": search.finished}


ANSWERS: Mapping[str, Callable[[AskTell, Any], Answer]] = {"/ask": _ask, "/tell": _tell, "/fail": _fail}


def _plain(asked: Asked | None) -> Answer:
    if asked is None:
        return {"key": None}
    networks = {"architecture": asked.architecture.to_plain(), "trained": asked.trained.to_plain()}
    others = {"key": asked.key, "name": asked.name, "seed": asked.seed, "from_step": asked.from_step}
    return others | networks | {"rungs": list(asked.rungs), "id": asked.architecture.id}
