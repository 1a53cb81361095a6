"""8 latent channels against 4, and a light decoder: section 3.5, small.

    python -m benchmarks.autoencoders FOLDER [--parts channels decoder]

channels: a small autoencoder of factor 8 for scenes of 32 px, with 8 and with 4 latent channels, each with
every seed, trained alike.

decoder: Stable Diffusion's blocks at a quarter of their widths, for scenes of 64 px, and a light decoder for
the encoder of the first seed, trained for as many steps as that was; what either decoder takes here, eager
and in ONNX Runtime, in turns.

PSNR and SSIM are of held-out scenes. Images as in the paper's Figure 3, with differences magnified, are
FOLDER/scores/*/samples.png, of both decoders FOLDER/pair/samples.png. Parts go on where they were left, a
training a core.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from analysis.rendering import render_table
from benchmarks.lab import Lab
from benchmarks.one_step_tables import over_seeds
from evaluators.latency.quiet import CpuMoment, quietness
from evaluators.latency.runtimes import Place, runner
from evaluators.latency.timing import alternating
from evaluators.latency.whole import OwnDecoder, decoder_inputs
from space.interchange.autoencoder_files import read_autoencoder
from space.shared.cpus import available_cpus

EIGHTFOLD = """# As conf/autoencoder/small.yaml, halved once more
schema_version: 1
latent_channels: 8
image_size: 32
encoder:
  middle: {blocks: 2, attention: true}
  norm_groups: 8
  levels:
  - {channels: 16, blocks: 1}
  - {channels: 32, blocks: 1}
  - {channels: 64, blocks: 1}
  - {channels: 64, blocks: 1}
decoder:
  middle: {blocks: 2, attention: true}
  norm_groups: 8
  levels:
  - {channels: 32, blocks: 2}
  - {channels: 64, blocks: 2}
  - {channels: 64, blocks: 2}
  - {channels: 64, blocks: 2}
"""
METRICS = ("psnr", "ssim")
PARTS = ("channels", "decoder")
FULL, LIGHT_NAME, PAIR = "decoder-full", "decoder-light", "pair"


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    words.add_argument("folder", type=Path)
    words.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    words.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="the first alone for decoders")
    words.add_argument("--steps", type=int, default=4000, help="of each training of 32 px")
    words.add_argument("--larger-steps", type=int, default=2000, help="of each training of 64 px")
    words.add_argument("--at-once", type=int, default=available_cpus(), help="trainings, a thread each")
    words.add_argument("--rounds", type=int, default=21, help="of timing")
    words.add_argument("--tables", action="store_true", help="of what is there, without training any more")
    chosen = words.parse_args()
    lab = Autoencoders(chosen.folder.resolve())
    if not chosen.tables:
        if "channels" in chosen.parts:
            lab.channels(chosen.seeds, chosen.steps, chosen.at_once)
        if "decoder" in chosen.parts:
            lab.decoders(chosen.seeds[0], chosen.larger_steps)
    print(f"\n{render_table([], list(quality_rows(lab)), 'markdown')}")
    if (lab.folder / "scores" / f"{LIGHT_NAME}-seed{chosen.seeds[0]}").is_dir():
        print(render_table([], list(speed_rows(lab, chosen.seeds[0], chosen.rounds)), "markdown"), end="")


class Autoencoders(Lab):
    """A folder of them, named by channels or decoder, and seed."""

    def channels(self, seeds: Sequence[int], steps: int, at_once: int) -> None:
        (self.folder / "eightfold.yaml").write_text(EIGHTFOLD, encoding="utf-8")

        def train(channels: int, seed: int) -> None:
            own = ("autoencoder=eightfold.yaml", f"autoencoder.latent_channels={channels}")
            self._trained(f"channels{channels}-seed{seed}", 32, steps, seed, *own)

        both = [(channels, seed) for seed in seeds for channels in (8, 4)]
        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(train, *zip(*both, strict=True)))

    def decoders(self, seed: int, steps: int) -> None:
        self._trained(f"{FULL}-seed{seed}", 64, steps, seed)
        begin = (f"init_from=trained/{FULL}-seed{seed}", "reconstruction.decoder_only=true")
        self._trained(f"{LIGHT_NAME}-seed{seed}", 64, steps, seed, *begin, "autoencoder=quarter_light")
        both = (f"model=trained/{LIGHT_NAME}-seed{seed}", f"against=trained/{FULL}-seed{seed}", f"out={PAIR}")
        self.once("pair", "evaluate", "reconstruction", *both, *judged_by(64))

    def _trained(self, name: str, size_px: int, steps: int, seed: int, *words: str) -> None:
        how = (f"reconstruction.steps={steps}", "reconstruction.decay=cosine", f"seed={seed}")
        size = f"data.image_size_px={size_px}"
        self.once(name, "train", "autoencoder", f"out=trained/{name}", size, *how, *words)
        self.once(
            f"scores-{name}", "evaluate", "reconstruction", f"model=trained/{name}", f"out=scores/{name}",
            *judged_by(size_px),
        )  # fmt: skip


def judged_by(size_px: int) -> tuple[str, ...]:
    return f"data.image_size_px={size_px}", "perceptual=none", "features=none", "samples=480"


def quality_rows(lab: Autoencoders) -> Iterator[dict[str, str]]:
    """Of each kind: means over seeds, with Student's interval; then 8 channels less 4, seed by seed."""
    scores: dict[str, dict[str, dict[str, float]]] = {}
    for file in sorted(lab.folder.glob("scores/*-seed*/scores.json")):
        sheet = json.loads(file.read_text(encoding="utf-8"))["scores"]
        name, _, seed = file.parent.name.rpartition("-seed")
        scores.setdefault(name, {})[seed] = {each: sheet[each]["value"] for each in METRICS}
    yield from (_quality_row(name, list(values.values())) for name, values in sorted(scores.items()))
    eight, four = scores.get("channels8", {}), scores.get("channels4", {})
    if both := eight.keys() & four.keys():
        gains = [{each: eight[seed][each] - four[seed][each] for each in METRICS} for seed in sorted(both)]
        yield _quality_row("channels8 less channels4", gains)
    if (file := lab.folder / PAIR / "scores.json").is_file():
        found = json.loads(file.read_text(encoding="utf-8"))["about"]["differences"]
        each = {name: [found[name][key] for key in ("mean", "low", "high")] for name in METRICS}
        psnr, ssim = ("{:.2f} ({:.2f} to {:.2f})", "{:.4f} ({:.4f} to {:.4f})")
        yield {
            "autoencoder": f"{LIGHT_NAME} less {FULL}, over images",
            "seeds": "1",
            "PSNR, dB": psnr.format(*each["psnr"]),
            "SSIM": ssim.format(*each["ssim"]),
        }


def _quality_row(name: str, values: Sequence[Mapping[str, float]]) -> dict[str, str]:
    return {
        "autoencoder": name,
        "seeds": str(len(values)),
        "PSNR, dB": over_seeds([each["psnr"] for each in values], 2),
        "SSIM": over_seeds([each["ssim"] for each in values], 4),
    }


def speed_rows(lab: Autoencoders, seed: int, rounds: int) -> Iterator[dict[str, str]]:
    """Both decoders in turns, an image at a time, on all CPUs; by each runtime the ratio of medians."""
    decoders = {
        name: read_autoencoder(lab.folder / "trained" / f"{folder}-seed{seed}").network.autoencoder
        for name, folder in (("full", FULL), ("light", LIGHT_NAME))
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
