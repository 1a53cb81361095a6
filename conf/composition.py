"""What Hydra makes of this package's YAML.

Hydra is imported inside the functions here and beside: what needs none of its own work does not wait for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from conf.files import folder_of, is_whole, preset_text, presets_of
from conf.own import Chosen, chosen, registered
from space.shared.command_lines import uninterpolated

MISSING = "???"
STORED = "stored"  # no preset is called so


def composed(main: str, own: Chosen, package: str) -> Any:
    import hydra

    with registered(own), hydra.initialize_config_module(package, version_base="1.3"):
        return hydra.compose(main, overrides=own.words)


def stored_words(fields: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The words by which groups are the fields that a run folder holds of them."""
    from hydra.core.config_store import ConfigStore

    for group, values in fields.items():
        ConfigStore.instance().store(STORED, _as_it_stands(values), group=group)
    return [f"{group}={STORED}" for group in fields]


def _as_it_stands(value: Any) -> Any:
    """Stored text is not to be resolved again."""
    if isinstance(value, Mapping):
        return {name: _as_it_stands(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_as_it_stands(item) for item in value]
    return uninterpolated(value) if isinstance(value, str) else value


def choices(main: str, package: str, words: Iterable[str] | Chosen = ()) -> dict[str, str]:
    """Group -> the preset chosen, of the groups that the defaults lists name (nested ones too), complete
    configurations first."""
    import hydra
    from hydra.core.global_hydra import GlobalHydra
    from hydra.types import RunMode

    own = words if isinstance(words, Chosen) else chosen(list(words), package)
    with registered(own), hydra.initialize_config_module(package, version_base="1.3"):
        # MULTIRUN lets a group without a default pass, as `???`.
        loader = GlobalHydra.instance().config_loader()
        defaults = loader.compute_defaults_list(main, own.words, RunMode.MULTIRUN)
    choices = reversed(defaults.overrides.known_choices.items())  # as the defaults list has them
    said = {name: "null" if preset is None else str(preset) for name, preset in choices}
    found = {name: own.shown(preset) for name, preset in said.items() if not name.startswith("hydra/")}
    folders, texts = presets_of(package), own.texts  # which stand for files that may be gone

    def text(name: str, preset: str) -> str:
        return texts.get(f"{folder_of(name)}={preset}") or preset_text(folders, name, preset)

    whole = [name for name, preset in found.items() if is_whole(text(name, preset))]
    return {name: found[name] for name in [*whole, *found]}
