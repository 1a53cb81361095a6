"""`mdsearch latency` and its kin: what they print, on networks that take no time."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from unittest import mock

import pytest
import torch
import yaml

from evaluators.latency import runtimes
from evaluators.latency.lists import sampled_networks
from evaluators.latency.runtimes import Place
from mdsearch.commands import latency, latency_check, latency_prices, latency_stages
from space.architecture import Architecture, Level
from space.autoencoder import Autoencoder, ImageLevel, Way
from space.autoencoder_network import AutoencoderNetwork
from space.budget import Budget
from space.choices import Space
from space.interchange.autoencoder_files import save_autoencoder
from space.prices.calibration import MeasuredNetwork
from space.prices.coverage import parts_of_space
from space.prices.latency import PriceList
from space.prices.macs import price
from space.shared.plain import InputError, from_plain
from tests.analysis.export.networks import MD_LIKE
from tests.space.price_lists import list_of, made_list
from training.diffusion import DiffusionSettings
from training.latents import LatentSettings
from training.model import Model, ModelSettings
from training.text import TextSettings

SMALL = Architecture(
    (Level(16, "full", (1,), (0, 0), cross_attention=True), Level(32, "separable", (1,), (1, 1))),
    norm_groups=8,
    head_width=16,
    time_width=32,
    latent_size=4,
    context_width=16,
)
NARROW = """
levels:
  level_1: {channels: [16], blocks: [1, 2]}
  level_2: {channels: [16, 32, 64], conv: [full, separable], layers_up: [0, 1, 2]}
base: {latent_size: 4, norm_groups: 8, time_width: 16}
"""


@pytest.fixture
def space(tmp_path: Path) -> str:
    (tmp_path / "narrow.yaml").write_text(NARROW)
    return f"space={tmp_path / 'narrow.yaml'}"


@pytest.fixture
def arch_file(tmp_path: Path) -> str:
    (tmp_path / "small.yaml").write_text(SMALL.to_yaml())
    return f"arch_file={tmp_path / 'small.yaml'}"


def test_json_holds_what_was_measured(arch_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "parts=[unet]",
        "runtimes=[eager]",
        "rounds=3",
        "threads=1",
        "format=json",
        "size=6",
        "steps=[1,4]",
    ]
    assert latency.main([arch_file, *words]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["id"] == replace(SMALL, latent_size=6).id
    assert (found["threads"], found["precision"], found["latent_size"]) == (1, "fp32", 6)
    unet = found["parts"]["unet"]["eager"]
    assert unet["rounds"] == len(unet["times_ms"]) == 3
    assert unet["interval_ms"][0] <= unet["median_ms"] <= unet["interval_ms"][1]
    assert [row["steps"] for row in found["rows"]] == [1, 4]
    assert [row["overall"] for row in found["rows"]] == [None, None]  # not all parts
    assert found["paper"][-1]["overall"] == 238 and found["paper"][-1]["device"] == "iPhone 15 Pro"
    assert isinstance(found["quiet"], bool) and "torch" in found["versions"]


def test_all_that_run_here_are_measured_and_what_is_lacking_is_said(
    arch_file: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.evaluators.latency.test_lists import made_runtime

    for name in runtimes.RUNTIMES:
        monkeypatch.setitem(cast(Any, runtimes.RUNTIMES), name, made_runtime)
    monkeypatch.setattr(runtimes, "missing_to_compile", lambda device: "a compiler")
    assert latency.main([arch_file, "parts=[unet]", "rounds=1", "threads=1"]) == 0
    text = capsys.readouterr().out
    assert [name for name in runtimes.RUNTIMES if f"unet {name}:" in text] == ["eager", "onnx", "onnx_int8"]
    assert "left out: compiled needs a compiler, which is not here" in text
    with pytest.raises(InputError, match=r"^runtime: compiled needs a compiler, which is not here"):
        latency.main([arch_file, "runtimes=[eager,compiled]"])


def test_text_has_the_papers_row_beside_ours(arch_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert latency.main([arch_file, "parts=[unet]", "runtimes=[eager]", "rounds=2", "threads=1"]) == 0
    text = capsys.readouterr().out
    assert ", 1 thread; network" in text.replace("\n", " ")
    assert "MD one-step" in text and "iPhone" in text and "238" in text
    assert "quiet" in text and "another device" in text


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["runtimes=[graph]"], "runtime: graph replays on a GPU"),
        (["runtimes=[tflite]"], r"runtimes\[0\]: 'tflite' is not a choice here"),
        (["device=tpu"], "device: 'tpu'"),
        (["parts=[]"], r"parts: \[\]; allowed: one or more"),
        (["steps=[0]"], "steps: 0 is too few"),
        (["rounds=0"], "rounds: 0 is too few"),
        (["size=5"], "latent_size: 5 cannot be halved"),
        (["run=nowhere"], "run: has no effect beside arch_file="),
    ],
)
def test_what_cannot_be_measured_is_refused(arch_file: str, words: list[str], named: str) -> None:
    with pytest.raises(InputError, match=named):
        latency.main([arch_file, *words])


def test_of_a_trained_model_all_parts_are_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An image is text encoder, UNet and decoder; of an autoencoder there is the decoder."""
    levels = (ImageLevel(4, 1, "plain"), ImageLevel(8, 1))
    described = Autoencoder(Way(levels, norm_groups=4), Way(levels, norm_groups=4), 4, image_size=16)
    save_autoencoder(AutoencoderNetwork(described), tmp_path / "ae", {"scaling_factor": 1.0})
    latents = LatentSettings("vae", folder=str(tmp_path / "ae"))
    noise = DiffusionSettings(prediction="v", schedule="scaled_linear")
    own = ModelSettings(16, ("a", "red"), 1.0, 1, noise, latents, TextSettings(layers=0))
    Model(MD_LIKE, own, torch.device("cpu")).save(tmp_path / "model")
    words, out = ["runtimes=[eager]", "rounds=2", "threads=1", "steps=[1,4]"], f"out={tmp_path / 'l.json'}"
    assert latency.main([f"model={tmp_path / 'model'}", *words, out]) == 0
    assert "all parts here are the model's own" in capsys.readouterr().out
    found = json.loads((tmp_path / "l.json").read_text())
    assert (found["id"], found["latent_size"]) == (MD_LIKE.id, 8)
    text, unet, decoder = (found["parts"][name]["eager"]["median_ms"] for name in ("text", "unet", "decoder"))
    assert [row["overall"] for row in found["rows"]] == [text + unet + decoder, text + 4 * unet + decoder]
    with pytest.raises(InputError, match=r"out: .* is there already; allowed: a new file"):
        latency.main(["arch=md", "rounds=1000000", out])
    capsys.readouterr()
    assert latency.main([f"model={tmp_path / 'ae'}", "parts=[decoder]", *words, "format=json"]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == described.id
    with pytest.raises(InputError, match=r"^parts: text is none of .*; allowed: parts=\[decoder\]"):
        latency.main([f"model={tmp_path / 'ae'}", *words])
    with pytest.raises(InputError, match=r"^model: .* holds neither model\.json nor an autoencoder's config"):
        latency.main([f"model={tmp_path}", *words])
    with pytest.raises(InputError, match=r"^size: has no effect beside model="):
        latency.main([f"model={tmp_path / 'ae'}", "size=6", *words])


def test_a_run_without_a_best(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"run: .* has no best.yaml"):
        latency.main([f"run={tmp_path}"])


def test_a_list_is_measured_and_checked(
    space: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a runtime whose times are MACs, which sums give back exactly."""
    from tests.evaluators.latency.test_lists import made_runtime

    monkeypatch.setitem(cast(Any, runtimes.RUNTIMES), "onnx", made_runtime)
    out = tmp_path / "prices.json"
    words = ["runtime=onnx", "threads=1", f"out={out}", "networks=4", "seconds=0.001", "entries=60"]
    assert latency_prices.main([space, *words]) == 0
    text = capsys.readouterr().out
    prices = PriceList.load(out)
    assert f"{len(prices.entries)} entries; the sum times 1.100 and 3.0 ms, by 4 whole networks" in text
    assert not Path(f"{out}.begun").exists()
    with pytest.raises(InputError, match="is there; allowed: a new file"):
        latency_prices.main([space, *words])
    check = [f"prices={out}", "networks=6", "equal=0", "rounds=2", "format=json"]
    status = latency_check.main([space, *check])
    found = json.loads(capsys.readouterr().out)
    assert found["networks"] == len(found["measured"]) == 6
    assert found["worst_error"] < 1e-6 and found["rank_correlation"] == pytest.approx(1)
    assert status == 0 and found["holds"] and "CPUs busy" in found["quiet"]
    assert found["spread"]["repeats"] == found["spread"]["ceiling"] == pytest.approx(1)
    assert found["spread"]["gmacs"] == [
        min(each["gmacs"] for each in found["measured"]),
        max(each["gmacs"] for each in found["measured"]),
    ]
    monkeypatch.delitem(cast(Any, runtimes.RUNTIMES), "onnx")  # nothing is measured again
    latency_check.main([space, *check[:-1]])
    text = capsys.readouterr().out
    assert "6 networks never measured for the list: error median 0.0%" in text
    assert "no prediction can be expected above 1.000" in text
    assert f"all stood in {out}.check" in text and "CPUs busy" not in text
    assert found["notes"] == []
    with (
        mock.patch.object(latency_check, "versions_of", lambda runtime: {"torch": "1.0"}),
        pytest.raises(InputError, match=r"is of another measurement \(versions .* here\); allowed: "),
    ):
        latency_check.main([space, *check])
    monkeypatch.setitem(cast(Any, runtimes.RUNTIMES), "onnx", made_runtime)
    latency_check.main([space, check[0], "networks=7", *check[2:-1]])
    assert f"; 6 of 7 stood in {out}.check: how quiet" in capsys.readouterr().out
    monkeypatch.delitem(cast(Any, runtimes.RUNTIMES), "onnx")
    replace(prices, versions={"onnxruntime": "1.0"}).write(tmp_path / "old.json")
    latency_check.main([space, f"prices={tmp_path / 'old.json'}", f"out={out}.check", *check[1:-1]])
    assert "measured with onnxruntime 1.0 (here " in capsys.readouterr().out
    other = replace(prices, device="a phone", threads=0)  # as its own runtime chose
    other.write(tmp_path / "phone.json")
    with pytest.raises(InputError, match=r"is of a phone, and this is .*; allowed: a list of this device"):
        latency_check.main([space, f"prices={tmp_path / 'phone.json'}", *check[1:]])


@pytest.mark.parametrize(
    ("command", "words", "named"),
    [
        (latency_prices, ["out=prices.csv"], "out: 'prices.csv' is no price list"),
        (latency_prices, ["out=nowhere/prices.json"], "out: nowhere is no folder"),
        (latency_prices, ["out=a.json", "entries=3"], "entries: 3 are too few for this space"),
        (latency_prices, ["out=a.json", "device=tpu"], "device: 'tpu'"),
        (latency_prices, ["out=a.json", "runtime=ncnn"], "runtime: 'ncnn' is not a choice here"),
        (latency_check, ["prices=nothing.json"], "cannot be read as a price list"),
        (latency_check, ["prices=nothing.json", "networks=2"], "networks: 2 is too few"),
        (latency_stages, ["out=."], "out: '.' is there"),
        (latency_stages, ["out=stages", "networks=-1"], "networks: -1 is not possible"),
        (latency_stages, ["out=stages", "to=tflite"], "to: 'tflite' is not a choice here"),
    ],
)
def test_refusals(
    command: Any, words: list[str], named: str, space: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=named):
        command.main([space, *words])


def test_stages_come_with_whole_networks_that_fit(
    space: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    of_space: Space = from_plain(Space, yaml.safe_load(NARROW))
    gmacs = [price(a).gmacs for a in sampled_networks(of_space, 20, 0, "all", lambda a: True)]
    middle = f"budget.gmacs={sorted(gmacs)[10]}"
    written: list[Any] = []
    monkeypatch.setattr(latency_stages, "write_stages", lambda *given: written.append(given))
    words = [space, f"out={tmp_path / 'stages'}", "entries=60", "networks=3", "to=coreml"]
    assert latency_stages.main([*words, middle]) == 0
    ((_, parts, networks, folder, to, _),) = written
    assert (len(networks), folder, to) == (3, tmp_path / "stages", "coreml")
    assert max(price(a).gmacs for a in networks) <= sorted(gmacs)[10]
    text = capsys.readouterr().out
    assert f"{len(parts)} entries and 3 whole networks" in text and "unverified: written on a machine" in text
    with pytest.raises(InputError, match=r"networks: 0 of 3 fit the budget.*nearest: networks=0"):
        latency_stages.main([*words, "budget.gmacs=0.000001"])


def test_held_out_networks_are_none_that_the_list_was_fitted_to_and_stand_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of the 36 networks of this space half are asked for, and all count as of equal MACs."""
    monkeypatch.setattr(latency_check, "EQUAL_MACS", 9.0)
    of_space: Space = from_plain(Space, yaml.safe_load(NARROW))
    prices = made_list([of_space.first])
    command = latency_check.CheckCommand(of_space, Budget(), "", networks=12, equal=8)
    fitted, _ = latency_check.held_out_networks(command, prices)
    whole = tuple(MeasuredNetwork(a.to_plain(), 5, 1.0, 0.1) for a in fitted[:6])
    random, equal = latency_check.held_out_networks(command, replace(prices, whole=whole))
    names = [a.id for a in (*random, *equal)]
    assert (len(random), len(equal), len(set(names))) == (12, 8, 20)
    assert not {a.id for a in fitted[:6]} & set(names)


def test_too_little_disk(arch_file: str, space: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    of_space: Space = from_plain(Space, yaml.safe_load(NARROW))
    list_of(parts_of_space(of_space), device=Place().name()).write("here.json")
    monkeypatch.setattr("space.shared.disk.disk_free_bytes", lambda folder: 1000)
    few = ("entries=60", "networks=1")
    for command, words in (
        (latency, [arch_file, "runtimes=[onnx]"]),
        (latency_prices, [space, "out=a.json", "threads=1", *few]),
        (latency_check, [space, "prices=here.json"]),
        (latency_stages, [space, "out=stages", *few]),
    ):
        with pytest.raises(InputError, match=r"0\.0 GB are free; needed: "):
            command.main(words)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here.json", "narrow.yaml", "small.yaml"]


def test_what_exports_nothing_needs_no_disk(
    space: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.evaluators.latency.test_lists import made_runtime

    monkeypatch.setitem(cast(Any, runtimes.RUNTIMES), "eager", made_runtime)
    monkeypatch.setattr("space.shared.disk.disk_free_bytes", lambda folder: 1000)
    words = ["runtime=eager", "threads=1", "networks=1", "seconds=0.001", "entries=60"]
    assert latency_prices.main([space, f"out={tmp_path / 'a.json'}", *words]) == 0
