"""Training on a stream whose data fails ends with the reason, and goes on exactly once the data is there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from mdsearch.commands import train
from space.architecture import Architecture
from space.shared.plain import InputError
from tests.training.data.forms import captioned, shards
from training.data.sources.forms import Located
from training.data.sources.tars import TarShards

READS = 5  # of batches, before the data fails; states are written each two steps


def go_away(folder: Path) -> Callable[[], object]:
    away = folder.rename(folder.with_name("away"))
    return lambda: away.rename(folder)


def tear(folder: Path) -> Callable[[], object]:
    whole = {file: file.read_bytes() for file in folder.glob("*.tar")}
    for file, content in whole.items():
        file.write_bytes(content[:600])
    return lambda: [file.write_bytes(content) for file, content in whole.items()]


@pytest.mark.parametrize(("damage", "message"), [(go_away, "gave up after 0 s"), (tear, "is torn: of")])
def test_a_training_whose_data_fails_ends_and_goes_on_to_the_same_weights(
    damage: Callable[[Path], Callable[[], object]],
    message: str,
    tiny: Architecture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shards(tmp_path / "data", captioned(12, captions=2))
    (tmp_path / "tiny.yaml").write_text(tiny.to_yaml())
    words = ["data=stream", f"data.source={tmp_path / 'data'}", f"data.cache_folder={tmp_path / 'cache'}"]
    words += ["data.image_size_px=16", "data.patience_seconds=0", "data.block_samples=5"]
    words += ["data.memory_mib=0"]  # so that every batch is read
    words += [f"arch_file={tmp_path / 'tiny.yaml'}", "proxy=full", "state_every_steps=2", "images=1"]
    words += [f"training.{name}" for name in ("steps=6", "batch_size=4", "device=cpu", "sampling_steps=1")]
    words += ["training.latents.coordinates=false", "training.warmup_steps=1"]
    assert train.main([*words, f"out={tmp_path / 'whole'}"]) == 0

    reads, mend = 0, list[Callable[[], object]]()
    read = TarShards.read

    def failing(form: TarShards, wanted: Sequence[Located]) -> list[bytes | str]:
        nonlocal reads
        reads += 1
        if reads == READS:
            mend.append(damage(tmp_path / "data"))
        return read(form, wanted)

    monkeypatch.setattr(TarShards, "read", failing)
    out = tmp_path / "out"
    try:
        status, said = train.main([*words, f"out={out}"]), capsys.readouterr().out
    except InputError as error:
        status, said = 2, str(error)
    assert status != 0 and message in said
    mend[0]()
    assert train.main([f"resume={out}"]) == 0
    for name in ("unet.safetensors", "text.safetensors"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
