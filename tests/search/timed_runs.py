"""Records of a search over UNets and of one over decoders of the same latents, with milliseconds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from search.objectives import Objective, fid_and_clip, objectives_to_plain
from search.runs.header import DECODERS, SEARCHED
from search.runs.record import History
from space.candidates import Candidate
from tests.search.worlds import md_space
from tests.space.test_decoder_space import SPACE

OF_DECODERS = Objective("psnr", "maximize", label="PSNR"), Objective("decoder_gmacs", "minimize", "log")
UNET = replace(md_space().first, latent_size=8, latent_channels=2)  # whose latents those decoders read
UNETS = {  # trial -> FID, CLIP, ms of a step
    0: (20.0, 0.30, 50.0),
    1: (24.0, 0.28, 30.0),
    2: (26.0, 0.27, 45.0),  # beaten by trial 1 in all
    3: (30.0, 0.25, 10.0),
}
DECODED = {0: (30.0, 100.0), 1: (27.0, 40.0), 2: (26.0, 60.0)}  # PSNR, ms; trial 2 is beaten


def events(scores: dict[int, dict[str, float]], network: Candidate, **header: Any) -> list[dict[str, Any]]:
    lists = [{"file": "a.json", "list": "onnx in fp32 on made, 1 thread, 2026-01-02", "digest": "d"}]
    found: list[dict[str, Any]] = [{"event": "run", "name": "made", "price_lists": lists} | header]
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
    return events(scores, UNET, objectives=objectives_to_plain(fid_and_clip()))


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


def write_run(folder: Path, found: list[dict[str, Any]]) -> Path:
    folder.mkdir(exist_ok=True)
    lines = "".join(json.dumps({"time": 0.0, **event}) + "\n" for event in found)
    (folder / "record.jsonl").write_text(lines)
    return folder
