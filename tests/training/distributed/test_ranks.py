"""What a worker knows of the others where there are none, and of the environment."""

from __future__ import annotations

import os

import pytest

from space.shared.plain import InputError
from training.distributed.launch import is_of_others, last_word_of
from training.distributed.ranks import FirstFailed, RankGroup, given_workers
from training.failures import Diverged, OutOfMemory


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_alone_nobody_is_asked() -> None:
    ranks, done = RankGroup(), list[int]()
    ranks.asks = lambda: True
    ranks.first(lambda: done.append(1))
    assert (done, ranks.asked, ranks.is_first, ranks.total(2.5), ranks.in_turn(lambda: 7)) == (
        [1],
        True,
        True,
        2.5,
        7,
    )
    ranks.check_same({"data": "abc"})
    with pytest.raises(Diverged, match="NaN"):
        ranks.first(_diverge)


def _diverge() -> None:
    raise Diverged("loss is NaN")


def test_the_environment_says_how_many_workers_there_are(environment: pytest.MonkeyPatch) -> None:
    assert given_workers() is None
    for name, value in (("RANK", "1"), ("WORLD_SIZE", "4"), ("MASTER_ADDR", "localhost")):
        environment.setenv(name, value)
    with pytest.raises(InputError, match="MASTER_PORT: not set"):
        given_workers()
    environment.setenv("MASTER_PORT", "29500")
    assert given_workers() == 4 and os.environ["RANK"] == "1"


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (Diverged("loss is NaN at step 3"), "raised", "loss is NaN at step 3"),
        (InputError("3.png:\nunreadable"), "raised", "3.png: unreadable"),
        (OutOfMemory("CUDA out of memory", 4), "memory", "CUDA out of memory"),
        (RuntimeError("[gloo/transport/tcp/pair.cc:553] Connection closed by peer"), "left alone", ""),
        (FirstFailed("ValueError: no"), "left alone", ""),
        (KeyboardInterrupt(), "interrupted", ""),
    ],
)
def test_how_a_worker_ended_is_told_in_a_word(error: BaseException, kind: str, text: str) -> None:
    def work() -> None:
        raise error

    word = last_word_of(work)
    assert word.kind == kind and word.text.startswith(text) and "\n" not in word.text
    assert is_of_others(error) == (kind == "left alone")
