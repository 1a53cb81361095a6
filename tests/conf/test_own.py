"""The user's own YAML outside the package: chosen by its path, or found in folders that she names."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping
from pathlib import Path

import pytest

import mdsearch
from conf.compose import compose, compose_and_keep
from conf.folders import config_folders
from conf.help import groups, help_text
from conf.words import expand
from mdsearch.__main__ import main
from space.shared.plain import InputError

SPACE = """# Mine
defaults: [md, _self_]
levels: {level_3: {channels: [768, 896]}}
"""
NOISE = "rungs: [{step: 500, fid_relative: 0.2, clip: 0.03}]\n"
# A file for each group, a field of it, and what the file sets there.
EVERY_GROUP = {
    "adapter": ("train_adapter", "defaults: [t2i, _self_]\nres_blocks: 3", "res_blocks", 3),
    "autoencoder": (
        "train_autoencoder",
        "defaults: [tiny, _self_]\nlatent_channels: 3",
        "latent_channels",
        3,
    ),
    "arch": ("count", "levels: [{channels: 320, down: [0]}]", "levels", [{"channels": 320, "down": [0]}]),
    "budget": ("count", "gmacs: 99", "gmacs", 99),
    "cluster": ("search", "workers: 3", "workers", 3),
    "confirmation": ("search", "{best: 3, references: []}", "best", 3),
    "curves": ("simulate", "defaults: [paper_scale, _self_]\nsteps: [1, 2]", "steps", [1, 2]),
    "data": ("train", "{name: folder, folder: photos}", "folder", "photos"),
    "evaluators": ("evaluate", "defaults: [own, _self_]\nsamples: 5", "samples", 5),
    "experiment": ("search", "# @package _global_\ndefaults: [scenes, _self_]\ntrials: 3", "", None),
    "recipe": ("train", "# @package _global_\nimages: 3", "", None),
    "noise": ("search", NOISE, "rungs", [{"step": 500, "fid_relative": 0.2, "clip": 0.03}]),
    "objective": ("distill", "defaults: [steps, _self_]\nsampling_steps: 3", "sampling_steps", 3),
    "reconstruction": ("train_autoencoder", "{steps: 7}", "steps", 7),
    "proxy": ("train", "width_divisor: 8", "width_divisor", 8),
    "sampler": ("replay", "{name: tpe, good_share: 0.2}", "good_share", 0.2),
    "space": ("explore", SPACE, "levels.level_3.channels", [768, 896]),
    "stopping": ("replay", "{name: asha, reduction: 4}", "reduction", 4),
    "system": ("build", "# @package _global_\nbase: 3", "", None),
    "strategy": ("search", "name: independent", "name", "independent"),
    "training": ("train", "{steps: 7}", "steps", 7),
}
REQUIRED = {"replay": ["runs=[x]"], "distill": ["init_from=x"], "train_adapter": ["init_from=x"]}


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MDSEARCH_CONFIG_DIR", raising=False)
    return tmp_path


def write(name: str, text: str) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def channels(*words: str) -> object:
    return compose("search", words)["space"]["levels"]["level_3"]["channels"]


def refusal(*words: str) -> str:
    with pytest.raises(InputError) as caught:
        compose("search", words)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_group_of_the_package_is_among_those_tried() -> None:
    conf = Path(__file__).parents[2] / "conf"
    assert {folder.name for folder in conf.iterdir() if list(folder.glob("*.yaml"))} == set(EVERY_GROUP)


@pytest.mark.parametrize("group", sorted(EVERY_GROUP))
def test_a_file_of_every_group_is_chosen_by_path_and_by_name(group: str) -> None:
    command, text, field, value = EVERY_GROUP[group]
    write(f"mine/{group}/hers.yaml", text)
    words = REQUIRED.get(command, [])
    by_path = compose(command, [*words, f"{group}=mine/{group}/hers.yaml"])
    with config_folders(["mine"]):
        assert compose(command, [*words, f"{group}=hers"]) == by_path
    found: object = by_path.get(group)
    for name in field.split(".") if field else ():
        assert isinstance(found, Mapping)
        found = found[name]
    whole = {
        "experiment": "trials",
        "recipe": "images",
        "system": "base",
    }  # complete configurations, which set fields beside
    assert by_path[whole[group]] == 3 if group in whole else found == value


@pytest.mark.parametrize("name", ["./phone.yaml", "phone.yml", "sub/phöne (2), [b]=1.yaml", "it's.yaml"])
def test_a_path_is_text_as_it_stands(name: str) -> None:
    write(name, SPACE)
    assert channels(f"space={name}") == [768, 896]
    assert channels(f"space={Path(name).resolve()}", "space.levels.level_3.blocks=[1]") == [768, 896]


def test_the_home_folder_a_bom_and_both_ways_to_write_an_accent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(Path.cwd()))
    write("phone.yaml", "\ufeff" + SPACE)
    assert channels("space=~/phone.yaml") == [768, 896]
    write(f"mine/space/{unicodedata.normalize('NFD', 'ä')}.yaml", SPACE)
    with config_folders(["mine"]):
        assert channels(f"space={unicodedata.normalize('NFC', 'ä')}") == [768, 896]


def test_a_sweep_takes_files_beside_presets() -> None:
    assert expand(["space=./ä.yaml,md", "sampler=tpe", "seed=1,2"])[::3] == [
        ["space=./ä.yaml", "sampler=tpe", "seed=1"],
        ["space=md", "sampler=tpe", "seed=2"],
    ]
    write("ä.yaml", SPACE)
    assert [channels(*words) == [768, 896] for words in expand(["space=./ä.yaml,md"])] == [True, False]


def test_what_a_file_names_is_looked_for_from_where_it_stands() -> None:
    write("deep/space/base.yaml", SPACE)
    write("deep/noise.yaml", NOISE)
    write("mine/budget/small.yaml", "gmacs: 99")
    write(
        "deep/all.yaml",
        "# Everything\n# @package _global_\ndefaults:\n- scenes\n- override /space: space/base.yaml\n"
        "- override /noise: ./noise.yaml\n- override /budget: small\n- _self_\ntrials: 3\n",
    )
    with config_folders(["mine"]):
        settings, texts = compose_and_keep("search", ["experiment=deep/all.yaml", "trials=4"])
    assert settings["space"]["levels"]["level_3"]["channels"] == [768, 896]
    assert (settings["noise"]["rungs"][0]["clip"], settings["budget"]["gmacs"]) == (0.03, 99)
    assert settings["trials"] == 4
    os.rename("deep", "gone")
    os.rename("mine", "gone too")
    again, same = compose_and_keep("search", ["trials=4"], before=["experiment=deep/all.yaml"], kept=texts)
    assert (again, same) == (settings, texts)
    with pytest.raises(InputError, match=r"^budget\.gigs: no such key"):  # the typo, and not what is gone
        compose_and_keep("search", ["budget.gigs=4"], before=["experiment=deep/all.yaml"], kept=texts)


def test_words_typed_now_read_the_file_of_now() -> None:
    write("few.yaml", "workers: 1")
    _, texts = compose_and_keep("search", ["cluster=few.yaml"])
    write("few.yaml", "workers: 2")
    word = "cluster=few.yaml"
    stored = compose_and_keep("search", [], before=[word], kept=texts)[0]
    typed = compose_and_keep("search", [word], before=[word], kept=texts)[0]
    assert (stored["cluster"]["workers"], typed["cluster"]["workers"]) == (1, 2)


def test_folders_are_named_by_an_option_the_environment_and_a_project(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, text in (("a", "gmacs: 11"), ("b", "gmacs: 12"), ("project/c", "gmacs: 13")):
        write(f"{folder}/budget/{folder[-1]}.yaml", f"# Of {folder}\n{text}")
    write("project/pyproject.toml", '[tool.mdsearch]\nconfig_dir = "c"\n')
    Path("project/below").mkdir()
    monkeypatch.setenv("MDSEARCH_CONFIG_DIR", str(Path("b").resolve()))
    option = str(Path("a").resolve())
    monkeypatch.chdir("project/below")
    with config_folders([option]):
        assert [compose("count", [f"budget={name}"])["budget"]["gmacs"] for name in "abc"] == [11, 12, 13]
        assert groups("count")["budget"]["c"].startswith("Of project/c")
    assert main(["--config-dir", option, "count", "budget=a", "--help"]) == 0
    told = capsys.readouterr().out
    assert "Of a" in told and "budget.gmacs=11" in told
    assert main(["count", f"budget={option}/budget/a.yaml", "--help"]) == 0
    assert "budget.gmacs=11" in capsys.readouterr().out
    assert mdsearch.settings("budget=a", config_dir=option).budget.gmacs == 11
    assert "no preset 'a'" in refusal("budget=a")


@pytest.mark.parametrize(
    ("files", "parts"),
    [
        ({"mine/budget/md.yaml": "gmacs: 1"}, ["budget=md is built in", "mine/budget/md.yaml"]),
        ({"mine/budget/a.yaml": "", "mine/budget/a.yml": ""}, ["budget=a", "a.yaml", "a.yml", "one of them"]),
        ({"mine/spaces/a.yaml": ""}, ["--config-dir", "spaces/", "did you mean 'space'"]),
        ({"mine/a.yaml": ""}, ["--config-dir", "no <group>/<name>.yaml", "budget"]),
        ({}, ["--config-dir", "'mine' is no folder"]),
    ],
)
def test_a_folder_that_cannot_be_meant_is_refused(files: dict[str, str], parts: list[str]) -> None:
    for name, text in files.items():
        write(name, text)
    with config_folders(["mine"]):
        told = refusal()
    assert [part for part in parts if part not in told] == []


def test_a_project_that_says_something_else_is_refused() -> None:
    write("pyproject.toml", '[tool.mdsearch]\nconfig_dirs = "x"\n')
    assert "tool.mdsearch.config_dirs" in refusal() and "Valid: config_dir" in refusal()
    write("pyproject.toml", "[tool.mdsearch]\nconfig_dir = 3\n")
    assert "tool.mdsearch.config_dir: 3 is no folder" in refusal()
    write("pyproject.toml", '[tool.other]\nname = "x"\n')
    assert compose("search", [])["trials"] == 12


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("levels: [", ["space: ", "a.yaml", "line 1"]),
        ("a: 1\na: 2\n", ["space: ", "a.yaml", "line 2", "duplicate"]),
        ("- 1", ["space: ", "a.yaml", "holds no fields"]),
        ("just text", ["space: ", "a.yaml", "holds no fields"]),
        ("defaults: md", ["space: ", "a.yaml", "defaults: 'md'"]),
        ("defaults: [{a: b, c: d}]", ["space: ", "a.yaml", "defaults"]),
        ("defaults: [mdd]", ["space=a.yaml", "space/mdd"]),
        ("defaults: [./a.yaml]", ["space: ", "a.yaml", "itself"]),
        ("defaults: [./b.yaml]", ["space: no file", "b.yaml", "did you mean 'a.yaml'"]),
    ],
)
def test_what_is_wrong_with_a_file_names_it(text: str, parts: list[str]) -> None:
    write("a.yaml", text)
    told = refusal("space=a.yaml")
    assert [part for part in parts if part not in told] == []


def test_a_file_that_is_not_there_and_a_name_of_none() -> None:
    write("phone.yaml", SPACE)
    assert "no file 'fone.yaml'" in refusal("space=fone.yaml")
    assert "did you mean 'phone.yaml'" in refusal("space=fone.yaml")
    assert "no file 'sub/md'" in refusal("space=sub/md") and "did you mean 'md'" in refusal("space=sub/md")
    Path("latin.yaml").write_bytes("# \xe4".encode("latin-1"))
    assert "space: latin.yaml cannot be read" in refusal("space=latin.yaml").replace(f"{Path.cwd()}/", "")


def test_a_field_that_is_wrong_names_the_file_that_sets_it() -> None:
    file = write("phone.yaml", SPACE.replace("channels", "chanels")).resolve()
    with pytest.raises(InputError) as caught:
        mdsearch.settings("space=phone.yaml")
    assert "space.levels.level_3.chanels: no such field; did you mean 'channels'" in str(caught.value)
    assert str(file) in str(caught.value)
    write("all.yaml", "# @package _global_\ndefaults: [scenes, _self_]\ntrials: none\n")
    with pytest.raises(InputError, match=r"^trials: .*all\.yaml"):
        mdsearch.settings("experiment=all.yaml")
    with pytest.raises(InputError, match=r"^trials: .*'x'$"):
        mdsearch.settings("experiment=all.yaml", "trials=x")
    with pytest.raises(InputError, match=r"^budget\.gmacs: [^(]*$"):
        mdsearch.settings("budget.gmacs=x")
    write("empty.yaml", "")
    with pytest.raises(InputError, match=r"^space\.levels: missing .*empty\.yaml"):
        mdsearch.settings("space=empty.yaml")
    write("net.yaml", "levels: [{channels: 320, down: [0], convolution: full}]")
    with pytest.raises(InputError, match=r"arch\.levels\[0\]\.convolution: .*net\.yaml"):
        main(["count", "arch=net.yaml"])


def test_nothing_of_it_stays_behind() -> None:
    from hydra.core.config_store import ConfigStore

    before = {name: dict(value) for name, value in ConfigStore.instance().repo.items() if name == "space"}
    write("phone.yaml", SPACE)
    channels("space=phone.yaml")
    left = ConfigStore.instance().repo.get("space", {})
    assert left == before.get("space", {})
    assert "own_0" not in str(channels())


def test_a_byte_order_mark_before_a_preset_changes_nothing(tmp_path: Path) -> None:
    """Some editors write one, and the head behind it says where the fields go."""
    write("experiment/mine.yaml", "\ufeff# @package _global_\ntrials: 3\n")
    write("budget/mine.yaml", "\ufeffgmacs: 99\n")
    with config_folders([tmp_path]):
        assert compose("search", ["experiment=mine"])["trials"] == 3
        assert compose("count", ["budget=mine"])["budget"] == {"gmacs": 99}


def test_help_lists_what_may_be_chosen_and_null_where_nothing_is() -> None:
    write("mine/noise/hers.yaml", f"# Measured at home\n{NOISE}")
    with config_folders(["mine"]):
        lines = help_text("serve").splitlines()
        assert "noise=... (default null)" in lines
        assert [line.split() for line in lines if "Measured at home" in line] == [
            ["hers", "Measured", "at", "home"]
        ]
        assert compose("serve", ["noise=hers", "rungs=[5]", "start={fid: 3, clip: 0}"])["noise"]["rungs"]
