"""`mdsearch count check=true`: our price beside two counters, and status 1 where they disagree."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mdsearch.commands.count import main
from space.architecture import Architecture, Level
from space.prices import check
from space.prices.macs import price
from space.shared.plain import InputError

NARROW = Architecture(
    (Level(32, "full", (0,), (0, 0)), Level(64, "separable", (1,), (1, 1), self_attention=True)),
    latent_size=8,
)


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    (tmp_path / "narrow.yaml").write_text(NARROW.to_yaml(), encoding="utf-8")
    return [f"arch_file={tmp_path / 'narrow.yaml'}", "check=true", "against=null"]


def test_json_holds_the_opinions(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "format=json"]) == 0
    opinions = json.loads(capsys.readouterr().out)["second_opinions"]
    cost = price(NARROW)
    assert {(found["what"], found["theirs"]) for found in opinions} == {
        ("parameters", cost.parameters),
        ("MACs", cost.macs),
        ("attention products", cost.attention_macs),
    }
    assert {found["by"] for found in opinions} == {"PyTorch", "fvcore"}
    assert {(found["difference"], found["agrees"]) for found in opinions} == {(0, True)}


def test_without_check_nothing_is_asked(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words[:1], "format=json", "check=false"]) == 0
    assert "second_opinions" not in json.loads(capsys.readouterr().out)


def test_a_planted_disagreement_ends_with_status_1(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "price", lambda a: replace_macs(price(a)))
    assert main(words) == 1
    printed = capsys.readouterr().out
    assert "disagree: PyTorch about MACs; fvcore about MACs" in printed
    assert main([*words, "format=json"]) == 1
    differing = [
        found for found in json.loads(capsys.readouterr().out)["second_opinions"] if not found["agrees"]
    ]
    assert [(found["by"], found["difference"]) for found in differing] == [("PyTorch", -7), ("fvcore", -7)]


def replace_macs(cost: object) -> object:
    return cost._replace(macs=cost.macs + 7)  # type: ignore[attr-defined]


def test_a_format_without_room_for_it_is_refused(words: list[str]) -> None:
    with pytest.raises(InputError, match="check: has no place in format=yaml"):
        main([*words, "format=yaml"])
