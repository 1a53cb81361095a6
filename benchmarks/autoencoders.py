"""8 latent channels against 4, and a light decoder: section 3.5, small.

    python -m benchmarks.autoencoders FOLDER

Stable Diffusion's blocks at a quarter of their widths, for scenes of 64 px, with 8 and with 4 latent
channels, each with every seed, trained alike; then for the encoder with 8 a light decoder, and for as many
steps the full one. PSNR and SSIM of held-out scenes; what a decoder takes here, eager and in ONNX Runtime, in
turns. Images as in the paper's Figure 3, with differences magnified, are FOLDER/scores/*/samples.png.

Every part goes on where it was left.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from analysis.rendering import render_table
from benchmarks.lab import Lab
from benchmarks.one_step import over_seeds
from evaluators.latency.quiet import CpuMoment, quietness
from evaluators.latency.runtimes import Place, runner
from evaluators.latency.timing import alternating
from evaluators.latency.whole import OwnDecoder, decoder_inputs
from space.interchange.autoencoder_files import read_autoencoder
from space.shared.cpus import available_cpus

LIGHT = """# The decoder at half the widths, with a block less a level and without attention
schema_version: 1
latent_channels: 8
image_size: 64
encoder:
  middle: {blocks: 2, attention: true}
  levels:
  - {channels: 32, blocks: 2}
  - {channels: 64, blocks: 2}
  - {channels: 128, blocks: 2}
  - {channels: 128, blocks: 2}
decoder:
  middle: {blocks: 1, attention: false}
  norm_groups: 16
  levels:
  - {channels: 16, blocks: 2}
  - {channels: 32, blocks: 2}
  - {channels: 64, blocks: 2}
  - {channels: 64, blocks: 2}
"""
METRICS = ("psnr", "ssim")


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    words.add_argument("folder", type=Path)
    words.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    words.add_argument("--steps", type=int, default=800, help="of each training")
    words.add_argument("--batch", type=int, default=4, help="images a step")
    words.add_argument("--at-once", type=int, default=available_cpus(), help="trainings, a thread each")
    words.add_argument("--rounds", type=int, default=21, help="of timing")
    words.add_argument("--tables", action="store_true", help="of what is there, without training any more")
    chosen = words.parse_args()
    lab = Autoencoders(chosen.folder.resolve(), chosen.steps, chosen.batch)
    if not chosen.tables:
        lab.train(chosen.seeds, chosen.at_once)
    print(f"\n{render_table([], list(quality_rows(lab)), 'markdown')}")
    print(render_table([], list(speed_rows(lab, chosen.seeds[0], chosen.rounds)), "markdown"), end="")


@dataclass(frozen=True)
class Autoencoders(Lab):
    """A folder of them, named by channels or decoder, and seed."""

    steps: int
    batch: int

    def train(self, seeds: Sequence[int], at_once: int) -> None:
        """Decoders begin from the autoencoders with 8 channels, and so after all of these."""
        (self.folder / "light.yaml").write_text(LIGHT, encoding="utf-8")
        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(self._with_channels, (8,) * len(seeds) + (4,) * len(seeds), (*seeds, *seeds)))
            both = [(kind, seed) for seed in seeds for kind in ("full", "light")]
            list(pool.map(self._decoder, *zip(*both, strict=True)))

    def _with_channels(self, channels: int, seed: int) -> None:
        self._trained(f"channels{channels}-seed{seed}", seed, f"autoencoder.latent_channels={channels}")

    def _decoder(self, kind: str, seed: int) -> None:
        light = ("autoencoder=light.yaml",) if kind == "light" else ()
        alone = (f"init_from=trained/channels8-seed{seed}", "reconstruction.decoder_only=true", *light)
        self._trained(f"decoder-{kind}-seed{seed}", seed, *alone)

    def _trained(self, name: str, seed: int, *words: str) -> None:
        same = (
            "data.image_size_px=64", f"reconstruction.steps={self.steps}", f"seed={seed}",
            f"reconstruction.batch_size={self.batch}", "reconstruction.decay=cosine",
        )  # fmt: skip
        self.once(name, "train", "autoencoder", f"out=trained/{name}", *same, *words)
        judged = ("data.image_size_px=64", "perceptual=none", "features=none", "samples=480")
        self.once(
            f"scores-{name}", "evaluate", "reconstruction", f"model=trained/{name}", f"out=scores/{name}",
            *judged,
        )  # fmt: skip


def quality_rows(lab: Autoencoders) -> Iterator[dict[str, str]]:
    """Of each kind: means over seeds, with Student's interval."""
    scores: dict[str, list[dict[str, float]]] = {}
    for file in sorted(lab.folder.glob("scores/*/scores.json")):
        sheet = json.loads(file.read_text(encoding="utf-8"))["scores"]
        found = {name: sheet[name]["value"] for name in METRICS}
        scores.setdefault(file.parent.name.rpartition("-seed")[0], []).append(found)
    for name, values in sorted(scores.items()):
        yield {
            "autoencoder": name,
            "seeds": str(len(values)),
            "PSNR, dB": over_seeds([each["psnr"] for each in values], 2),
            "SSIM": over_seeds([each["ssim"] for each in values], 4),
        }


def speed_rows(lab: Autoencoders, seed: int, rounds: int) -> Iterator[dict[str, str]]:
    """Both decoders in turns, an image at a time, on all CPUs; by each runtime the ratio of medians."""
    decoders = {
        name: read_autoencoder(lab.folder / "trained" / f"decoder-{name}-seed{seed}").network.autoencoder
        for name in ("full", "light")
    }
    place = Place(threads=available_cpus())
    for runtime in ("eager", "onnx"):
        begin = CpuMoment.now()
        with TemporaryDirectory() as one, TemporaryDirectory() as other:
            runs = {
                name: runner(OwnDecoder(a), decoder_inputs(a), runtime, place, Path(folder))
                for (name, a), folder in zip(decoders.items(), (one, other), strict=True)
            }
            timed = alternating(runs, rounds, warm_up=3)
        yield {
            "runtime": f"{runtime}, {place.threads} threads",
            **{
                f"{name} decoder, ms": f"{each.median:.1f} ({each.interval[0]:.1f} to {each.interval[1]:.1f})"
                for name, each in timed.items()
            },
            "times faster": f"{timed['full'].median / timed['light'].median:.2f}",
            "machine": quietness(begin, CpuMoment.now(), place.threads, timed.values()).sentence(),
        }


if __name__ == "__main__":
    main()
