"""The sampled candidates as a table on disk, chunk by chunk: parquet or CSV, by the ending of its name."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from space.explore.grid import Costs, Grid, Rows
from space.shared.files import replacing
from space.shared.plain import InputError

WRITERS: dict[str, Any] = {".parquet": pa.parquet.ParquetWriter, ".csv": pa.csv.CSVWriter}


class CandidateFile:
    """Columns: id, parameters, gmacs, attention_gmacs, fits, and every choice by its name.

    Choices that act on nothing stand at their first value. The file gets its name when it is complete.
    Its ending is one of `WRITERS`.
    """

    def __init__(self, path: Path, grid: Grid) -> None:
        self.path, self.grid = path, grid
        self._writer: Any = None
        self._whole = ExitStack()

    def write(self, rows: Rows, costs: Costs, fits: NDArray[np.bool_]) -> None:
        table = self._table(rows, costs, fits)
        if self._writer is None:
            unfinished = self._whole.enter_context(replacing(self.path))
            self._writer = WRITERS[self.path.suffix](str(unfinished), table.schema)
            self._whole.callback(self._writer.close)
        self._writer.write_table(table)

    def _table(self, rows: Rows, costs: Costs, fits: NDArray[np.bool_]) -> Any:
        columns = {
            "id": self.grid.ids(rows),
            "parameters": costs[:, 0],
            "gmacs": costs[:, 1] / 1e9,
            "attention_gmacs": costs[:, 2] / 1e9,
            "fits": fits,
        }
        for name, values in self.grid.values.items():
            columns[name] = pa.array(values).take(pa.array(rows[:, self.grid.column[name]]))
        return pa.table(columns)

    def __enter__(self) -> CandidateFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._whole.__exit__(kind, error, trace)


def check_path(name: str, path: Path, endings: Collection[str]) -> None:
    """Raises InputError where a file of these endings cannot be written at `path`."""
    if path.suffix not in endings:
        raise InputError(f"{name}: {str(path)!r} ends in {path.suffix!r}; allowed: {', '.join(endings)}")
    if not path.parent.is_dir():
        raise InputError(f"{name}: there is no folder {str(path.parent)!r} to write {path.name!r} into")
