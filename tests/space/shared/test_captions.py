"""Captions files as people have them: what is read, and what is refused by its file and row."""

from __future__ import annotations

import json
from pathlib import Path

import pandas
import pytest

from space.shared.captions import caption_in, read_captions
from space.shared.plain import InputError


def written(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text, encoding="utf-8", newline="")
    return folder / name


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as raised:
        read_captions(path)
    assert "\n" not in str(raised.value) and str(path) in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("delimiter", [",", "\t"])
@pytest.mark.parametrize(
    ("rows", "line", "message"),
    [
        (['a.png,"a stray quote', "b.png,b", "c.png,c"], 2, "unexpected end of data"),
        (["a.png,a", 'b.png,"a stray quote', "c.png,c", 'd.png,another"'], 3, "looks like a row"),
        (['a.png,"one', 'b.png,"two"'], 2, "expected after"),
        (['a.png,"a "red" car"', "b.png,b"], 2, "expected after"),
        (["a.png,a", "b.png,a dog, a cat"], 3, "has 3 cells, its header 2"),
        (["a.png,a", "b.png,"], 3, "caption; it is empty"),
        (["a.png,a", "b.png"], 3, "needs a text under caption"),
        (["a.png,a", ",b"], 3, "its file_name is empty"),
    ],
)
def test_rows_of_tables_are_neither_swallowed_nor_cut(
    tmp_path: Path, delimiter: str, rows: list[str], line: int, message: str
) -> None:
    text = "\n".join(["file_name,caption", *rows]).replace(",", delimiter)
    said = refusal(written(tmp_path, "a.csv" if delimiter == "," else "a.tsv", text + "\n"))
    assert f"line {line}" in said and message in said


def test_tables_are_read_with_quotes_and_lines_inside_texts(tmp_path: Path) -> None:
    """As pandas and spreadsheets write them."""
    texts = ['a 5" pipe', "a dog, a cat", "two\nlines, no row", 'he said "hi"', " spaced "]
    table = pandas.DataFrame({"file_name": [f"{index}.png" for index in range(5)], "caption": texts})
    table.to_csv(tmp_path / "a.csv", index=False, encoding="utf-8-sig")  # with a byte order mark
    table.to_csv(tmp_path / "a.tsv", index=False, sep="\t")
    for name in ("a.csv", "a.tsv"):
        assert read_captions(tmp_path / name).texts == texts
    bare = written(tmp_path, "b.csv", 'file,caption\r\n0.png,a 5" pipe\r\n\r\n1.png,b,,\r\n')
    assert read_captions(bare).texts == ['a 5" pipe', "b"]
    assert "has 'text' twice" in refusal(written(tmp_path, "c.csv", "file,text,text\na,b,c\n"))
    lines = written(tmp_path, "d.csv", 'prompt\n"one\ntwo"\nthree\n')  # each line would be a row
    assert "looks like a row, 'two'" in refusal(lines)


@pytest.mark.parametrize(
    ("name", "text", "where"),
    [
        ("a.txt", "one\n\nthree\n", "line 2"),
        ("a.jsonl", '{"caption": "a"}\n{"caption": " "}\n', "line 2"),
        ("a.json", '["a", ""]', "row 2"),
        ("a.json", '{"0.png": "a", "1.png": ""}', "row 2"),
    ],
)
def test_empty_captions_are_refused_by_their_row(tmp_path: Path, name: str, text: str, where: str) -> None:
    assert f"{where} needs the text of a caption; it is empty" in refusal(written(tmp_path, name, text))


def test_of_cocos_captions_an_empty_one_gives_way_to_the_next(tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": "1.jpg"}, {"id": 2, "file_name": "2.jpg"}]
    notes = [(1, 1, " "), (2, 1, "a cat"), (3, 2, "a dog")]
    plain = {
        "images": images,
        "annotations": [dict(zip(("id", "image_id", "caption"), note, strict=True)) for note in notes],
    }
    file = written(tmp_path, "a.json", json.dumps(plain))
    assert read_captions(file).texts == ["a cat", "a dog"] and read_captions(file).names == ["1.jpg", "2.jpg"]
    plain["annotations"][2]["caption"] = ""
    assert "annotation 3 needs the text" in refusal(written(tmp_path, "a.json", json.dumps(plain)))


def test_names_of_images_may_be_numbers(tmp_path: Path) -> None:
    rows = [{"image": 7, "text": "seven"}, {"image": 12, "text": "twelve"}]
    files = [written(tmp_path, "a.jsonl", "\n".join(map(json.dumps, rows)))]
    pandas.DataFrame(rows).to_parquet(tmp_path / "a.parquet")
    for file in (*files, tmp_path / "a.parquet"):
        assert read_captions(file).names == ["7", "12"]
    for value, shown in (("7.5", "float 7.5"), ("true", "bool True"), ("[7]", "list"), ('""', "empty")):
        said = refusal(
            written(tmp_path, "b.jsonl", f'{{"image": 1, "text": "a"}}\n{{"image": {value}, "text": "b"}}')
        )
        assert f"line 2: its image is {shown}" in said


def test_names_under_another_word_do_not_go_by_order(tmp_path: Path) -> None:
    """Four rows the other way round would be four wrong captions."""
    named = [{"path": f"{number}.JPG", "caption": str(number)} for number in (2, 1)]
    pandas.DataFrame(named).to_parquet(tmp_path / "a.parquet")
    for file in (
        tmp_path / "a.parquet",
        written(tmp_path, "a.csv", "path,caption\n2.JPG,2\n1.JPG,1\n"),
        written(tmp_path, "a.jsonl", "\n".join(map(json.dumps, named))),
    ):
        assert "path holds the name of an image, '2.JPG'" in refusal(file)
    by_order = written(tmp_path, "b.csv", "prompt,seed,url\na cat,3,http://a.b/cat.jpg\n")
    assert (read_captions(by_order).texts, read_captions(by_order).names) == (["a cat"], None)


def test_images_in_a_parquet_are_named_by_their_path(tmp_path: Path) -> None:
    """As the datasets library writes them; their bytes are not read."""
    rows = [{"image": {"bytes": b"\x89", "path": f"{name}.png"}, "text": name} for name in "ba"]
    pandas.DataFrame(rows).to_parquet(tmp_path / "a.parquet")
    assert read_captions(tmp_path / "a.parquet").names == ["b.png", "a.png"]
    rows[1]["image"] = {"bytes": b"\x89", "path": None}
    pandas.DataFrame(rows).to_parquet(tmp_path / "b.parquet")
    assert "row 2: its image is empty" in refusal(tmp_path / "b.parquet")
    pandas.DataFrame({"image": [b"\x89", b"\x88"], "text": ["a", "b"]}).to_parquet(tmp_path / "c.parquet")
    assert "the column image holds binary" in refusal(tmp_path / "c.parquet")
    both = pandas.DataFrame({"image": [b"\x89"], "file_name": ["a.png"], "text": ["a"]})
    both.to_parquet(tmp_path / "d.parquet")
    assert read_captions(tmp_path / "d.parquet").names == ["a.png"]


def test_a_byte_order_mark_is_no_part_of_a_name_or_a_text(tmp_path: Path) -> None:
    for name, text in {
        "a.txt": "one\ntwo",
        "a.json": '{"0.png": "one", "1.png": "two"}',
        "a.jsonl": '{"caption": "one"}\n{"caption": "two"}',
        "a.csv": "caption\none\ntwo",
        "a.tsv": "file\tcaption\n0.png\tone\n1.png\ttwo",
    }.items():
        assert read_captions(written(tmp_path, name, f"\ufeff{text}\r\n")).texts == ["one", "two"], name
    assert caption_in('\ufeff{"caption": "one"}', "a.json") == "one"


def test_half_a_character_and_a_key_twice_are_refused(tmp_path: Path) -> None:
    half = written(tmp_path, "a.jsonl", '{"caption": "a"}\n{"caption": "b\\ud83d"}')
    assert "line 2: 'b\\ud83d' is not UTF-8" in refusal(half)
    assert "\\udcff" in refusal(written(tmp_path, "b.json", '{"\\udcff.png": "a"}'))
    whole = written(tmp_path, "c.jsonl", '{"caption": "\\ud83d\\ude00"}')
    assert read_captions(whole).texts == ["\U0001f600"]
    assert "gives '0.png' twice" in refusal(written(tmp_path, "d.json", '{"0.png": "a", "0.png": "b"}'))
