"""Latents on storage that goes away."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from space.shared.plain import InputError
from space.shared.retries import StorageAway
from training.data.dataset import Dataset
from training.data.encoded import EncodedSettings
from training.data.encoded_files import Encoding, shard_path, write_encoding, write_shard
from training.data.factory import load_data

ENCODING = Encoding("0", 16, {"latents.folder": "12ab"}, "fp32", images=4, shard_images=2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two shards of two images, as `mdsearch encode` writes them."""
    (out := tmp_path / "out").mkdir()
    for number in range(2):
        write_as(out, number, ENCODING)
    write_encoding(out, ENCODING, torch.zeros(10, 16))
    return out


def write_as(folder: Path, number: int, encoding: Encoding) -> None:
    names = [f"{number}{letter}.png" for letter in "ab"]
    latents, features = torch.full((2, 4, 8, 8), float(number)), torch.zeros(2, 10, 16)
    write_shard(shard_path(folder, number), encoding, latents, features, names, [[name] for name in names])


def encoded(folder: Path, patience_seconds: float = 600.0) -> Dataset:
    """None of whose shards is open yet."""
    settings = EncodedSettings(
        folder=str(folder),
        image_size_px=16,
        cache_folder=str(folder.parent / "cache"),
        patience_seconds=patience_seconds,
    )
    return load_data(settings)


def test_latents_that_go_away_are_waited_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected, data, away = encoded(folder).examples(range(3), 0), encoded(folder), folder.parent / "away"
    os.rename(folder, away)
    pauses: list[float] = []

    def come_back(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            os.rename(away, folder)

    monkeypatch.setattr("time.sleep", come_back)
    found = data.examples(range(3), 0)
    assert torch.equal(found.inputs, expected.inputs) and found.captions == expected.captions
    assert pauses == [1, 2] and capsys.readouterr().err.count("waiting for") == 1


def test_latents_that_stay_away_end_it_with_the_reason(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(folder, patience_seconds=1.0)
    os.rename(folder, folder.parent / "away")
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with pytest.raises(StorageAway, match=r"data\.folder: .* after 1 s \(data\.patience_seconds\)"):
        data.examples(range(3), 0)


def test_a_shard_that_is_gone_alone_is_waited_for_by_nobody(folder: Path) -> None:
    data = encoded(folder)
    for number in range(2):
        shard_path(folder, number).unlink()
    with pytest.raises(InputError, match=r"\.safetensors: is not there any more; mdsearch encode") as error:
        data.examples(range(3), 0)
    assert not isinstance(error.value, StorageAway)


@pytest.mark.parametrize(
    "changes",
    [{"encoders": {"latents.folder": "34cd"}}, {"preprocessing": "stretched"}, {"precision": "bf16"}],
)
def test_a_shard_by_other_encoders_or_preprocessing_is_told_from_those_beside_it(
    folder: Path, changes: dict[str, object]
) -> None:
    """Of the same shape, as a shard that was moved from another folder."""
    write_as(folder, 1, replace(ENCODING, **changes))  # type: ignore[arg-type]
    with pytest.raises(
        InputError, match=r"shard-000001\.safetensors: was made otherwise \(digest [0-9a-f]{16}"
    ):
        encoded(folder)


def test_shards_of_an_earlier_version_which_did_not_say_what_made_them_are_read(folder: Path) -> None:
    expected = encoded(folder)
    for number in range(2):
        file, names = shard_path(folder, number), [[f"{number}{x}.png", [f"{number}{x}.png"]] for x in "ab"]
        save_file(load_file(file), file, metadata={"images": json.dumps(names)})
    found = encoded(folder)
    assert found.digest == expected.digest
    assert found.examples(range(3), 0).captions == expected.examples(range(3), 0).captions
