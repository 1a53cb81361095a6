"""`mdsearch evaluate`: anybody's images scored, killed and resumed, compared, and refused in one line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluators.metrics.fid import Moments, frechet_distance
from evaluators.networks.features import RandomConv, RandomConvSettings
from evaluators.protocols.protocol import captions_digest
from evaluators.protocols.sheet import Sheet
from evaluators.scorers.embedded import Evaluator
from mdsearch.commands import evaluate
from space.shared.plain import InputError

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 1500  # on a machine under any load; quick where nothing is wrong
SIZE = 16


def write_images(folder: Path, images: np.ndarray) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{index}.png")
    return folder


def noise(count: int, seed: int, brightest: int = 256) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, brightest, (count, SIZE, SIZE, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`samples` and `real`, of one distribution, and `dark`, of another."""
    folder = tmp_path_factory.mktemp("sets")
    write_images(folder / "samples", noise(60, seed=1))
    write_images(folder / "dark", noise(60, seed=2, brightest=128))
    write_images(folder / "real", noise(80, seed=3))
    return folder


@pytest.fixture
def words(sets: Path, tmp_path: Path) -> list[str]:
    """By the one network that needs no weights."""
    return [
        f"images={sets / 'samples'}",
        f"reference={sets / 'real'}",
        "metrics=fid",
        f"out={tmp_path / 'out'}",
        f"cache_folder={tmp_path / 'cache'}",
        f"evaluators.images.size_px={SIZE}",
        "evaluators.features=[{network:random-conv}]",
        "part_images=7",
    ]


def with_(words: list[str], *others: str) -> list[str]:
    """The words, with others in the place of those of the same name."""
    names = {other.partition("=")[0] for other in others}
    return [word for word in words if word.partition("=")[0] not in names] + list(others)


def sheet_of(words: list[str]) -> Sheet:
    assert evaluate.main(words) == 0
    return Sheet.load(Path(next(word for word in words if word.startswith("out=")).removeprefix("out=")))


def refusal(words: list[str]) -> str:
    with pytest.raises(InputError) as raised:
        evaluate.main(words)
    return str(raised.value)


# ---------------------------------------------------------------------- scores


def test_a_score_is_that_of_the_images_and_carries_its_protocol(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = sheet_of(words)
    network = RandomConv(RandomConvSettings())
    expected = frechet_distance(*(Moments.of(network(noise(n, seed))) for n, seed in ((60, 1), (80, 3))))
    score = sheet.scores["fid_random_conv"]
    assert score.value == pytest.approx(expected, rel=1e-6)
    assert score.interval is not None and score.interval.low < score.value < score.interval.high
    protocol = score.protocol
    assert (protocol.samples, protocol.reference and protocol.reference.images) == (60, 80)
    assert protocol.features[0].digest == network.digest
    printed = capsys.readouterr().out
    assert f"protocol own ({protocol.id})" in printed and "a second on" in printed
    assert sheet.about["pace"]["images"] == 60 and sheet.about["pace"]["images_per_second"] > 0


def test_the_form_of_the_source_leaves_no_trace(words: list[str], tmp_path: Path) -> None:
    np.savez(tmp_path / "samples.npz", noise(60, seed=1))
    folder = sheet_of(words).scores["fid_random_conv"]
    packed = with_(
        words, f"images={tmp_path / 'samples.npz'}", f"out={tmp_path / 'packed'}", "part_images=64"
    )
    npz = sheet_of(packed).scores["fid_random_conv"]
    assert npz.value == pytest.approx(folder.value, rel=1e-6)
    assert npz.protocol.id == folder.protocol.id


def test_what_is_passed_over_stands_beside_the_scores(words: list[str], tmp_path: Path) -> None:
    for name, odd in (("samples", "a.heic"), ("real", "notes.md")):
        (write_images(tmp_path / name, noise(20, seed=len(name))) / odd).touch()
    sheet = sheet_of(with_(words, f"images={tmp_path / 'samples'}", f"reference={tmp_path / 'real'}"))
    notes = sheet.scores["fid_random_conv"].notes
    assert "passed over: 1 .heic (a.heic)" in notes
    assert "reference, passed over: 1 .md (notes.md)" in notes
    assert sheet.about["images"]["passed_over"] == "passed over: 1 .heic (a.heic)"


def test_a_search_lends_its_evaluator(
    prepared: tuple[Evaluator, Path], held_out: object, tmp_path: Path
) -> None:
    evaluator, folder = prepared
    images, captions = held_out.images[:64], held_out.captions[:64]  # type: ignore[attr-defined]
    write_images(tmp_path / "samples", images)
    (tmp_path / "captions.txt").write_text("\n".join(captions))
    sheet = sheet_of(
        [
            f"images={tmp_path / 'samples'}",
            f"captions={tmp_path / 'captions.txt'}",
            f"evaluator={folder}",
            f"out={tmp_path / 'out'}",
        ]
    )
    expected = evaluator.score(images, captions)
    assert {name: score.value for name, score in sheet.scores.items()} == pytest.approx(expected, rel=1e-5)
    shuffled = sheet_of(
        [
            f"images={tmp_path / 'samples'}",
            f"captions={write_lines(tmp_path / 'others.txt', captions[::-1])}",
            f"evaluator={folder}",
            f"out={tmp_path / 'shuffled'}",
            "metrics=clip",
        ]
    )
    assert list(shuffled.scores) == ["clip_embedded"]
    for lines, said in ((captions, False), (captions[::-1], True)):  # with a manifest that knows its prompts
        manifest = {"settings": {"count": 64}, "captions": captions_digest(captions)}
        (tmp_path / "samples" / "manifest.json").write_text(json.dumps(manifest))
        words = [
            f"images={tmp_path / 'samples'}",
            f"captions={write_lines(tmp_path / 'lines.txt', lines)}",
            f"evaluator={folder}",
            f"out={tmp_path / f'said-{said}'}",
            "metrics=clip",
        ]
        notes = sheet_of(words).scores["clip_embedded"].notes
        assert ("the captions are not those that the samples were generated for" in notes) is said
    assert shuffled.scores["clip_embedded"].value < sheet.scores["clip_embedded"].value - 0.1


def write_lines(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines))
    return path


def test_what_drew_the_samples_stands_in_the_protocol(words: list[str], sets: Path, tmp_path: Path) -> None:
    samples = write_images(tmp_path / "generated", noise(60, seed=1))
    settings = {
        "count": 60,
        "sampler": "ddim",
        "steps": 25,
        "guidance": 3.0,
        "seed": 7,
        "image_size_px": SIZE,
    }
    (samples / "manifest.json").write_text(json.dumps({"model": "x", "settings": settings}))
    generated = with_(words, f"images={samples}", f"out={tmp_path / 'a'}")
    drawing = sheet_of(generated).scores["fid_random_conv"].protocol.drawing
    assert (drawing.sampler, drawing.steps, drawing.guidance, drawing.seed) == ("ddim", 25, 3.0, 7)
    preset = ["evaluators=coco30k", "evaluators.samples=60", "evaluators.reference.images=80"]
    preset += ["evaluators.images.drawn_size_px=null", "evaluators.features=[{network:random-conv}]"]
    named = [word for word in generated if not word.startswith(("evaluators.features", "out="))]
    said = sheet_of([*named, *preset, f"out={tmp_path / 'b'}"]).scores["fid_random_conv"]
    assert said.protocol.drawing.steps == 25 and said.protocol.clips == ()
    assert "generated otherwise than coco30k says: steps 25 for 50" in said.notes
    (samples / "manifest.json").rename(tmp_path / "manifest.json")
    said = sheet_of([*named, *preset, f"out={tmp_path / 'c'}"]).scores["fid_random_conv"]
    assert "how the samples were generated is not said, as coco30k wants it" in said.notes
    (tmp_path / "manifest.json").rename(samples / "manifest.json")
    (samples / "manifest.json").write_text('{"name": "of a browser"}')
    assert "if it is one of something else, take it away" in refusal(generated)
    (samples / "manifest.json").write_text(json.dumps({"settings": settings | {"steps": "25"}}))
    assert "manifest.json.steps: expected" in refusal(generated)
    (samples / "59.png").unlink()
    assert "59 in " in refusal(generated) and "there will be 60" in refusal(generated)


def test_unreadable_images_stop_it_unless_they_may_be_left_out(words: list[str], tmp_path: Path) -> None:
    samples = write_images(tmp_path / "some", noise(20, seed=1))
    (samples / "3.png").write_bytes(b"")
    some = with_(words, f"images={samples}")
    assert "images: 1 of 20 images cannot be read: 3.png" in refusal(some)
    sheet = sheet_of([*some, "max_unreadable=1"])
    score = sheet.scores["fid_random_conv"]
    assert score.samples == score.protocol.samples == 19
    assert (
        "1 images could not be read" in " ".join(score.notes)
        and "3.png" in sheet.about["images"]["unreadable"]
    )


# ---------------------------------------------------------------------- going on


@pytest.mark.timeout(3 * PATIENCE_SECONDS)
def test_a_killed_run_goes_on_and_ends_as_an_undisturbed_one(
    words: list[str], sets: Path, tmp_path: Path
) -> None:
    """SIGKILL of a real process between two parts, then the same command."""
    words = with_(words, "metrics=fid,kid", "part_images=1")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "mdsearch", "evaluate", *words],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    parts = tmp_path / "out" / "parts"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(list(parts.glob("*.json"))) < 5:
        assert process.poll() is None and time.monotonic() < deadline, "it ended before it could be killed"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = {path.name: path.stat().st_mtime_ns for path in parts.glob("*.json")}
    assert 5 <= len(finished) < 60 and not (tmp_path / "out" / "scores.json").exists()

    resumed = sheet_of(words)
    assert {name: (parts / name).stat().st_mtime_ns for name in finished} == finished
    assert resumed.about["pace"]["images"] == 60 - len(finished)
    undisturbed = sheet_of(with_(words, f"out={tmp_path / 'undisturbed'}"))
    for name, score in undisturbed.scores.items():
        assert resumed.scores[name].value == pytest.approx(score.value, rel=1e-8, abs=1e-12)
        assert resumed.scores[name].protocol.id == score.protocol.id


def test_a_metric_that_is_added_measures_nothing_again(words: list[str], tmp_path: Path) -> None:
    first = sheet_of(words)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out" / "parts").iterdir()}
    second = sheet_of(with_(words, "metrics=kid,precision,recall"))
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out" / "parts").iterdir()} == before
    assert list(second.scores) == [
        f"{metric}_random_conv" for metric in ("fid", "kid", "precision", "recall")
    ]
    assert second.scores["fid_random_conv"] == first.scores["fid_random_conv"]
    assert second.about["pace"] == first.about["pace"]


def test_a_folder_of_other_scores_is_left_alone(words: list[str], sets: Path, tmp_path: Path) -> None:
    sheet_of(words)
    before = (tmp_path / "out" / "scores.json").read_bytes()
    assert "belongs to scores with other images" in refusal(with_(words, f"images={sets / 'dark'}"))
    assert "belongs to scores with other form" in refusal([*words, "evaluators.images.crop=center"])
    assert (tmp_path / "out" / "scores.json").read_bytes() == before


def test_without_out_the_same_command_finds_its_folder(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    anywhere = [word for word in words if not word.startswith("out=")]
    for _ in range(2):
        assert evaluate.main(anywhere) == 0
    assert len(list((tmp_path / "scores").iterdir())) == 1
    assert evaluate.main([*anywhere, "evaluators.images.crop=center"]) == 0
    assert len(list((tmp_path / "scores").iterdir())) == 2


# ---------------------------------------------------------------------- two sheets


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


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["images=nowhere"], "images: 'nowhere' does not exist"),
        (["images=null"], "images: missing; what is to be scored?"),
        (["reference=null"], "reference: missing; give a folder"),
        (["reference=nothing.safetensors"], "nothing.safetensors: cannot be read as reference statistics"),
        (["evaluators.features=[]"], "evaluators.features: none; fid needs one network or more"),
        (["evaluators.clips=[]", "metrics=clip"], "evaluators.clips: none; clip needs one network or more"),
        (["metrics=null", "~evaluators.metrics"], "metrics: none; allowed: fid, fid_infinity, kid"),
        (["metrics=fit"], "metrics: 'fit' is not a metric; did you mean 'fid'?"),
        (["metrics=fid,clip"], "captions: missing; give captions=<file>"),
        (["captions=nowhere.txt", "metrics=clip"], "captions: 'nowhere.txt' cannot be read"),
        (["evaluators=any"], "evaluators: no preset 'any'; Valid:"),
        (["evaluators.samples=30000"], "images: 60 of them, where the protocol own scores 30,000"),
        (["evaluators.features=[{network:inception}]"], "did you mean 'inception-v3"),
        (["evaluators.images.size_px=8", "evaluators.images.resize=none"], "0.png has 16x16 px"),
        (["evaluators.images.resize=bilinea"], "did you mean 'bilinear'?"),
        (
            ["evaluators.images.drawn_size_px=512"],
            "0.png has 16x16 px where the protocol's samples have 512x512",
        ),
        (["workers=0"], "workers: 0 is not possible; allowed: 1 or more"),
        (["worker=2"], "did you mean 'workers'?"),
        (["compute.device=tpu"], "compute.device: 'tpu' is not a choice here"),
        (["out=/dev/null/x"], "out: /dev/null/x cannot be used"),
        (["compare=a,b"], "images: has no effect beside compare=, which reads scores; leave out one of them"),
        (["statistics=a.safetensors"], "images: has no effect beside statistics=, which measures reference="),
        (["statistics=a.safetensors", "images=null"], "metrics: has no effect beside statistics="),
        (["evaluator=runs/a/evaluator"], "evaluators.images.size_px: has no effect beside evaluator=, which"),
        (["but_for=drawing.steps"], "but_for: has no effect without compare="),
        (["statistics_features=true"], "statistics_features: has no effect without statistics="),
    ],
)
def test_bad_input_is_one_line(words: list[str], change: list[str], message: str) -> None:
    said = refusal(with_(words, *change))
    assert message in said and "\n" not in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["images=samples", "evaluator=nowhere"], "nowhere: not a prepared evaluator"),
        (["evaluators=coco30k", "evaluator=nowhere"], "evaluators: has no effect beside evaluator=, which"),
        (["statistics=a.npz", "images=null"], "statistics: 'a.npz' has another ending than .safetensors"),
        (["statistics=a.safetensors"], "statistics: of which images?"),
        (["statistics=a.safetensors", "captions=a.txt"], "captions: has no effect beside statistics="),
        (["compare=one"], "compare: 'one'; two are compared, as compare=first,second"),
        (["compare=one,two", "images=null"], "one: cannot be read as scores"),
        (["compare=one,two", "~evaluators.metrics"], "evaluators.metrics: has no effect beside compare="),
    ],
)
def test_other_commands_refuse_in_one_line_too(words: list[str], message: str) -> None:
    said = refusal(words)
    assert message in said and "\n" not in said


def test_a_preset_of_searches_is_not_one_of_images(words: list[str]) -> None:
    own = [word for word in words if not word.startswith("evaluators.")]
    assert "score with what it trained by evaluator=runs/<name>/evaluator" in refusal(
        [*own, "evaluators=embedded"]
    )


@pytest.mark.parametrize("preset", ["coco30k", "bk_sdm"])
def test_published_protocols_hold_to_their_count(words: list[str], preset: str) -> None:
    own = [word for word in words if not word.startswith(("evaluators.", "metrics"))]
    assert f"where the protocol {preset} scores 30,000" in refusal([*own, f"evaluators={preset}"])


def test_missing_weights_are_one_message_with_a_way_out(words: list[str], sets: Path, tmp_path: Path) -> None:
    left = [word for word in words if "features" not in word and "metrics" not in word]
    said = refusal(
        [
            *left,
            f"captions={write_lines(tmp_path / 'captions.txt', ['an image'] * 60)}",
            f"weights.cache_folder={tmp_path / 'weights'}",
            "weights.download=false",
        ]
    )
    assert "inception-v3: put https://" in said and "vit-b-32: put " in said
    assert f"{tmp_path / 'weights'}" in said and "evaluator=runs/<name>/evaluator scores" in said
