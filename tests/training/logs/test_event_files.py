"""TensorBoard's files: what was told is read back, and what did not stay is gone."""

from __future__ import annotations

import errno
import io
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.search.disks import fill, small_disk
from training.generation.grid import save_grid
from training.logs.event_files import PATTERN, EventLog, EventReader, LoggedEvent
from training.logs.observers import Evaluated


def told(folder: Path) -> list[LoggedEvent]:
    return EventReader(folder).new()


def losses(folder: Path) -> list[tuple[int, float]]:
    return [(each.step, each.values["loss"]) for each in told(folder) if "loss" in each.values]


def test_what_was_told_is_read_back(tmp_path: Path) -> None:
    save_grid(np.full((4, 8, 8, 3), 200, np.uint8), tmp_path / "grid.png")
    log = EventLog(tmp_path / "out")
    log.begin(0)
    assert told(tmp_path / "out") == []
    log.part({10: {"loss": 0.1234567, "learning_rate": 1e-3}, 20: {"loss": 0.5}})
    for _ in range(2):  # a rung may be evaluated again
        log.part({}, Evaluated(20, {"validation_loss": 0.25}, tmp_path / "grid.png"))
    first, second, third = told(tmp_path / "out")
    assert first == LoggedEvent(10, {"loss": 0.1234567, "learning_rate": 0.001})
    assert second == LoggedEvent(20, {"loss": 0.5}) and third.values == {"validation_loss": 0.25}
    assert np.asarray(Image.open(io.BytesIO(third.images["samples"]))).shape == (16, 16, 3)


@pytest.mark.skipif(find_spec("tensorboard") is None, reason="tensorboard is not installed")
def test_tensorboard_reads_the_same(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventLog(tmp_path)
    log.part({10: {"loss": 0.5}, 20: {"loss": 0.25}, 30: {"loss": 9.0}})
    again = EventLog(tmp_path)
    again.begin(20)
    again.part({30: {"loss": 0.125}})
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [(each.step, each.value) for each in events.Scalars("loss")] == losses(tmp_path)
    assert losses(tmp_path) == [(10, 0.5), (20, 0.25), (30, 0.125)]


def test_who_goes_on_from_before_drops_what_came_after(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    log.begin(0)
    log.part({10: {"loss": 1.0}, 20: {"loss": 2.0}})
    log.part({}, Evaluated(20, {"validation_loss": 2.0}))
    log.part({30: {"loss": 3.0}})
    (file,) = tmp_path.glob(PATTERN)
    file.write_bytes(file.read_bytes()[:-5])  # killed while it wrote
    again = EventLog(tmp_path)
    again.begin(20)
    again.part({30: {"loss": 4.0}})
    again.part({}, Evaluated(20, {"validation_loss": 7.0}))  # of the rung that it goes on from
    assert losses(tmp_path) == [(10, 1.0), (20, 2.0), (30, 4.0)]
    assert [each.values for each in told(tmp_path) if "loss" not in each.values] == [{"validation_loss": 2.0}]
    third = EventLog(tmp_path)
    third.begin(10)  # the state of step 20 was damaged
    third.part({20: {"loss": 2.5}})
    third.part({}, Evaluated(20, {"validation_loss": 2.5}))
    assert losses(tmp_path) == [(10, 1.0), (20, 2.5)]
    assert told(tmp_path)[-1].values == {"validation_loss": 2.5}


def test_a_reader_is_given_what_is_new(tmp_path: Path) -> None:
    log, reader = EventLog(tmp_path), EventReader(tmp_path)
    log.part({10: {"loss": 1.0}})
    assert [each.step for each in reader.new()] == [10] == [each.step for each in reader.new()]
    reader.accept()
    log.part({20: {"loss": 2.0}})
    assert [each.step for each in reader.new()] == [20]


def test_what_a_full_disk_had_no_room_for_is_written_later(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        log = EventLog(disk)
        log.part({10: {"loss": 1.0}})
        ballast = fill(disk)
        many = {step: {f"score-{number}": 1.0 for number in range(500)} | {"loss": 2.0} for step in (20, 30)}
        with pytest.raises(OSError, match="No space left") as caught:
            log.part(many)
        assert caught.value.errno == errno.ENOSPC and losses(disk) == [(10, 1.0)]
        ballast.unlink()
        log.part({40: {"loss": 4.0}})
        assert losses(disk) == [(10, 1.0), (20, 2.0), (30, 2.0), (40, 4.0)]


def test_a_large_sheet_is_shown_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.logs.event_files.MOST_PIXELS", 16)
    save_grid(np.zeros((4, 16, 16, 3), np.uint8), tmp_path / "grid.png")
    EventLog(tmp_path).part({}, Evaluated(1, {}, tmp_path / "grid.png"))
    (event,) = told(tmp_path)
    assert Image.open(io.BytesIO(event.images["samples"])).size == (16, 16)
