"""`mdsearch evaluate compare=`: which of two sheets is better, and which do not compare."""

from __future__ import annotations

from pathlib import Path

import pytest

from mdsearch.commands import evaluate
from tests.evaluators.command import noise, refusal, sheet_of, with_, write_images


def test_better_is_said_where_the_intervals_allow_it(
    words: list[str], sets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad, alike = (f"{tmp_path / name}" for name in ("good", "bad", "alike"))
    sheet_of(with_(words, f"out={good}"))
    sheet_of(with_(words, f"out={bad}", f"images={sets / 'dark'}"))
    other = write_images(tmp_path / "other", noise(60, seed=9))
    sheet_of(with_(words, f"out={alike}", f"images={other}"))
    for one, two, verdict in ((good, bad, "better"), (bad, good, "worse"), (good, alike, "undecided")):
        capsys.readouterr()
        assert evaluate.main([f"compare={one},{two}/scores.json"]) == 0
        assert verdict in capsys.readouterr().out


def test_other_protocols_do_not_compare_unless_what_differs_is_the_question(
    words: list[str], tmp_path: Path
) -> None:
    sheet_of(with_(words, f"out={tmp_path / 'a'}"))
    sheet_of(with_(words, f"out={tmp_path / 'b'}", "evaluators.images.crop=center"))
    message = refusal([f"compare={tmp_path / 'a'},{tmp_path / 'b'}"])
    assert "do not compare: images.crop: none against center" in message
    assert evaluate.main([f"compare={tmp_path / 'a'},{tmp_path / 'b'}", "but_for=images.crop"]) == 0


def test_scores_that_were_changed_by_hand_are_refused(words: list[str], tmp_path: Path) -> None:
    sheet_of(words)
    file = tmp_path / "out" / "scores.json"
    file.write_text(file.read_text().replace('"samples": 60', '"samples": 30000'))
    assert "is not that of the protocol beside it" in refusal([f"compare={file},{file}"])
