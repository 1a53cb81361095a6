"""Folders of models that others trained, loaded whole or refused.

The libraries fill what a folder lacks at random, read another model's configuration as their own, and make a
tokenizer of nothing where none lies. Each would train, or generate, without its text and say no word.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from space.interchange.weight_files import CONFIG_FILE, SUFFIXES, read_plain
from space.shared.plain import InputError, first_few
from training.hub import TOKENIZER_CONFIG, TOKENIZER_FILES, fetched, is_address

TEXT_FOLDER, LATENTS_FOLDER = "text.folder", "latents.folder"  # the fields that name such folders
CLIP_TYPES = ("clip_text_model", "clip")  # a text tower, or a whole CLIP, of which the text tower is taken
OF_TEXT_TOWER = ("embeddings.", "encoder.", "final_layer_norm.")
GENERAL_TOKENIZERS = ("TokenizersBackend", "PreTrainedTokenizerFast")  # all of it is in tokenizer.json
VOCABULARY_PROBES = 32
PADDED_TO = (1, 2, 4, 8, 16, 32, 64, 128)  # token embeddings may be filled up to a multiple of one of these


def local_folder(folder: str | Path, field: str) -> Path:
    """A folder of this machine with what lies in it or, of the Hub, at its address.

    Raises:
        InputError: the address is none, or what lies there cannot be fetched.
    """
    if is_address(folder):
        return fetched(str(folder), field, _is_whole)
    return Path(folder).expanduser()


def _is_whole(folder: Path, field: str) -> bool:
    """Whether all lies there that a model is loaded from."""
    try:
        if field == TEXT_FOLDER:
            tokenizer_folder(folder, field)
    except InputError:
        return False
    names = [file.name for file in folder.iterdir()] if folder.is_dir() else []
    return CONFIG_FILE in names and any(name.endswith(SUFFIXES) for name in names)


def load_clip_text(folder: str, field: str) -> tuple[Any, Any]:
    """The text tower of a CLIP, in fp32, and its tokenizer, from its folder or the one beside it.

    Raises:
        InputError: another kind of model, weights that are missing or left over, no tokenizer, or one of
            another vocabulary.
    """
    from transformers import CLIPTextModel

    kind = read_config(folder, field, "a CLIP text model").get("model_type")
    if kind not in CLIP_TYPES:
        raise InputError(
            f"{field}: {folder!r} holds a model of the type {kind!r}; allowed: {' or '.join(CLIP_TYPES)}"
        )
    tower = load_whole(CLIPTextModel, folder, field, needless=lambda name: not _of_text_tower(name))
    place = tokenizer_folder(folder, field)
    tokenizer = _load_tokenizer(place, field)
    tokens = check_vocabulary(tokenizer, tower, f"{field}: {folder!r}")
    if not knows_words(tokenizer):
        raise InputError(f"{field}: the tokenizer in {str(place)!r} makes the same tokens of every text")
    if tower.config.vocab_size not in {-(-tokens // padding) * padding for padding in PADDED_TO}:
        raise InputError(
            f"{field}: {folder!r} embeds {tower.config.vocab_size:,} tokens, but the tokenizer in "
            f"{str(place)!r} has {tokens:,}; needed: the tokenizer that the text model was trained with"
        )
    return tower, tokenizer


def load_autoencoder(folder: str, field: str) -> Any:
    """A diffusers AutoencoderKL, or one of ours in its form, in fp32.

    Raises:
        InputError: another class, or weights that don't fit.
    """
    from diffusers import AutoencoderKL

    from space.interchange.pipeline_autoencoder import PipelineAutoencoder

    config = read_config(folder, field, "a diffusers AutoencoderKL")
    if (kind := config.get("_class_name")) == PipelineAutoencoder.__name__:
        return load_whole(PipelineAutoencoder, folder, field, needless=lambda name: False)
    if kind != AutoencoderKL.__name__:
        raise InputError(f"{field}: {folder!r} holds a {kind}; allowed: {AutoencoderKL.__name__}")
    for name in ("in_channels", "out_channels"):
        if config.get(name, 3) != 3:
            raise InputError(f"{field}: {folder!r} has {name} = {config[name]}; needed: 3, as images have")
    return load_whole(AutoencoderKL, folder, field, needless=lambda name: False)


def load_whole(
    kind: Any,
    folder: str | Path,
    field: str,
    *,
    dtype: torch.dtype = torch.float32,
    needless: Callable[[str], bool] = lambda name: True,
) -> Any:
    """A model of transformers or diffusers, every parameter of which is in the folder.

    Args:
        kind: its class.
        needless: whether a weight of this name may lie in the folder and not be used.

    Raises:
        InputError: it cannot be loaded, or weights are missing, left over or of another shape.
    """
    what = f"{field}: {str(folder)!r} does not load as {kind.__name__}"
    # transformers names weights of another shape only where it may go on with them.
    named = {"ignore_mismatched_sizes": True} if kind.__module__.startswith("transformers.") else {}
    try:
        with _quiet_libraries():
            model, told = kind.from_pretrained(
                str(local_folder(folder, field)),
                local_files_only=True,
                output_loading_info=True,
                dtype=dtype,
                **named,
            )
    except Exception as error:  # of two libraries, safetensors, torch and json on damaged files
        raise InputError(f"{what}: {' '.join(str(error).split())[:300]}") from None
    parameters = {name for name, _ in model.named_parameters()}
    wrong = {
        "missing": parameters & set(told["missing_keys"]),
        "of another shape": {key[0] for key in told["mismatched_keys"]},
        "left over": {name for name in told["unexpected_keys"] if not needless(name)},
    }
    for how, names in wrong.items():
        if names:
            raise InputError(
                f"{what}: {len(names)} of its weights are {how} ({first_few(sorted(names))}); needed: those "
                f"that belong to its {CONFIG_FILE}"
            )
    return model


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Without their bars and tables: what is wrong is said in one line."""
    libraries = [sys.modules[name].logging for name in ("transformers", "diffusers") if name in sys.modules]
    before = [(logging.get_verbosity(), logging.is_progress_bar_enabled()) for logging in libraries]
    for logging in libraries:
        logging.set_verbosity_error()
        logging.disable_progress_bar()
    try:
        yield
    finally:
        for logging, (verbosity, has_bar) in zip(libraries, before, strict=True):
            logging.set_verbosity(verbosity)
            if has_bar:
                logging.enable_progress_bar()


def read_config(folder: str | Path, field: str, what: str) -> dict[str, Any]:
    """Raises InputError where the folder holds none, naming the folders inside it that do."""
    path = local_folder(folder, field) / CONFIG_FILE
    if not path.is_file():
        inside = sorted(found.parent.name for found in path.parent.glob(f"*/{CONFIG_FILE}"))
        nearest = f"; its folders {', '.join(inside)} hold one" if inside else ""
        raise InputError(f"{field}: {str(folder)!r} holds no {CONFIG_FILE} of {what}{nearest}")
    return _read_json(path, field)


def _of_text_tower(name: str) -> bool:
    """A weight that a CLIP text tower would use, if its configuration had a place for it."""
    return name.removeprefix("text_model.").startswith(OF_TEXT_TOWER) and not name.endswith("position_ids")


def _read_json(path: Path, field: str) -> dict[str, Any]:
    try:
        return read_plain(path)
    except InputError as error:
        raise InputError(f"{field}: {error}") from None


# ---------------------------------------------------------------------- tokenizers


def tokenizer_folder(folder: str | Path, field: str) -> Path:
    """That of a text encoder: its own folder, or, as pipelines have it, `tokenizer` beside `text_encoder`.

    Raises:
        InputError: neither holds one.
    """
    own = Path(os.path.abspath(local_folder(folder, field)))
    number = own.name.removeprefix("text_encoder") if own.name.startswith("text_encoder") else ""
    beside = own.parent / f"tokenizer{number}"
    for place in (own, beside, own.resolve().parent / beside.name):
        if any(all((place / name).is_file() for name in names) for names in TOKENIZER_FILES):
            return place
    needed = ", or ".join(" and ".join(names) for names in TOKENIZER_FILES)
    raise InputError(
        f"{field}: {str(folder)!r} comes without its tokenizer; needed: {needed}, in it or in {str(beside)!r}"
    )


def check_vocabulary(tokenizer: Any, encoder: Any, what: str) -> int:
    """How many tokens a tokenizer has. Raises InputError where a text encoder cannot embed them all."""
    tokens = max(tokenizer.get_vocab().values(), default=-1) + 1
    embedded: int = encoder.get_input_embeddings().num_embeddings
    if tokens > embedded:
        raise InputError(
            f"{what} embeds {embedded:,} tokens, but its tokenizer has {tokens:,}; needed: the tokenizer "
            "that the text model was trained with"
        )
    return tokens


def knows_words(tokenizer: Any) -> bool:
    """Whether texts of its own vocabulary, some tokens from all over it, are told apart."""
    needless = {*tokenizer.all_special_ids, tokenizer.unk_token_id}
    tokens = sorted(set(tokenizer.get_vocab().values()) - needless)
    texts = [tokenizer.decode([token]) for token in tokens[:: max(1, len(tokens) // VOCABULARY_PROBES)]]
    read = tokenizer(texts).input_ids if texts else []
    return len({tuple(token for token in row if token not in needless) for row in read} - {()}) > 1


def _load_tokenizer(folder: Path, field: str) -> Any:
    from transformers import CLIPTokenizer, PreTrainedTokenizerFast

    what = f"{field}: the tokenizer in {str(folder)!r}"
    said = folder / TOKENIZER_CONFIG
    name = str(_read_json(said, field).get("tokenizer_class", "CLIP") if said.is_file() else "CLIP")
    if not name.startswith("CLIP") and name not in GENERAL_TOKENIZERS:
        raise InputError(f"{what} is a {name}; allowed: CLIPTokenizer")
    kind = PreTrainedTokenizerFast if name in GENERAL_TOKENIZERS else CLIPTokenizer
    try:
        tokenizer = kind.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:  # of the tokenizers' own library, on damaged files
        raise InputError(f"{what} cannot be read: {' '.join(str(error).split())[:300]}") from None
    if tokenizer.pad_token_id is None:
        raise InputError(f"{what} has no pad_token, which fills captions up to one length")
    return tokenizer
