"""`mdsearch attach`: an adapter with a model of the same network, as a pipeline of diffusers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from conf.compose import compose
from conf.words import as_text
from space.shared.outputs import free_folder
from space.shared.plain import from_plain
from training.adapting import read_record
from training.attaching import attach, unknown_reader
from training.model import read_description


@dataclass(frozen=True)
class AttachCommand:
    """The fields of conf/attach.yaml."""

    model: str
    folder: str
    out: str


def main(words: list[str]) -> int:
    command = from_plain(AttachCommand, compose("attach", as_text(words, ("model", "folder", "out"))))
    out = free_folder(command.out)
    model, folder = Path(command.model).expanduser(), Path(command.folder).expanduser()
    kind = attach(model, folder, out)
    if (said := unknown_reader(read_record(folder), model, read_description(model)[1])) is not None:
        print(said)
    print(f"{out}: a {kind}; diffusers' DiffusionPipeline.from_pretrained(..., trust_remote_code=True)")
    return 0
