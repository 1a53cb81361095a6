"""What adapters do beside a model: through the pipeline and alone, by the command."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from analysis.adapters import survival
from mdsearch.commands import evaluate_adapter
from space.shared.plain import InputError
from tests.training.examples import TINY, wider
from training.adapter_kinds import (
    AdapterKind,
    ControlNetSettings,
    InpaintingSettings,
    StyleSettings,
    T2ISettings,
    unet_of,
)
from training.adapting import AdapterTrainer
from training.data.dataset import Dataset
from training.data.digits import DigitsSettings
from training.data.factory import load_data
from training.data.scenes import ScenesSettings
from training.generation.settings import GenerationSettings
from training.model import Model, load_model
from training.settings import TrainingSettings
from training.trainer import Trainer

SETTINGS = TrainingSettings(
    steps=40, batch_size=8, warmup_steps=4, sampling_steps=2, validation_images=16, device="cpu"
)
DATA = ScenesSettings(scenes=960, image_size_px=16)


@pytest.fixture(scope="module")
def scenes() -> Dataset:
    return load_data(DATA)


@pytest.fixture(scope="module")
def base(scenes: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(scenes, tmp_path_factory.mktemp("base"))


def trained(scenes: Dataset, folder: Path, architecture: object = TINY) -> Path:
    """A little, and disturbed: an untrained network predicts zero, and its images have no edges."""
    trainer = Trainer(architecture, scenes, SETTINGS, seed=0)  # type: ignore[arg-type]
    trainer.train_to(6)
    torch.manual_seed(3)
    torch.nn.init.normal_(unet_of(trainer.averaged).conv_out.weight, std=0.3)
    trainer.save_weights(folder)
    return folder


def adapter(base: Path, scenes: Dataset, own: AdapterKind, folder: Path, *, is_fresh: bool = False) -> Path:
    trainer = AdapterTrainer(base, scenes, SETTINGS, own, seed=1)
    if not is_fresh:
        trained_ones = trainer.objective.model.unet.named_parameters()
        learnt = {name for name, each in trained_ones if each.requires_grad}
        torch.manual_seed(0)
        with torch.no_grad():
            for name, parameter in trainer.averaged.unet.named_parameters():
                if name in learnt:
                    parameter.add_(torch.randn_like(parameter), alpha=1.0)
    trainer.save_weights(folder)
    (folder / "config.yaml").write_text(
        "data: {name: scenes, scenes: 960, image_size_px: 16}\n", encoding="utf-8"
    )
    return folder


MEASURES = {
    "controlnet": ["edge F1, 0 px off", "edge F1, 1 px off", "as the caption says"],
    "inpainting": ["PSNR outside", "as the caption says"],
    "lora": ["style", "as the caption says"],
}


@pytest.mark.parametrize("own", [ControlNetSettings(), InpaintingSettings(), StyleSettings(rank=2)])
def test_a_fresh_adapter_gains_nothing_through_the_whole_pipeline(
    own: AdapterKind, base: Path, scenes: Dataset, tmp_path: Path
) -> None:
    folder = adapter(base, scenes, own, tmp_path / "adapter", is_fresh=True)
    settings = GenerationSettings(count=20, image_size_px=16, steps=2, guidance=1, batch_size=12)
    found = survival(base, folder, own, scenes, settings, torch.device("cpu"))
    assert [each.name for each in found.measures] == MEASURES[own.name]
    for each in found.measures:
        assert each.value == pytest.approx(each.alone, rel=2e-3)  # pixels may be rounded otherwise
        assert each.gain is not None and each.gain[0] == pytest.approx(each.value - each.alone, abs=1e-9)
    of_both = found.shown[1:].astype(int)
    assert abs(of_both[0] - of_both[1]).max() <= 1 and of_both.shape == (2, 12, 16, 16, 3)
    is_read = own.name != "inpainting"
    assert found.measures[-1].truth == (1 if is_read else None)  # the images show what their captions say
    assert (found.captions == scenes.held_out_captions[:12]) == is_read  # another object in the hole


def test_without_a_caption_only_the_adapter_can_tell_the_model(
    base: Path, scenes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    generate = Model.generate_batch

    def spied(self: Model, captions: Sequence[str], *more: object, **named: object) -> object:
        told.extend(captions)
        return generate(self, captions, *more, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Model, "generate_batch", spied)
    settings = GenerationSettings(count=10, image_size_px=16, steps=2, guidance=1, batch_size=5)
    for own, names in (
        (ControlNetSettings(), ["edge F1, 0 px off, no caption", "edge F1, 1 px off, no caption"]),
        (InpaintingSettings(), ["PSNR outside, no caption"]),
    ):
        folder = adapter(base, scenes, own, tmp_path / own.name)
        found = survival(base, folder, own, scenes, settings, torch.device("cpu"), says="nothing")
        assert [each.name for each in found.measures] == names
        assert found.captions == [""] * 5
        assert found.measures[0].value != found.measures[0].alone  # the adapter is not
    assert told == [""] * 20


def test_the_command_measures_each_pair_once(
    base: Path, scenes: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = [
        adapter(base, scenes, own, tmp_path / own.name)
        for own in (T2ISettings(res_blocks=1), StyleSettings(rank=2))
    ]
    out = tmp_path / "scores"
    words = [f"models={base}", f"adapters={made[0]},{made[1]}", "samples=16", f"out={out}", "format=json"]
    assert evaluate_adapter.main(words) == 0
    first, kept = json.loads(capsys.readouterr().out), sorted(out.iterdir())
    assert [(row["kind"], row["measure"]) for row in first][2:] == [
        ("t2i", "as the caption says"), ("lora", "style"), ("lora", "as the caption says"),
    ]  # fmt: skip
    assert abs(first[0]["gain"]) > 0.003 and all(row["low"] <= row["value"] for row in first)
    assert [file.suffix for file in kept] == [".json", ".png"] * 2
    times = [file.stat().st_mtime_ns for file in kept]
    assert evaluate_adapter.main(words) == 0
    assert json.loads(capsys.readouterr().out) == first
    assert [file.stat().st_mtime_ns for file in sorted(out.iterdir())] == times
    assert evaluate_adapter.main([words[0], f"adapters={made[0]}", *words[2:], "seed=1"]) == 0
    assert len(list(out.iterdir())) == 6  # other noise is another measurement


def test_a_model_that_the_adapter_does_not_know_is_said(
    base: Path, scenes: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, other = adapter(base, scenes, T2ISettings(res_blocks=1), tmp_path / "t2i"), tmp_path / "other"
    model = load_model(base, "cpu")
    with torch.no_grad():
        next(model.text_encoder.parameters()).add_(1.0)
    model.save(other)
    words = [f"adapters={folder}", "samples=2", f"out={tmp_path / 'scores'}"]
    for models, is_said in ((base, False), (other, True)):
        assert evaluate_adapter.main([f"models={models}", *words]) == 0
        assert ("nor distilled from it" in " ".join(capsys.readouterr().err.split())) == is_said


def test_what_cannot_be_measured_is_refused_before_anything_is(
    base: Path, scenes: Dataset, tmp_path: Path
) -> None:
    own = StyleSettings(rank=2)
    folder, out = adapter(base, scenes, own, tmp_path / "adapter", is_fresh=True), tmp_path / "none"
    other = trained(scenes, tmp_path / "other", wider(TINY))
    given = f"adapters={folder}"
    for words, message in (
        ([f"models={base},{other}", given], "adapter beside .*other: adapter: is for another architecture"),
        ([f"models={base}", given, "samples=99999"], r"samples: 99,999; allowed: the 240 held-out ones"),
        ([f"models={base}", given, "steps=5000"], "steps: 5000"),
        ([f"models={base}", f"adapters={base}"], "adapters: .* holds no adapter"),
        (
            [f"models={base}", given, "captions=nothing"],
            "captions: nothing; adapter=lora is measured by what",
        ),
    ):
        with pytest.raises(InputError, match=message):
            evaluate_adapter.main([*words, f"out={out}"])
    digits = load_data(DigitsSettings())
    settings = GenerationSettings(count=2, image_size_px=16, steps=2, guidance=1)
    with pytest.raises(
        InputError, match="adapter: lora is read by the renderer of scenes; its data are digits"
    ):
        survival(base, folder, own, digits, settings, torch.device("cpu"))
    assert not out.exists()
