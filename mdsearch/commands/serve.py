"""`mdsearch serve`: ask and tell over HTTP, for training in any language and anywhere."""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from space.shared.plain import InputError, from_plain, nearest

if TYPE_CHECKING:
    from search.ask_tell import Asked, AskTell
    from search.ask_tell_settings import ServeAddress

MOST_BYTES = 1 << 20  # of a request
TOKEN_BYTES = 24
AUTHORIZATION, BEARER = "Authorization", "Bearer "
Answer = dict[str, Any]


@dataclass(frozen=True)
class TellRequest:
    """What /tell takes."""

    key: str | int
    step: int
    scores: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class FailRequest:
    """What /fail takes."""

    key: str | int
    reason: str


def main(words: list[str]) -> int:
    from analysis.live import STANDARD
    from analysis.tables import result_table
    from mdsearch.api import serve_settings
    from search.ask_tell import AskTell
    from space.shared.console import command_console

    settings, where, overrides = serve_settings(words)
    with AskTell(settings, overrides, STANDARD) as search:
        with server_of(search, where) as server:
            address, port = server.server_address[:2]
            print(
                f"{search.folder}: http://{address!s}:{port}; Ctrl-C ends it, and resume= goes on", flush=True
            )
            if server.token is not None and where.token is None:
                print(
                    f"who asks or tells sends the header {AUTHORIZATION}: {BEARER}{server.token}", flush=True
                )
            with suppress(KeyboardInterrupt):
                server.serve_forever()
        result = search.close()
    command_console().print(result_table(result.history))
    print(f"\nreport: {result.report}")
    return 130 if result.interrupted else 0


class Server(ThreadingHTTPServer):
    """With what its requests must bring along: the token, if any."""

    def __init__(self, where: ServeAddress, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__((where.host, where.port or 0), handler)
        self.token = where.token
        if self.token is None and not ip_address(str(self.server_address[0])).is_loopback:
            self.token = secrets.token_urlsafe(TOKEN_BYTES)

    def admits(self, header: str | None) -> bool:
        if self.token is None:
            return True
        given = (header or "").encode("latin-1", "replace")
        return hmac.compare_digest(given, f"{BEARER}{self.token}".encode())


def server_of(search: AskTell, where: ServeAddress) -> Server:
    """Raises InputError where the address cannot be had."""

    class Handler(BaseHTTPRequestHandler):
        server: Server

        def do_GET(self) -> None:
            if self._is_admitted():
                self._answer(HTTPStatus.OK, {"finished": search.finished, "folder": str(search.folder)})

        def do_POST(self) -> None:
            if not self._is_admitted():
                return
            try:
                self._answer(HTTPStatus.OK, answer(search, self.path, self._body()))
            except InputError as error:
                self._answer(HTTPStatus.BAD_REQUEST, {"error": str(error)})

        def _is_admitted(self) -> bool:
            if self.server.admits(self.headers.get(AUTHORIZATION)):
                return True
            wanted = f"{AUTHORIZATION}: missing or another token; needed: {BEARER}<token>"
            self._answer(HTTPStatus.UNAUTHORIZED, {"error": wanted})
            return False

        def _body(self) -> Any:
            try:
                length = int(self.headers.get("Content-Length") or 0)
            except ValueError:
                raise InputError("request: its Content-Length is no number") from None
            if not 0 <= length <= MOST_BYTES:
                raise InputError(f"request: {length} bytes are not taken; allowed: up to {MOST_BYTES}")
            try:
                return json.loads(self.rfile.read(length) or b"{}")
            except ValueError as error:
                raise InputError(f"request: not JSON: {error}") from None

        def _answer(self, status: HTTPStatus, plain: Answer) -> None:
            text = json.dumps(plain).encode()
            self.send_response(status)
            if status == HTTPStatus.UNAUTHORIZED:
                self.send_header("WWW-Authenticate", BEARER.strip())
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *arguments: object) -> None:
            """The record says what happened."""

    try:
        return Server(where, Handler)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"host, port: {where.host}:{where.port} cannot be had: {reason}") from None


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
