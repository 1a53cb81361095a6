"""A protocol as a value: digest, text, differences; and scores, which compare under an equal one."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources

import pytest
import yaml

from evaluators.protocols.protocol import (
    CaptionList,
    EvaluationProtocol,
    ImageForm,
    NetworkSpec,
    ReferenceSet,
    Sampling,
    captions_digest,
    differences,
)
from evaluators.protocols.score import ConfidenceInterval, Score, score_name, text_score_name
from space.shared.plain import InputError, from_plain

PRESETS = ("coco30k", "bk_sdm")


@pytest.fixture
def protocol() -> EvaluationProtocol:
    return EvaluationProtocol(
        "test",
        samples=100,
        images=ImageForm(64, drawn_size_px=128, resize="bicubic"),
        features=(NetworkSpec("inception-v3", digest="ab" * 8),),
        clips=(NetworkSpec("open-clip", "ViT-B-32", "openai", digest="cd" * 8),),
        reference=ReferenceSet("photos", 50, "all", digest="ef" * 8),
        captions=CaptionList.of("two", ["a cat", "a dog"]),
        drawing=Sampling("ddim", 50, 3.0, 0),
    )


def preset(name: str) -> EvaluationProtocol:
    text = (resources.files("conf") / "evaluators" / f"{name}.yaml").read_text()
    assert text.startswith("# ")
    made: EvaluationProtocol = from_plain(EvaluationProtocol, yaml.safe_load(text))
    return made


def test_the_text_gives_an_equal_protocol(protocol: EvaluationProtocol) -> None:
    assert from_plain(EvaluationProtocol, yaml.safe_load(protocol.to_yaml())) == protocol
    assert str(protocol).startswith(f"protocol test ({protocol.id})")
    assert "guidance 3" in str(protocol) and protocol.digest.startswith(protocol.id)


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("samples", {"samples": 101}),
        ("images.antialias", {"images": ImageForm(64, 128, resize="bicubic", antialias=False)}),
        ("images.crop", {"images": ImageForm(64, 128, crop="center", resize="bicubic")}),
        ("features[0].digest", {"features": (NetworkSpec("inception-v3", digest="00" * 8),)}),
        ("reference.images", {"reference": ReferenceSet("photos", 51, "all", digest="ef" * 8)}),
        ("captions.digest", {"captions": CaptionList.of("two", ["a dog", "a cat"])}),
        ("drawing.guidance", {"drawing": Sampling("ddim", 50, 4.0, 0)}),
        ("drawing.seed", {"drawing": Sampling("ddim", 50, 3.0, 1)}),
    ],
)
def test_every_part_decides(protocol: EvaluationProtocol, field: str, change: dict[str, object]) -> None:
    other = replace(protocol, **change)
    assert other.id != protocol.id
    assert list(differences(protocol, other)) == [field]


def test_where_it_comes_from_does_not_decide(protocol: EvaluationProtocol) -> None:
    other = replace(protocol, name="renamed", source="a paper", open_in_source=("drawing.seed",))
    assert other.id == protocol.id and differences(protocol, other) == {}
    assert "our choice, the source does not say: drawing.seed" in str(other)


def test_an_id_is_the_same_in_every_process(protocol: EvaluationProtocol) -> None:
    """A value written down: if it changes, every score that was stored compares with no new one."""
    assert protocol.id == "46f929cbaa6c"


def test_what_is_not_there_is_said(protocol: EvaluationProtocol) -> None:
    printed = str(replace(protocol, clips=(), captions=None))
    assert "\n  clips: none\n" in printed and "\n  captions: none\n" in printed


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ImageForm(0), "size_px: 0"),
        (lambda: ImageForm(64, drawn_size_px=128), "resize: none cannot make 64 px of drawn_size_px = 128"),
        (lambda: ImageForm(64, file_format="jpeg"), "jpeg_quality: None with file_format = jpeg"),
        (lambda: ImageForm(64, jpeg_quality=90), "jpeg_quality: 90 with file_format = png"),
        (lambda: ImageForm(64, file_format="jpeg", jpeg_quality=96), "allowed: 1 to 95"),
        (lambda: ReferenceSet("one", 1, "all"), "images: 1 is not possible"),
        (lambda: from_plain(ImageForm, {"size_px": 8, "resize": "bicubc"}), "did you mean 'bicubic'"),
    ],
)
def test_parts_that_cannot_be_are_refused(make: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()  # type: ignore[operator]


def test_protocols_that_cannot_be_are_refused(protocol: EvaluationProtocol) -> None:
    for change, message in (
        ({"metrics": ("fit",)}, "did you mean 'fid'"),
        ({"features": protocol.features * 2}, "each network once"),
        ({"open_in_source": ("drawing.sed",)}, "did you mean 'drawing.seed'"),
    ):
        with pytest.raises(InputError, match=message):
            replace(protocol, **change)


def test_captions_are_known_by_their_list() -> None:
    assert captions_digest(["a", "b"]) != captions_digest(["b", "a"])
    assert captions_digest(["a", "b"]) != captions_digest(["a b"])
    assert captions_digest(["ä"]) == captions_digest(("ä",))


# ---------------------------------------------------------------------- the presets


@pytest.mark.parametrize("name", PRESETS)
def test_published_presets_are_protocols(name: str) -> None:
    made = preset(name)
    assert made.name == name and made.source and made.samples == 30_000


def test_coco30k_is_what_the_paper_states() -> None:
    made = preset("coco30k")
    assert made.reference is not None and made.reference.images == 30_000
    assert [spec.name for spec in made.clips] == ["vit-b-32", "vit-g-14"]
    assert {"images", "reference.chosen", "drawing.seed"} <= set(made.open_in_source)


def test_bk_sdm_is_what_its_code_does() -> None:
    made = preset("bk_sdm")
    assert made.reference is not None and made.reference.images == 40_504
    assert (made.images.drawn_size_px, made.images.size_px, made.images.crop) == (512, 256, "none")
    assert made.clips[0].weights == "laion2b_s34b_b88k" and made.open_in_source == ()


@pytest.mark.parametrize("version", ["v2.0", "v2.1"])
def test_hps_is_its_benchmark(version: str) -> None:
    made = preset(f"hps_{version.replace('.', '_')}")
    assert (made.samples, made.metrics, made.features, made.reference) == (3_200, ("hps",), (), None)
    (spec,) = made.text_networks("hps")
    assert (spec.name, spec.weights, spec.settings) == ("hps", version, {"antialias": False})
    assert text_score_name(spec) == made.name and made.text_networks("clip") == ()


def test_versions_of_hps_are_two_protocols() -> None:
    one, other = preset("hps_v2_0"), preset("hps_v2_1")
    assert differences(one, other) == {"clips[0].weights": ("v2.0", "v2.1")}
    with pytest.raises(InputError, match="clips: hps, hps; allowed: each network once"):
        replace(one, clips=(*one.clips, *other.clips))


def test_the_two_do_not_compare() -> None:
    found = differences(preset("coco30k"), preset("bk_sdm"))
    assert {"images.crop", "reference.images", "drawing.sampler", "features[0].network"} <= set(found)


# ---------------------------------------------------------------------- scores


def score(
    protocol: EvaluationProtocol, value: float, half: float | None = 1.0, name: str = "fid_inception_v3"
) -> Score:
    interval = None if half is None else ConfidenceInterval(value - half, value + half, 0.95, "by hand")
    return Score(name, value, interval, protocol, protocol.samples)


def test_better_is_said_beyond_both_intervals(protocol: EvaluationProtocol) -> None:
    """Half-widths of 1 and 1 make 1.41 for the difference."""
    base = score(protocol, 10.0)
    assert score(protocol, 8.5).compare(base) == "better"
    assert score(protocol, 11.5).compare(base) == "worse"
    assert score(protocol, 8.7).compare(base) == base.compare(score(protocol, 8.7)) == "undecided"
    clip = score(protocol, 0.31, 0.001, "clip_vit_b_32")
    assert clip.compare(score(protocol, 0.30, 0.001, "clip_vit_b_32")) == "better"
    with pytest.raises(InputError, match="without an interval"):
        score(protocol, 9.0, half=None).compare(base)


def test_scores_of_different_protocols_do_not_compare(protocol: EvaluationProtocol) -> None:
    other = replace(protocol, images=replace(protocol.images, antialias=False))
    with pytest.raises(InputError, match=r"do not compare: images\.antialias: True against False"):
        score(protocol, 1.0).compare(score(other, 2.0))
    with pytest.raises(InputError, match="different scores"):
        score(protocol, 1.0).compare(score(protocol, 1.0, name="kid_inception_v3"))


def test_what_is_compared_may_differ_if_it_is_said(protocol: EvaluationProtocol) -> None:
    other = replace(protocol, drawing=replace(protocol.drawing, guidance=5.0))
    assert score(protocol, 1.0).compare(score(other, 9.0), but_for=["drawing.guidance"]) == "better"
    with pytest.raises(InputError, match=r"drawing\.guidance: 3\.0 against 5\.0"):
        score(protocol, 1.0).compare(score(other, 9.0), but_for=["drawing.seed"])


def test_a_stored_score_brings_its_protocol(protocol: EvaluationProtocol) -> None:
    made = replace(score(protocol, 3.25), notes=("2 captions cut",))
    plain = yaml.safe_load(yaml.safe_dump(made.to_plain()))
    assert Score.from_plain(plain) == made
    for part in ("fid_inception_v3 3.25 ", "95% [2.25, 4.25]", "100 samples", protocol.id, "2 captions cut"):
        assert part in str(made)
    plain["protocol"]["drawing"]["guidance"] = 4.0
    with pytest.raises(InputError, match="is not that of the protocol beside it"):
        Score.from_plain(plain)


def test_no_score_is_nan(protocol: EvaluationProtocol) -> None:
    with pytest.raises(ValueError, match="nan is not a score"):
        score(protocol, float("nan"), half=None)


def test_names_of_scores() -> None:
    assert score_name("fid", "embedded-clip") == "fid_embedded_clip"
    assert score_name("clip", "embedded-clip") == "clip_embedded"
    assert score_name("clip", "vit-g-14") == "clip_vit_g_14"
