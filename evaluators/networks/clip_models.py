"""Published text-image models by open_clip: ViT-B/32, ViT-g/14 and its other architectures."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from evaluators.metrics.clip_score import check_pairs, cosines
from evaluators.networks.features import Images, in_chunks, weights_digest
from evaluators.networks.tokens import VOCABULARY, bpe
from evaluators.networks.weights import PublishedWeights, load_tensors
from space.shared.plain import InputError, nearest

WEIGHTS = "open_clip_model.safetensors"  # as open_clip names them on the hub
HUB_FILES = (WEIGHTS, "open_clip_pytorch_model.bin")
CLIP_PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# beside the tensors of OpenAI's archives
OPENAI_NUMBERS = {"input_resolution", "context_length", "vocab_size"}
OTHER_TEXT = {"hf_model_name", "hf_tokenizer_name", "tokenizer_kwargs"}  # that a text tower or tokenizer has
ImageTransform = Callable[[Image.Image], Tensor]


class OpenClip:
    """Both towers of one model: features are image embeddings of length 1, similarities their cosines.

    Images are prepared as open_clip does for this model, on Pillow's images, or by `image_transform`, which
    is told the side of the network's input, and says what it does in words. Captions longer than the
    text tower are cut as its tokenizer cuts them, the end of text kept.

    Attributes:
        name: the architecture in lower case, "vit-b-32".
        context_length: tokens a caption may have, with the start and the end of text.
    """

    def __init__(
        self,
        model: str,
        tag: str | None,
        weights: Path,
        device: str = "cpu",
        precision: str = "fp32",
        image_transform: Callable[[int], tuple[ImageTransform, str]] | None = None,
    ) -> None:
        self.name = model.lower()
        state = dict(load_tensors(weights))
        quick_gelu, said = _non_linearity(model, tag, weights, state)
        network = build_open_clip(model, quick_gelu)
        _load(network, state, weights)
        self.digest = weights_digest(network.state_dict())
        self._device, self._dtype = device, CLIP_PRECISIONS[precision]
        self._network = network.eval().to(device=device, dtype=self._dtype)
        if image_transform is None:
            self._transform, described = _image_transform(model, tag, network)
        else:
            self._transform, described = image_transform(max(network.visual.image_size))  # type: ignore[union-attr,arg-type]
        self.preparation = f"{described}; {said}{precision}"
        self.context_length = int(network.context_length)  # type: ignore[arg-type]

    @cached_property
    def width(self) -> int:
        return int(self._network.text_projection.shape[-1])  # type: ignore[index]

    def __call__(self, images: Images) -> np.ndarray:
        """(N, H, W, 3) uint8, or images of any sizes, to (N, width) float64 image embeddings of length 1."""
        embedded = in_chunks(self._network.encode_image, images, self._prepare, self._chunk)  # type: ignore[arg-type]
        return _normalized(embedded)

    def text_similarity(self, images: Images, captions: Sequence[str]) -> np.ndarray:
        """(N, H, W, 3) uint8 and N captions to (N,) float64 cosines."""
        return cosines(*self.embeddings(images, captions))

    def embeddings(self, images: Images, captions: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """(N, width) float64 of length 1: of N images, and of their captions."""
        check_pairs(images, captions)
        return self(images), self.text_embeddings(captions)

    def text_embeddings(self, captions: Sequence[str]) -> np.ndarray:
        """(N, width) float64 of length 1, always as many captions at a time."""
        tokens = bpe(captions, self.context_length)
        outputs = []
        with torch.inference_mode():
            for start in range(0, len(tokens), self._chunk):
                some = tokens[start : start + self._chunk]
                padded = torch.zeros((self._chunk, tokens.shape[1]), dtype=tokens.dtype)
                padded[: len(some)] = some
                embedded = self._network.encode_text(padded.to(self._device))  # type: ignore[operator]
                outputs.append(embedded[: len(some)].double().cpu().numpy())
        return _normalized(np.concatenate(outputs))

    def too_long(self, captions: Sequence[str]) -> int:
        """How many of the captions have more tokens than the text tower takes."""
        return int((bpe(captions, self.context_length + 1)[:, -1] != 0).sum())

    def _prepare(self, images: Images) -> Tensor:
        with ThreadPoolExecutor(max(1, torch.get_num_threads())) as pool:  # Pillow lets go of the interpreter
            prepared = list(pool.map(lambda image: self._transform(Image.fromarray(image)), images))
        return torch.stack(prepared).to(device=self._device, dtype=self._dtype)

    @property
    def _chunk(self) -> int:
        return 64 if self._device == "cuda" else 8


def published(model: str, tag: str | None) -> PublishedWeights | None:
    """Where open_clip has the weights of this architecture and tag; None for your own (no tag).

    Raises:
        InputError: an architecture or a tag that open_clip does not know.
    """
    if tag is None:
        _model_config(model)
        return None
    config = _published_config(model, tag)
    stem = f"{model.lower()}-{tag}"
    url = config.get("url", "")
    if "openaipublic" in url:  # its address holds the SHA-256
        return PublishedWeights((f"{stem}.pt",), url=url, sha256=url.split("/")[-2])
    files = (f"{stem}.safetensors", f"{stem}.bin", f"{stem}.pt")
    repository, _, name = config.get("hf_hub", "").rpartition("/")
    if not repository:
        return PublishedWeights((f"{stem}.pt",), url=url or None)
    names = (name,) if name else HUB_FILES
    return PublishedWeights(files, hub=(repository, names))


def build_open_clip(model: str, quick_gelu: bool = False) -> nn.Module:
    """The architecture, with weights from torch's current random state.

    Raises:
        InputError: an architecture that open_clip does not know, or one without open_clip's own tokenizer.
    """
    import open_clip

    config = _model_config(model)
    config["quick_gelu"] = config.get("quick_gelu", False) or quick_gelu
    if config.pop("custom_text", False) or OTHER_TEXT & config["text_cfg"].keys():
        raise InputError(f"model: {model!r} has a text tower or tokenizer of its own, which is not supported")
    if (tokens := config["text_cfg"].get("vocab_size", VOCABULARY)) != VOCABULARY:
        raise InputError(
            f"model: {model!r} embeds {tokens:,} tokens, but open_clip's tokenizer has {VOCABULARY:,}; "
            "needed: as many"
        )
    return open_clip.CLIP(**config)


def _model_config(model: str) -> dict[str, Any]:
    import open_clip

    config = open_clip.get_model_config(model)
    if config is None:
        raise InputError(f"model: open_clip has no {model!r}; {nearest(model, open_clip.list_models())}")
    plain: dict[str, Any] = dict(config)
    return plain


def _published_config(model: str, tag: str | None) -> dict[str, Any]:
    import open_clip

    _model_config(model)
    if tag is None:
        return {}
    config: dict[str, Any] = open_clip.get_pretrained_cfg(model, tag)
    if not config:
        tags = open_clip.list_pretrained_tags_by_model(model)
        raise InputError(f"weights: open_clip has no {tag!r} for {model}; {nearest(tag, tags)}")
    return config


def _non_linearity(
    model: str, tag: str | None, weights: Path, state: Mapping[str, Tensor]
) -> tuple[bool, str]:
    """Whether it is QuickGELU, which OpenAI trained with whatever the file is called here; and what the
    protocol says of it where neither model nor tag do.

    Raises:
        InputError: OpenAI's weights, by what they hold or by their name, under a tag or a model without it.
    """
    if _model_config(model).get("quick_gelu") or _published_config(model, tag).get("quick_gelu"):
        return True, ""
    known = state.keys() >= OPENAI_NUMBERS
    if known and tag is None:
        return True, "QuickGELU; "
    if known or "openai" in weights.name.lower():
        raise InputError(
            f"weights: {weights} is OpenAI's, which are trained with QuickGELU, but {model} "
            f"{'of your own file' if tag is None else f'tagged {tag!r}'} computes without; allowed: "
            f"weights: openai, or model: {model}-quickgelu"
        )
    return False, ""


def _load(network: nn.Module, state: dict[str, Tensor], weights: Path) -> None:
    """OpenAI's archives hold three numbers beside the tensors; all else must fit exactly."""
    if state.keys() >= OPENAI_NUMBERS:
        state = {name: item for name, item in state.items() if name not in OPENAI_NUMBERS}
    state.pop("text.transformer.embeddings.position_ids", None)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(f"{weights}: not weights of this architecture: {str(error)[:300]}") from None


def _image_transform(model: str, tag: str | None, network: nn.Module) -> tuple[ImageTransform, str]:
    """open_clip's own, and what it does in words."""
    from open_clip.transform import PreprocessCfg, image_transform_v2

    known = PreprocessCfg.__dataclass_fields__
    given = {name: item for name, item in _published_config(model, tag).items() if name in known}
    config = PreprocessCfg(**given | {"size": network.visual.image_size})  # type: ignore[union-attr]
    mean = " ".join(f"{value:g}" for value in config.mean)
    std = " ".join(f"{value:g}" for value in config.std)
    sides = " x ".join(str(side) for side in config.size) if isinstance(config.size, tuple) else config.size
    described = (
        f"Pillow {config.interpolation} to {sides} ({config.resize_mode} side, centre), "
        f"less {mean}, over {std}"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return image_transform_v2(config, is_train=False), described


def _normalized(rows: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)
