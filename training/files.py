"""Every file by name that a training leaves: in the folder of a model, of `mdsearch train`, or of a trial."""

from __future__ import annotations

from pathlib import Path

MODEL_NAME = "model.json"  # beside the weights of each part
ARCHITECTURE_NAME = "architecture.yaml"
CONFIG_NAME = "config.yaml"  # the settings that it was made with
SAMPLES_NAME = "samples.png"
TEXT_WEIGHTS = "text.safetensors"  # of a text encoder that was trained along
CURVE_NAME = "curve.jsonl"
CARD_NAME = "README.md"  # of a trained model: what it is, and whom its images are by
PIPELINE_FOLDER = "pipeline"  # what to hand over: it loads in diffusers
STATES_FOLDER = "states"  # a training goes on from the latest of them
EARLIER_STATE_NAME = "state.pt"  # of earlier versions: pickled, so it is not read


def states_in(folder: Path) -> list[Path]:
    """The JSON files of the states in `STATES_FOLDER`, the latest step last."""
    paths = [path for path in folder.glob("*.json") if path.stem.isdigit()]
    return sorted(paths, key=lambda path: int(path.stem))


def has_states(folder: Path) -> bool:
    """Whether there is something that a training in this folder would go on from, or say why not."""
    return bool(states_in(folder / STATES_FOLDER)) or (folder / EARLIER_STATE_NAME).exists()


def remove_states(folder: Path) -> None:
    """All that a training in this folder could go on from. Raises OSError."""
    states = folder / STATES_FOLDER
    for path in [*states_in(states), *states.glob("*")]:  # first those that name others
        path.unlink(missing_ok=True)
    if states.is_dir():
        states.rmdir()
    (folder / EARLIER_STATE_NAME).unlink(missing_ok=True)
