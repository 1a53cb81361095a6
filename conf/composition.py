"""What Hydra makes of this package's YAML.

Hydra is imported inside the functions here and beside: what needs none of its own work does not wait for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from conf.files import is_whole, preset_text, presets_of
from conf.own import Chosen, chosen, registered

MISSING = "???"


def composed(main: str, own: Chosen, package: str) -> Any:
    import hydra

    with registered(own), hydra.initialize_config_module(package, version_base="1.3"):
        return hydra.compose(main, overrides=own.words)


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
    found = {name: own.shown(str(preset)) for name, preset in choices if not name.startswith("hydra/")}
    folders = presets_of(package)
    whole = [name for name, preset in found.items() if is_whole(preset_text(folders, name, preset))]
    return {name: found[name] for name in [*whole, *found]}
