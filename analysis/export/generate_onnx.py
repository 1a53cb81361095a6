"""Images of a prompt from the ONNX files beside this script, with numpy and onnxruntime alone.

python generate.py "a large red circle" --out circle.png --seed 1

The same seed gives the image that `mdsearch generate` gives. `--out` ends in .png, or in .npy for the bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import struct
import unicodedata
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

SETTINGS, TOKENIZER = "pipeline.json", "tokenizer/tokenizer.json"
BLANKS = re.compile(r"(?:(?![\x1c-\x1f])\s)+")  # of CLIP's tokenizer; Python has four more
FOLDERS = ("text_encoder", "unet", "vae_decoder")  # each with its ONNX file


class Pipeline:
    """Text encoder, UNet and decoder of a folder."""

    def __init__(self, folder: Path, threads: int = 0) -> None:
        """Args: threads: of each run; 0 leaves it to ONNX Runtime."""
        import onnxruntime

        self.settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        self.tokens = tokens_of(json.loads((folder / TOKENIZER).read_text(encoding="utf-8")), self.settings)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._sessions = {
            part: onnxruntime.InferenceSession(next((folder / part).glob("*.onnx")), options)
            for part in FOLDERS
        }

    def generate(
        self, prompts: Sequence[str], seed: int, steps: int | None = None, guidance: float | None = None
    ) -> np.ndarray:
        """(N, H, W, 3) uint8: image i starts from the noise of (seed, i)."""
        shape = self.settings["latent_shape"]
        noise = np.stack([initial_noise(seed, index, shape) for index in range(len(prompts))])
        images = self.decode(self.denoise(prompts, noise, steps, guidance))
        return ((images + 1) * np.float32(127.5)).round().clip(0, 255).astype(np.uint8)

    def denoise(
        self, prompts: Sequence[str], noise: np.ndarray, steps: int | None, guidance: float | None
    ) -> np.ndarray:
        """DDIM from noise to clean latents (N, C, H, W), with classifier-free guidance unless it is 1."""
        guidance = self.settings["guidance"] if guidance is None else guidance
        context, count = self.encode(prompts), len(prompts)
        if guidance != 1:
            context = np.concatenate([context, np.repeat(self.encode([""]), count, axis=0)])

        def predict(latents: np.ndarray, timestep: int) -> np.ndarray:
            batch = latents if guidance == 1 else np.concatenate([latents, latents])
            time = np.array([timestep], np.float32)
            predicted = self._run("unet", sample=batch, timestep=time, encoder_hidden_states=context)
            empty = predicted[count:]  # none without guidance
            return empty + np.float32(guidance) * (predicted[:count] - empty) if len(empty) else predicted

        return ddim(predict, noise, self.settings["steps"] if steps is None else steps, self.settings)

    def encode(self, prompts: Sequence[str]) -> np.ndarray:
        """(N, length, width) features."""
        return self._run("text_encoder", input_ids=np.array([self.tokens(prompt) for prompt in prompts]))

    def decode(self, latents: np.ndarray) -> np.ndarray:
        """(N, H, W, 3) from -1 to 1."""
        scale, shift = (
            np.array(self.settings[name], np.float32).reshape(1, -1, 1, 1) for name in ("scale", "shift")
        )
        images = self._run("vae_decoder", latent_sample=latents / scale + shift)
        return images.clip(-1, 1).transpose(0, 2, 3, 1)

    def _run(self, part: str, **inputs: np.ndarray) -> np.ndarray:
        output: np.ndarray = self._sessions[part].run(None, inputs)[0]
        return output


def ddim(
    predict: Callable[[np.ndarray, int], np.ndarray],
    noise: np.ndarray,
    steps: int,
    settings: Mapping[str, Any],
) -> np.ndarray:
    """From noise to clean latents; the first timestep is the one of noise alone, and all are evenly apart."""
    levels, latents = settings["alphas_cumprod"], noise  # of a level the share of signal, squared
    for at in np.arange(len(levels), 0, -len(levels) / steps).tolist():
        timestep = round(at) - 1
        before = timestep - len(levels) // steps
        signal, spread = _shares(levels[timestep])
        prediction = predict(latents, timestep)
        if settings["prediction"] == "epsilon":
            clean = (latents - spread * prediction) / signal
        elif settings["prediction"] == "v":
            clean = signal * latents - spread * prediction
        else:
            clean = prediction
        if settings["bound"] is not None:
            clean = clean.clip(-settings["bound"], settings["bound"])
        left = (latents - signal * clean) / spread
        signal, spread = _shares(levels[before] if before >= 0 else 1.0)
        latents = signal * clean + spread * left
    return latents


def _shares(level: float) -> tuple[np.float32, np.float32]:
    """Of signal and of noise."""
    return np.float32(level**0.5), np.float32((1 - level) ** 0.5)


# ---------------------------------------------------------------------- noise


def initial_noise(seed: int, index: int, shape: Sequence[int]) -> np.ndarray:
    """What PyTorch's generator of this key draws on a CPU: pairs of eight by Box and Muller's formula."""
    key = hashlib.sha256(repr(("initial noise", seed, index)).encode()).digest()
    bits = np.random.RandomState((int.from_bytes(key[:8], "little") >> 1) & 0xFFFFFFFF)

    def normal(count: int) -> np.ndarray:
        drawn = bits.randint(0, 2**32, count, np.uint32) & 0xFFFFFF
        first, second = (
            (drawn.astype(np.float32) * np.float32(2**-24))[: count // 16 * 16]
            .reshape(-1, 2, 8)
            .transpose(1, 0, 2)
        )
        radius, angle = np.sqrt(-2 * np.log(1 - first)), np.float32(2 * np.pi) * second
        return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)

    count = int(np.prod(shape))
    drawn = normal(count)
    if count % 16:
        drawn = np.concatenate([drawn, np.zeros(count - len(drawn), np.float32)])
        drawn[-16:] = normal(16)
    return drawn.reshape(shape)


# ---------------------------------------------------------------------- tokens


def tokens_of(tokenizer: Mapping[str, Any], settings: Mapping[str, Any]) -> Callable[[str], list[int]]:
    """Texts to token numbers, all of one length, by a tokenizer.json of whole words or of CLIP's."""
    model, length = tokenizer["model"], settings["length"]
    pieces = Words(model) if model["type"] == "WordLevel" else BytePairs(model)
    special = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    before, after = settings["before"], settings["after"]

    def tokens(text: str) -> list[int]:
        found = [number for part in pieces.parts(text, special) for number in part]
        row = [*before, *found[: length - len(before) - len(after)], *after]
        return row + [settings["padding"]] * (length - len(row))

    return tokens


class Words:
    """Lower-case words without the punctuation around them."""

    def __init__(self, model: Mapping[str, Any]) -> None:
        self._numbers, self._unknown = model["vocab"], model["vocab"][model["unk_token"]]

    def parts(self, text: str, special: Mapping[str, int]) -> Iterator[list[int]]:
        stripped = (word.strip(".,;:!?\"'()") for word in text.lower().split())
        yield [self._numbers.get(word, self._unknown) for word in stripped if word]


class BytePairs:
    """CLIP's: letters, single digits, or what else stands together, in bytes that are merged pair by pair."""

    def __init__(self, model: Mapping[str, Any]) -> None:
        self._numbers, self._end = model["vocab"], model["end_of_word_suffix"] or ""
        self._unknown = self._numbers.get(model["unk_token"])
        pairs = (pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"])
        self._ranks = {tuple(pair): rank for rank, pair in enumerate(pairs)}
        self._bytes = byte_names()

    def parts(self, text: str, special: Mapping[str, int]) -> Iterator[list[int]]:
        names = "|".join(re.escape(name) for name in sorted(special, key=len, reverse=True))
        for piece in re.split(f"({names})", text) if special else [text]:
            if piece in special:
                yield [special[piece]]
            else:
                normal = BLANKS.sub(" ", unicodedata.normalize("NFC", piece))
                normal = "".join(map(str.lower, normal))  # each alone: a last sigma is one like any other
                yield from (self._merged(word) for word in _clip_words(normal))

    def _merged(self, word: str) -> list[int]:
        parts = [self._bytes[byte] for byte in word.encode("utf-8")]
        parts[-1] += self._end
        parts = [part if part in self._numbers else "" for part in parts]  # unknown, and merged with nothing
        while pairs := [pair for pair in pairwise(parts) if pair in self._ranks]:
            first, second = min(pairs, key=self._ranks.__getitem__)
            merged, at = [], 0
            while at < len(parts):
                is_pair = parts[at : at + 2] == [first, second]
                merged.append(first + second if is_pair else parts[at])
                at += 2 if is_pair else 1
            parts = merged
        known = ((self._numbers.get(part, self._unknown)) for part in parts)
        return [number for number in known if number is not None]


def byte_names() -> dict[int, str]:
    """A printable character for each byte, as GPT-2 has them."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + at) for at, byte in enumerate(others)}


def _clip_words(text: str) -> Iterator[str]:
    at = 0
    while at < len(text):
        contraction = re.compile(r"'(?:s|t|re|ve|m|ll|d)").match(text, at)
        kind, end = _kind(text[at]), at + 1
        if contraction:
            end = contraction.end()
        elif kind in ("letter", "other"):
            while end < len(text) and _kind(text[end]) == kind:
                end += 1
        if contraction or kind != "space":
            yield text[at:end]
        at = end


def _kind(character: str) -> str:
    category = unicodedata.category(character)
    if BLANKS.match(character):
        return "space"
    return {"L": "letter", "N": "number"}.get(category[0], "other")


# ---------------------------------------------------------------------- files


def write_png(image: np.ndarray, path: Path) -> None:
    """(H, W, 3) uint8."""
    height, width, _ = image.shape
    rows = b"".join(b"\0" + row.tobytes() for row in image)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in chunks
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("prompt", nargs="+", help="one image of each")
    parser.add_argument("--out", type=Path, default=Path("generated.png"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="as in training, unless given")
    parser.add_argument("--guidance", type=float, help="as in training, unless given")
    parser.add_argument("--threads", type=int, default=0)
    words = parser.parse_args()
    if words.out.suffix not in (".png", ".npy"):
        parser.error(f"--out: {words.out} is no image; allowed: a file that ends in .png or .npy")
    pipeline = Pipeline(Path(__file__).parent, words.threads)
    most = len(pipeline.settings["alphas_cumprod"])
    if words.steps is not None and not 1 <= words.steps <= most:
        parser.error(f"--steps: {words.steps} is not possible; allowed: 1 to {most}")
    images = pipeline.generate(words.prompt, words.seed, words.steps, words.guidance)
    if words.out.suffix == ".npy":
        np.save(words.out, images)
    else:
        write_png(np.concatenate(list(images), axis=1), words.out)
    print(words.out)


if __name__ == "__main__":
    main()
