"""What the tests of generation share: settings, a folder's bytes, prompts."""

from __future__ import annotations

from pathlib import Path

from training.generation.settings import GenerationSettings

OURS = GenerationSettings(count=15, image_size_px=16, steps=3, guidance=2.0, seed=5, batch_size=2)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file, hidden ones too."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def prompts_file(folder: Path) -> Path:
    (folder / "prompts.txt").write_text("a large red circle\na small blue cross\n")
    return folder / "prompts.txt"
