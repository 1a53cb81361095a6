"""`mdsearch attach`: an adapter with a model of the same network, as a pipeline of diffusers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from conf.compose import compose
from conf.words import as_text
from space.shared.outputs import free_folder
from space.shared.plain import from_plain
from training.attaching import attach


@dataclass(frozen=True)
class AttachCommand:
    """The fields of conf/attach.yaml."""

    model: str
    folder: str
    out: str


def main(words: list[str]) -> int:
    command = from_plain(AttachCommand, compose("attach", as_text(words, ("model", "folder", "out"))))
    out = free_folder(command.out)
    kind = attach(Path(command.model).expanduser(), Path(command.folder).expanduser(), out)
    print(f"{out}: a {kind}; diffusers' DiffusionPipeline.from_pretrained(..., trust_remote_code=True)")
    return 0
