"""A whole trained model as a folder of ONNX files that generates without us, and without PyTorch."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from analysis.export import generate_onnx
from analysis.export.checks import Bits
from analysis.export.formats import write_component
from analysis.export.pipeline_components import components, text_and_tokenizer
from space.shared.files import write_whole
from space.shared.plain import InputError
from training.diffusion import ONE_STEP, check_ddim
from training.latents import Vae
from training.model import Model

GENERATE_SCRIPT = "generate.py"
TOKENIZERS = ("WordLevel", "BPE")
# Texts that the script must read as the model's own tokenizer does.
PROBES = ("A photo of 2 red circles, isn't it?", "naïve  CAFÉ — 10% off!!", "", "a " * 200)


def write_pipeline(
    model: Model, folder: Path, *, precision: Bits | None = None, about: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Write what `mdsearch generate` runs into a folder that is there, each file checked.

    Files, inputs and outputs have the names of ONNX pipelines. Beside them lie settings, tokenizer, and a
    script of numpy and onnxruntime alone that generates the images that `mdsearch generate` does.

    Returns:
        The manifests of the components, by their names.

    Raises:
        InputError: as `write_component`, or a tokenizer that the script does not read.
    """
    model.eval()
    check_ddim(model.settings.diffusion)
    _check_generates(model)
    _, tokenizer = text_and_tokenizer(model)
    tokenizer.save_pretrained(folder / "tokenizer")
    settings = _settings(model, tokenizer)
    _check_tokens(model, json.loads((folder / generate_onnx.TOKENIZER).read_text(encoding="utf-8")), settings)
    write_whole(folder / generate_onnx.SETTINGS, json.dumps(settings) + "\n")
    shutil.copyfile(generate_onnx.__file__, folder / GENERATE_SCRIPT)
    manifests = {}
    for component in components(model):
        own = folder / component.name
        own.mkdir()
        manifests[component.name] = write_component(component, "onnx", own, precision=precision, about=about)
    return manifests


def _check_generates(model: Model) -> None:
    """As the script does: in DDIM's steps, or one, and with guidance by two passes."""
    steps = model.settings.sampling_steps
    if model.settings.one_step and steps > 1:
        raise InputError(
            f"model: generates in {steps} steps of {ONE_STEP}, and the script has no noise for between them; "
            "allowed: 1 step"
        )
    if width := model.architecture.guidance_width:
        raise InputError(
            f"guidance_width: {width}, by which the network is told its guidance scale, and the script tells "
            "none; allowed: 0"
        )


def _settings(model: Model, tokenizer: Any) -> dict[str, Any]:
    """All that decides images beside the files; noise levels as they were trained."""
    settings, codec = model.settings, model.codec
    special = tokenizer("").input_ids  # of an empty text: what stands before and after every one
    starts = int(special[:1] == [tokenizer.bos_token_id])
    scale, shift = (codec.scale, codec.shift) if isinstance(codec, Vae) else (1.0, 0.0)
    return {
        "architecture": model.architecture.id,
        "steps": settings.sampling_steps,
        "guidance": settings.guidance,
        "latent_shape": list(model.latent_shape),
        "prediction": settings.diffusion.prediction,
        "bound": codec.bound,
        "scale": _plain(scale),
        "shift": _plain(shift),
        "length": model.text_encoder.length,
        "padding": tokenizer.pad_token_id,
        "before": special[:starts],
        "after": special[starts:],
        "alphas_cumprod": model.diffusion.alphas_cumprod.tolist(),
    }


def _plain(value: float | Tensor) -> float | list[float]:
    return value if isinstance(value, float) else [float(number) for number in value.flatten()]


def _check_tokens(model: Model, tokenizer: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    kind = tokenizer["model"]["type"]
    if kind not in TOKENIZERS:
        raise InputError(f"text.folder: its tokenizer is a {kind}; needed: CLIP's, a BPE of bytes")
    tokens = generate_onnx.tokens_of(tokenizer, settings)
    vocabulary = model.settings.vocabulary
    for probe in (*PROBES, " ".join(vocabulary).upper(), *vocabulary):
        if tokens(probe) != model.text_encoder.tokenize([probe]).ids[0].tolist():
            raise InputError(
                f"text.folder: its tokenizer reads {probe!r} otherwise than CLIP's; needed: CLIP's tokenizer"
            )
