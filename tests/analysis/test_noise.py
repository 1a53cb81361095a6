"""Noise from repeated seeds: planted deviations come back, what repeats nothing is left out; the command."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from analysis.noise import measured_up_to
from conf.compose import compose
from mdsearch.commands import noise as command
from search.confirmation.repeats import estimated, fid_range, refined
from search.runs.header import noise_of
from search.runs.record import History, Record
from search.statistics.noise import Noise, RungNoise, noise_from_plain
from space.architecture import Architecture
from space.shared.plain import InputError, from_plain
from tests.search.histories import MD, MD_LITE, RUNGS, end, header, open_run, propose, score

STATED = Noise(tuple(RungNoise(step, 0.1, 0.02) for step in RUNGS), degrees_of_freedom=6)
FID_DEVIATION, CLIP_DEVIATION = 0.3, 0.05


def repeat(
    record: Record, name: str, architecture: Architecture, seeds: Sequence[int], steps: int = 400
) -> None:
    """Confirmation runs at every rung, whose scores lie around a mean with the planted deviations."""
    chance = np.random.default_rng(len(record.history.confirmations))
    for seed in seeds:
        number = len(record.history.confirmations)
        fields = {"purpose": "confirm", "name": name, "seed": seed, "steps": steps, "number": number}
        key = propose(record, architecture, key=f"{name}-{seed}-{steps}", **fields)
        for step in RUNGS:
            fid = 1000 / step * float(np.exp(FID_DEVIATION * chance.normal()))
            score(record, key, step, fid, 0.5 + CLIP_DEVIATION * float(chance.normal()))
        end(record, key)


def found_in(*histories: History) -> dict[tuple[int, str], object]:
    return {(each.step, each.score): each for each in estimated(histories, STATED)}


def test_planted_deviations_come_back_at_every_rung(tmp_path: Path) -> None:
    record = open_run(tmp_path)
    repeat(record, "md", MD, range(1000, 1040))
    repeat(record, "md_lite", MD_LITE, range(1000, 1040))
    found = found_in(record.history)
    record.close()
    assert set(found) == {(step, name) for step in RUNGS for name in ("FID", "CLIP")}
    for (_, name), each in found.items():
        planted = FID_DEVIATION if name == "FID" else CLIP_DEVIATION
        low, high = each.seeds.deviation_interval(level=0.001)
        assert low < planted < high < 2 * planted
        assert (each.seeds.degrees_of_freedom, each.networks) == (78, 2)
        assert each.paired.degrees_of_freedom == 39  # 40 seeds take 39 more
        stated = 0.1 if name == "FID" else 0.02
        together = (78 * each.seeds.value + 6 * stated**2) / 84
        assert each.together.value == pytest.approx(together)


def test_without_repeats_what_is_stated_stands(tmp_path: Path) -> None:
    record = open_run(tmp_path)
    for architecture in (MD, MD_LITE):
        key = propose(record, architecture)
        score(record, key, 400, 10, 0.5, "end")
        end(record, key)
    found = found_in(record.history)
    record.close()
    assert all(each.seeds is None and each.together == each.stated for each in found.values())


def test_what_repeats_nothing_or_was_chosen_for_its_score_is_left_out(tmp_path: Path) -> None:
    """Counted are two runs of MD-Lite: not the trial that they confirm, nor the equal seed, nor the other
    length, whose schedule is another."""
    record = open_run(tmp_path)
    key = propose(record, MD_LITE)
    score(record, key, 400, 1, 0.99, "end")
    end(record, key)
    repeat(record, "trial 0", MD_LITE, (1000, 1001))
    repeat(record, "md", MD, (1000,))
    repeat(record, "md", MD, (1001, 1002), steps=800)
    repeat(record, "twin", MD_LITE, (1001,))
    found = found_in(record.history)
    record.close()
    assert found[400, "FID"].seeds.degrees_of_freedom == 1
    assert found[400, "FID"].networks == 1


def test_the_same_network_in_several_runs_of_one_protocol_is_repeated(tmp_path: Path) -> None:
    histories = []
    for seed in (0, 1, 2):
        record = open_run(tmp_path / str(seed), seed=seed)
        key = propose(record, MD, seed=seed)
        for step in RUNGS:
            score(record, key, step, 10 + seed, 0.5, "continue")
        end(record, key)
        histories.append(record.history)
        record.close()
    found = found_in(*histories)
    assert found[100, "FID"].seeds.degrees_of_freedom == 2
    assert found[100, "FID"].seeds.value == pytest.approx(np.var(np.log([10, 11, 12]), ddof=1))
    other = open_run(tmp_path / "other", proxy={"width_divisor": 2})
    other.close()
    with pytest.raises(InputError, match=r"proxy\.width_divisor: 16 against 2"):
        estimated([histories[0], other.history], STATED)


def test_resampling_is_the_median_over_runs_of_fid_as_a_share(tmp_path: Path) -> None:
    record = open_run(tmp_path)
    for fid, deviation in ((100.0, 5.0), (50.0, 2.0), (10.0, 3.0)):
        key = propose(record, MD)
        scores = {"fid_embedded_clip": fid, "clip_embedded": 0.5}
        deviations = {"fid_embedded_clip": deviation, "clip_embedded": deviation / 100}
        rung = {"step": 100, "scores": scores, "seconds": {}, "decision": "continue", "reason": ""}
        record.append("rung", key=key, deviations=deviations, **rung)
    found = found_in(record.history)
    record.close()
    assert found[100, "FID"].resampled == pytest.approx(0.05)
    assert found[100, "CLIP"].resampled == pytest.approx(0.03)
    assert found[400, "FID"].resampled is None


def test_a_refined_noise_weighs_as_the_rung_known_least(tmp_path: Path) -> None:
    record = open_run(tmp_path)
    repeat(record, "md", MD, (1000, 1001, 1002))
    found = estimated([record.history], STATED)
    record.close()
    noise = refined(STATED, found)
    assert noise.degrees_of_freedom == 8 and noise.deviations == STATED.deviations
    assert noise.at(400).fid_relative == found[-2].together.deviation
    assert estimated([record.history], noise)[0].stated.degrees_of_freedom == 8


# ---------------------------------------------------------------------- the command


def test_the_best_share_of_the_repeated_networks_counts_alone(tmp_path: Path) -> None:
    """MD ends in front, always with the same scores; MD-Lite behind it, and differs from seed to seed."""
    record = open_run(tmp_path)
    for seed in range(6):
        for name, architecture, fid in (("md", MD, 5.0), ("md_lite", MD_LITE, 50.0 + 10 * seed)):
            number = len(record.history.confirmations)
            fields = {"purpose": "confirm", "name": name, "seed": seed, "steps": 400, "number": number}
            key = propose(record, architecture, key=f"{name}-{seed}", **fields)
            for step in RUNGS:
                score(record, key, step, fid, 1 / fid)
            end(record, key)
    record.close()
    histories = [record.history]
    best = estimated(histories, STATED, best=0.5)
    assert {each.networks for each in best} == {1} and all(each.seeds.value < 1e-12 for each in best)
    assert {each.networks for each in estimated(histories, STATED, best=0.51)} == {2}  # rounded up
    assert all(each.seeds.value > 0 for each in estimated(histories, STATED))


def test_the_command_prints_the_table_and_writes_a_preset(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = open_run(tmp_path / "a")
    repeat(record, "md", MD, (1000, 1001, 1002))
    record.close()
    out = tmp_path / "mine.yaml"
    assert command.main([str(tmp_path / "a"), f"out={out}"]) == 0
    printed = capsys.readouterr().out
    lines = [line.split() for line in printed.splitlines() if line.split() and line.split()[0].isdigit()]
    assert [(line[0], line[1]) for line in lines] == [
        (str(step), name) for step in RUNGS for name in ("FID", "CLIP")
    ]
    text = out.read_text()
    assert text.startswith("# Noise of one run, from what was stated and the repeated seeds of a\n")
    noise = from_plain(Noise, yaml.safe_load(text))
    stated = noise_of(record.history)
    assert stated is not None
    expected = refined(stated, estimated([record.history], stated))
    assert noise.at(400).fid_relative == pytest.approx(expected.at(400).fid_relative, rel=1e-3)
    assert noise_from_plain(yaml.safe_load(text)) == noise
    words = [f"noise.rungs={json.dumps(yaml.safe_load(text)['rungs']).replace(chr(34), '')}"]
    assert compose("search", words)["noise"]["rungs"] == yaml.safe_load(text)["rungs"]


def test_the_repeats_alone_make_a_preset_for_a_protocol_that_nothing_was_stated_for(tmp_path: Path) -> None:
    record = open_run(tmp_path / "a")
    repeat(record, "md", MD, (1000, 1001, 1002))
    record.close()
    out = tmp_path / "mine.yaml"
    assert command.main([str(tmp_path / "a"), f"out={out}", "stated=false"]) == 0
    assert out.read_text().startswith("# Noise of one run, from the repeated seeds of a\n")
    noise = from_plain(Noise, yaml.safe_load(out.read_text()))
    seeds = {(each.step, each.score): each.seeds for each in estimated([record.history], STATED)}
    assert noise.degrees_of_freedom == 2
    (mean,) = {float(f"{end:.4g}") for end in fid_range([record.history]) or ()}  # of one network
    assert noise.measured_up_to_fid == pytest.approx(mean) and 1 < mean < 5
    for step in RUNGS:
        assert noise.at(step).fid_relative == pytest.approx(seeds[step, "FID"].deviation, rel=1e-3)
        assert noise.at(step).clip == pytest.approx(seeds[step, "CLIP"].deviation, rel=1e-3)
    open_run(tmp_path / "b").close()
    with pytest.raises(InputError, match="no network was trained with two seeds"):
        command.main([str(tmp_path / "b"), f"out={out}", "stated=false"])


def test_runs_of_other_lengths_say_what_noise_is_at_each_of_their_steps(tmp_path: Path) -> None:
    """Without a decaying rate a shorter run is the beginning of a longer one, so that a seed counts once."""
    short, long = open_run(tmp_path / "a"), open_run(tmp_path / "b", rungs=[400, 1600])
    repeat(short, "md", MD, (1000, 1001))
    for seed, fids in ((1001, (99.0, 3.0)), (1002, (2.0, 4.0))):
        fields = {"purpose": "confirm", "name": "md", "seed": seed, "steps": 1600, "number": seed}
        key = propose(long, MD, key=f"md-{seed}", **fields)
        for step, fid in zip((400, 1600), fids, strict=True):
            score(long, key, step, fid, 0.5)
        end(long, key)
    found = found_in(short.history, long.history)
    freedom = {step: found[step, "FID"].seeds.degrees_of_freedom for step in (100, 400, 1600)}
    assert freedom == {100: 1, 400: 2, 1600: 1}  # of three seeds at 400, one of which both runs hold
    assert found[1600, "FID"].seeds.value == pytest.approx(np.var(np.log([3.0, 4.0]), ddof=1))
    long.history.header["training"] = short.history.header["training"] = {"decay": "cosine"}
    with pytest.raises(InputError, match="do not share a protocol: rungs"):
        found_in(short.history, long.history)
    for record in (short, long):
        record.close()


def test_up_to_which_fid_noise_was_measured() -> None:
    stated = replace(STATED, measured_up_to_fid=300.0)
    assert measured_up_to(stated, (100.0, 400.0), True) == 400.0
    assert measured_up_to(stated, (100.0, 200.0), True) == 300.0
    assert measured_up_to(stated, (100.0, 200.0), False) == 200.0  # what was stated does not count
    assert measured_up_to(STATED, (100.0, 200.0), True) is None  # of what was stated nobody knows
    assert measured_up_to(stated.unknown, (100.0, 200.0), True) == 200.0
    assert measured_up_to(STATED, None, False) is None


def test_the_command_takes_the_latest_run_and_tells_machines_exact_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = open_run(tmp_path / "a")
    repeat(record, "md", MD, (1000, 1001))
    record.close()
    assert command.main([f"runs_folder={tmp_path}", "format=json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows[0]["step"] == RUNGS[0] and rows[0]["repeats"] == 1
    assert rows[0]["seeds_low"] < rows[0]["seeds"] < rows[0]["seeds_high"]


def test_what_the_command_refuses(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no record\.jsonl here"):
        command.main([str(tmp_path / "nowhere")])
    with pytest.raises(InputError, match=r"allowed: a file that ends in \.yaml"):
        command.main([str(tmp_path), "out=noise.txt"])
    with pytest.raises(InputError, match=r"^best: 0 .*allowed: above 0, up to 1"):
        command.main([str(tmp_path), "best=0"])
    Record(tmp_path).close()
    with pytest.raises(InputError, match="states no noise yet"):
        command.main([str(tmp_path)])
    record = Record(tmp_path)
    record.append("run", **header())
    record.close()
    assert command.main([str(tmp_path)]) == 0


def test_of_decoders_the_noise_of_what_they_are_judged_by(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is neither FID nor CLIP, nothing that reads a preset, and no noise of a cost."""
    objectives = [
        {"name": "psnr", "direction": "maximize", "scale": "linear", "label": "PSNR"},
        {"name": "decoder_gmacs", "direction": "minimize", "scale": "log", "label": "the decoder's GMACs"},
    ]
    record = open_run(tmp_path, searched="decoders", objectives=objectives)
    del record.history.header["noise"]
    for seed, psnr in ((1000, 20.0), (1001, 21.0), (1002, 22.0)):
        fields = {"purpose": "confirm", "name": "small", "seed": seed, "number": seed - 1000}
        key = propose(record, MD, key=f"small-{seed}", **fields)
        rung = {"step": 400, "seconds": {}, "decision": "end", "reason": ""}
        record.append("rung", key=key, scores={"psnr": psnr, "decoder_gmacs": 0.5}, **rung)
        end(record, key)
    noise = noise_of(record.history)
    assert noise is not None
    (last,) = (each for each in estimated([record.history], noise) if each.step == 400)
    assert (last.score, last.seeds and last.seeds.deviation) == ("PSNR", 1.0)
    record.close()
    path = tmp_path / "record.jsonl"
    lines = path.read_text().splitlines()
    first = {name: value for name, value in json.loads(lines[0]).items() if name != "noise"}
    path.write_text("\n".join([json.dumps(first), *lines[1:]]) + "\n")
    assert command.main([str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "of PSNR as they are" in printed and "the decoder's GMACs is exact" in printed
    assert "FID" not in printed and "CLIP" not in printed
    with pytest.raises(InputError, match=r"^out: .* searches decoders"):
        command.main([str(tmp_path), f"out={tmp_path / 'mine.yaml'}"])
    assert not (tmp_path / "mine.yaml").exists()
