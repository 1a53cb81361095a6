"""Ask and tell over HTTP: the same answers, and who may ask."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

import mdsearch
from mdsearch.api import serve_settings
from mdsearch.commands.serve import server_of
from search.ask_tell import AskTell
from search.ask_tell_settings import ServeAddress
from search.runs.record import read_history
from search.toy import RUNGS, scores_at
from space.shared.plain import InputError
from tests.search.test_ask_tell import NAMES, settings_in


def test_over_http_it_is_the_same(tmp_path: Path) -> None:
    with AskTell(settings_in(tmp_path, trials=1)) as search, server_of(search, ServeAddress()) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()

        def post(path: str, body: Any) -> Any:
            url = f"http://127.0.0.1:{server.server_address[1]}{path}"
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            try:
                with urllib.request.urlopen(urllib.request.Request(url, data), timeout=60) as answer:
                    return json.loads(answer.read())
            except urllib.error.HTTPError as error:
                return error.code, json.loads(error.read())["error"]

        asked = post("/ask", {})
        assert (asked["key"], asked["rungs"], asked["finished"]) == ("0", list(RUNGS), False)
        network = mdsearch.Architecture.from_plain(asked["architecture"])
        assert network.id == asked["id"] and post("/ask", {})["key"] is None
        point = dict(zip(NAMES, scores_at(network, 100).values, strict=True))
        assert post("/tell", {"key": "0", "step": 100, "scores": point})["state"] == "running"
        status, told = post("/tell", {"key": "0", "step": 100})
        assert status == 400 and told.startswith(f"trial 0: objectives: {NAMES[0]!r} ")
        assert post("/tell", b"{")[0] == 400 and "did you mean '/tell'" in post("/tel", {})[1]
        assert post("/fail", {"key": "0", "reason": "lost"}) == {"finished": True}
        server.shutdown()
        thread.join()


def asked_over_http(url: str, path: str = "", token: str | None = None) -> int:
    data = b"{}" if path else None
    headers = {} if token is None else {"Authorization": token}
    try:
        with urllib.request.urlopen(urllib.request.Request(url + path, data, headers), timeout=60) as answer:
            status: int = answer.status
            return status
    except urllib.error.HTTPError as error:
        assert (error.code, error.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert "needed: Bearer <token>" in json.loads(error.read())["error"]
        return error.code


@pytest.mark.parametrize(
    ("where", "asks"),
    [
        (ServeAddress(), False),
        (ServeAddress("localhost"), False),
        (ServeAddress(token="secret"), True),
        (ServeAddress("0.0.0.0"), True),
        (ServeAddress("0.0.0.0", token="secret"), True),
    ],
)
def test_who_may_ask(where: ServeAddress, asks: bool, tmp_path: Path) -> None:
    with AskTell(settings_in(tmp_path)) as search, server_of(search, where) as server:
        assert (server.token is not None) == asks and server.token != ""
        assert where.token in (None, server.token)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        for wrong in (None, "", "Bearer ", "Bearer secre", "secret", "Bearer größe", "Basic secret"):
            for path in ("", "/ask", "/tell"):
                if asks:
                    assert asked_over_http(url, path, wrong) == 401
        right = f"Bearer {server.token}"
        assert asked_over_http(url, "", right) == asked_over_http(url, "/ask", right) == 200
        server.shutdown()
        thread.join()
    assert len(read_history(tmp_path / "told").by_key) == 1  # whom the server turned away asked for nothing


def test_a_token_is_kept_nowhere_and_is_text(tmp_path: Path) -> None:
    words = ["rungs=[10]", "start={fid: 300, clip: 0.1}", f"runs_folder={tmp_path}", "token=0123"]
    _, where, kept = serve_settings(words)
    assert where.token == "0123" and kept == words[:-1]
    for token in ("", "a b", "größe", "a\nb"):
        with pytest.raises(InputError, match="token: is not possible"):
            ServeAddress(token=token)
