"""Scores by an evaluation protocol: what is said of them, and refused, before a search starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluators.protocols.protocol import EvaluationProtocol
from mdsearch.api import settings_of as search_settings
from search.plan import search_plan
from search.run import execute
from search.scoring.by_protocol import derived_protocol, differences_from_named
from search.scoring.evaluator import scoring_plan
from search.settings import SearchSettings
from space.shared.plain import InputError
from training.data.factory import load_data


def settings_of(*words: str) -> SearchSettings:
    return search_settings(list(words))[0]


def named(settings: SearchSettings) -> EvaluationProtocol:
    assert isinstance(settings.evaluators, EvaluationProtocol)
    return settings.evaluators


def test_missing_weights_are_one_message_before_anything_starts(tmp_path: Path) -> None:
    settings = settings_of(
        "evaluators=coco30k", "weights.download=false", f"weights.cache_folder={tmp_path}",
        f"runs_folder={tmp_path}", "name=never", "data.scenes=192",
    )  # fmt: skip
    with pytest.raises(InputError) as caught:
        execute(settings)
    said = str(caught.value)
    assert said.count("weights are missing") == 1 and "evaluators=embedded" in said
    for name, file in (("inception-v3", "inception-2015-12-05.pt"), ("vit-b-32", "vit-b-32-openai.pt")):
        assert f"{name}: put " in said and str(tmp_path / file) in said
    assert "vit-g-14" not in said  # the final figure's, which no search asks for
    assert not (tmp_path / "never").exists()


def test_coco30k_on_a_searchs_own_images_is_not_coco30k() -> None:
    settings = settings_of("evaluators=coco30k", "data.scenes=192")
    derived = derived_protocol(settings, named(settings), load_data(settings.data))
    assert derived.name == "coco30k networks on scenes" and derived.source == ""
    assert [spec.name for spec in derived.clips] == ["vit-b-32"]
    assert (
        settings.objectives[0].name == "fid_inception_v3" and settings.objectives[1].name == "clip_vit_b_32"
    )
    said = differences_from_named(named(settings), derived)
    for part in (
        "samples 200 for 30000", "images.drawn_size_px 24 for 512", "reference.images 48 for 30000",
        "drawing.steps 6 for 50", "clips vit-b-32 for vit-b-32, vit-g-14",
    ):  # fmt: skip
        assert part in said
    assert "digest" not in said
    scores, name, differs = scoring_plan(settings, load_data(settings.data))
    assert scores.startswith("fid_inception_v3 and clip_vit_b_32, ") and " 200 images " in scores
    assert name == derived.name and differs.startswith("not coco30k ") and differs.endswith(f": {said}")


def test_hps_may_decide_beside_fid_and_clip() -> None:
    settings = settings_of(
        "evaluators=own", "evaluators.metrics=[fid,clip,hps]", "data.scenes=192",
        "evaluators.clips=[{network:open-clip,model:ViT-B-32,weights:openai},{network:hps,weights:v2.0}]",
        "further_objectives=[{name:hps_v2_0,direction:maximize}]",
    )  # fmt: skip
    decide = ["fid_inception_v3", "clip_vit_b_32", "hps_v2_0"]
    assert [objective.name for objective in settings.objectives] == decide
    assert settings.scores[:3] == tuple(decide)
    derived = derived_protocol(settings, named(settings), load_data(settings.data))
    assert [spec.name for spec in derived.clips] == ["vit-b-32", "hps"] and "hps" in derived.metrics


@pytest.mark.parametrize("preset", ["coco30k", "bk_sdm", "own"])
def test_every_preset_can_be_chosen(preset: str) -> None:
    settings = settings_of(f"evaluators={preset}")
    assert named(settings).name == preset and settings.scored_images == 200


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("scoring.images=30", "scoring: of no use to the embedded evaluator, which has evaluators.images"),
        ("weights.download=false", "weights: of no use to the embedded evaluator"),
        ("evaluators=own evaluators.metrics=[fid,kid,clip]", "evaluators.metrics: .*kid.* fid, clip"),
        ("evaluators=own evaluators.clips=[]", "evaluators.clips: none"),
        ("evaluators=own evaluators.features=[{netwrok: random-conv}]", "netwrok"),
        ("evaluators=own scoring.images=1", "scoring.images: 1 is not possible"),
    ],
)
def test_what_cannot_be_is_refused(word: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        settings_of(*word.split())


def test_the_embedded_one_stays_the_default() -> None:
    settings = settings_of()
    assert (
        not isinstance(settings.evaluators, EvaluationProtocol) and settings.evaluators.fid == "embedded-clip"
    )


def test_a_package_that_is_missing_is_said_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evaluators.networks.efficientnet.find_spec", lambda name: None)
    settings = settings_of("evaluators=emoji", "data.scenes=192", f"runs_folder={tmp_path}", "name=never")
    with pytest.raises(InputError, match=r"the package of its weights is not installed; .*\[emoji\]"):
        execute(settings)
    assert not (tmp_path / "never").exists()
    (said,) = search_plan(settings).refused
    assert "the package of its weights is not installed" in said
