"""What an image takes beside the networks of a search: read once, kept, and said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis.comparison.runs import Run
from analysis.comparison.sections import splits_section
from analysis.findings import refusals
from analysis.replay.recheck import recheck, recheck_bundled
from analysis.report.html import Section, body
from analysis.report.page import Page
from analysis.report.sections.split import split_section
from analysis.split import split_of_run, split_sentence
from analysis.tables import result_table
from mdsearch.commands import split as split_command
from search.ask_tell import AskTell
from search.ask_tell_settings import AskTellSettings
from search.checks import check_choosing
from search.other_side import image_notes, with_other_side
from search.runs.bundle import bundled_of
from search.runs.record import read_history
from search.samplers.factory import SamplerSettings
from search.stopping.factory import StoppingSettings
from search.toy import SPACE
from space.budget import LATENCY, Budget
from space.prices.coverage import parts_of_space
from space.prices.latency import PriceList
from space.prices.parts import parts
from space.shared.plain import InputError, from_plain
from tests.analysis.report.pages import words_in
from tests.search.test_ask_tell import drive_told, settings_in
from tests.search.timed_runs import DECODED, of_decoders, of_unets, write_run
from tests.space import test_decoder_space
from tests.space.price_lists import list_of

DECODERS = test_decoder_space.SPACE
LATENTS = {"latent_size": 8, "latent_channels": 2}  # that those decoders read
UNETS = replace(SPACE, base=dict(SPACE.base) | LATENTS)


@pytest.fixture
def prices(tmp_path: Path) -> PriceList:
    return PriceList.load(list_of(parts_of_space(UNETS)).write(tmp_path / "unets.json"))


@pytest.fixture
def decoder_run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "decoder", of_decoders())


def within(prices: PriceList, decoder: object, total_ms: float = 1000.0, **fields: Any) -> Budget:
    return Budget(total_ms=total_ms, decoder=decoder, prices=prices.source, **fields)  # type: ignore[arg-type]


def test_a_run_gives_its_front_and_the_fastest_of_it_counts(prices: PriceList, decoder_run: Path) -> None:
    budget = with_other_side(within(prices, str(decoder_run)), UNETS)
    read = budget.other_side
    assert read is not None and read.lists == ("onnx in fp32 on made, 1 thread, 2026-01-02",)
    found = {one.name: (one.scores["psnr"], one.ms) for one in read.networks}
    assert found == {"trial 0": DECODED[0], "trial 1": DECODED[1]}  # trial 2 is slower than 1, and worse
    assert [each["name"] for each in read.objectives] == ["psnr"]
    (line,) = image_notes(budget, UNETS, resumed=False)
    assert line == (
        f"total_ms=1000 for 8 steps: text encoder 0 ms, the fastest of 2 decoders of {decoder_run} 40.0 ms; "
        "an evaluation may take 120.0 ms"
    )
    assert with_other_side(budget, UNETS) == budget


def test_what_happens_there_later_changes_nothing_and_is_said(prices: PriceList, decoder_run: Path) -> None:
    budget = with_other_side(within(prices, str(decoder_run)), UNETS)
    write_run(decoder_run, [e for e in of_decoders() if e.get("key") != "1"])
    assert with_other_side(budget, UNETS) == budget
    _, said = image_notes(budget, UNETS, resumed=True)
    assert f"{decoder_run} has changed since (the fastest 60.0 ms, 40.0 then)" in said
    (decoder_run / "record.jsonl").unlink()  # gone: what was read is kept
    assert with_other_side(budget, UNETS) == budget and len(image_notes(budget, UNETS, resumed=True)) == 1
    other = write_run(decoder_run.parent / "other", of_decoders())
    again = with_other_side(replace(budget, decoder=str(other)), UNETS)
    assert again.other_side is not None and again.other_side.source == str(other)
    assert with_other_side(replace(budget, decoder=40.0), UNETS).other_side is None


def test_an_autoencoder_is_priced_by_a_list(prices: PriceList, tmp_path: Path) -> None:
    own, file = DECODERS.fixed, tmp_path / "own.yaml"
    file.write_text(own.to_yaml())
    theirs = PriceList.load(list_of(parts_of_space(DECODERS)).write(tmp_path / "decoders.json"))
    ms = theirs.milliseconds(DECODERS.first)
    file.write_text(DECODERS.first.to_yaml())
    budget = with_other_side(within(prices, str(file), decoder_prices=theirs.source), UNETS)
    assert budget.other_side is not None and budget.image is not None
    assert [(one.name, one.ms) for one in budget.other_side.networks] == [("own", ms)]
    assert budget.image.least_ms == ms and budget.other_side.notes == ()
    needed = (
        rf"^budget\.decoder: {file}: is one network.*; needed: budget\.decoder_prices=<file>, which mdsearch"
    )
    with pytest.raises(InputError, match=needed):
        with_other_side(within(prices, str(file)), UNETS)
    with pytest.raises(InputError, match=r"^budget\.decoder: small: 'latent conv' at 8x8, 8 channels"):
        with_other_side(within(prices, "small", decoder_prices=theirs.source), UNETS)


def test_the_searchs_own_list_is_named_where_it_cannot_be_read(decoder_run: Path) -> None:
    with pytest.raises(InputError, match=r"^budget\.prices: .*gone\.json: cannot be read as a price list"):
        with_other_side(Budget(total_ms=9, decoder=str(decoder_run), prices="gone.json"), UNETS)


def test_a_run_without_milliseconds_is_priced_by_a_list(prices: PriceList, tmp_path: Path) -> None:
    found = [e for e in of_decoders() if e["event"] != "rung"]
    found += [
        {
            "event": "rung",
            "key": str(n),
            "step": 4,
            "scores": {"psnr": psnr},
            "seconds": {},
            "decision": "end",
            "reason": "",
        }
        for n, (psnr, _) in DECODED.items()
    ]
    run = write_run(tmp_path / "untimed", found)
    with pytest.raises(InputError, match=rf"^budget\.decoder: {run}: no complete trial has a latency_ms"):
        with_other_side(within(prices, str(run)), UNETS)
    theirs = PriceList.load(list_of(parts(DECODERS.first)).write(tmp_path / "decoders.json"))
    budget = with_other_side(within(prices, str(run), decoder_prices=theirs.source), UNETS)
    assert budget.other_side is not None and budget.other_side.lists == (theirs.describe(),)
    assert {one.ms for one in budget.other_side.networks} == {theirs.milliseconds(DECODERS.first)}


def test_a_search_of_decoders_shares_with_unets(prices: PriceList, tmp_path: Path) -> None:
    run = write_run(tmp_path / "unet", of_unets())
    theirs = PriceList.load(list_of(parts_of_space(DECODERS)).write(tmp_path / "decoders.json"))
    fields = {"total_ms": 200.0, "prices": theirs.source, "text_ms": 10.0}
    budget = with_other_side(Budget(**fields, unet=str(run)), DECODERS)  # type: ignore[arg-type]
    # 200 - 10 - 8 x 10 of the fastest UNet
    assert budget.evaluation_bound == 110
    (line,) = image_notes(budget, DECODERS, resumed=False)
    assert "the fastest of 3 UNets of" in line and line.endswith("a decoding may take 110.0 ms")
    with pytest.raises(
        InputError, match=r"^budget\.decoder: has no effect in a search of decoders; allowed: bud"
    ):
        with_other_side(within(theirs, 40.0), DECODERS)
    with pytest.raises(
        InputError, match=r"^budget\.unet: has no effect in a search of UNets; allowed: budget\.d"
    ):
        with_other_side(Budget(**fields, unet=4.0), UNETS)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("nowhere/run", "is not there; allowed: milliseconds, a run folder, an autoencoder"),
        ("smal", "no such preset, nor a .yaml file; did you mean 'small'"),
        ("empty", r"config\.json: cannot be read"),
        ("unet", "is of UNets; needed: a search over decoders"),
    ],
)
def test_what_is_no_decoder_is_refused(
    prices: PriceList, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str, said: str
) -> None:
    (tmp_path / "empty").mkdir()
    write_run(tmp_path / "unet", of_unets())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=rf"^budget\.decoder: .*{named}.*{said}") as refused:
        with_other_side(within(prices, named, decoder_prices=prices.source), UNETS)
    assert len(str(refused.value).splitlines()) == 1


def test_of_other_images_it_is_refused_and_of_another_device_said(
    prices: PriceList, decoder_run: Path
) -> None:
    larger = replace(UNETS, base=dict(UNETS.base) | {"latent_size": 16})
    with pytest.raises(
        InputError, match=r"UNets make latents of 16x16, the decoders read 8x8: .*image_size=32 in"
    ):
        with_other_side(within(prices, str(decoder_run)), larger)
    replace(prices, device="Pixel 9").write(prices.source)
    wider = replace(UNETS, base=dict(UNETS.base) | {"latent_channels": 4})
    budget = with_other_side(within(prices, str(decoder_run)), wider)
    _, channels, device = image_notes(budget, wider, resumed=False)
    assert channels == "budget.decoder: the UNets make 4 channels, the decoders read 2"
    assert (
        "the UNets' are of onnx in fp32 on Pixel 9, 1 thread, the decoders' of onnx in fp32 on made" in device
    )


def test_what_is_too_small_names_the_least(prices: PriceList, tmp_path: Path) -> None:
    least = 40 + 8 * prices.milliseconds(UNETS.smallest(prices.milliseconds))
    settings = settings_in(tmp_path, space=UNETS, budget=within(prices, 40.0, total_ms=20.0))
    with pytest.raises(
        InputError, match=r"^budget\.total_ms: nothing of this space fits \(.*; allowed: "
    ) as refused:
        check_choosing(settings, {"enqueue": []})
    allowed = float(str(refused.value).rpartition("allowed: ")[2].removesuffix(" or more"))
    assert least <= allowed < 1.01 * least
    check_choosing(replace(settings, budget=replace(settings.budget, total_ms=allowed)), {"enqueue": []})


# ---------------------------------------------------------------------- in a search


@pytest.fixture
def told(prices: PriceList, decoder_run: Path, tmp_path: Path) -> AskTellSettings:
    """Of this space a good part fits beside the fastest decoder, and less beside the other."""
    total = 40 + 8 * 2 * prices.milliseconds(UNETS.smallest(prices.milliseconds))
    budget = with_other_side(within(prices, str(decoder_run), total_ms=total), UNETS)
    stopping = from_plain(StoppingSettings, {"name": "none"})
    sampler = from_plain(SamplerSettings, {"name": "random"})
    return settings_in(tmp_path, space=UNETS, budget=budget, stopping=stopping, sampler=sampler, trials=6)


def test_a_search_trains_what_leaves_room_and_says_the_best_split(
    told: AskTellSettings, prices: PriceList, capsys: pytest.CaptureFixture[str]
) -> None:
    with AskTell(told) as search:
        drive_told(search, most=5)
    with AskTell(replace(told, resume=str(search.folder))) as again:
        drive_told(again)
    folder, total = search.folder, told.budget.total_ms
    assert "the fastest of 2 decoders" in capsys.readouterr().out
    history = read_history(folder)
    assert len(history.trials) == 6
    for trial in history.trials:
        assert trial.score(LATENCY) == prices.milliseconds(trial.architecture)
        assert 8 * prices.milliseconds(trial.architecture) + 40 <= total  # type: ignore[operator]
    reasons = [each.reason for each in history.rejections if each.kind == "budget"]
    assert reasons and all("+ the fastest decoder 40.0 (onnx" in reason for reason in reasons)
    assert next(iter(refusals(history))) == "over budget in ms an image"
    assert recheck(folder).agrees
    (bundled,) = bundled_of(str(folder))  # whose settings stand in the header of its record
    assert recheck_bundled(bundled).agrees

    split = split_of_run(history)
    assert split is not None and {pair.decoder.name for pair in split.pairs} <= {"trial 0", "trial 1"}
    best = split.pairs[0]
    assert best.left_ms == pytest.approx(total - 8 * best.unet.ms - best.decoder.ms)  # type: ignore[operator]
    page = words_in(body((Section("sections/split.html", split_section),), Page(folder, history)).html)
    assert f"with decoders of {told.budget.decoder}, as they were when the search began" in page
    assert split_sentence(split) in page and "An image of 8 steps may take" in page
    assert split_sentence(split) in str(result_table(history).caption)
    shown = splits_section([Run(folder, "told", history)])
    assert shown is not None and split_sentence(split) in shown["table"].rows[0].cells[1].text
    capsys.readouterr()
    assert split_command.main([str(folder), "format=json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["unet"], row["decoder"]) for row in rows] == [
        (pair.unet.name, pair.decoder.name) for pair in split.pairs
    ]
    assert rows[0]["total_ms"] == total and rows[0]["psnr"] == DECODED[int(rows[0]["decoder"][-1])][0]


def test_beside_milliseconds_the_best_unets_are_the_split(prices: PriceList, tmp_path: Path) -> None:
    """8 x 50 + 40 is too much; trial 1 beats trial 3 in both scores."""
    found = of_unets()
    found[0]["budget"] = within(prices, 40.0, total_ms=400.0).to_plain()
    run = write_run(tmp_path / "unet", found)
    split = split_of_run(read_history(run))
    assert split is not None and (split.beside, split.notes) == ("", [])
    assert [(pair.unet.name, pair.decoder.name, pair.left_ms) for pair in split.pairs] == [
        ("trial 1", "as stated", 120.0)
    ]
    assert split_sentence(split).endswith("= 280.0 ms, of which the decoder has 14%; 120.0 of 400 ms left")


def test_without_a_budget_for_an_image_nothing_is_said_of_one(tmp_path: Path) -> None:
    run = write_run(tmp_path / "unet", of_unets())
    assert split_of_run(read_history(run)) is None and splits_section([]) is None
    assert split_section(Page(run, read_history(run))) is None
    with pytest.raises(InputError, match=r"no complete trial within a budget\.total_ms"):
        split_command.main([str(run)])
