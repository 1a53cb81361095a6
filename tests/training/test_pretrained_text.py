"""Others' text encoders with their tokenizers: loaded whole, or refused in one line; none is filled up."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from space.architecture import Architecture
from space.shared.plain import InputError
from tests.training.examples import changed_json, changed_weights
from training.data.dataset import Dataset
from training.generation.identity import model_identity
from training.settings import TrainingSettings
from training.text import TextEncoder, TextSettings, make_text_encoder
from training.trainer import Trainer

TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt")


def encoder_of(folder: Path) -> TextEncoder:
    return make_text_encoder(TextSettings(encoder="clip", folder=str(folder)), [], 10, 16)


def refused(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        encoder_of(folder)
    message = str(caught.value)
    assert message.startswith("text.folder: ") and "\n" not in message
    return message


def as_in_a_pipeline(clip_folder: Path, number: str = "") -> Path:
    """The same encoder as Stable Diffusion has it: its tokenizer, of two files, in a folder beside it."""
    encoder = clip_folder.rename(clip_folder.with_name(f"text_encoder{number}"))
    tokenizer = encoder.with_name(f"tokenizer{number}")
    tokenizer.mkdir()
    for name in TOKENIZER:
        if (encoder / name).is_file():
            (encoder / name).rename(tokenizer / name)
    (tokenizer / "tokenizer.json").unlink(missing_ok=True)
    return encoder


# ---------------------------------------------------------------------- tokenizers


@pytest.mark.parametrize("number", ["", "_2"])
def test_a_tokenizer_beside_its_encoder_is_found(clip_folder: Path, number: str) -> None:
    expected = encoder_of(clip_folder).encode(["a cat", "a dog"])
    encoder = encoder_of(as_in_a_pipeline(clip_folder, number))
    features = encoder.encode(["a cat", "a dog"])
    torch.testing.assert_close(features, expected)
    assert (features[0] - features[1]).abs().max() > 0.1


@pytest.mark.parametrize("lost", ["merges.txt", "vocab.json"])
def test_an_encoder_without_its_whole_tokenizer_is_refused(clip_folder: Path, lost: str) -> None:
    encoder = as_in_a_pipeline(clip_folder)
    (encoder.with_name("tokenizer") / lost).unlink()
    message = refused(encoder)
    assert "vocab.json and merges.txt" in message and str(encoder.with_name("tokenizer")) in message


def test_a_tokenizer_of_another_vocabulary_is_refused(clip_folder: Path) -> None:
    encoder = as_in_a_pipeline(clip_folder)
    file = encoder.with_name("tokenizer") / "vocab.json"
    vocabulary = json.loads(file.read_text())
    file.write_text(json.dumps(vocabulary | {"more</w>": 54, "yet more</w>": 55}))
    assert "embeds 54 tokens, but its tokenizer has 56" in refused(encoder)
    fewer = [token for token in vocabulary if not token.startswith(("y", "z"))]
    file.write_text(json.dumps({token: index for index, token in enumerate(fewer)}))
    assert "embeds 54 tokens" in (message := refused(encoder)) and "has 50" in message


def test_a_tokenizer_that_reads_none_of_its_own_tokens_is_refused(clip_folder: Path) -> None:
    """Captions are read in lower case; this one has capitals alone."""
    encoder = as_in_a_pipeline(clip_folder)
    file = encoder.with_name("tokenizer") / "vocab.json"
    vocabulary = {
        token.upper().replace("</W>", "</w>") if token[0].isalpha() else token: index
        for token, index in json.loads(file.read_text()).items()
    }
    file.write_text(json.dumps(vocabulary))
    assert "makes the same tokens of every text" in refused(encoder)


def test_token_embeddings_may_be_filled_up(clip_folder: Path) -> None:
    def filled_up(weights: dict[str, Tensor]) -> dict[str, Tensor]:
        name = next(name for name in weights if name.endswith("token_embedding.weight"))
        return weights | {name: torch.cat([weights[name], torch.zeros(10, 16)])}

    expected = encoder_of(clip_folder).encode(["a cat"])
    changed_json(clip_folder / "config.json", vocab_size=64)
    changed_weights(clip_folder / "model.safetensors", filled_up)
    torch.testing.assert_close(encoder_of(clip_folder).encode(["a cat"]), expected)


def test_a_tokenizer_of_another_kind_is_refused(clip_folder: Path) -> None:
    changed_json(clip_folder / "tokenizer_config.json", tokenizer_class="T5Tokenizer")
    assert "is a T5Tokenizer; allowed: CLIPTokenizer" in refused(clip_folder)


# ---------------------------------------------------------------------- text models


@pytest.mark.parametrize("kind", ["t5", "siglip_text_model", None])
def test_another_model_than_a_clip_is_refused(clip_folder: Path, kind: str | None) -> None:
    changed_json(clip_folder / "config.json", model_type=kind)
    assert f"{kind!r}; allowed: clip_text_model or clip" in refused(clip_folder)


def test_the_folder_of_a_whole_pipeline_names_those_inside(clip_folder: Path) -> None:
    as_in_a_pipeline(clip_folder)
    assert "its folders text_encoder hold one" in refused(clip_folder.parent)


def without_a_weight(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in weights.items() if not name.endswith("layers.1.mlp.fc1.weight")}


def with_a_wider_weight(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: torch.zeros(33, 16) if name.endswith("layers.1.mlp.fc1.weight") else tensor
        for name, tensor in weights.items()
    }


def with_another_layer(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return weights | {
        name.replace("layers.1.", "layers.2."): tensor.clone()
        for name, tensor in weights.items()
        if name.endswith("layers.1.mlp.fc1.weight")
    }


@pytest.mark.parametrize("change", [without_a_weight, with_a_wider_weight, with_another_layer])
def test_text_weights_that_do_not_fit_are_refused(
    clip_folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]
) -> None:
    changed_weights(clip_folder / "model.safetensors", change)
    message = refused(clip_folder)
    assert "does not load as CLIPTextModel" in message and "mlp.fc1.weight" in message


def test_damaged_files_are_refused(clip_folder: Path) -> None:
    (clip_folder / "model.safetensors").write_bytes(b"half a download")
    refused(clip_folder)
    (clip_folder / "config.json").write_text("{")
    refused(clip_folder)


@pytest.mark.parametrize("prefix", ["text_model.", ""])
def test_both_ways_to_name_the_weights_and_half_precision_are_read(clip_folder: Path, prefix: str) -> None:
    def renamed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
        return {prefix + name.removeprefix("text_model."): tensor.half() for name, tensor in weights.items()}

    expected = encoder_of(clip_folder).encode(["a cat"])
    changed_weights(clip_folder / "model.safetensors", renamed)
    changed_json(clip_folder / "config.json", dtype="float16")
    features = encoder_of(clip_folder).encode(["a cat"])
    assert features.dtype == torch.float32
    torch.testing.assert_close(features, expected, atol=0.01, rtol=0.01)


def test_the_text_tower_of_a_whole_clip_is_taken(clip_folder: Path) -> None:
    from transformers import CLIPConfig, CLIPModel, CLIPTextModel, CLIPVisionConfig

    expected = encoder_of(clip_folder).encode(["a cat"])
    tower = CLIPTextModel.from_pretrained(clip_folder)
    sight = CLIPVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=8,
        patch_size=4,
    )  # fmt: skip
    whole = CLIPModel(
        CLIPConfig(text_config=tower.config.to_dict(), vision_config=sight.to_dict(), projection_dim=8)
    )
    whole.text_model.load_state_dict(tower.state_dict())
    (clip_folder / "model.safetensors").unlink()
    whole.save_pretrained(clip_folder)
    torch.testing.assert_close(encoder_of(clip_folder).encode(["a cat"]), expected)


def test_a_tokenizer_beside_its_encoder_belongs_to_what_generates(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings, clip_folder: Path, tmp_path: Path
) -> None:
    encoder = as_in_a_pipeline(clip_folder)
    frozen = replace(settings, text=TextSettings(encoder="clip", folder=str(encoder)))
    Trainer(replace(tiny, context_length=10), scenes, frozen, seed=0).save_weights(tmp_path / "model")
    before = model_identity(tmp_path / "model")
    assert model_identity(tmp_path / "model") == before
    merges = encoder.with_name("tokenizer") / "merges.txt"
    merges.write_text(merges.read_text() + "a b</w>\n")
    assert model_identity(tmp_path / "model") != before


def test_an_encoder_is_taken_by_a_network_that_reads_no_text(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings, clip_folder: Path
) -> None:
    frozen = replace(settings, text=TextSettings(encoder="clip", folder=str(clip_folder)))
    wide = replace(tiny, context_length=77, context_width=768)
    with pytest.raises(InputError, match=r"context_length=10 context_width=16"):
        Trainer(wide, scenes, frozen, seed=0)
    levels = tuple(replace(level, cross_attention=False) for level in wide.levels)
    trainer = Trainer(replace(wide, levels=levels), scenes, frozen, seed=0)
    trainer.train_to(1)
    assert trainer.generate(["a red circle"], seed=0).shape == (1, 16, 16, 3)
