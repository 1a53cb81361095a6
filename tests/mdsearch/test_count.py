"""`mdsearch count`: what it prints, and that a mistake is one line and status 2."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mdsearch.commands.count import main
from space.architecture import Architecture
from space.autoencoder import Autoencoder
from space.prices.macs import price
from space.prices.memory import peak_activation_bytes
from space.shared.plain import InputError

ARCH = Path(__file__).parents[2] / "conf" / "arch"
MD = Architecture.load(ARCH / "md.yaml")


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(list(words)) == 0
    return capsys.readouterr().out


def test_json_holds_the_whole_price(capsys: pytest.CaptureFixture[str]) -> None:
    data = json.loads(printed(capsys, "arch=md", "format=json", "against=md_lite"))
    cost = price(MD)
    assert (data["parameters"], data["macs"], data["attention_macs"]) == cost
    assert data["macs_without_attention_products"] == cost.macs - cost.attention_macs
    assert data["flops"] == 2 * cost.macs
    assert (data["conv_blocks"], data["self_attention"], data["cross_attention"]) == (11, 15, 18)
    assert data["over_budget"]["md"] == []
    assert len(data["over_budget"]["md_lite"]) == 2
    assert data["difference"]["changes"][0] == "level 3 channels: 896 -> 1024"
    for parts in data["breakdown"].values():
        assert sum(part["parameters"] for part in parts.values()) == cost.parameters
        assert sum(part["macs"] for part in parts.values()) == cost.macs


def test_text_names_what_a_reader_asks(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "arch=md")
    for expected in ("387,376,712", "183.57", "180.65", "367.13", "e7d9e606fec8", "budget md: fits"):
        assert expected in text
    assert "budget md_lite: over, 387.4 M parameters > 280; 183.6 GMACs > 156" in text.replace("\n", " ")


def test_a_file_and_an_own_budget(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    own = replace(MD, feed_forward_ratio=4)
    (tmp_path / "own.yaml").write_text(own.to_yaml(), encoding="utf-8")
    words = (f"arch_file={tmp_path / 'own.yaml'}", "budget.gmacs=190")
    data = json.loads(printed(capsys, *words, "format=json"))
    assert data["id"] == own.id
    assert data["difference"]["changes"] == ["feed forward ratio: 3 -> 4"]
    assert data["over_budget"]["yours"]
    assert Architecture.from_yaml(printed(capsys, *words, "format=yaml")) == own


def test_any_price_may_be_bounded(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("budget.weights_mib=369", "budget.precision=int8", "budget.peak_activations_mib=1")
    yours = json.loads(printed(capsys, *words, "format=json"))["over_budget"]["yours"]
    peak = peak_activation_bytes(MD, "int8") / 2**20
    assert yours == ["369.4 MiB of weights in int8 > 369", f"{peak:.1f} MiB of activations in int8 > 1"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["arch=mdd"], "did you mean 'md'"),
        (["arch=dit_xl_2"], "arch: a DiT is no UNet"),
        (["arch_file=nowhere.yaml"], "nowhere.yaml: cannot be read"),
        (["against=sd51"], r"^against: no preset .sd51.; did you mean .sd15."),
        (["autoencoder=tiny", "against=sdd"], r"^against: no preset .sdd."),
        (["format=jsn"], "format: 'jsn' is not a choice here; did you mean 'json'"),
        (["+arch.heads=4"], "arch.head_width: 64 beside heads: 4"),
    ],
)
def test_mistakes_are_one_message(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match=message):
        main(words)
    assert not capsys.readouterr().out


def test_an_autoencoder_in_place_of_a_unet(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    data = json.loads(printed(capsys, "autoencoder=light", "format=json", "check=true"))
    light = Autoencoder.load(ARCH.parent / "autoencoder" / "light.yaml")
    assert (data["id"], data["latent_channels"], data["latent_size"]) == (light.id, 8, 64)
    assert data["decoder"]["parameters"] == 8_219_723
    by_level = data["decoder"]["by_level"].values()
    assert sum(part["macs"] for part in by_level) == data["decoder"]["macs"]
    assert all(opinion["ours"] == opinion["theirs"] for opinion in data["second_opinions"])
    assert data["difference"]["from"] == "sd"
    (tmp_path / "own.yaml").write_text(printed(capsys, "autoencoder=light", "format=yaml"), encoding="utf-8")
    text = printed(capsys, f"autoencoder={tmp_path / 'own.yaml'}", "against=light")
    assert "8,219,723" in text
    assert "no difference" in text
    with pytest.raises(InputError, match="arch: has no effect beside autoencoder="):
        main(["autoencoder=light", "arch=md"])
    with pytest.raises(InputError, match=r"autoencoder\.image_size: 100 px .* 8"):
        main(["autoencoder=light", "autoencoder.image_size=100"])
