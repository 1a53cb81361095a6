"""The small text encoder in transformers' classes: the same tokens, the same features."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import CLIPTextModel, PreTrainedTokenizerFast

from training.interchange.words import clip_text_model, save_text_model, word_tokenizer
from training.text import SmallTextEncoder

VOCABULARY = ["a", "red", "circle", "don't", "mid.dot", "οδος"]
CAPTIONS = [
    "", " ", ".", ".,", "a red circle", "A Red, circle.", '  (a) , red\n"circle"!! x', "a\n",
    "a red circle a red circle a red circle", "<PADDING> a <START> <padding>", "don't 'don't' mid.dot",
    "a\x1cred\u3000circle\xa0a\u2003red", "ΟΔΟΣ red", "a . red", ". a .", "\x1f a", "...a...b...",
]  # fmt: skip


def encoder(layers: int) -> SmallTextEncoder:
    torch.manual_seed(0)
    made = SmallTextEncoder(VOCABULARY, 6, 16, layers=layers, heads=4).eval()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return made


@pytest.mark.parametrize("layers", [0, 2])
def test_tokens_and_features_are_the_same(layers: int, tmp_path: Path) -> None:
    ours = encoder(layers)
    save_text_model(clip_text_model(ours), tmp_path)
    word_tokenizer(ours).save_pretrained(tmp_path)
    theirs = CLIPTextModel.from_pretrained(tmp_path).eval()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    for caption in CAPTIONS:  # alone, since a batch with padding hides what is done without
        tokens = tokenizer(
            [caption], padding="max_length", truncation=True, max_length=tokenizer.model_max_length,
            return_tensors="pt",
        )  # fmt: skip
        assert torch.equal(tokens.input_ids, ours.tokenize([caption]).ids), caption
        with torch.no_grad():
            features = theirs(tokens.input_ids, attention_mask=tokens.attention_mask)[0]
            assert torch.allclose(features, ours.encode([caption]), atol=1e-5), caption
    assert theirs.config.use_attention_mask


def test_a_word_of_the_vocabulary_changes_the_features() -> None:
    with torch.no_grad():
        features = encoder(2).encode(["a red circle", "a red red"])
    assert (features[0] - features[1]).abs().max() > 0.1
