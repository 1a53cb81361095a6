"""Data sets by name. Each stands in a file of its own, with the settings that load it."""

from __future__ import annotations

from typing import Annotated

from space.shared.plain import ByName
from training.data.base import CommonSettings
from training.data.dataset import Dataset, SplitImages

DATA_SETS = {
    "digits": "training.data.digits:DigitsSettings",
    "emoji": "training.data.emoji:EmojiSettings",
    "encoded": "training.data.encoded:EncodedSettings",
    "folder": "training.data.folder:FolderSettings",
    "scenes": "training.data.scenes:ScenesSettings",
    "stream": "training.data.stream:StreamSettings",
}
DataSettings = Annotated[CommonSettings, ByName(DATA_SETS)]
"""The settings of any of them: a field of this type is read by its `name`."""


def load_data(settings: CommonSettings) -> Dataset:
    """The images that the settings name.

    Raises:
        InputError: nothing to read, captions of the wrong form (with the line), too many unreadable images.
    """
    loaded = settings.load()
    return loaded if isinstance(loaded, Dataset) else SplitImages(settings, loaded)
