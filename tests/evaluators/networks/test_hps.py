"""HPS's network: equal to what its code does, by transformers' CLIP, and to no other version's weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPConfig, CLIPModel

from evaluators import testing
from evaluators.networks.clip_models import build_open_clip
from evaluators.networks.hps import HpsClip, HpsSettings, published_hps
from evaluators.networks.loading import load_networks
from evaluators.networks.weights import WeightsSettings
from evaluators.protocols.protocol import EvaluationProtocol, ImageForm, NetworkSpec
from evaluators.testing import SIMILARITY_CONTRACT, name_of
from space.shared.files import file_digest
from space.shared.plain import InputError
from tests.evaluators.conftest import CAPTIONS, TINY_CLIP

SIDE = 32
MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
SIZES = ((48, 40), (20, 31), (32, 32), (32, 20), (90, 90))


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3)).astype(np.uint8) for size in SIZES]


def prepared(image: np.ndarray, antialias: bool) -> Tensor:
    """The longer side to 32 px, centred on black, then normalised."""
    pixels = torch.from_numpy(image).permute(2, 0, 1).float() / 255
    height, width = (round(length * SIDE / max(image.shape[:2])) for length in image.shape[:2])
    if (height, width) != image.shape[:2]:
        resized = F.interpolate(
            pixels[None], (height, width), mode="bicubic", align_corners=False, antialias=antialias
        )[0]
    else:
        resized = pixels
    top, left = (SIDE - height) // 2, (SIDE - width) // 2
    canvas = torch.zeros(3, SIDE, SIDE)
    canvas[:, top : top + height, left : left + width] = resized
    return (canvas - MEAN) / STD


def peer(state: Mapping[str, Tensor]) -> CLIPModel:
    """transformers' CLIP of that shape and the same weights, by the names that it has for them."""
    shared = {"hidden_act": "gelu", "projection_dim": 24, "intermediate_size": 128, "num_hidden_layers": 2}
    config = CLIPConfig(
        projection_dim=24,
        vision_config={"hidden_size": 32, "num_attention_heads": 2, "image_size": SIDE, "patch_size": 8}
        | shared,
        text_config={"hidden_size": 32, "num_attention_heads": 2, "max_position_embeddings": 24} | shared,
    )
    found = {
        "logit_scale": state["logit_scale"],
        "visual_projection.weight": state["visual.proj"].T,
        "text_projection.weight": state["text_projection"].T,
        "text_model.embeddings.token_embedding.weight": state["token_embedding.weight"],
        "text_model.embeddings.position_embedding.weight": state["positional_embedding"],
        "vision_model.embeddings.class_embedding": state["visual.class_embedding"],
        "vision_model.embeddings.patch_embedding.weight": state["visual.conv1.weight"],
        "vision_model.embeddings.position_embedding.weight": state["visual.positional_embedding"],
    }
    same = {
        "vision_model.pre_layrnorm": "visual.ln_pre",
        "vision_model.post_layernorm": "visual.ln_post",
        "text_model.final_layer_norm": "ln_final",
    }
    for tower, ours in (("text_model", "transformer"), ("vision_model", "visual.transformer")):
        for layer in range(2):
            theirs, own = f"{tower}.encoder.layers.{layer}", f"{ours}.resblocks.{layer}"
            for kind in ("weight", "bias"):
                parts = state[f"{own}.attn.in_proj_{kind}"].chunk(3)
                for part, tensor in zip(("q_proj", "k_proj", "v_proj"), parts, strict=True):
                    found[f"{theirs}.self_attn.{part}.{kind}"] = tensor
            same |= {
                f"{theirs}.self_attn.out_proj": f"{own}.attn.out_proj",
                f"{theirs}.layer_norm1": f"{own}.ln_1",
                f"{theirs}.layer_norm2": f"{own}.ln_2",
                f"{theirs}.mlp.fc1": f"{own}.mlp.c_fc",
                f"{theirs}.mlp.fc2": f"{own}.mlp.c_proj",
            }
    for theirs, own in same.items():
        for kind in ("weight", "bias"):
            found[f"{theirs}.{kind}"] = state[f"{own}.{kind}"]
    model = CLIPModel(config).eval()
    model.load_state_dict(found)
    return model


@pytest.mark.parametrize("antialias", [False, True])
def test_equals_the_reference_by_another_clip(
    hps_file: Path, images: list[np.ndarray], antialias: bool
) -> None:
    ours = HpsClip("v2.0", hps_file, HpsSettings(antialias))
    model = peer(torch.load(hps_file, weights_only=True)["state_dict"])
    tokens = open_clip.get_tokenizer(TINY_CLIP)(CAPTIONS[: len(images)])
    with torch.inference_mode():
        pixels = torch.stack([prepared(image, antialias) for image in images])
        of_images = F.normalize(model.get_image_features(pixels).pooler_output, dim=-1)
        of_texts = F.normalize(model.get_text_features(tokens).pooler_output, dim=-1)
    expected = (of_images * of_texts).sum(dim=1).numpy()
    found = ours.text_similarity(images, CAPTIONS[: len(images)])
    assert np.abs(found - expected).max() <= 1e-6
    assert ours.name == "hps" and "longest side" in ours.preparation and ours.preparation.endswith("; fp32")
    assert ("not anti-aliased" in ours.preparation) is not antialias
    other = HpsClip("v2.0", hps_file, HpsSettings(not antialias)).text_similarity(images, CAPTIONS[:5])
    assert np.abs(other - found).max() > 1e-5 and other[2] == pytest.approx(found[2], abs=1e-7)


@pytest.mark.parametrize("clause", SIMILARITY_CONTRACT, ids=name_of)
def test_it_keeps_to_the_contract(clause: testing.SimilarityClause, hps_file: Path) -> None:
    """Of weights that know nothing, the caption that each image is nearest to is the right one."""
    hps = HpsClip("v2.0", hps_file, HpsSettings())
    images = np.random.default_rng(1).integers(0, 256, (12, 16, 16, 3)).astype(np.uint8)
    agreement = hps(images) @ hps.text_embeddings(CAPTIONS).T
    right = [CAPTIONS[index] for index in agreement.argmax(axis=1)]
    clause(hps, images, [right[0], *right[1:-1], CAPTIONS[int(agreement[0].argsort()[0])]])


def test_it_is_built_as_published() -> None:
    with torch.device("meta"):
        model = build_open_clip("ViT-H-14")
    assert sum(item.numel() for item in model.parameters()) == 986_109_441
    for version, file in (("v2.0", "HPS_v2_compressed.pt"), ("v2.1", "HPS_v2.1_compressed.pt")):
        where = published_hps(version)
        assert where.hub == ("xswu/HPSv2", (file,)) and where.files[0] == file
    with pytest.raises(InputError, match=r"'v2' is not a choice here; did you mean 'v2\.[01]'\?"):
        published_hps("v2")
    with pytest.raises(InputError, match=r"the version of hps: '' .*Valid: v2\.0, v2\.1"):
        published_hps(None)


@pytest.mark.parametrize(
    ("version", "file", "said"),
    [
        ("v2.1", "HPS_v2_compressed.pt", r"named for HPS v2\.0, not for v2\.1"),
        ("v2.1", "hpsv2.safetensors", r"named for HPS v2\.0"),
        ("v2.0", "HPS_v2.1_compressed.pt", r"named for HPS v2\.1, .*weights: v2\.1"),
        ("v2.0", "hpsv21.pt", r"named for HPS v2\.1"),
        ("v2.0", "open_clip_pytorch_model.bin", r"named as CLIP's own.*HPS_v2_compressed\.pt"),
    ],
)
def test_files_of_other_names_are_refused(
    hps_file: Path, tmp_path: Path, version: str, file: str, said: str
) -> None:
    (tmp_path / file).symlink_to(hps_file)
    with pytest.raises(InputError, match=rf"^weights\.files\.hps: .*{said}"):
        HpsClip(version, tmp_path / file, HpsSettings())


def test_a_file_of_ones_own_name_is_taken_and_known_by_its_digest(hps_file: Path, tmp_path: Path) -> None:
    (tmp_path / "hps-v2.0.pt").symlink_to(hps_file)
    (tmp_path / "mine.pt").symlink_to(hps_file)
    named, mine = (HpsClip("v2.0", tmp_path / name, HpsSettings()) for name in ("hps-v2.0.pt", "mine.pt"))
    assert named.digest == mine.digest

    def protocol(**fields: object) -> EvaluationProtocol:
        spec = NetworkSpec("hps", **({"weights": "v2.0"} | fields))  # type: ignore[arg-type]
        return EvaluationProtocol("t", 5, ImageForm(16), (), (spec,), None, None, metrics=("hps",))

    weights = WeightsSettings(files={"hps": str(tmp_path / "mine.pt")})
    with pytest.raises(InputError, match=r"mine\.pt tells no version of HPS, .* HPS_v2_compressed\.pt, or "):
        load_networks(protocol(), weights)
    pinned = protocol(file_sha256=file_digest(hps_file).hex())
    _, filled = load_networks(pinned, weights)
    assert filled.clips[0].digest == mine.digest and filled.clips[0].preparation == mine.preparation
    for fields, said in (
        ({"digest": "0" * 16}, "hps: digest .* where the protocol says 0000000000000000"),
        ({"file_sha256": "0" * 64}, "has the SHA-256 .*, not 0000"),
        ({"settings": {"antialiased": True}, "file_sha256": pinned.clips[0].file_sha256}, "mean 'antialias'"),
        ({"weights": "v2.2"}, r"'v2\.2' is not a choice here"),
    ):
        with pytest.raises(InputError, match=said):
            load_networks(protocol(**fields), weights)
    with pytest.raises(InputError, match="model: 'ViT-H-14' has no effect on hps"):
        load_networks(protocol(model="ViT-H-14"), WeightsSettings(download=False))
