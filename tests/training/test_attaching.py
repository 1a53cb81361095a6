"""Adapters beside models that they were not trained with: which go together, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from space.architecture import Architecture
from space.shared.plain import InputError
from tests.training.examples import wider
from training.adapter_kinds import ControlNetSettings
from training.adapting import AdapterTrainer, read_record
from training.attaching import check_belongs, unknown_reader
from training.data.dataset import Dataset
from training.latents import LatentSettings
from training.model import load_model, read_description
from training.settings import TrainingSettings


@pytest.fixture
def adapter(base_folder: Path, scenes: Dataset, settings: TrainingSettings) -> AdapterTrainer:
    return AdapterTrainer(base_folder, scenes, settings, ControlNetSettings(), seed=1)


def test_an_adapter_of_another_model_is_refused(
    adapter: AdapterTrainer, base_folder: Path, tiny: Architecture, tmp_path: Path
) -> None:
    adapter.save_weights(tmp_path)
    record, (architecture, told) = read_record(tmp_path), read_description(base_folder)
    assert (record.adapter, record.architecture, record.step) == ("controlnet", tiny, 0)
    check_belongs(record, replace(architecture, guidance_width=6, latent_size=16), told)
    for other, message in (
        (wider(tiny), r"first down\.1\.stages\.0\.conv\.\S+ \[.*\] there, down\.1\.\S+ \[.*\] in the model"),
        (replace(tiny, attention="relu"), "is for another architecture: .*softmax -> relu"),
    ):
        with pytest.raises(InputError, match=message):
            check_belongs(record, other, told)
    with pytest.raises(InputError, match=r"latents\.factor 2 there, 4 in the model"):
        check_belongs(record, architecture, replace(told, latents=LatentSettings(factor=4)))
    v = replace(told, diffusion=replace(told.diffusion, prediction="v"))
    with pytest.raises(InputError, match=r"another diffusion: diffusion\.prediction 'x0' there, 'v' in the"):
        check_belongs(record, architecture, v)
    own = replace(
        told, diffusion=replace(told.diffusion, zero_terminal_snr=not told.diffusion.zero_terminal_snr)
    )
    check_belongs(record, architecture, own)  # as one that was distilled may have it
    check_belongs(replace(record, diffusion=None), architecture, v)  # of before: it does not say
    with pytest.raises(
        InputError, match=r"folder: .* holds no adapter \(adapter\.json\); needed: .* Valid: \S"
    ):
        read_record(base_folder)
    mistyped = tmp_path.with_name(f"{tmp_path.name}x")
    with pytest.raises(InputError, match=f"did you mean '{tmp_path.name}'"):
        read_record(mistyped)


def test_a_model_that_reads_captions_otherwise_is_said(
    adapter: AdapterTrainer, base_folder: Path, tmp_path: Path
) -> None:
    adapter.save_weights(tmp_path / "adapter")
    record, told = read_record(tmp_path / "adapter"), read_description(base_folder)[1]
    assert unknown_reader(record, base_folder, told) is None
    again = load_model(base_folder, "cpu")
    with torch.no_grad():
        again.text_encoder.words.weight[3] += 1.0  # type: ignore[union-attr, operator]
    again.save(tmp_path / "again")
    assert "reads captions by another text encoder" in (
        unknown_reader(record, tmp_path / "again", told) or ""
    )
    other = replace(told, vocabulary=(*told.vocabulary, "zebra"))
    assert unknown_reader(record, base_folder, other) is not None
    assert unknown_reader(replace(record, reader=None), tmp_path / "again", told) is None
