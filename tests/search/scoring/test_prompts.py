"""Scores by prompts of a file, in place of the held-out captions of a search's data."""

from __future__ import annotations

from pathlib import Path

import pytest

from conf.repeated import without
from evaluators.protocols.protocol import captions_digest
from search.checks import check
from search.prompts import kept_captions
from search.run import execute
from search.runs.record import read_history
from space.shared.plain import InputError
from tests.evaluators.conftest import TINY_CLIP, inception_files, tiny_clip_weights
from tests.search.scoring.test_search import TINY, one_thread, settings_of

__all__ = ["inception_files", "one_thread", "tiny_clip_weights"]


def test_prompts_of_a_file_stay_in_the_run(tmp_path: Path, tiny_clip_weights: Path) -> None:
    words = (*TINY, f"weights.files.{TINY_CLIP}={tiny_clip_weights}", f"runs_folder={tmp_path}")
    file, texts = tmp_path / "coco.txt", [f"prompt {number}" for number in range(14)]
    file.write_text("\n".join(texts))
    every = without(words, ["trials=1", "enqueue=[md]", "rungs=[1]"])
    every += ["trials=1", "enqueue=[md]", "rungs=[1]", "name=prompts", f"scoring.captions={file}"]
    folder = execute(settings_of(*every), every).folder
    history = read_history(folder)
    assert history.header["protocol"]["captions"]["digest"] == captions_digest(texts[:12])
    assert kept_captions(folder / "evaluator") == texts[:12]
    assert not (folder / "evaluator" / "real.png").exists()  # of these captions there are no images
    moved = file.rename(tmp_path / "moved.txt")
    again = [f"resume={folder}", f"scoring.captions={moved}"]
    assert execute(settings_of(*again), again).folder == folder
    file.write_text("\n".join(texts[:5]))
    with pytest.raises(InputError, match=r"scoring\.captions: .* holds 5; .* nearest: scoring\.images=5"):
        check(settings_of(*every))
