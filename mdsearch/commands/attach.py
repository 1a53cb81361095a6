"""`mdsearch attach`: an adapter with a model of the same network, as a pipeline of diffusers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from conf.compose import compose
from conf.words import as_text
from space.shared.plain import InputError, from_plain
from training.attaching import attach


@dataclass(frozen=True)
class AttachCommand:
    """The fields of conf/attach.yaml."""

    model: str
    folder: str
    out: str


def main(words: list[str]) -> int:
    command = from_plain(AttachCommand, compose("attach", as_text(words, ("model", "folder", "out"))))
    out = Path(command.out).expanduser()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"out: {command.out!r} is there already; allowed: a new folder")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        kind = attach(Path(command.model).expanduser(), Path(command.folder).expanduser(), out)
    except OSError as error:
        raise InputError(f"out: {command.out!r} cannot be written: {error}") from None
    print(f"{out}: a {kind}; diffusers' DiffusionPipeline.from_pretrained(..., trust_remote_code=True)")
    return 0
