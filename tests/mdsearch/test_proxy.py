"""`mdsearch proxy`: what is measured decides, and what is written is a proxy that a search takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import mdsearch
import training.timing
from mdsearch.commands.proxy import MeasuredProxy, main, proposal
from search.checks import check
from space.prices.macs import price
from space.proxy import Proxy
from space.shared.plain import InputError
from training.trainer import Trainer

SPACE = """levels:
  level_1: {channels: [128, 192]}
  level_2: {channels: [256, 320], layers_down: [0, 1], layers_up: [1], cross_attention: [true]}
  level_3: {channels: [512]}
  level_4: {channels: [640, 768], conv: [separable], layers_down: [1], layers_up: [1], self_attention: [true]}
"""


@pytest.fixture(autouse=True)
def measured_by_its_size(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A second for each 0.1 GMACs of the narrowed network."""

    def seconds(trainer: Trainer) -> float:
        return price(trainer.architecture).gmacs * 10

    monkeypatch.setattr(training.timing, "seconds_per_step", seconds)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "four.yaml").write_text(SPACE)


def test_it_writes_a_proxy_that_a_search_of_this_space_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["space=./four.yaml", "out=mine.yaml", "minutes=3"]) == 0
    told = capsys.readouterr().out
    line = next(line for line in told.splitlines() if line.startswith("mdsearch search"))
    _, _, *words = line.split()
    assert words == ["space=./four.yaml", "proxy=mine.yaml", "data.image_size_px=64"]
    settings = mdsearch.settings(*words, "data.scenes=64")
    assert settings.proxy == Proxy(16, 14, 32, 12, 48, 4, 4)
    check(settings)


def test_what_is_measured_is_told_and_the_largest_that_is_fast_enough_proposed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["space=./four.yaml", "format=json", "minutes=9"]) == 0
    told = json.loads(capsys.readouterr().out)
    times = [one["minutes"] for one in told["measured"]]
    assert times == sorted(times) and times[-1] > 18 > times[-2]
    assert told["proposed"]["minutes"] == max(minutes for minutes in times if minutes <= 9)
    assert all(one["tokens"] == one["inner_size"] ** 2 for one in told["measured"])
    assert all(one["proxy"]["latent_size"] == 8 * one["inner_size"] for one in told["measured"])
    assert all(one["image_size_px"] == 2 * one["proxy"]["latent_size"] for one in told["measured"])


def test_the_fastest_is_proposed_where_none_is_fast_enough() -> None:
    slow, slower = (MeasuredProxy(Proxy(2), 16, 2, 1, seconds) for seconds in (3.0, 4.0))
    assert proposal([slower, slow], steps=60, minutes=2.9) is slow
    assert proposal([slower, slow], steps=60, minutes=3.5) is slow
    assert proposal([slower, slow], steps=60, minutes=4.0) is slower


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("image_size_px=40", "image_size_px: 40 .* multiples of 16, the nearest is 32"),
        ("image_size_px=0", "image_size_px: 0 .* nearest is 16"),
        ("minutes=0", "minutes: 0 is no time"),
        ("steps=0", "steps: 0 is too few"),
        ("out=mine.yml", r"out: 'mine\.yml' is no preset"),
    ],
)
def test_what_cannot_be_is_refused(word: str, said: str) -> None:
    with pytest.raises(InputError, match=f"^{said}"):
        main(["space=./four.yaml", word])


def test_one_image_size_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["space=./four.yaml", "image_size_px=64", "training.latents.factor=4", "format=json"]) == 0
    told = json.loads(capsys.readouterr().out)["proposed"]
    assert (told["image_size_px"], told["proxy"]["latent_size"], told["proxy"]["latent_channels"]) == (
        64,
        16,
        50,
    )
