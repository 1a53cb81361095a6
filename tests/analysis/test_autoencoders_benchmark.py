"""The table of benchmarks.autoencoders, from scores as they are stored."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.autoencoders import Autoencoders, quality_rows


def test_channels_are_compared_seed_by_seed(tmp_path: Path) -> None:
    """28 and 29 dB against 27 and 28.5: apart by 1 and .5, by .75 on average."""
    for name, psnr in (
        ("8-seed0", 28.0),
        ("8-seed1", 29.0),
        ("4-seed0", 27.0),
        ("4-seed1", 28.5),
        ("4-seed2", 9.0),
    ):
        folder = tmp_path / "scores" / f"channels{name}"
        folder.mkdir(parents=True)
        scores = {"psnr": {"value": psnr}, "ssim": {"value": 0.9}}
        (folder / "scores.json").write_text(json.dumps({"scores": scores}))
    four, eight, apart = quality_rows(Autoencoders(tmp_path))
    assert (four["autoencoder"], four["seeds"], eight["seeds"]) == ("channels4", "3", "2")
    assert eight["PSNR, dB"].startswith("28.50 (") and apart["autoencoder"] == "channels8 less channels4"
    assert apart["PSNR, dB"].startswith("0.75 (-2.43 to 3.93") and apart["seeds"] == "2"
    assert apart["SSIM"] == "0.0000 (0.0000 to 0.0000)"
