"""A search over decoders, end to end: the samplers, stopping, record and report of any search."""

from __future__ import annotations

import copy
import csv
import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from analysis.replay.recheck import recheck
from mdsearch.api import any_settings_of, read_run, run_search
from mdsearch.commands.confirm import main as confirm
from mdsearch.commands.search import main
from mdsearch.commands.train_autoencoder import autoencoder_command
from search.confirmation.confirmation import ConfirmationSettings
from search.decoders.search import DecoderSearch
from search.decoders.settings import DecoderSearchSettings, decoder_settings_from_plain
from search.decoders.trial import DecoderTrialSettings
from search.runs.commands import longer_command, more_seeds_command
from search.runs.files import BEST_NAME, CSV_NAME, RECORD_NAME
from search.runs.header import noise_of, objectives_of, space_of
from search.runs.record import read_history
from search.statistics.noise import NO_NOISE
from space.autoencoder import Autoencoder
from space.decoder_space import DecoderSpace
from space.interchange.autoencoder_files import read_autoencoder
from space.prices.candidates import candidate_price
from space.prices.coverage import parts_of_space
from space.shared.plain import InputError, to_plain
from tests.space.price_lists import list_of
from training.data.factory import load_data

OWN = """schema_version: 1
latent_channels: 2
image_size: 16
encoder: {norm_groups: 4, levels: [{channels: 4, blocks: 1}, {channels: 4, blocks: 1}]}
decoder: {norm_groups: 4, levels: [{channels: 8, blocks: 2}, {channels: 8, blocks: 1}]}
"""
SPACE = """levels:
  level_1: {channels: [4, 8], blocks: [1, 2], conv: [full, plain]}
  level_2: {channels: [4, 8]}
middle_blocks: [0, 1]
norm_groups: 4
"""
SHORT = (
    "backend=inline", "budget=none", "sampler=random", "stopping=none", "encoder_steps=2", "rungs=[1,2]",
    "trials=2", "scored_images=8", "data.scenes=720", "data.image_size_px=16", "reconstruction.batch_size=4",
    "reconstruction.validation_images=4", "reconstruction.device=cpu", "perceptual=none",
)  # fmt: skip


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("decoders")
    (folder / "own.yaml").write_text(OWN)
    (folder / "ranges.yaml").write_text(SPACE)
    places = {
        "space": "ranges.yaml",
        "autoencoder": "own.yaml",
        "runs_folder": "runs",
        "cache_folder": "cache",
    }
    return [*SHORT, *(f"{name}={folder / place}" for name, place in places.items())]


@pytest.fixture(scope="module")
def run(words: list[str]) -> Path:
    torch.set_num_threads(1)
    own = next(word.partition("=")[2] for word in words if word.startswith("autoencoder="))
    settings, given = any_settings_of([*words, "name=first", f"enqueue=[{own}]"])
    assert isinstance(settings, DecoderSearchSettings)
    return run_search(settings, given).folder


def test_its_trials_are_decoders_of_one_encoder_scored_by_psnr_and_cost(run: Path) -> None:
    history = read_history(run)
    own, *_ = history.trials
    assert [(trial.state, trial.source) for trial in history.trials] == [
        ("complete", "enqueued"),
        ("complete", "sampler"),
    ]
    assert [each.name for each in objectives_of(history)] == ["psnr", "decoder_gmacs"]
    assert own.architecture == Autoencoder.from_plain(json.loads(json.dumps(own.architecture.to_plain())))
    assert own.architecture.decoder.levels[0].channels == 8 and own.params is not None
    kept = read_autoencoder(run / "evaluator" / "autoencoder").network.encoder.state_dict()
    for trial in history.trials:
        cost = candidate_price(trial.architecture)
        assert (trial.cost, trial.proxy_parameters) == (cost, cost.parameters)
        assert [rung.step for rung in trial.rungs] == [1, 2]
        assert all(rung.scores["decoder_gmacs"] == cost.gmacs for rung in trial.rungs)
        assert all(5 < rung.scores["psnr"] < 60 for rung in trial.rungs)
        trained = read_autoencoder(run / "trials" / trial.key).network
        assert all(torch.equal(kept[name], each) for name, each in trained.encoder.state_dict().items())
    smallest = candidate_price(space_of(history).smallest(lambda a: candidate_price(a).macs))
    assert history.start_scores["decoder_gmacs"] == smallest.gmacs
    assert isinstance(space_of(history), DecoderSpace) and noise_of(history) is NO_NOISE


def test_its_tables_its_report_and_its_winner_speak_of_decoders(run: Path) -> None:
    with open(run / CSV_NAME, newline="", encoding="utf-8") as file:
        first, *_ = csv.DictReader(file)
    assert {"psnr", "decoder_gmacs", "level_1.channels"} <= first.keys() and not {
        "fid",
        "clip",
    } & first.keys()
    page = (run / "report.html").read_text(encoding="utf-8")
    for said in ("Decoder search", "for images of 16 px", "mdsearch train autoencoder", "mdsearch confirm"):
        assert said in page
    assert "no noise is stated" in page and "an unknown one of" not in page
    assert "the paper&#39;s scale" not in page and "mdsearch generate" not in page
    best = read_run(run).best
    assert isinstance(best, Autoencoder) and best == Autoencoder.load(run / BEST_NAME)


def test_the_winner_trains_for_longer_at_the_size_of_its_search(run: Path) -> None:
    """Also at the size that its data set has by default, which is not that of the command."""
    history = read_history(run)
    for size in (history.header["data"]["image_size_px"], 24):
        data = history.header["data"] | {"image_size_px": size}
        line = longer_command(run, replace(history, header={**history.header, "data": data}))
        command, _ = autoencoder_command(shlex.split(line)[3:])
        assert (command.data.image_size_px, command.reconstruction.decoder_only) == (size, True)


def test_gone_on_with_it_has_more_trials_and_every_decision_as_recorded(run: Path) -> None:
    before = (run / RECORD_NAME).read_bytes()
    assert main([f"resume={run}", "trials=3"]) == 0
    asked = ConfirmationSettings(best=2, references=(), seeds=1)
    command, verb, *more = shlex.split(more_seeds_command(run, asked, read_history(run).header))
    assert (command, verb, more[1:]) == ("mdsearch", "confirm", ["seeds=3"])
    assert confirm(more) == 0
    assert (run / RECORD_NAME).read_bytes().startswith(before)
    history = read_history(run)
    assert [trial.state for trial in history.trials] == ["complete"] * 3
    assert len(history.confirmations) >= 2 and {each.state for each in history.confirmations} == {"complete"}
    assert len({trial.architecture.id for trial in history.trials}) == 3
    found = recheck(run)
    assert found.agrees and found.agreed >= 9
    with pytest.raises(InputError, match="rungs differ from what"):
        main([f"resume={run}", "rungs=[1,3]"])
    with pytest.raises(InputError, match="its networks are decoders; go on with: mdsearch search resume="):
        from search.runs.folder import stored_settings

        stored_settings(run)


def test_a_decoder_that_is_the_autoencoders_own_begins_at_random_as_others_do(run: Path) -> None:
    folder = run / "evaluator" / "autoencoder"
    settings, _ = any_settings_of([f"resume={run}"])
    assert isinstance(settings, DecoderSearchSettings)
    given = DecoderTrialSettings(
        str(run), str(folder), settings.data, settings.of_trials, images=8, perceptual="none"
    )
    worker = given.worker()
    own = settings.space.fixed
    made = worker.decoder_trainer(own, 0).objective.model
    trained = worker.start.network
    same = zip(made.decoder.parameters(), trained.decoder.parameters(), strict=True)
    assert not all(torch.equal(one, other) for one, other in same)
    same = zip(made.encoder.parameters(), trained.encoder.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in same)
    assert len(worker.originals) == 8 == min(8, len(load_data(settings.data).held_out_captions))


def test_the_encoder_is_trained_once_and_one_of_a_folder_stays(
    run: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    settings, given = any_settings_of([*words, "name=second"])
    result = run_search(settings, given)
    assert "steps of training" not in capsys.readouterr().out
    first, second = (read_history(folder).header["protocol"] for folder in (run, result.folder))
    assert first == second
    others = [word for word in words if not word.startswith("autoencoder=")]
    folder = run / "evaluator" / "autoencoder"
    given_folder, _ = any_settings_of([*others, "name=third", f"init_from={folder}"])
    assert isinstance(given_folder, DecoderSearchSettings) and isinstance(settings, DecoderSearchSettings)
    assert given_folder.space.fixed.encoder == settings.space.fixed.encoder
    third = run_search(replace(given_folder, cache_folder=str(run / "none")), []).folder
    assert read_history(third).header["protocol"]["encoder"] == first["encoder"]
    assert not (run / "none").exists()


@pytest.fixture(scope="module")
def plain(words: list[str]) -> dict[str, Any]:
    settings, _ = any_settings_of(words)
    found: dict[str, Any] = to_plain(settings)
    return found


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"reconstruction.decoder_only": True},
            "reconstruction.decoder_only: true has no effect in a search",
        ),
        ({"cost": "latency_ms"}, "cost: latency_ms without a price list; needed: budget.prices="),
        ({"rungs": [2, 1]}, "rungs: [2, 1] do not rise"),
        ({"budget.gmacs": 1e-9}, "budget.gmacs: nothing of this space fits"),
        ({"enqueue": ["sd"]}, "enqueue: sd: its decoder is not of the encoder that stays: decoder.levels: 4"),
        ({"enqueue": ["sdd"]}, "enqueue: autoencoder 'sdd': no such preset"),
        ({"confirmation.references": ["md"]}, "confirmation.references: autoencoder 'md': no such preset"),
        ({"data.image_size_px": 15}, "data.image_size_px: 15 px is no multiple of 2"),
        ({"cluster.workers_per_trial": 2, "cluster.workers": 2}, "cluster.workers_per_trial: 2; a decoder"),
        ({"encoder_steps": 0}, "encoder_steps: 0 is too few; allowed: 1 or more"),
        ({"sampler": {"name": "grid", "most_combinations": 3}}, "sampler: a grid of this space has 32"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(
    plain: dict[str, Any], changes: dict[str, Any], said: str
) -> None:
    changed = copy.deepcopy(plain)
    for name, value in changes.items():
        *above, last = name.split(".")
        group = changed[above[0]] if above else changed
        group[last] = value
    with pytest.raises(InputError) as caught:
        DecoderSearch(decoder_settings_from_plain(changed)).check()
    assert str(caught.value).startswith(said) and "\n" not in str(caught.value)


def test_words_without_effect_are_refused(words: list[str]) -> None:
    with pytest.raises(
        InputError, match=r"reconstruction\.steps: has no effect in a search; allowed: rungs="
    ):
        any_settings_of([*words, "reconstruction.steps=5"])
    with pytest.raises(InputError, match="autoencoder: has no effect beside init_from=, whose encoder stays"):
        any_settings_of([*words, "init_from=runs/none"])


def test_a_plan_says_what_would_be_done(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "dry_run=true", "format=json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["candidates"], plan["steps"], plan["images"], plan["feasible"]) == (2, 4, 16, 1.0)


def test_milliseconds_by_a_price_list_can_decide(plain: dict[str, Any], tmp_path: Path) -> None:
    space = decoder_settings_from_plain(plain).space
    prices = list_of(parts_of_space(space))
    bound = 1.05 * prices.milliseconds(space.smallest(prices.milliseconds))
    budget = plain["budget"] | {"prices": str(prices.write(tmp_path / "list.json")), "latency_ms": bound}
    settings = decoder_settings_from_plain(plain | {"budget": budget, "cost": "latency_ms"})
    DecoderSearch(settings).check()
    assert [each.name for each in settings.objectives] == ["psnr", "latency_ms"]
    assert settings.cost_score(space.first) == {"latency_ms": prices.milliseconds(space.first)}
    assert settings.budget.excess(space.fixed) != []
    header = DecoderSearch(settings).header(tmp_path / "run", [])
    assert header["price_lists"][0]["list"] == prices.describe()


def test_a_budget_for_an_image_leaves_what_the_unet_does(plain: dict[str, Any], tmp_path: Path) -> None:
    space = decoder_settings_from_plain(plain).space
    prices = list_of(parts_of_space(space))
    least = prices.milliseconds(space.smallest(prices.milliseconds))
    of_image = {
        "prices": str(prices.write(tmp_path / "list.json")),
        "total_ms": 80 + 1.05 * least,
        "unet": 10,
    }
    search = DecoderSearch(decoder_settings_from_plain(plain | {"budget": plain["budget"] | of_image}))
    search.check()
    (clause,) = search.settings.budget.excess(space.fixed)
    assert f"UNet 8 x 10.0 + decoder {prices.milliseconds(space.fixed):.3g} (" in clause
    assert "a decoding may take" in " ".join(search.notes())
    recorded = search.header(tmp_path / "run", [])["budget"]
    assert (recorded["unet"], recorded["total_ms"]) == (10, 80 + 1.05 * least)
    with pytest.raises(
        InputError, match=r"^budget\.total_ms: nothing of this space fits .*; allowed: 8.* or more"
    ):
        of_image["total_ms"] = 80.0
        DecoderSearch(decoder_settings_from_plain(plain | {"budget": plain["budget"] | of_image})).check()
