"""The script of numpy alone does what PyTorch, diffusers and tokenizers do."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import CLIPTokenizer

from analysis.export import generate_onnx
from analysis.export.generate_onnx import byte_names, ddim, initial_noise, tokens_of, write_png
from space.shared.seeds import generator
from tests.training.interchange.test_words import CAPTIONS, encoder
from training.diffusion import Diffusion, DiffusionSettings
from training.interchange.words import word_tokenizer

TEXTS = [
    *CAPTIONS, "It's 25%! a cat'll", "naïve CAFÉ e\u0301 ½ ②", "a<|endoftext|>b <|startoftext|>", "日本 ok’s",
    "_a_b", "\U0001f600 a\u200bb", "'s 's", "a " * 20,
]  # fmt: skip


@pytest.mark.parametrize("shape", [(12, 8, 8), (3, 5, 5), (1, 1, 17)])
def test_the_noise_is_that_of_the_seed(shape: tuple[int, ...]) -> None:
    expected = torch.randn(shape, generator=generator("initial noise", 3, 7)).numpy()
    assert np.abs(initial_noise(3, 7, shape) - expected).max() < 1e-6


@pytest.mark.parametrize(
    ("noise", "bound"),
    [
        (DiffusionSettings(), 1.0),
        (DiffusionSettings(prediction="v", schedule="cosine"), 1.0),
        (DiffusionSettings(prediction="epsilon", schedule="scaled_linear", zero_terminal_snr=False), None),
    ],
)
@pytest.mark.parametrize("steps", [1, 4, 6])
def test_it_steps_as_we_do(noise: DiffusionSettings, bound: float | None, steps: int) -> None:
    diffusion, start = Diffusion(noise, bound, torch.device("cpu")), torch.randn(2, 3, 4, 4)
    expected = diffusion.sample(
        lambda latents, timesteps, context: latents.sin() * 2 + timesteps.view(-1, 1, 1, 1) / 2000,
        start, torch.zeros(2, 1, 1), torch.zeros(1, 1, 1), steps=steps, guidance=1.0,
    )  # fmt: skip
    settings = {
        "alphas_cumprod": diffusion.alphas_cumprod.tolist(), "bound": bound, "prediction": noise.prediction,
    }  # fmt: skip
    made = ddim(lambda latents, t: np.sin(latents) * 2 + np.float32(t / 2000), start.numpy(), steps, settings)
    assert made.dtype == np.float32 and np.abs(made - expected.numpy()).max() < 1e-4


def test_it_reads_words_as_the_small_text_encoder() -> None:
    tokenizer = word_tokenizer(encoder(0))
    settings = {"length": 6, "padding": 0, "before": [1], "after": []}
    tokens = tokens_of(json.loads(tokenizer.backend_tokenizer.to_str()), settings)
    assert [tokens(text) for text in TEXTS] == encoder(0).tokenize(TEXTS).ids[
        encoder(0).tokenize(TEXTS).rows
    ].tolist()


def test_it_reads_bytes_as_clip(tmp_path: Path) -> None:
    merges = [
        ("a", "b"),
        ("c", "a"),
        ("ca", "t</w>"),
        ("i", "t</w>"),
        ("ab", "ab"),
        ("Ã", "©</w>"),
        ("o", "k</w>"),
    ]
    letters = [*byte_names().values()]
    vocabulary = [*letters, *(f"{one}</w>" for one in letters), *("".join(pair) for pair in merges)]
    vocabulary += ["<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(
        vocab={token: at for at, token in enumerate(vocabulary)}, merges=merges, model_max_length=16
    )
    tokenizer.save_pretrained(tmp_path)
    start, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    settings = {"length": 16, "padding": tokenizer.pad_token_id, "before": [start], "after": [end]}
    tokens = tokens_of(json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8")), settings)
    for text in [*TEXTS, "ababab cat it", "CAT ok é"]:
        assert tokens(text) == tokenizer(text, padding="max_length", truncation=True).input_ids, text


def test_it_writes_an_image(tmp_path: Path) -> None:
    from PIL import Image

    image = np.arange(4 * 3 * 3, dtype=np.uint8).reshape(4, 3, 3) * 7
    write_png(image, tmp_path / "image.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "image.png")), image)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--steps", "0"], "--steps: 0 is not possible; allowed: 1 to 10"),
        (["--steps", "11"], "--steps: 11 is not possible; allowed: 1 to 10"),
        (["--out", "a.jpg"], "--out: a.jpg is no image; allowed: a file that ends in .png or .npy"),
    ],
)
def test_what_it_does_not_do_is_refused(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Zero steps were the usual ones, and beyond the levels of noise each step stood still."""
    made = SimpleNamespace(settings={"alphas_cumprod": [0.5] * 10, "steps": 4})
    monkeypatch.setattr(generate_onnx, "Pipeline", lambda *_: made)
    monkeypatch.setattr(sys, "argv", ["generate.py", "a circle", *words])
    with pytest.raises(SystemExit) as ended:
        generate_onnx.main()
    assert ended.value.code == 2 and said in capsys.readouterr().err
