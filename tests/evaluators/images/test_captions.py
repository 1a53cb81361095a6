"""Which caption belongs to which image, in every form of captions, and what is said where none does."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from evaluators.images.captions import captions_of, named_in
from evaluators.images.image_set import open_images
from space.shared.captions import read_captions
from space.shared.plain import InputError
from tests.evaluators.images.written import decoded, png, random_images, write_folder

ROWS = [{"file_name": f"{index}.png", "caption": f"caption {index}"} for index in (2, 0, 1, 3)]


def write_captions(path: Path) -> Path:
    """ROWS, which are in another order than the images, in the form that the suffix names."""
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    elif path.suffix in (".csv", ".tsv"):
        sign = "," if path.suffix == ".csv" else "\t"
        rows = [sign.join((row["file_name"], f'"{row["caption"]}"')) for row in ROWS]
        path.write_text("\n".join([f"file_name{sign}caption", *rows]))
    elif path.suffix == ".parquet":
        import pandas

        pandas.DataFrame(ROWS).to_parquet(path)
    elif path.stem == "mapping":
        path.write_text(json.dumps({row["file_name"]: row["caption"] for row in ROWS}))
    elif path.stem == "coco":
        path.write_text(json.dumps(coco()))
    else:
        path.write_text(json.dumps(ROWS))
    return path


def coco() -> dict[str, list[dict[str, object]]]:
    """Two captions an image, the later one first; and an image that is not among ours."""
    images = [{"id": 100 + index, "file_name": f"{index}.png"} for index in range(5)]
    notes = [{"id": 90, "image_id": 100, "caption": "later"}]
    notes += [
        {"id": 10 + index, "image_id": 100 + index, "caption": f"caption {index}\n"} for index in range(5)
    ]
    return {"images": images, "annotations": notes}


@pytest.mark.parametrize(
    "name", ["a.jsonl", "a.csv", "a.tsv", "a.parquet", "a.json", "mapping.json", "coco.json"]
)
def test_named_captions_find_their_images(tmp_path: Path, name: str) -> None:
    images = open_images(str(write_folder(tmp_path / "images", random_images(4))))
    file = str(write_captions(tmp_path / name))
    assert captions_of(images, file) == [f"caption {index}" for index in range(4)]


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
def test_only_a_line_feed_ends_a_line(tmp_path: Path, name: str) -> None:
    """Unicode knows more ends; `mdsearch generate samples` writes them inside captions as they stand."""
    texts = ["one\u2028and a half", "two\x85", "three"]
    rows = [json.dumps({"caption": text}, ensure_ascii=False) for text in texts]
    (tmp_path / name).write_text("\n".join(rows if name == "a.jsonl" else texts) + "\n\n")
    found = read_captions(str(tmp_path / name)).texts
    assert found == (texts if name == "a.jsonl" else [text.strip() for text in texts])


def test_captions_without_names_go_by_order(tmp_path: Path) -> None:
    np.savez(tmp_path / "images.npz", random_images(3))
    images = open_images(str(tmp_path / "images.npz"))
    (tmp_path / "a.txt").write_text("one\ntwo, with a comma\nthree\n")
    (tmp_path / "a.json").write_text('["one", "two, with a comma", "three"]')
    (tmp_path / "a.csv").write_text('prompt\none\n"two, with a comma"\nthree\n')
    for name in ("a.txt", "a.json", "a.csv"):
        assert captions_of(images, str(tmp_path / name)) == ["one", "two, with a comma", "three"]


def test_names_match_without_folder_and_suffix(tmp_path: Path) -> None:
    write_folder(tmp_path / "images" / "part-0", random_images(2))
    images = open_images(str(tmp_path / "images"))
    for names in (("part-0/0", "part-0/1"), ("0.png", "1.png"), ("0.jpg", "1.jpg"), ("x/0", "y/1")):
        rows = dict(zip(names, ("first", "second"), strict=True))
        (tmp_path / "a.json").write_text(json.dumps(rows))
        assert captions_of(images, str(tmp_path / "a.json")) == ["first", "second"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "one\ntwo\n", "2 in .* for 3 images"),
        ("a.txt", "", "holds none"),
        ("a.txt", "one\n\nthree\n", "line 2 needs the text of a caption"),
        ("a.pdf", "", "'a.pdf' has no known form; allowed: .txt, .jsonl"),
        ("a.json", "{", "is not JSON"),
        ("a.json", "3", "holds neither a list"),
        ("a.json", '{"annotations": [{"id": 1}]}', "not as COCO's caption annotations are"),
        (
            "a.jsonl",
            '{"caption": "a"}\n{"words": "b"}\n',
            "line 2 needs a text under caption or text or prompt",
        ),
        ("a.jsonl", '{"caption": "a", "file": "0.png"}\n{"caption": "b"}\n', "line 2 lacks the file_name"),
        ("a.jsonl", "[1]\n", r"line 1 needs a text .* it has \[1\]"),
        ("a.csv", "file_name,caption\n0.png,a\n1.png,b\n", "1 of 3 images have none in .*: 2.png"),
        ("a.csv", "file,caption\n0.png,a\n1.png,b\n2.png,c\n3.png,d\n", "1 of 4 in .* lack an image: 3.png"),
        ("a.csv", "file,caption\n0.png,a\n0.png,b\n", "names 1 images twice: 0.png"),
        ("a.parquet", "", "cannot be read as parquet"),
    ],
)
def test_mismatches_are_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    images = open_images(str(write_folder(tmp_path / "images", random_images(3))))
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=f"^captions: .*{message}") as raised:
        captions_of(images, str(tmp_path / name))
    assert "\n" not in str(raised.value)


def test_ambiguous_base_names_are_refused(tmp_path: Path) -> None:
    write_folder(tmp_path / "images" / "a", random_images(1))
    write_folder(tmp_path / "images" / "b", random_images(1))
    (tmp_path / "a.json").write_text('{"0.png": "which?"}')
    with pytest.raises(InputError, match=r": .* a/0\.png, b/0\.png"):
        captions_of(open_images(str(tmp_path / "images")), str(tmp_path / "a.json"))


def test_a_list_chooses_among_the_images(tmp_path: Path) -> None:
    pixels = random_images(5)
    images = open_images(str(write_folder(tmp_path / "images", pixels)))
    (tmp_path / "a.csv").write_text("file_name,caption\n3.jpg,x\n0.jpg,y\n3.jpg,z\n")
    chosen = named_in(str(tmp_path / "a.csv"), images, "reference_list")
    assert chosen.names == ["0.png", "3.png"]
    assert np.array_equal(decoded(chosen), pixels[[0, 3]])
    assert chosen.stamp(1) == images.stamp(3)
    (tmp_path / "b.csv").write_text("file_name,caption\n3.png,x\n7.png,y\n")
    with pytest.raises(InputError, match=r"^reference_list: 1 .*: 7\.png"):
        named_in(str(tmp_path / "b.csv"), images, "reference_list")
    write_folder(tmp_path / "images" / "again", pixels)
    both = open_images(str(tmp_path / "images"))  # 3.png and again/3.png, and no 8.png in either
    (tmp_path / "d.csv").write_text("file_name,caption\nx/3.png,x\nx/8.png,y\n")
    with pytest.raises(InputError, match=r"are missing: x/8\.png"):
        named_in(str(tmp_path / "d.csv"), both, "reference_list")
    (tmp_path / "e.csv").write_text("file_name,caption\nx/3.png,x\n")
    with pytest.raises(InputError, match="leaves open which images it means"):
        named_in(str(tmp_path / "e.csv"), both, "reference_list")
    (tmp_path / "c.txt").write_text("x\n")
    with pytest.raises(InputError, match=r"^reference_list: .* names no images"):
        named_in(str(tmp_path / "c.txt"), images, "reference_list")


def test_captions_must_be_somewhere(tmp_path: Path) -> None:
    images = open_images(str(write_folder(tmp_path, random_images(1))))
    with pytest.raises(InputError, match="captions: missing; give captions="):
        captions_of(images, None)
    with pytest.raises(InputError, match=r"cannot be read: .*No such file"):
        read_captions(str(tmp_path / "none.txt"))


def test_names_meet_in_any_unicode_form_and_with_dots(tmp_path: Path) -> None:
    composed, decomposed = "M\u00fcll.png", "Mu\u0308ll.png"
    for name in (decomposed, "img.v1.png"):
        (tmp_path / name).write_bytes(png(random_images(1)[0]))
    images = open_images(str(tmp_path))
    for rows in ({composed: "a", "img.v1.png": "b"}, {"x/M\u00fcll": "a", "img.v1": "b"}):
        (tmp_path / "a.json").write_text(json.dumps(rows))
        assert sorted(captions_of(images, str(tmp_path / "a.json"))) == ["a", "b"]
        assert len(named_in(str(tmp_path / "a.json"), images, "reference_list").names) == 2


@pytest.mark.parametrize("form", [".jsonl", ".csv", ".parquet"])
def test_a_field_that_is_not_read_and_names_the_images_in_another_order_is_refused(
    tmp_path: Path, form: str
) -> None:
    import pandas

    folder, file = tmp_path / "images", tmp_path / f"captions{form}"
    folder.mkdir()
    for name in ("001", "002", "010"):
        (folder / f"{name}.png").write_bytes(png(random_images(1)[0]))
    images = open_images(str(folder))

    def written(numbers: list[int]) -> str:
        rows = pandas.DataFrame({"image_id": numbers, "caption": [f"caption {n}" for n in numbers]})
        if form == ".parquet":
            rows.to_parquet(file)
        elif form == ".csv":
            rows.to_csv(file, index=False)
        else:
            rows.to_json(file, orient="records", lines=True)
        return str(file)

    with pytest.raises(InputError, match="its image_id names the images in another"):
        captions_of(images, written([10, 2, 1]))
    for as_they_stand in ([1, 2, 10], [0, 1, 2]):
        wanted = [f"caption {number}" for number in as_they_stand]
        assert captions_of(images, written(as_they_stand)) == wanted
