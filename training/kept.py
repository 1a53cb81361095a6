"""What a training gives beside its loss, so that a folder of its own can hold it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from training.loop import TrainingLoop
from training.objectives.base import Trained


class KeptTraining(TrainingLoop[Trained], ABC):
    """A training whose weights and images can be kept.

    Attributes:
        command: by which one is gone on with.
    """

    command: ClassVar[str] = "train"

    @abstractmethod
    def save_weights(self, folder: Path) -> None:
        """The averaged weights, to be used."""

    @abstractmethod
    def save_images(self, folder: Path, count: int, seed: int) -> None:
        """So many of what the averaged weights make of held-out data, as a grid."""
