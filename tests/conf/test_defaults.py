"""A default stands in a dataclass; the YAML repeats it, with what it means, for whoever reads `--help`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis.efficiency.replays import EfficiencySettings
from analysis.rendering import TableSettings
from analysis.simulation.stated import StatedCurves
from evaluators.protocols.protocol import EvaluationProtocol
from evaluators.scorers.embedded import EvaluatorSettings
from mdsearch.build_plan import BuildCommand
from mdsearch.commands.attach import AttachCommand
from mdsearch.commands.average import AverageCommand
from mdsearch.commands.compare import CompareSettings
from mdsearch.commands.completion import CompletionSettings
from mdsearch.commands.convert import ConvertCommand
from mdsearch.commands.count import PriceSettings
from mdsearch.commands.data import DataCommand
from mdsearch.commands.encode import EncodeCommand
from mdsearch.commands.evaluate import EvaluateCommand
from mdsearch.commands.evaluate_adapter import EvaluateAdapterCommand
from mdsearch.commands.evaluate_reconstruction import ReconstructionCommand
from mdsearch.commands.evidence import EvidenceSettings
from mdsearch.commands.evidence_again import AgainSettings
from mdsearch.commands.evidence_elsewhere import ElsewhereSettings
from mdsearch.commands.evidence_pairs import PairsSettings
from mdsearch.commands.evidence_sound import SoundSettings
from mdsearch.commands.explore import ExploreSettings
from mdsearch.commands.export import ExportCommand
from mdsearch.commands.gather import GatherSettings
from mdsearch.commands.generate import GenerateCommand
from mdsearch.commands.generate_curves import CurvesCommand
from mdsearch.commands.generate_samples import SamplesCommand
from mdsearch.commands.latency import LatencyCommand
from mdsearch.commands.latency_check import CheckCommand
from mdsearch.commands.latency_prices import PricesCommand
from mdsearch.commands.latency_stages import StagesCommand
from mdsearch.commands.noise import NoiseSettings
from mdsearch.commands.proxy import ProxyCommand
from mdsearch.commands.replay import ReplaySettings
from mdsearch.commands.simulate import SimulateSettings
from mdsearch.commands.split import SplitSettings
from mdsearch.commands.train import TrainCommand
from mdsearch.commands.train_adapter import AdapterCommand
from mdsearch.commands.train_autoencoder import AutoencoderCommand
from mdsearch.distill_command import DistillCommand
from search.ask_tell_settings import AskTellSettings, ServeAddress
from search.backends.cluster import ClusterSettings
from search.confirmation.confirmation import ConfirmationSettings
from search.decoders.settings import DecoderSearchSettings
from search.samplers.factory import SAMPLERS, SamplerSettings
from search.settings import SearchSettings
from search.statistics.noise import Noise
from search.stopping.factory import RULES, StoppingSettings
from search.strategies.factory import STRATEGIES, StrategySettings
from space.autoencoder import Autoencoder
from space.budget import Budget
from space.choices import Space
from space.decoder_space import DecoderSpace
from space.proxy import Proxy
from space.shared.plain import ByName, from_plain, to_plain
from training.adapter_kinds import ADAPTERS, AdapterSettings
from training.data.factory import DATA_SETS, DataSettings
from training.distillation import OBJECTIVES, DistillationSettings
from training.objectives.reconstruction import ReconstructionSettings
from training.settings import TrainingSettings

CONF = Path(__file__).parents[2] / "conf"
# Presets that repeat the defaults of their dataclass. Any other states something of its own.
USUAL = {
    "confirmation/short": ConfirmationSettings,
    "cluster/local": ClusterSettings,
    "evaluators/embedded": EvaluatorSettings,
    "reconstruction/short": ReconstructionSettings,
    "training/short": TrainingSettings,
    **{f"adapter/{name}": AdapterSettings for name in ADAPTERS},
    **{f"data/{name}": DataSettings for name in DATA_SETS},
    **{f"objective/{name}": DistillationSettings for name in OBJECTIVES},
    **{f"sampler/{name}": SamplerSettings for name in SAMPLERS},
    **{f"stopping/{name}": StoppingSettings for name in RULES},
    **{f"strategy/{name}": StrategySettings for name in STRATEGIES},
}
STATED = {
    "autoencoder": Autoencoder,
    "budget": Budget,
    "cluster": ClusterSettings,
    "confirmation": ConfirmationSettings,
    "curves": StatedCurves,
    "noise": Noise,
    "proxy": Proxy,
    "reconstruction": ReconstructionSettings,
    "space": Space,
    "space/decoder": DecoderSpace,
    "space/decoder_paper": DecoderSpace,
    "training": TrainingSettings,
}
COMMANDS = {
    "attach": AttachCommand,
    "average": AverageCommand,
    "build": BuildCommand,
    "evidence_again": AgainSettings,
    "compare": CompareSettings,
    "completion": CompletionSettings,
    "convert": ConvertCommand,
    "data": DataCommand,
    "distill": DistillCommand,
    "efficiency": EfficiencySettings,
    "encode": EncodeCommand,
    "evaluate": EvaluateCommand,
    "evaluate_adapter": EvaluateAdapterCommand,
    "evaluate_reconstruction": ReconstructionCommand,
    "evidence": EvidenceSettings,
    "explore": ExploreSettings,
    "export": ExportCommand,
    "gather": GatherSettings,
    "generate": GenerateCommand,
    "latency": LatencyCommand,
    "latency_check": CheckCommand,
    "latency_prices": PricesCommand,
    "latency_stages": StagesCommand,
    "noise": NoiseSettings,
    "evidence_pairs": PairsSettings,
    "evidence_elsewhere": ElsewhereSettings,
    "evidence_sound": SoundSettings,
    "count": PriceSettings,
    "proxy": ProxyCommand,
    "replay": ReplaySettings,
    "generate_samples": SamplesCommand,
    "generate_curves": CurvesCommand,
    "search": SearchSettings,
    "search_decoder": DecoderSearchSettings,
    "serve": AskTellSettings,
    "simulate": SimulateSettings,
    "split": SplitSettings,
    "table1": TableSettings,
    "train": TrainCommand,
    "train_adapter": AdapterCommand,
    "train_autoencoder": AutoencoderCommand,
    "walk": TableSettings,
}
# What is left to a dataclass for files from before a field was there.
OLDER = {
    ("training/short", "latents.coordinates"): "models from before it had none",
}
ELSEWHERE = {
    "confirm": "its own numbers for the fields of ConfirmationSettings; beside them it finds the run",
    "experiment": "chooses from the groups",
    "recipe": "likewise, of a training",
    "system": "stages, read by the tests of mdsearch build",
    "arch": "read by the tests of architectures",
}


def presets() -> Iterator[str]:
    for path in sorted(CONF.glob("*/*.yaml")):
        yield f"{path.parent.name}/{path.stem}"


def read(name: str) -> dict[str, Any]:
    plain = yaml.safe_load((CONF / f"{name}.yaml").read_text(encoding="utf-8"))
    return {key: value for key, value in plain.items() if key != "defaults"}


def kind_of(kind: Any, plain: Mapping[str, Any]) -> type:
    """The dataclass that a mapping is read into."""
    by_name = [extra for extra in getattr(kind, "__metadata__", ()) if isinstance(extra, ByName)]
    return by_name[0].kind(plain["name"]) if by_name else kind


def differences(kind: Any, plain: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Dotted names of fields whose value is not the default, and of names that are no fields."""
    kind = kind_of(kind, plain)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    yield from (f"{prefix}{name}: no field" for name in plain.keys() - fields.keys())
    for name, value in plain.items():
        if name not in fields or value == "???":
            continue
        default = fields[name].default
        if fields[name].default_factory is not dataclasses.MISSING:
            default = fields[name].default_factory()
        if default is dataclasses.MISSING:
            continue
        if isinstance(value, Mapping) and dataclasses.is_dataclass(default):
            yield from differences(type(default), value, f"{prefix}{name}.")
        elif value != to_plain(default) and _number(value) != _number(to_plain(default)):
            yield f"{prefix}{name}"


def _number(value: Any) -> Any:
    """YAML 1.1 reads 1e-3, without a dot, as text."""
    return float(value) if isinstance(value, str) and value[:1].isdigit() and "e-" in value else value


@pytest.mark.parametrize("name", sorted(USUAL))
def test_a_usual_preset_repeats_the_defaults(name: str) -> None:
    found = [field for field in differences(USUAL[name], read(name)) if (name, field) not in OLDER]
    assert found == []


@pytest.mark.parametrize("name", sorted(USUAL))
def test_a_usual_preset_of_one_kind_names_every_field(name: str) -> None:
    plain = read(name)
    missing = {field.name for field in dataclasses.fields(kind_of(USUAL[name], plain))} - plain.keys()
    assert missing == set()


@pytest.mark.parametrize("name", [name for name in presets() if name.partition("/")[0] in STATED])
def test_every_other_preset_can_be_read(name: str) -> None:
    plain = {key: "x" if value == "???" else value for key, value in read(name).items()}
    kind = STATED.get(name) or STATED[name.partition("/")[0]]
    from_plain(kind, plain, name)


@pytest.mark.parametrize("name", [name for name in presets() if name.startswith("evaluators/")])
def test_every_protocol_has_only_fields_of_one(name: str) -> None:
    if name not in USUAL:
        kind = EvaluatorSettings if name == "evaluators/emoji" else EvaluationProtocol
        assert read(name).keys() <= {field.name for field in dataclasses.fields(kind)}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_repeats_its_defaults(name: str) -> None:
    plain = read(name)
    if name == "serve":
        address = {field: plain.pop(field) for field in ("host", "port", "token")}
        assert list(differences(ServeAddress, address)) == []
    assert list(differences(COMMANDS[name], plain)) == []


def test_every_file_is_compared_with_its_dataclass() -> None:
    groups = {name.partition("/")[0] for name in presets()}
    usual = {name.partition("/")[0] for name in USUAL}
    assert groups - usual - STATED.keys() - ELSEWHERE.keys() == set()
    assert {path.stem for path in CONF.glob("*.yaml")} - COMMANDS.keys() - ELSEWHERE.keys() == set()


def test_the_names_of_the_tables_are_those_of_the_files() -> None:
    for group, table in (
        ("adapter", ADAPTERS),
        ("data", DATA_SETS),
        ("objective", OBJECTIVES),
        ("sampler", SAMPLERS),
        ("stopping", RULES),
        ("strategy", STRATEGIES),
    ):
        own = {name for name in presets() if name.startswith(f"{group}/")} - {"objective/ufogen_small"}
        assert own == {f"{group}/{name}" for name in table}
        for name in table:
            assert read(f"{group}/{name}")["name"] == name


def test_a_default_that_differs_is_found() -> None:
    assert list(differences(ConfirmationSettings, {"best": 3, "sedes": 1})) == ["sedes: no field", "best"]
    assert list(differences(SamplerSettings, {"name": "tpe", "good_share": 0.2})) == ["good_share"]
