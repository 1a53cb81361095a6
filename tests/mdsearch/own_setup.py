"""What a user brings along to docs/own-setup.md, small: captioned images and a text encoder."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

COLOURS = {"red": (220, 40, 40), "green": (40, 170, 70), "blue": (60, 110, 240), "white": (250, 250, 250)}
SIDES = ("left", "right", "top", "bottom", "middle", "nowhere")


def write_images(folder: Path) -> None:
    """24 images of two captions each, not square, the first of which tells them apart."""
    folder.mkdir(parents=True)
    rows = []
    for number, ((colour, value), side) in enumerate(itertools.product(COLOURS.items(), SIDES)):
        pixels = np.full((80, 120, 3), 10 * SIDES.index(side), np.uint8)
        pixels[20:60, 20 + 10 * SIDES.index(side) :] = value
        Image.fromarray(pixels).save(folder / f"{number}.png")
        captions = f"a {colour} box at the {side}", f"something {colour}"
        rows += [{"file_name": f"{number}.png", "caption": caption} for caption in captions]
    (folder / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_text_encoder(folder: Path, width: int) -> None:
    """A CLIP text model of random weights; its tokenizer, of single letters, in a folder beside it."""
    from open_clip.tokenizer import bytes_to_unicode
    from transformers import CLIPTextConfig, CLIPTextModel

    letters = list(bytes_to_unicode().values())
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    beside = folder.with_name("tokenizer")
    beside.mkdir(parents=True)
    (beside / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(tokens)}))
    (beside / "merges.txt").write_text("#version: 0.2\n")
    torch.manual_seed(0)
    config = CLIPTextConfig(
        vocab_size=len(tokens),
        hidden_size=width,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=16,
        bos_token_id=len(tokens) - 2,
        eos_token_id=len(tokens) - 1,
    )
    CLIPTextModel(config).save_pretrained(folder)
