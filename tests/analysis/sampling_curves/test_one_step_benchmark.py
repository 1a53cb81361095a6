"""The tables of `benchmarks/one_step.py`, by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from math import inf
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.lab import Lab
from benchmarks.one_step import CELLS, ONE_STEP, OneStep, of_cell
from benchmarks.one_step_page import page_of, write_page
from benchmarks.one_step_records import (
    Adapted,
    Records,
    Sampled,
    Seen,
    joined,
    load_records,
    records_of,
    save_records,
    survived,
    told_apart,
)
from benchmarks.one_step_tables import (
    adapter_rows,
    base_needs,
    cell_rows,
    over_seeds,
    pooled,
    rising,
    untold_rows,
    worth,
)
from conf.compose import compose
from space.shared.plain import InputError

PAGE = Path(__file__).parents[3] / "docs" / "one-step-measured.md"


def point(steps: int, fid: float, model: str = "base", guidance: float = 2.0) -> Sampled:
    return Sampled(model, steps, guidance, captions=True, fid=Seen(fid))


BASE = [point(1, 900.0), point(2, 500.0), point(8, 100.0), point(4, 300.0)]  # 2, 4, 16, 8 evaluations


def best(points: list[Sampled]) -> list[tuple[int, float]]:
    return rising((each.evaluations, -each.fid.value) for each in points)


def test_the_best_of_so_many_evaluations_has_any_guidance() -> None:
    alone = [point(1, 950.0, guidance=1.0), point(8, 400.0, guidance=1.0), point(4, 250.0, guidance=1.0)]
    assert best([*BASE, *alone]) == [(1, -950.0), (2, -900.0), (4, -250.0), (16, -100.0)]


@pytest.mark.parametrize(
    ("fid", "needed"),
    [
        (1000.0, 0.0),
        (900.0, 2.0),
        (700.0, 2 * 2**0.5),  # half way from 2 to 4 in log evaluations
        (300.0, 8.0),
        (100.0, 16.0),
        (99.0, inf),
    ],
)
def test_what_a_score_is_worth_in_evaluations_of_the_base(fid: float, needed: float) -> None:
    assert worth(best(BASE), -fid) == pytest.approx(needed)


def seen(value: float, half: float) -> Seen:
    return Seen(value, value - half, value + half)


def test_what_the_base_needs_is_as_uncertain_as_the_base_and_the_seeds() -> None:
    """One step of the base has 18 (11 to 25): 17.7 over seeds that agree cannot be told from it."""
    base = [(1, seen(18.1, 7.0)), (2, seen(16.6, 6.7)), (16, seen(11.2, 4.4))]
    agreeing = [seen(value, 7.0) for value in (17.6, 17.7, 17.8)]
    text = base_needs(base, agreeing)
    assert text.startswith("1.2 (<1 to ") and float(text.rpartition(" to ")[2].rstrip(")")) > 3
    exact = [(count, Seen(score.value)) for count, score in base]
    assert base_needs(exact, [seen(16.6, 0.0)]) == "2.0"
    assert base_needs(exact, [seen(11.0, 0.0)]) == ">16" and base_needs(exact, [seen(19.0, 0.0)]) == "<1"
    assert base_needs(exact, [seen(17.0, 2.0)]).startswith("1.7 (<1 to ")  # one seed: over its images
    assert base_needs(base, [Seen(16.6)]) == base_needs(base, [seen(16.6, 6.7)])  # not recorded: as the base


def test_guidance_takes_two_evaluations_unless_the_network_is_told_it() -> None:
    each = [point(8, 1.0), point(8, 1.0, guidance=1.0), point(4, 1.0, "lcm-seed0")]
    assert [one.evaluations for one in each] == [16, 8, 4]


def test_a_mean_over_seeds_has_student_s_interval() -> None:
    assert over_seeds([], 1) == "-" and over_seeds([5.0], 1) == "5.0"
    assert over_seeds([1.0, 2.0, 3.0], 2) == "2.00 (-0.48 to 4.48)"  # 4.303 / sqrt 3
    assert over_seeds([10.0, 100.0, 1000.0], 0, logarithmic=True) == "100 (0 to 30489)"  # 100 * 10^2.48414


@pytest.mark.parametrize("logarithmic", [False, True])
def test_a_mean_of_seeds_that_is_joined_by_more_is_as_all_of_them(logarithmic: bool) -> None:
    """Of 12, 19 and 31 only mean and interval are known, as a page prints them, but in full."""
    digits = 9
    text = over_seeds([12.0, 19.0, 31.0], digits, logarithmic=logarithmic)
    mean, low, high = (float(part) for part in text.translate(str.maketrans("()to", "    ")).split())
    summary = Seen(mean, low, high, seeds=3)
    assert over_seeds([summary], 3, logarithmic=logarithmic) == over_seeds(
        [12.0, 19.0, 31.0], 3, logarithmic=logarithmic
    )
    together = pooled([summary, Seen(17.0), Seen(23.0)], logarithmic=logarithmic)
    alone = pooled([Seen(value) for value in (12.0, 19.0, 31.0, 17.0, 23.0)], logarithmic=logarithmic)
    assert together == pytest.approx(alone)


def test_every_cell_says_each_word_once_and_none_without_effect() -> None:
    for cell in CELLS:
        names = [word.partition("=")[0] for word in of_cell(cell)]
        assert len(set(names)) == len(names) and set(cell.words) <= set(of_cell(cell))
    (none,) = (cell for cell in CELLS if cell.name == "none-full")
    assert not any("reconstruction_weight" in word for word in of_cell(none))


def test_the_cells_have_the_words_of_the_preset() -> None:
    chosen = [word for word in ONE_STEP if word.startswith("objective.")]
    by_word = compose("distill", ["init_from=a", *chosen])["objective"]
    assert by_word == compose("distill", ["init_from=a", "objective=ufogen_small"])["objective"]


def test_adapters_are_joined_over_seeds(tmp_path: Path) -> None:
    assert survived(Path("base-controlnet-seed0-abc.json")) == ("base", "controlnet-seed0")
    assert survived(Path("ema-full-seed1-t2i-seed0-abc.json")) == ("ema-full-seed1", "t2i-seed0")
    with pytest.raises(ValueError, match="names no seed"):
        survived(Path("ema-full-abc.json"))
    (tmp_path / "survival").mkdir()
    for seed, value in ((0, 0.5), (1, 0.7)):
        row = {"measure": "edge F1", "value": value, "gain": value - 0.4, "alone": 0.4}
        file = tmp_path / "survival" / f"diffusion-full-seed{seed}-t2i-seed{seed}-abc.json"
        file.write_text(json.dumps({"rows": [row]}))
    row = {"measure": "PSNR outside", "value": 41.23, "gain": -2.0, "alone": 43.0}
    (tmp_path / "survival" / "base-inpainting-seed0-abc.json").write_text(json.dumps({"rows": [row]}))
    (psnr, edges) = adapter_rows(records_of(Lab(tmp_path), ""))
    assert edges == {
        "measure": "edge F1", "adapter": "t2i", "seeds": "2", "base": "-; alone -",
        "diffusion-full": "0.60 (-0.67 to 1.87); alone 0.40 (0.40 to 0.40)",
    }  # fmt: skip
    assert (psnr["measure"], psnr["base"]) == ("PSNR outside (dB)", "41.2; alone 43.0")


def test_the_share_that_is_told_apart_is_that_of_the_end(tmp_path: Path) -> None:
    assert told_apart(tmp_path / "none") is None
    lines = [{"step": 1, "loss": 1, "told_apart": 0.5}, {"step": 2, "told_apart": 0.8}, {"step": 2, "fid": 9}]
    (tmp_path / "curve.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert told_apart(tmp_path) == 0.8


def test_without_captions_the_base_is_told_by_steps_and_others_by_what_it_needs() -> None:
    fids = [("base", 1, 4000.0), ("base", 4, 1000.0), ("base", 8, 1200.0), ("base", 50, 500.0)]
    fids += [("ema-full-seed0", 1, 1990.0), ("ema-full-seed1", 1, 2010.0), ("lcm-seed0", 4, 1000.0)]
    sampled = [Sampled(model, steps, 1.0, captions=False, fid=Seen(fid)) for model, steps, fid in fids]
    rows = list(untold_rows(Records("", tuple(sampled))))
    assert [(row["model"], row["steps"]) for row in rows] == [
        ("base", "1"), ("base", "4"), ("base", "8"), ("base", "50"), ("ema-full", "1"), ("lcm", "4"),
    ]  # fmt: skip
    assert rows[0]["FID"] == "4000" and rows[4]["FID"] == "2000 (1877 to 2131)"
    middle = 4 ** (2000 / 3000)  # along the log of its steps, from 1 to 4
    assert rows[4]["the base needs for that FID"].startswith(f"{middle:.1f} (")
    assert rows[5]["the base needs for that FID"] == "4.0"


def test_a_page_shows_a_row_of_samples_of_each_model(tmp_path: Path) -> None:
    colours = {
        "base": (255, 0, 0),
        "models/ema-full-seed0": (0, 0, 255),
        "models/ema-full-seed1": (0, 255, 0),
    }
    for name, colour in colours.items():
        (tmp_path / name).mkdir(parents=True)
        Image.new("RGB", (49, 49), colour).save(tmp_path / name / "samples.png")
    (tmp_path / "failed").mkdir()
    (tmp_path / "failed" / "none-full-seed0").write_text("distill\nthe discriminator tells 99 % apart\n")
    write_page(Lab(tmp_path), records_of(Lab(tmp_path), "A base of 5 steps."), tmp_path / "page.md")
    text = (tmp_path / "page.md").read_text()
    assert "A base of 5 steps." in text and "| none-full-seed0 | failed: the discriminator" in text
    assert text.index("(page/base.png)") < text.index("(page/ema-full.png)") and "adapters" not in text
    for name, colour in (("base", (255, 0, 0)), ("ema-full", (0, 0, 255))):
        with Image.open(tmp_path / "page" / f"{name}.png") as picture:
            assert picture.size == (49, 7) and picture.getpixel((3, 3)) == colour


RECORDS = Records(
    "A base of 5 steps.",
    (
        Sampled("base", 1, 1.0, captions=True, fid=seen(18.0, 7.0), clip=Seen(0.97)),
        Sampled("ema-full-seed0", 1, 1.0, captions=True, fid=seen(20.0, 7.0), clip=Seen(0.9), told_apart=0.7),
        Sampled("ema-full-seed0", 1, 1.0, captions=False, fid=Seen(1136.0)),
    ),
    (Adapted("base", "t2i-seed0", "edge F1", 0.7, 0.5),),
    (("lcm-seed0", "the loss is not a number"),),
    "Of two folders.",
)


def test_records_read_back_and_join_those_of_another_folder_of_the_same_base(tmp_path: Path) -> None:
    save_records(RECORDS, tmp_path / "a.jsonl")
    assert load_records(tmp_path / "a.jsonl") == RECORDS
    assert RECORDS.cells == {"ema-full-seed0", "lcm-seed0"}
    three = Records("", (Sampled("ema-full-seed0-2", 1, 1.0, captions=True, fid=Seen(20.0, 19.0, 21.0, 3)),))
    assert three.cells == {f"ema-full-seed{seed}" for seed in range(3)}
    here = Records(
        RECORDS.protocol,
        (RECORDS.sampled[0], Sampled("ema-full-seed1", 1, 1.0, captions=True, fid=Seen(22.0))),
        (replace(RECORDS.adapted[0], adapter="t2i-seed1"), replace(RECORDS.adapted[0], value=0.8)),
    )
    both = joined(RECORDS, here)
    assert [each.model for each in both.sampled] == [
        "base", "ema-full-seed0", "ema-full-seed0", "ema-full-seed1",
    ]  # fmt: skip
    assert [(each.adapter, each.value) for each in both.adapted] == [("t2i-seed0", 0.8), ("t2i-seed1", 0.7)]
    assert (both.failed, both.note) == (RECORDS.failed, RECORDS.note)
    assert joined(RECORDS, Records("")) == RECORDS
    done = Sampled("lcm-seed0", 4, 1.0, captions=True, fid=Seen(21.0))  # which failed in the other folder
    assert joined(RECORDS, replace(here, sampled=(*here.sampled, done))).failed == ()
    another = replace(here, sampled=(replace(RECORDS.sampled[0], fid=seen(18.1, 7.0)),))
    with pytest.raises(
        InputError, match=r"FID in 1 steps with guidance 1 is 18.1, that of the records' base 18"
    ):
        joined(RECORDS, another)
    with pytest.raises(InputError, match=r"'A base of 6 steps.' is not that of the records"):
        joined(RECORDS, replace(here, protocol="A base of 6 steps."))


def test_cells_that_are_known_are_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []
    monkeypatch.setattr(OneStep, "tried", lambda self, name, *words: begun.append(name))
    names = ("ema-full-seed0", "steps-vanilla-8-seed0", "lcm-seed1")
    known = Records("", tuple(point(1, 20.0, name) for name in names))
    lab = OneStep(tmp_path, 1, 1, 1, 1, known)
    lab.cells([0])
    assert begun == [f"{cell.name}-seed0" for cell in CELLS if cell.name != "ema-full"]
    begun.clear()
    lab.few([0, 1])
    assert begun == [
        "steps-guided-16-seed0", "lcm-seed0", "steps-vanilla-16-seed1", "steps-guided-16-seed1",
    ]  # fmt: skip


def test_a_base_that_is_known_is_only_checked_to_be_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    monkeypatch.setattr(OneStep, "once", lambda self, name, *words: begun.append(name))
    OneStep(tmp_path, 1, 1, 1, 1, RECORDS).base()
    assert begun == ["run", "base", "curves-base-known", "real"]


def test_the_page_is_that_of_its_records() -> None:
    assert PAGE.read_text(encoding="utf-8") == page_of(load_records(PAGE.with_suffix(".jsonl")), PAGE)


def test_what_fails_is_kept_with_its_reason_and_not_tried_again(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    words = ("train", "training.steps=0")  # status 2: no failure, but a mistake
    with pytest.raises(SystemExit, match="2"):
        lab.tried("mistake", *words)
    (tmp_path / "failed").mkdir()
    (tmp_path / "failed" / "none-seed0").write_text("distill a=1\nthe discriminator tells 99 % apart\n")
    assert not lab.tried("none-seed0", "distill", "a=1")
    with pytest.raises(SystemExit, match="by other words"):
        lab.tried("none-seed0", "distill", "a=2")
    (row,) = cell_rows(records_of(lab, ""))
    assert row == {"distilled": "none-seed0", "steps": "failed: the discriminator tells 99 % apart"}
