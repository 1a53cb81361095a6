"""Adapters of a trained model: bits, what is saved, and that a one-step model takes them as they are."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from diffusers.utils import dynamic_modules_utils
from torch import Tensor, nn

from mdsearch.commands import attach, train_adapter
from space.shared.plain import InputError
from tests.training.examples import load, save
from training.adapter_kinds import (
    AdapterKind,
    ControlNetSettings,
    InpaintingSettings,
    StyleSettings,
    T2ISettings,
    random_masks,
    unet_of,
)
from training.adapter_networks import ControlledNetwork, GuidedByMaps
from training.adapters import is_lora
from training.adapting import AdapterTrainer, read_record
from training.data.dataset import Dataset
from training.distillation import Distiller
from training.model import Model, load_model
from training.objectives.adapter import AdapterObjective, cubic
from training.objectives.ufogen import UfogenSettings
from training.settings import TrainingSettings

KINDS: list[AdapterKind] = [
    ControlNetSettings(),
    InpaintingSettings(),
    StyleSettings(rank=2),
    T2ISettings(res_blocks=1),
]
by_kind = pytest.mark.parametrize("own", KINDS, ids=lambda own: own.name)
MakesAdapter = Callable[[AdapterKind], AdapterTrainer]


@pytest.fixture
def make_adapter(base_folder: Path, scenes: Dataset, settings: TrainingSettings) -> MakesAdapter:
    return lambda own: AdapterTrainer(base_folder, scenes, settings, own, seed=1)


def objective(trainer: AdapterTrainer) -> AdapterObjective:
    assert isinstance(trainer.objective, AdapterObjective)
    return trainer.objective


def told(trainer: AdapterTrainer) -> dict[str, Tensor]:
    batch, own = objective(trainer).batch(0), trainer.own
    return (
        {"condition": own.condition(trainer.base, batch.data.images, batch.drawn)} if own.sees_images else {}
    )


@by_kind
def test_a_fresh_one_changes_no_bit_and_goes_on_with_the_same_ones(
    own: AdapterKind, make_adapter: MakesAdapter, base_folder: Path, tmp_path: Path
) -> None:
    whole, second = make_adapter(own), make_adapter(own)
    base, model = load_model(base_folder, "cpu"), objective(whole).model
    given = torch.randn(8, 12, 8, 8), torch.randint(1000, (8,)), torch.randn(8, 12, 16)
    with torch.no_grad():
        before = base(*given)
        assert torch.equal(model(*given, **told(whole)), before)
        assert before.std() > 0
    whole.train_to(1)
    save(whole, tmp_path)
    whole.train_to(3)
    load(second, tmp_path)
    second.train_to(3)
    ours, theirs = second.state(), whole.state()
    assert ours.plain == theirs.plain and ours.tensors.keys() == theirs.tensors.keys()
    assert all(torch.equal(ours.tensors[name], theirs.tensors[name]) for name in ours.tensors)
    with torch.no_grad():
        assert not torch.equal(model(*given, **told(whole)), before)
    unet = base.unet.state_dict()
    assert all(torch.equal(unet[name], tensor) for name, tensor in whole.base.unet.state_dict().items())
    learnt = [each for name, each in model.named_parameters() if each.requires_grad]
    assert all(each.grad is not None for each in learnt)
    assert whole.parameters == sum(each.numel() for each in learnt)
    averaged = whole.state().section("averaged")
    held = sum(each.numel() for name, each in averaged.items() if name.startswith("unet."))
    assert own.name in ("lora", "inpainting") or held == whole.parameters  # without the base


def test_the_loss_of_validation_is_that_of_the_base_until_it_has_learnt(make_adapter: MakesAdapter) -> None:
    trainers = [make_adapter(own) for own in KINDS]
    (loss,) = {trainer.validation_loss() for trainer in trainers}
    of_base = objective(trainers[0]).diffusion.validation_loss(trainers[0].base)
    assert loss == pytest.approx(of_base, rel=1e-6)  # to which the text encoder may take another path


def test_timesteps_and_masks_are_drawn_as_their_settings_say(make_adapter: MakesAdapter) -> None:
    drawn = cubic(torch.linspace(0, 1, 1001), 1000)
    assert (int(drawn[0]), int(drawn[500]), int(drawn[-1])) == (999, 875, 0)
    batch, uniform = objective(make_adapter(KINDS[3])), objective(make_adapter(KINDS[0]))
    assert batch.batch(3).data.timesteps.tolist() != uniform.batch(3).data.timesteps.tolist()
    inpainting = objective(make_adapter(KINDS[1]))
    parts = [inpainting.batch(2, rows).drawn for rows in (range(3), range(3, 8))]
    assert torch.equal(torch.cat(parts), inpainting.batch(2).drawn)

    masks = random_masks(400, 16, 0.25, torch.Generator().manual_seed(0))
    share = masks.mean(dim=(1, 2, 3))
    assert masks.shape == (400, 1, 16, 16) and set(masks.unique().tolist()) == {0.0, 1.0}
    assert 0.15 < float((share == 1).float().mean()) < 0.35 and float(share.min()) > 0
    assert float(random_masks(3, 16, 1, torch.Generator()).min()) == 1


# ---------------------------------------------------------------------- with a one-step model


def awake(trainer: AdapterTrainer) -> AdapterTrainer:
    """What it has learnt is far from nothing."""
    learnt = {name for name, each in objective(trainer).model.unet.named_parameters() if each.requires_grad}
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in trainer.averaged.unet.named_parameters():
            if name in learnt:
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return trainer


@torch.no_grad()
def swapped(trainer: AdapterTrainer, model: Model) -> nn.Module:
    """What was learnt, around the network of another model."""
    network: Any = copy.deepcopy(trainer.averaged.unet)
    before, after = trainer.base.unet.state_dict(), model.unet.state_dict()
    match trainer.own.name:
        case "controlnet":
            return ControlledNetwork(unet_of(model), network.adapter)
        case "t2i":
            return GuidedByMaps(unet_of(model), network.adapter)
        case "inpainting":
            for name, tensor in network.unet.state_dict().items():
                tensor.add_(after[name] - before[name])
        case "lora":
            for name, tensor in network.state_dict().items():
                if not is_lora(name):
                    tensor.copy_(after[name.replace(".base_layer", "")])
    return network


@pytest.fixture(scope="module")
def one_step(
    base_folder: Path, scenes: Dataset, settings: TrainingSettings, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    distiller = Distiller(base_folder, scenes, settings, UfogenSettings(), seed=1)
    torch.manual_seed(3)
    nn.init.normal_(unet_of(distiller.averaged).conv_out.weight, std=0.3)  # type: ignore[arg-type]
    folder = tmp_path_factory.mktemp("one-step")
    distiller.save_weights(folder)
    return folder


PIPELINES = {
    "controlnet": "StableDiffusionControlNetPipeline",
    "inpainting": "StableDiffusionInpaintPipeline",
    "lora": "StableDiffusionPipeline",
    "t2i": "StableDiffusionAdapterPipeline",
}


@by_kind
def test_a_one_step_model_takes_it_untouched_in_a_stock_pipeline(
    own: AdapterKind,
    make_adapter: MakesAdapter,
    one_step: Path,
    scenes: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dynamic_modules_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    trainer = awake(make_adapter(own))
    trainer.save_weights(tmp_path / "adapter")
    (tmp_path / "adapter" / "README.md").write_text("whose images it saw")
    out = tmp_path / "out" / "both"
    assert attach.main([f"model={one_step}", f"folder={tmp_path / 'adapter'}", f"out={out}"]) == 0
    assert (out / "adapter.md").read_text() == "whose images it saw"

    model, (images, captions) = load_model(one_step, "cpu"), scenes.held_out(range(2))
    noise, alone = model.initial_noise(5, range(2)), model.generate_batch(captions, range(2), seed=5)
    drawn = own.drawn(images, torch.Generator().manual_seed(1), range(2), 2)
    condition = own.condition(model, images, drawn) if own.sees_images else None
    model.unet = swapped(trainer, model)
    ours = model.generate_batch(captions, range(2), seed=5, condition=condition).astype(int)

    pipeline = DiffusionPipeline.from_pretrained(out, trust_remote_code=True)
    pipeline.set_progress_bar_config(disable=True)
    assert type(pipeline).__name__ == PIPELINES[own.name]
    given = {
        "inpainting": {
            "image": images / 2 + 0.5,
            "mask_image": drawn,
            "strength": 1.0,
            "height": 16,
            "width": 16,
        },
        "lora": {},
    }.get(own.name, {"image": drawn})
    theirs = pipeline(
        captions, latents=noise, num_inference_steps=1, guidance_scale=1.0, output_type="np", **given
    ).images
    assert np.abs(np.round(theirs * 255).astype(int) - ours).max() <= 1
    assert np.abs(ours - alone.astype(int)).max() > 3


def test_bases_and_data_that_are_none_are_refused(
    one_step: Path, base_folder: Path, scenes: Dataset, settings: TrainingSettings
) -> None:
    with pytest.raises(InputError, match="generates in one step already; needed: a diffusion model"):
        AdapterTrainer(one_step, scenes, settings, KINDS[0], seed=1)
    encoded = copy.copy(scenes)
    encoded.name = "encoded"
    with pytest.raises(
        InputError, match="data: encoded holds latents; adapter=controlnet learns from images"
    ):
        AdapterTrainer(base_folder, encoded, settings, KINDS[0], seed=1)
    for kind, wrong, message in (
        (T2ISettings, {"res_blocks": 0}, "res_blocks: 0"),
        (T2ISettings, {"low": 3, "high": 2}, "low: 3, high: 2"),
        (InpaintingSettings, {"whole": 1.5}, r"whole: 1\.5 .* 0 to 1"),
        (StyleSettings, {"rank": 0}, "rank: 0"),
    ):
        with pytest.raises(InputError, match=message):
            kind(**wrong)  # type: ignore[arg-type]


# ---------------------------------------------------------------------- the command

SMALL = ["training.batch_size=4", "training.validation_images=8", "training.device=cpu", "images=3"]
DATA = ["data=scenes", "data.image_size_px=16", "data.scenes=960", "data.style=outline"]


def test_the_command_leaves_an_adapter_and_goes_on(
    base_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"init_from={base_folder}", "adapter=controlnet", *DATA, *SMALL, "state_every_steps=2"]
    out = tmp_path / "out"
    assert train_adapter.main([*words, f"out={out}", "training.steps=2"]) == 0
    assert train_adapter.main([f"resume={out}", "training.steps=3"]) == 0
    curve = [json.loads(line) for line in (out / "curve.jsonl").read_text().splitlines()]
    assert [line["step"] for line in curve if "loss" in line] == [1, 2, 3]
    assert [line["step"] for line in curve if "validation_loss" in line] == [2, 3]
    assert {"samples.png", "adapter.json"} <= {file.name for file in out.iterdir()}
    assert (out / "controlnet" / "diffusion_pytorch_model.safetensors").is_file()
    assert read_record(out).step == 3
    assert f"| validation_loss | {curve[-1]['validation_loss']:.4g} |" in (out / "README.md").read_text()
    assert f"mdsearch attach model={base_folder} folder={out}" in capsys.readouterr().out

    for word, message in (
        ("training.guidance=3", "training.guidance: has no effect here, where init_from decides"),
        ("adapter.lowest=3", r"adapter\.lowest"),
        ("training.ema_lengths=[0.05,0.1]", "none are kept of an adapter"),
    ):
        with pytest.raises(InputError, match=message):
            train_adapter.main([*words, f"out={tmp_path / 'none'}", word])
    with pytest.raises(InputError, match="init_from: missing; which trained diffusion model"):
        train_adapter.main(DATA)
    assert not (tmp_path / "none").exists()
    with pytest.raises(InputError, match="is there already; allowed: a new folder"):
        attach.main([f"model={base_folder}", f"folder={out}", f"out={out}"])
