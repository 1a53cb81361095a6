"""Searches scored by the networks of a named protocol: what they store, go on with and compare by.

The networks are small ones of random weights in open_clip's own format; Inception's file is loaded once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from analysis.sampling_curves.points import read_curves
from conf.repeated import without
from evaluators.images.preparation import prepare
from evaluators.measuring.measurements import Measurements
from evaluators.measuring.reference import Reference
from evaluators.measuring.scoring import scores as exact_scores
from evaluators.networks.embedded import ABOUT
from evaluators.networks.embedded_store import SHIPPED
from evaluators.protocols.protocol import EvaluationProtocol, captions_digest
from evaluators.scorers.by_protocol import ProtocolEvaluator, load_evaluator, load_pinned, stored_protocol
from evaluators.scorers.embedded import Evaluator
from mdsearch.api import settings_of as search_settings
from mdsearch.commands import generate_curves as curves
from search.checks import check
from search.confirmation.unmeasured import why_unknown
from search.preparation import header_of
from search.run import execute
from search.runs.bundle import RECORDED_FILE, read_bundle
from search.runs.compatibility import field_differences, protocol_difference, protocol_parts
from search.runs.folder import stored_settings
from search.runs.record import read_history
from search.scoring.evaluator import describe, prepare_evaluator
from search.scoring.inputs import scored_captions
from search.settings import SearchSettings
from space.shared.plain import InputError
from tests.evaluators.conftest import TINY_CLIP, inception_files, tiny_clip_weights
from tests.search.killing import events
from training.data.factory import load_data

__all__ = ["inception_files", "tiny_clip_weights"]

NETWORK = f"[{{network: open-clip, model: {TINY_CLIP}}}]"
TINY = (
    "evaluators=own", f"evaluators.features={NETWORK}", f"evaluators.clips={NETWORK}",
    "evaluators.images.size_px=48", "scoring.images=12", "scoring.reference_images=40", "compute.device=cpu",
    "trials=2", "rungs=[1,2]", "backend=inline", "stopping=none", "confirmation=none", "data.scenes=192",
    "training.batch_size=2", "training.sampling_steps=2", "training.validation_images=2",
    "training.device=cpu", "enqueue=[md_lite,md]",  # which generate more than one colour after two steps
)  # fmt: skip
FID, CLIP = "fid_tiny_for_tests", "clip_tiny_for_tests"


def settings_of(*words: str) -> SearchSettings:
    return search_settings(list(words))[0]


def named(settings: SearchSettings) -> EvaluationProtocol:
    assert isinstance(settings.evaluators, EvaluationProtocol)
    return settings.evaluators


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def words(folder: Path, tiny_clip_weights: Path) -> tuple[str, ...]:
    weights = f"weights.files.{TINY_CLIP}={tiny_clip_weights}"
    return (*TINY, weights, f"runs_folder={folder}", f"cache_folder={folder / 'cache'}")


@pytest.fixture(scope="module")
def undisturbed(folder: Path, words: tuple[str, ...]) -> Path:
    every = [*words, "name=undisturbed"]
    return execute(settings_of(*every), every).folder


@pytest.fixture(scope="module")
def other_weights(tiny_clip_weights: Path) -> Path:
    held = torch.load(tiny_clip_weights)["state_dict"]
    held["module.logit_scale"] = held["module.logit_scale"] + 1
    path = tiny_clip_weights.with_name("others.bin")
    torch.save({"state_dict": held}, path)
    return path


# ---------------------------------------------------------------------- a whole search


def test_a_search_is_scored_by_the_protocols_networks(undisturbed: Path) -> None:
    history = read_history(undisturbed)
    assert set(history.start_scores) == set(history.real_scores) == {FID, CLIP}
    assert history.real_scores[FID] < history.start_scores[FID]
    assert history.header["objectives"] == {"fid": FID, "clip": CLIP}
    for each in history.trials:
        assert each.state == "complete" and [rung.step for rung in each.rungs] == [1, 2]
        for rung in each.rungs:
            assert rung.scores[FID] > 0 and -1 <= rung.scores[CLIP] <= 1
            assert set(rung.deviations) == {FID, CLIP} and min(rung.deviations.values()) > 0
    assert (undisturbed / "best.yaml").is_file()


def test_its_protocol_is_stored_beside_the_scores_and_is_its_own(undisturbed: Path) -> None:
    settings, history = stored_settings(undisturbed), read_history(undisturbed)
    data = load_data(settings.data)
    protocol = stored_protocol(undisturbed / "evaluator")
    assert protocol is not None and all(spec.digest for spec in (*protocol.features, *protocol.clips))
    assert protocol.name == "own networks on scenes" and protocol.id != named(settings).id
    assert protocol.reference is not None and protocol.captions is not None
    assert (protocol.reference.images, protocol.reference.data_digest) == (40, data.digest)
    assert protocol.captions.digest == captions_digest(data.held_out_captions[:12])
    assert (protocol.images.drawn_size_px, protocol.images.size_px, protocol.samples) == (24, 48, 12)
    drawing = protocol.drawing
    assert (drawing.sampler, drawing.steps, drawing.guidance, drawing.seed) == ("ddim", 2, 1.0, 0)
    recorded = history.header["protocol"]
    assert recorded["features"][TINY_CLIP]["digest"] == protocol.features[0].digest
    (start,) = events(undisturbed, "start")
    provenance = json.loads((undisturbed / "provenance.json").read_text())
    assert start["protocol_id"] == provenance["protocol_id"] == protocol.id


def test_an_interrupted_one_goes_on_to_the_same_scores(
    undisturbed: Path, folder: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, rungs, scored = folder / "interrupted", list[int](), ProtocolEvaluator.score_and_deviations

    def stopped_at_the_third(*arguments: Any) -> Any:
        """Trained and generated, but neither scored nor kept."""
        rungs.append(1)
        if len(rungs) == 3:
            raise KeyboardInterrupt
        return scored(*arguments)

    every = [*words, "name=interrupted"]
    with monkeypatch.context() as patched:
        patched.setattr(ProtocolEvaluator, "score_and_deviations", stopped_at_the_third)
        assert execute(settings_of(*every), every).interrupted
    every.append(f"resume={run}")
    assert not execute(settings_of(*every), every).interrupted
    scores = [
        [rung.scores for each in read_history(path).trials for rung in each.rungs]
        for path in (run, undisturbed)
    ]
    assert scores[0] == scores[1] and len(scores[0]) == 4


def test_a_resumed_one_takes_the_weights_that_it_began_with_alone(
    undisturbed: Path, words: tuple[str, ...], other_weights: Path, folder: Path
) -> None:
    again = (*words, f"resume={undisturbed}")
    moved = folder / "moved.bin"
    moved.write_bytes(Path(words[-3].partition("=")[2]).read_bytes())
    check(settings_of(f"resume={undisturbed}", f"weights.files.{TINY_CLIP}={moved}"))  # the rest it remembers
    for changed, said in (
        (f"weights.files.{TINY_CLIP}={other_weights}", "digest"),
        ("compute.precision=bf16", "preparation .* fp32"),
    ):
        with pytest.raises(InputError, match=f"^weights: {TINY_CLIP}: {said}"):
            execute(settings_of(*without(again, [changed]), changed), [])


def test_curves_of_sampling_score_as_the_run_did(undisturbed: Path) -> None:
    assert curves.main([f"run={undisturbed}", "trial=0", "steps=[1,2]", "compute.device=cpu"]) == 0
    _, point = read_curves(undisturbed / "curves", None, None).points
    recorded = read_history(undisturbed).trials[0].rungs[-1].scores
    assert point.steps == 2 and {name: score.value for name, score in point.scores.items()} == pytest.approx(
        {name: recorded[name] for name in (FID, CLIP)}, rel=1e-5
    )


# ---------------------------------------------------------------------- what a score is


def test_scores_are_those_of_the_command_for_anybodys_images(undisturbed: Path) -> None:
    """The same images through measurements and scoring, one at a time."""
    settings = stored_settings(undisturbed)
    evaluator = load_evaluator(undisturbed / "evaluator", settings.weights, settings.compute)
    stored = stored_protocol(undisturbed / "evaluator")
    assert stored is not None
    networks, protocol = load_pinned(stored, settings.weights, settings.compute)
    data = load_data(settings.data)
    in_range, captions = data.held_out(range(12))
    images = ((in_range + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    measured = Measurements.by(networks)
    for index, (image, caption) in enumerate(zip(images, captions, strict=True)):
        measured.add(networks, [index], prepare(image, protocol.images)[None], [caption])
    reference = Reference.load(undisturbed / "evaluator" / "reference.safetensors")
    expected = exact_scores(measured, reference, protocol, intervals=False)
    assert evaluator.score(images, captions) == pytest.approx(
        {name: score.value for name, score in expected.items()}, rel=1e-6
    )
    with pytest.raises(ValueError, match=r"scores \(12, 24, 24, 3\)"):
        evaluator.score(images[:11], captions[:11])


def test_inception_is_taken_from_its_own_file_and_references_are_kept(
    tmp_path: Path, words: tuple[str, ...], inception_files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [
        "evaluators.features=[{network: inception-v3}]", "scoring.images=3", "scoring.reference_images=3",
        f"weights.files.inception-v3={inception_files['clean-fid']}", f"cache_folder={tmp_path}",
    ]  # fmt: skip
    settings = settings_of(*without(words, others), *others)
    assert settings.objectives[0].name == "fid_inception_v3" and settings.objectives[1].name == CLIP
    data = load_data(settings.data)
    first = prepare_evaluator(settings, tmp_path / "first", data)
    assert first.references["inception-v3"].count == 3 and first.references["inception-v3"].width == 2048
    told = describe(first, settings, data, scored_captions(settings, data))
    assert not any("not own itself" in line for line in told)
    assert told[0].startswith(f"protocol own networks on scenes ({first.protocol_id})\n")
    assert "inception-v3: 3 samples for 2,048 features" in told[-2]
    assert "inception-v3: 3 references for 2,048 features" in told[-1]
    monkeypatch.setattr(Measurements, "by", None)  # the second time it is kept, and nothing is measured
    assert prepare_evaluator(settings, tmp_path / "second", data).protocol_id == first.protocol_id


def test_given_statistics_are_the_reference(
    tmp_path: Path, words: tuple[str, ...], undisturbed: Path
) -> None:
    """Those of another run's held-out images, as a shared file."""
    shared = undisturbed / "evaluator" / "reference.safetensors"
    settings = settings_of(*words, f"scoring.reference={shared}")
    evaluator = prepare_evaluator(settings, tmp_path / "one", load_data(settings.data))
    assert evaluator.references[TINY_CLIP].count == 40
    assert evaluator.protocol["reference"]["name"] == "own"
    pinned = "{name: COCO, images: 41, chosen: all}"
    with pytest.raises(InputError, match=r"^reference: 40 images, .* 41$"):
        prepare_evaluator(
            settings_of(*words, f"scoring.reference={shared}", f"evaluators.reference={pinned}"),
            tmp_path / "two",
            load_data(settings.data),
        )
    with pytest.raises(InputError, match=r"nowhere\.safetensors: cannot be read as reference statistics"):
        check(settings_of(*words, "scoring.reference=nowhere.safetensors"))


# ---------------------------------------------------------------------- what is said and refused
# ---------------------------------------------------------------------- comparisons


def test_runs_by_the_same_networks_compare_and_others_name_the_field(undisturbed: Path) -> None:
    one, other = read_history(undisturbed), read_history(undisturbed)
    protocol = other.header["protocol"]
    other.header["protocol"] = protocol | {
        "name": "coco30k networks on scenes", "drawing": protocol["drawing"] | {"seed": 7},
    }  # fmt: skip
    assert protocol_difference(one, other) == []
    features = {TINY_CLIP: protocol["features"][TINY_CLIP] | {"digest": "other"}}
    other.header["protocol"] = protocol | {"features": features}
    (said,) = protocol_difference(one, other)
    assert said.startswith(f"protocol.features.{TINY_CLIP}.digest: ") and said.endswith("against other")


def test_a_record_from_before_captions_were_stated_still_compares(undisturbed: Path) -> None:
    one, older = read_history(undisturbed), read_history(undisturbed)
    older.header["protocol"] = {
        name: value for name, value in one.header["protocol"].items() if name not in ("captions", "drawing")
    }
    assert protocol_difference(one, older) == []
    captions = {"captions": {"name": "others", "digest": "9"}}
    other = replace(one, header=one.header | {"protocol": one.header["protocol"] | captions})
    (said,) = protocol_difference(one, other)
    assert said.startswith("protocol.captions.digest: ") and said.endswith(" against 9")


def test_the_default_search_has_its_metric_network_with_it(tmp_path: Path) -> None:
    """On a machine that has trained none: its processor would decide the weights, and so the protocol."""
    settings = settings_of(f"cache_folder={tmp_path / 'cache'}")
    said: list[str] = []
    evaluator = prepare_evaluator(settings, tmp_path / "evaluator", load_data(settings.data), said.append)
    assert isinstance(evaluator, Evaluator) and "comes along" in said[0]
    assert not (tmp_path / "cache").exists()  # nothing was trained
    shipped = [json.loads(about.read_text())["digest"] for about in SHIPPED.rglob(ABOUT)]
    assert evaluator.clip.digest in shipped
    assert evaluator.clip.retrieval_accuracy > 0.95 and evaluator.clip.warning is None
    recorded = read_bundle(RECORDED_FILE)["table"].history.header  # which teaches the default search
    assert field_differences(recorded, {"protocol": evaluator.protocol}, ("protocol",)) == []
    header = header_of(settings, tmp_path, []) | {"protocol": evaluator.protocol}
    assert why_unknown(header) == "" and set(protocol_parts(header)) == set(settings.noise.measured_under)
