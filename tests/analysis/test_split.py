"""One latency budget for a UNet's search and a decoder's: which pairs fit, and which are on the front."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from analysis.split import ImageTime, splits
from mdsearch.commands.split import main
from search.objectives import Objective, fid_and_clip, objectives_to_plain
from search.runs.header import DECODERS, SEARCHED
from search.runs.record import History
from space.candidates import Candidate
from space.shared.plain import InputError
from tests.search.worlds import md_space
from tests.space.test_decoder_space import SPACE

OF_DECODERS = Objective("psnr", "maximize", label="PSNR"), Objective("decoder_gmacs", "minimize", "log")
UNETS = {  # trial -> FID, CLIP, ms of a step
    0: (20.0, 0.30, 50.0),
    1: (24.0, 0.28, 30.0),
    2: (26.0, 0.27, 45.0),  # beaten by trial 1 in all
    3: (30.0, 0.25, 10.0),
}
DECODED = {0: (30.0, 100.0), 1: (27.0, 40.0), 2: (26.0, 60.0)}  # PSNR, ms; trial 2 is beaten


def events(scores: dict[int, dict[str, float]], network: Candidate, **header: Any) -> list[dict[str, Any]]:
    lists = [{"file": "a.json", "list": "onnx in fp32 on made", "digest": "d"}]
    found: list[dict[str, Any]] = [{"event": "run", "name": "made", "price_lists": lists, **header}]
    common = {"purpose": "search", "seed": 0, "steps": 4, "source": "sampler", "params": None}
    cost = {"parameters": 1, "macs": 1, "attention_macs": 0, "proxy_parameters": 1, "sampler_attributes": {}}
    for number, own in scores.items():
        named = {"key": str(number), "number": number, "name": f"trial {number}"}
        what = {"architecture": network.to_plain(), "architecture_id": network.id, "time": 1.0}
        found.append({"event": "proposed", **common, **cost, **named, **what})
        rung = {"step": 4, "scores": own, "seconds": {}, "decision": "end", "reason": ""}
        found.append({"event": "rung", "key": str(number), **rung})
        found.append({"event": "ended", "key": str(number), "state": "complete", "reason": "", "time": 2.0})
    return found


def of_unets() -> list[dict[str, Any]]:
    names = [each.name for each in fid_and_clip()]
    scores = {n: dict(zip([*names, "latency_ms"], own, strict=True)) for n, own in UNETS.items()}
    return events(scores, md_space().first, objectives=objectives_to_plain(fid_and_clip()))


def of_decoders() -> list[dict[str, Any]]:
    names = ("psnr", "latency_ms")
    scores = {n: {**dict(zip(names, own, strict=True)), "decoder_gmacs": 1.0} for n, own in DECODED.items()}
    plain = objectives_to_plain(OF_DECODERS)
    return events(scores, SPACE.first, objectives=plain, **{SEARCHED: DECODERS})


def history(found: list[dict[str, Any]]) -> History:
    made = History()
    for event in found:
        made.apply(event)
    return made


def test_pairs_that_fit_and_are_beaten_by_none() -> None:
    found = splits(history(of_unets()), history(of_decoders()), ImageTime(400, steps=8, text_ms=10))
    pairs = {(pair.unet.number, pair.decoder.number): pair for pair in found}
    # 8 x 50 + 40 + 10 is over; 8 x 30 + 100 + 10 = 350; trial 3 loses to trial 1 in FID and CLIP
    assert set(pairs) == {(1, 0)}
    only = pairs[1, 0]
    assert (only.unet_ms, only.decoder_ms, only.left_ms) == (30, 100, 50)
    assert only.point.values == (24.0, 0.28, 30.0)
    wider = splits(history(of_unets()), history(of_decoders()), ImageTime(450, steps=8, text_ms=10))
    assert {(pair.unet.number, pair.decoder.number) for pair in wider} == {(0, 1), (1, 0)}
    least = "total_ms: 100 is too few: no pair of complete trials fits; allowed: 120 or more"
    with pytest.raises(InputError, match=least):
        splits(history(of_unets()), history(of_decoders()), ImageTime(100, steps=8))


def test_what_cannot_be_split_is_refused(tmp_path: Path) -> None:
    within = ImageTime(400, steps=8)
    with pytest.raises(InputError, match="the UNets' search: is of decoders"):
        splits(history(of_decoders()), history(of_unets()), within)
    bare = [event for event in of_unets() if event["event"] != "rung"]
    with pytest.raises(InputError, match="no complete trial has a latency_ms; needed: a search with"):
        splits(history(bare), history(of_decoders()), within)
    with pytest.raises(InputError, match="runs: 1 named; needed: two"):
        main([str(tmp_path), "total_ms=400"])
    with pytest.raises(InputError, match="steps: 0 is too few"):
        main(["a", "b", "total_ms=400", "steps=0"])


def test_the_command_prints_what_it_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, found in (("unet", of_unets()), ("decoder", of_decoders())):
        (tmp_path / name).mkdir()
        lines = "".join(json.dumps({"time": 0.0, **event}) + "\n" for event in found)
        (tmp_path / name / "record.jsonl").write_text(lines)
    words = [str(tmp_path / "unet"), str(tmp_path / "decoder"), "total_ms=450", "text_ms=10"]
    assert main([*words, "format=json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["unet"], row["decoder"], row["psnr"]) for row in rows] in (
        [("trial 0", "trial 1", 27.0), ("trial 1", "trial 0", 30.0)],
        [("trial 1", "trial 0", 30.0), ("trial 0", "trial 1", 27.0)],
    )
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "trial 1, 8 x 30 ms" in said and "decoders by onnx in fp32 on made" in said
