"""open_clip's models through our loading: equal to that package, whatever form the weights come in."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from torch import nn

from evaluators.networks.clip_models import OpenClip, build_open_clip, published
from evaluators.networks.loading import ComputeSettings, load_networks
from evaluators.networks.weights import WeightsSettings
from evaluators.protocols.protocol import EvaluationProtocol, ImageForm, NetworkSpec
from space.shared.plain import InputError
from tests.evaluators.conftest import CAPTIONS, TINY_CLIP, TINY_CONFIG


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 48, 40, 3)).astype(np.uint8)


def test_equals_open_clip_through_the_same_weights(
    tiny_clip: OpenClip, tiny_clip_weights: Path, images: np.ndarray
) -> None:
    """Its factory, its transform of an image, its tokenizer, its cosine."""
    model, _, transform = open_clip.create_model_and_transforms(TINY_CLIP, pretrained=str(tiny_clip_weights))
    model.eval()
    with torch.inference_mode():
        batch = torch.stack([transform(Image.fromarray(image)) for image in images])
        embedded = model.encode_image(batch, normalize=True)
        texts = model.encode_text(open_clip.get_tokenizer(TINY_CLIP)(CAPTIONS[:5]), normalize=True)
    assert np.abs(tiny_clip(images) - embedded.numpy()).max() <= 1e-6
    expected = (embedded * texts).sum(dim=1).numpy()
    assert np.abs(tiny_clip.text_similarity(images, CAPTIONS[:5]) - expected).max() <= 1e-6
    assert tiny_clip.width == 24 and tiny_clip.name == TINY_CLIP
    assert tiny_clip.preparation.startswith(
        "Pillow bicubic to 32 x 32 (shortest side, centre), less 0.481455"
    )


def test_every_form_of_the_weights_gives_the_same(tiny_clip: OpenClip, tmp_path: Path) -> None:
    """safetensors, as the Hub has them; a TorchScript archive with three numbers more, as OpenAI's are."""
    from safetensors.torch import save_file

    state = build_open_clip(TINY_CLIP).state_dict()
    save_file(state, tmp_path / "a.safetensors")
    archive = nn.Module()
    for name in ("input_resolution", "context_length", "vocab_size"):
        archive.register_buffer(name, torch.tensor(1))
    for name, item in state.items():
        own, *parents = reversed(name.split("."))
        holder = archive
        for parent in reversed(parents):
            if not hasattr(holder, parent):
                holder.add_module(parent, nn.Module())
            holder = getattr(holder, parent)
        holder.register_buffer(own, item)
    torch.jit.script(archive).save(str(tmp_path / "b.pt"))
    one, other = (OpenClip(TINY_CLIP, None, tmp_path / name) for name in ("a.safetensors", "b.pt"))
    assert one.digest == other.digest != tiny_clip.digest


def test_long_captions_are_cut_where_open_clip_cuts(tiny_clip: OpenClip, images: np.ndarray) -> None:
    """Of 24 tokens 22 are words, between the start and the end of text."""
    fits, cut = "cat " * 22, "cat " * 23
    assert tiny_clip.too_long([fits]) == 0 and tiny_clip.too_long([cut, fits]) == 1
    both = tiny_clip.text_embeddings([fits, cut])
    assert np.abs(both[0] - both[1]).max() <= 1e-6


def test_precision_and_preparation_stand_in_the_protocol(
    tiny_clip: OpenClip, tiny_clip_weights: Path, images: np.ndarray
) -> None:
    protocol = EvaluationProtocol(
        "test", 5, ImageForm(48), (), (NetworkSpec("open-clip", TINY_CLIP),), None, None, metrics=("clip",)
    )
    weights = WeightsSettings(files={TINY_CLIP: str(tiny_clip_weights)})
    networks, exact = load_networks(protocol, weights)
    half, rough = load_networks(protocol, weights, ComputeSettings("cpu", "bf16"))
    assert exact.clips[0].digest == rough.clips[0].digest == tiny_clip.digest
    assert exact.id != rough.id and rough.clips[0].preparation == f"{tiny_clip.preparation[:-4]}bf16"
    whole = networks.similarities[0].text_similarity(images, CAPTIONS[:5])
    rounded = half.similarities[0].text_similarity(images, CAPTIONS[:5])
    assert 0 < np.abs(whole - rounded).max() < 0.05
    with pytest.raises(InputError, match=f"{TINY_CLIP}: preparation .*bf16.* fp32"):
        load_networks(exact, weights, ComputeSettings("cpu", "bf16"))
    other = exact.with_network(NetworkSpec("open-clip", TINY_CLIP, digest="0" * 16))
    with pytest.raises(InputError, match="where the protocol says 0000000000000000"):
        load_networks(other, weights)
    with pytest.raises(InputError, match=r"weights\.files\.tiny: .*no such network; Valid: tiny-for-tests"):
        load_networks(protocol, WeightsSettings(files={"tiny": "x"}))


def test_the_published_large_one_is_built_as_open_clip_builds_it() -> None:
    with torch.device("meta"):
        model = build_open_clip("ViT-g-14")
    assert sum(item.numel() for item in model.parameters()) == 1_366_678_273
    where = published("ViT-g-14", "laion2b_s34b_b88k")
    assert where is not None and where.hub is not None and where.url is None
    assert where.hub[0] == "laion/CLIP-ViT-g-14-laion2B-s34B-b88K"


def test_openais_weights_are_known_by_their_address() -> None:
    where = published("ViT-B-32", "openai")
    assert where is not None and where.files[0] == "vit-b-32-openai.pt"
    assert where.sha256 == "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"
    assert published(TINY_CLIP, None) is None


def test_openais_weights_have_the_quick_gelu_they_were_trained_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one state dict the two non-linearities make different features."""
    torch.manual_seed(0)
    torch.save(build_open_clip(TINY_CLIP).state_dict(), tmp_path / "w.pt")
    image = np.random.default_rng(1).integers(0, 256, (1, 32, 32, 3)).astype(np.uint8)
    plain = OpenClip(TINY_CLIP, None, tmp_path / "w.pt")(image)
    config = dict(open_clip.get_pretrained_cfg("ViT-B-32", "openai"))
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda model, tag: config)
    quick = OpenClip(TINY_CLIP, "openai", tmp_path / "w.pt")(image)
    model = open_clip.create_model(TINY_CLIP, pretrained=str(tmp_path / "w.pt"), force_quick_gelu=True).eval()
    with torch.inference_mode():
        transform = open_clip.transform.image_transform_v2(
            open_clip.transform.PreprocessCfg(32), is_train=False
        )
        expected = model.encode_image(transform(Image.fromarray(image[0]))[None], normalize=True).numpy()
    assert np.abs(quick - expected).max() <= 1e-6 < np.abs(plain - expected).max()

    monkeypatch.undo()  # a file of one's own, without a tag: known by the three numbers that OpenAI's hold
    numbers = {name: torch.tensor(1) for name in ("input_resolution", "context_length", "vocab_size")}
    torch.save(torch.load(tmp_path / "w.pt") | numbers, tmp_path / "mine.pt")
    own = OpenClip(TINY_CLIP, None, tmp_path / "mine.pt")
    assert np.abs(own(image) - expected).max() <= 1e-6
    assert own.preparation.endswith("; QuickGELU; fp32")
    other = dict(config, quick_gelu=False)
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda model, tag: other)
    with pytest.raises(
        InputError, match=f"OpenAI's.* tagged 'laion' computes without; .*{TINY_CLIP}-quickgelu"
    ):
        OpenClip(TINY_CLIP, "laion", tmp_path / "mine.pt")
    (tmp_path / "w.pt").rename(tmp_path / "ViT-B-32-OpenAI.pt")  # converted, and known by its name alone
    with pytest.raises(InputError, match=r"OpenAI's.* of your own file computes without"):
        OpenClip(TINY_CLIP, None, tmp_path / "ViT-B-32-OpenAI.pt")


def test_what_open_clip_does_not_know_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'ViT-g-14'"):
        published("ViT-g-15", "openai")
    with pytest.raises(InputError, match="did you mean 'laion2b_s34b_b88k'"):
        published("ViT-g-14", "laion2b_s34b_b88")
    with pytest.raises(InputError, match="of its own, which is not supported"):
        build_open_clip("roberta-ViT-B-32")
    with pytest.raises(InputError, match="tokenizer of its own"):  # BERT's, whose tokens are others
        build_open_clip("ViT-L-14-CLIPA")
    config = {**TINY_CONFIG, "text_cfg": {**TINY_CONFIG["text_cfg"], "vocab_size": 32000}}
    (tmp_path / "other-tokens.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "other-tokens.json")
    with pytest.raises(InputError, match=r"32,000 tokens, .* 49,408"):
        build_open_clip("other-tokens")
    torch.save({"weight": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(InputError, match="not weights of this architecture"):
        OpenClip(TINY_CLIP, None, tmp_path / "other.pt")


def test_networks_that_are_not_known_are_refused() -> None:
    def asked(**fields: object) -> EvaluationProtocol:
        return EvaluationProtocol("t", 5, ImageForm(8), (NetworkSpec(**fields),), (), None, None)  # type: ignore[arg-type]

    for fields, message in (
        ({"network": "inception"}, "did you mean 'inception-v3'"),
        ({"network": "open-clip"}, "model: missing for open-clip"),
        ({"network": "embedded-clip"}, r"weights\.files\.embedded-clip=runs/<name>/evaluator/embedded-clip"),
        ({"network": "random-conv", "settings": {"chanels": [2]}}, "did you mean 'channels'"),
    ):
        with pytest.raises(InputError, match=message):
            load_networks(asked(**fields), WeightsSettings(download=False))
    networks, protocol = load_networks(asked(network="random-conv"), WeightsSettings())
    assert json.dumps(protocol.to_plain()) and networks.features[0].width == 192


@pytest.mark.skipif(torch.cuda.is_available(), reason="has CUDA")
def test_cuda_is_refused_where_there_is_none() -> None:
    with pytest.raises(InputError, match="device: cuda is not available here"):
        _ = ComputeSettings("cuda").on
    assert ComputeSettings().on == "cpu"
