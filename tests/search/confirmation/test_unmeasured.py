"""Noise of another protocol decides nothing: not who is stopped, who leads, or who is better."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis.findings import all_verdicts
from conf.compose import compose
from mdsearch.commands import noise as command
from search.confirmation.confirmation import ConfirmationSettings
from search.confirmation.leading import lead
from search.confirmation.unmeasured import (
    keep_command,
    measure_command,
    noise_note,
    repeats_of,
    what_to_measure,
    why_unknown,
)
from search.runs.bundle import RECORDED_FILE, read_bundle
from search.runs.compatibility import field_differences, protocol_difference, protocol_parts
from search.runs.header import foreign_to, noise_here, noise_of, noise_of_rule, objectives_of
from search.runs.record import History
from search.statistics.noise import Noise, noise_from_plain
from space.shared.plain import InputError, from_plain, to_plain
from tests.search.histories import MD, MD_LITE, NOISE, confirm, end, open_run, propose, score


def searched(folder: Path, measured_under: Any, *, seeds: int = 1, **changes: Any) -> History:
    """One trial against MD, apart by far more than the noise that the header states (12 % at step 400)."""
    record = open_run(folder, noise={"rungs": NOISE, "measured_under": measured_under}, **changes)
    key = propose(record, MD_LITE)
    for step in (100, 200, 400):
        score(record, key, step, 4.0, 0.8, "end" if step == 400 else "continue")
    end(record, key)
    confirm(
        record, "trial 0", MD_LITE, [(5.0 + 0.1 * seed, 0.8 + 0.01 * (seed % 2)) for seed in range(seeds)]
    )
    confirm(record, "md", MD, [(10.0 - 0.1 * seed, 0.5 - 0.01 * (seed % 2)) for seed in range(seeds)])
    record.close()
    return record.history


def parts_of(tmp_path: Path, **changes: Any) -> tuple[str, ...]:
    return protocol_parts(searched(tmp_path / "measured", [], **changes).header)


def test_noise_measured_under_this_protocol_decides_after_one_seed(tmp_path: Path) -> None:
    history = searched(tmp_path / "run", list(parts_of(tmp_path)))
    assert [verdict.word for verdict in all_verdicts(history)] == ["better"]
    assert why_unknown(history.header) == ""


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"data": {"name": "folder", "folder": "photos"}}, "data"),
        ({"proxy": {"width_divisor": 4}}, "proxy"),
        ({"training": {"batch": 8, "learning_rate": 0.002}}, "training"),
        ({"objectives": {"fid": "fid_random_network", "clip": "clip_embedded"}}, "scores"),
    ],
)
def test_noise_of_another_protocol_decides_nothing(
    tmp_path: Path, changes: dict[str, Any], part: str
) -> None:
    history = searched(tmp_path / "run", list(parts_of(tmp_path)), **changes)
    (verdict,) = all_verdicts(history)
    assert verdict.word == "undecided" and not any(each.known for each in verdict.differences)
    assert why_unknown(history.header).endswith(f" other {part}")
    noise = noise_of(history)
    assert noise is not None and not noise.known(objectives_of(history))
    assert noise_of_rule(history).at(400).deviations(objectives_of(history)) == [None, None]


def test_noise_of_which_nobody_knows_where_it_was_measured_decides_nothing(tmp_path: Path) -> None:
    history = searched(tmp_path, None)
    assert [verdict.word for verdict in all_verdicts(history)] == ["undecided"]
    assert "measured_under" in why_unknown(history.header)


def test_what_is_stated_for_other_steps_says_nothing_of_a_longer_run(tmp_path: Path) -> None:
    history = searched(tmp_path, [])
    longer = history.header | {"rungs": [100, 800, 1600]}
    assert why_unknown(longer).endswith(" step 1600")
    between = history.header | {"rungs": [100, 300, 400]}
    assert why_unknown(between) == "" and "for step 300, where it stops no trial" in noise_note(between)
    assert noise_note(history.header) == ""
    at = noise_here(longer).at
    assert at(100).fid_relative == 0.1 and at(800).deviations(objectives_of(history)) == [None, None]


def test_repeated_seeds_of_the_run_itself_decide(tmp_path: Path) -> None:
    few = searched(tmp_path / "two", list(parts_of(tmp_path)), seeds=2, data={"name": "folder"})
    assert [verdict.word for verdict in all_verdicts(few)] == ["undecided"]
    many = searched(tmp_path / "six", list(parts_of(tmp_path)), seeds=6, data={"name": "folder"})
    assert [verdict.word for verdict in all_verdicts(many)] == ["better"]
    assert repeats_of(many) == 10


def test_who_leads_by_unknown_noise_is_a_guess(tmp_path: Path) -> None:
    """A run that is far behind is not called beaten, by no or by a few repeats; by enough it is."""
    record = open_run(tmp_path, noise={"rungs": NOISE, "measured_under": None})
    for fid, clip in ((10.0, 0.5), (80.0, 0.1)):
        key = propose(record, MD_LITE)
        score(record, key, 400, fid, clip, "end")
        end(record, key)
    found = lead(record.history)
    assert found is not None and not found.known and "guess" in found.sentence()
    assert [trial.name for trial in found.tied] == ["trial 1"]
    confirm(record, "md", MD, [(10.0 + seed, 0.5) for seed in range(3)])
    found = lead(record.history)
    assert found is not None and [trial.name for trial in found.tied] == ["trial 1"]
    confirm(record, "md_lite", MD_LITE, [(10.0 + seed, 0.5 + 0.01 * seed) for seed in range(6)])
    record.close()
    found = lead(record.history)
    assert found is not None and found.known and not found.tied


def test_a_single_trial_is_compared_with_no_other(tmp_path: Path) -> None:
    found = lead(searched(tmp_path, []))
    assert found is not None and found.among == 1 and "No trial but trial 0" in found.sentence()


# ---------------------------------------------------------------------- what measures it


def test_the_commands_that_measure_are_what_they_take(tmp_path: Path) -> None:
    history = searched(tmp_path / "my run", None)
    folder = tmp_path / "my run"
    name, verb, run, *words = shlex.split(measure_command(history, folder))
    assert (name, verb, run) == ("mdsearch", "confirm", str(folder))
    plain = {key: value for key, value in compose("confirm", words).items() if key != "runs_folder"}
    plain.pop("run")
    settings = from_plain(ConfirmationSettings, plain)
    assert settings.seeds == 3 and settings.minutes is None
    assert measure_command(history, folder) in what_to_measure(history, folder)
    alone = searched(tmp_path / "alone", None, references=["md"])
    assert "references=[md]" in measure_command(alone, folder)
    more = searched(tmp_path / "more", None, seeds=4)
    assert "seeds=6" in measure_command(more, tmp_path / "more")  # as many again would change nothing
    assert keep_command(tmp_path / "more") in what_to_measure(more, tmp_path / "more")


def test_the_command_that_measures_gives_enough_repeats_to_decide_whoever_races(tmp_path: Path) -> None:
    """Of one network as of two: by less, the next search would call what it measured too few."""
    for name, references, seeds in (("alone", [], 7), ("two", ["md"], 4), ("three", ["md", "md_lite"], 3)):
        history = searched(tmp_path / name, None, seeds=0, references=references)
        assert f"seeds={seeds}" in measure_command(history, tmp_path / name)
    few = searched(tmp_path / "few", None, seeds=2, references=["md"])
    assert repeats_of(few) == 2
    assert measure_command(few, tmp_path / "few") in what_to_measure(few, tmp_path / "few")


def test_the_noise_that_a_run_shows_is_written_for_its_own_protocol(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of its repeats alone, where the noise that it states is another protocol's."""
    history = searched(tmp_path / "run", None, seeds=4)
    out = tmp_path / "mine.yaml"
    assert command.main([str(tmp_path / "run"), f"out={out}"]) == 0
    assert "Not stated here" in capsys.readouterr().out
    written = from_plain(Noise, yaml.safe_load(out.read_text()))
    assert written.measured_under == protocol_parts(history.header)
    assert [rung.step for rung in written.rungs] == [400] and written.degrees_of_freedom == 6
    again = searched(tmp_path / "again", list(written.measured_under or ()))
    assert noise_here(again.header).known(objectives_of(again))

    searched(tmp_path / "one", None)
    with pytest.raises(InputError, match=r"two seeds.*; first: mdsearch confirm .*one seeds=3 minutes=null"):
        command.main([str(tmp_path / "one"), f"out={out}"])


def test_a_part_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="measured_under: 'scenes' is no part"):
        noise_from_plain({"rungs": NOISE, "measured_under": ["scenes"]})


# ---------------------------------------------------------------------- what is recorded


@pytest.fixture(scope="module")
def recorded() -> dict[str, History]:
    wanted = ("table", "before-0", "after-0", "long", "bigger")
    return {name: run.history for name, run in read_bundle(RECORDED_FILE).items() if name in wanted}


def test_the_noise_of_the_default_belongs_to_what_was_recorded(recorded: dict[str, History]) -> None:
    preset = from_plain(Noise, compose("search", [])["noise"])
    assert preset.measured_under == protocol_parts(recorded["table"].header)
    header = recorded["after-0"].header | {"noise": to_plain(preset)}
    assert noise_here(header).at(500).fid_relative == 0.081 and why_unknown(header) == ""


def test_records_of_before_keep_their_noise_but_where_it_was_another_proxys(
    recorded: dict[str, History],
) -> None:
    known = {
        name: [step for step in history.header["rungs"] if _known_at(history, step)]
        for name, history in recorded.items()
    }
    short = [125, 250, 500]
    assert known == {"table": short, "before-0": short, "after-0": short, "long": [500], "bigger": []}
    assert noise_of_rule(recorded["bigger"]).at(500).fid_relative == 0.081  # as its rule was made


def test_a_run_of_before_is_gone_on_with_although_its_settings_do_not_say_where_noise_is_from() -> None:
    preset = to_plain(from_plain(Noise, compose("search", [])["noise"]))
    before = {name: value for name, value in preset.items() if name != "measured_under"}
    assert from_plain(Noise, before) == from_plain(Noise, preset)


def _known_at(history: History, step: int) -> bool:
    return noise_here(history.header).at(step).deviations(objectives_of(history)) != [None, None]


# ---------------------------------------------------------------------- what moves no score


VALIDATED = [
    {"name": "fid_embedded_clip", "direction": "minimize", "scale": "log", "label": "FID"},
    {"name": "clip_embedded", "direction": "maximize", "scale": "linear", "label": "CLIP"},
    {"name": "validation_loss", "direction": "minimize", "scale": "log", "label": "validation_loss"},
]


@pytest.mark.parametrize(
    ("changes", "foreign"),
    [
        ({}, []),
        ({"device": "cpu"}, []),
        ({"device": "cpu", "precision": "fp32"}, []),
        ({"device": "cuda"}, []),
        ({"validation_images": 64}, []),
        ({"device": "cpu", "precision": "bf16"}, ["training"]),
        ({"precision": "bf16"}, ["training"]),
        ({"learning_rate": 0.002}, ["training"]),
        ({"sampling_steps": 12}, ["training"]),
    ],
)
def test_the_noise_of_the_default_decides_wherever_its_scores_are_the_same(
    recorded: dict[str, History], changes: dict[str, Any], foreign: list[str]
) -> None:
    """A device that is named, and how many images are validated, move no score of images."""
    header = dict(recorded["table"].header)
    header |= {"training": header["training"] | changes, "noise": compose("search", [])["noise"]}
    assert foreign_to(header["noise"]["measured_under"], header) == foreign
    other = History(header=header)
    assert bool(protocol_difference(recorded["table"], other)) == bool(foreign)


def test_validation_images_count_where_the_validation_loss_is_an_objective(
    recorded: dict[str, History],
) -> None:
    ours = recorded["table"].header | {"objectives": VALIDATED}
    theirs = ours | {"training": ours["training"] | {"validation_images": 64}}
    assert foreign_to(protocol_parts(ours), ours) == []
    assert foreign_to(protocol_parts(ours), theirs) == ["training"]
    assert field_differences(ours, theirs, ["training"]) == ["training.validation_images: 256 against 64"]


def test_two_devices_of_two_precisions_do_not_compare(recorded: dict[str, History]) -> None:
    """Each by itself is what `auto` would be; together their settings say that they differ."""
    header = recorded["table"].header
    on_cpu, on_cuda = (
        header | {"training": header["training"] | {"device": device}} for device in ("cpu", "cuda")
    )
    assert field_differences(on_cpu, on_cuda, ["training"]) == ["training.precision: fp32 against bf16"]
    same = on_cuda | {"training": on_cuda["training"] | {"precision": "fp32"}}
    assert field_differences(on_cpu, same, ["training"]) == []


def test_digests_that_an_earlier_version_stored_of_such_settings_stay_valid(
    recorded: dict[str, History],
) -> None:
    """They counted the device and the validated images."""
    header = recorded["table"].header
    header = header | {"training": header["training"] | {"device": "cpu", "validation_images": 64}}
    stored = protocol_parts(header, as_before=True)
    assert "training-f6cb149907f5" in protocol_parts(header) and "training-f6cb149907f5" not in stored
    assert foreign_to(stored, header | {"noise": {"measured_under": list(stored)}}) == []
