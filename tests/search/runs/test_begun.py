"""A search killed before anything of it was recorded starts again by the same words."""

from __future__ import annotations

from pathlib import Path

import pytest

from conf.compose import compose
from search.runs.folder import begin_record, claim_folder, stored_overrides, stored_settings
from search.runs.record import Record, read_history
from search.settings import settings_from_plain
from space.shared.plain import InputError


def begun(folder: Path, *words: str) -> None:
    """A search up to the point where its first line is recorded."""
    settings = settings_from_plain(compose("search", [f"runs_folder={folder}", "name=run", *words]))
    run = claim_folder(settings)
    record = Record(run)
    begin_record(settings, run, record, {"name": "run", "overrides": list(words)})
    record.close()


LEFT = {
    "an empty folder": {},
    "settings half written": {".config.yaml.x1": "space:\n  lev"},
    "settings alone": {"config.yaml": "seed: 7\n", ".driver": "process 1 on host"},
    "an empty record": {"config.yaml": "seed: 7\n", "record.jsonl": ""},
    "a torn first line": {"config.yaml": "seed: 7\n", "record.jsonl": '{"event":"run","na'},
}


@pytest.mark.parametrize("left", LEFT)
def test_a_search_killed_before_its_first_line_starts_again_by_the_same_words(
    left: str, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name, content in LEFT[left].items():
        (run / name).write_text(content)
    if "record.jsonl" in LEFT[left]:
        with pytest.raises(InputError, match="interrupted before anything was recorded; start it again"):
            stored_overrides(run)
    begun(tmp_path, "seed=3")
    assert stored_settings(run).seed == 3 and stored_overrides(run) == ["seed=3"]
    with pytest.raises(InputError, match="holds a run already"):
        begun(tmp_path)


def test_settings_are_there_before_the_record_says_that_there_is_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("search.runs.folder.write_whole", die)
    with pytest.raises(KeyboardInterrupt):
        begun(tmp_path)
    assert read_history(tmp_path / "run").header == {}
