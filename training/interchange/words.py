"""The small text encoder in transformers' classes: a CLIP text model, and a tokenizer of whole words.

Its layers are CLIP's with the exact GELU, so all weights have a place there. It reads captions in both
directions and looks past the padding, which a configuration says: `is_causal` false and `use_attention_mask`,
which diffusers' pipelines heed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from space.architecture import Architecture
from space.interchange.weight_files import CONFIG_FILE, read_tensors
from space.shared.plain import InputError
from training.files import TEXT_WEIGHTS
from training.model import ModelSettings
from training.text import PADDING, START_TOKEN, UNKNOWN_TOKEN, SmallTextEncoder

# Names that no caption can hold, since all of it is in lower case.
SPECIAL_TOKENS = {"<PADDING>": PADDING, "<START>": START_TOKEN, "<UNKNOWN>": UNKNOWN_TOKEN}
_AROUND = r"""[.,;:!?"'()]*"""  # what `training.data.captions.words` strips
_BLANK = r"[\s\x1c-\x1f]+"  # Python's
_OURS = {
    "self_attn.out_proj": "self_attn.out_proj",
    "layer_norm1": "norm1",
    "layer_norm2": "norm2",
    "mlp.fc1": "linear1",
    "mlp.fc2": "linear2",
}


def read_words(folder: Path, architecture: Architecture, settings: ModelSettings) -> SmallTextEncoder | None:
    """The small text encoder of a trained model's folder; None: its text encoder is another one.

    Raises:
        InputError: its weights cannot be read, or are another one's.
    """
    if settings.text.encoder != "small":
        return None
    encoder = SmallTextEncoder(
        list(settings.vocabulary),
        architecture.context_length,
        architecture.context_width,
        layers=settings.text.layers,
        heads=settings.text.heads,
    )
    file = folder / TEXT_WEIGHTS
    try:
        encoder.load_state_dict(read_tensors(file))
    except RuntimeError as error:
        raise InputError(f"{file} does not hold its weights: {' '.join(str(error).split())}") from None
    return encoder.eval()


def clip_text_model(encoder: SmallTextEncoder) -> Any:
    """A `CLIPTextModel` of the same features, from the tokens of `word_tokenizer` and their mask."""
    from transformers import CLIPTextConfig, CLIPTextModel

    layers = [] if encoder.layers is None else list(encoder.layers.layers)
    config: Any = CLIPTextConfig(
        vocab_size=encoder.words.num_embeddings,
        hidden_size=encoder.width,
        intermediate_size=2 * encoder.width,
        num_hidden_layers=len(layers),
        num_attention_heads=encoder.heads,
        max_position_embeddings=encoder.length,
        hidden_act="gelu",
        layer_norm_eps=encoder.norm.eps,
        pad_token_id=PADDING,
        bos_token_id=START_TOKEN,
        eos_token_id=PADDING,
        projection_dim=encoder.width,
    )
    config.is_causal, config.use_attention_mask, config._attn_implementation = False, True, "eager"
    model = CLIPTextModel(config)
    model.load_state_dict(_weights(encoder))
    return model.eval()


def save_text_model(model: Any, folder: Path) -> None:
    """With its way of attention, which transformers leaves out: its fast one takes a caption that leaves no
    padding for one that is read forwards alone."""
    model.save_pretrained(folder)
    path = folder / CONFIG_FILE
    config = json.loads(path.read_text(encoding="utf-8")) | {"attn_implementation": "eager"}
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def word_tokenizer(encoder: SmallTextEncoder) -> Any:
    """A `PreTrainedTokenizerFast` that makes the encoder's own tokens of a caption."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    padding, start, unknown = SPECIAL_TOKENS
    tokenizer = Tokenizer(models.WordLevel(SPECIAL_TOKENS | encoder.vocabulary, unk_token=unknown))
    last_sigma = normalizers.Replace(Regex(r"(?<=\p{L})Σ(?!\p{L})"), "ς")  # of Python's lower case alone
    tokenizer.normalizer = normalizers.Sequence([last_sigma, normalizers.Lowercase()])
    between = rf"\A{_AROUND}{_BLANK}{_AROUND}|{_AROUND}(?:{_BLANK}{_AROUND})+|\A{_AROUND}|{_AROUND}\z"
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(between), behavior="removed")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A", special_tokens=[(start, START_TOKEN)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=padding,
        bos_token=start,
        unk_token=unknown,
        model_max_length=encoder.length,
        split_special_tokens=True,  # a caption that spells one means its words
        clean_up_tokenization_spaces=False,
    )


def _weights(encoder: SmallTextEncoder) -> dict[str, Tensor]:
    ours = encoder.state_dict()
    theirs = {
        "embeddings.token_embedding.weight": ours["words.weight"],
        "embeddings.position_embedding.weight": ours["positions"],
    }
    for kind in ("weight", "bias"):
        theirs[f"final_layer_norm.{kind}"] = ours[f"norm.{kind}"]
        for number in range(0 if encoder.layers is None else encoder.layers.num_layers):
            from_, to = f"layers.layers.{number}", f"encoder.layers.{number}"
            thirds: tuple[Tensor, ...] = torch.chunk(ours[f"{from_}.self_attn.in_proj_{kind}"], 3)
            for name, part in zip("qkv", thirds, strict=True):
                theirs[f"{to}.self_attn.{name}_proj.{kind}"] = part
            for there, here in _OURS.items():
                theirs[f"{to}.{there}.{kind}"] = ours[f"{from_}.{here}.{kind}"]
    return theirs
