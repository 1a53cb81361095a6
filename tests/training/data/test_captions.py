"""Prompts from every form of captions file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from space.shared.plain import InputError
from training.data.captions import read_prompts


def test_captions_come_from_lines_and_from_captions_files(tmp_path: Path) -> None:
    texts = ["a, b", "c\u2028d", "e"]  # a line ends at a line feed alone
    plain, rows, table = (tmp_path / f"captions{end}" for end in (".txt", ".jsonl", ".csv"))
    plain.write_text("".join(f"{text}\n" for text in texts))
    rows.write_text("".join(json.dumps({"caption": text}) + "\n" for text in texts))
    table.write_text("file,caption\n" + "".join(f'{text[0]}.png,"{text}"\n' for text in texts))
    assert read_prompts(plain) == read_prompts(rows) == read_prompts(table) == texts
    plain.write_text("a\n\nb\n")
    with pytest.raises(InputError, match=r"captions\.txt, line 2 .* empty"):
        read_prompts(plain)
    with pytest.raises(InputError, match=r"cannot be read: .*No such file"):
        read_prompts(tmp_path / "none.txt")
    with pytest.raises(
        InputError,
        match=r"'captions\.xml' .*allowed: \.txt, \.jsonl, \.json, \.csv, \.tsv, \.parquet",
    ):
        read_prompts(tmp_path / "captions.xml")


def test_prompts_of_a_benchmarks_folder_come_style_by_style(tmp_path: Path) -> None:
    for style in ("photo", "anime", "paintings", "concept-art"):
        (tmp_path / f"{style}.json").write_text(json.dumps([f"{style} one", f"{style} two"]))
    found = read_prompts(tmp_path)
    assert found[:3] == ["anime one", "anime two", "concept-art one"] and found[-1] == "photo two"
    assert len(found) == 8 and read_prompts(tmp_path / "photo.json") == found[-2:]
