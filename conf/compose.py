"""Words of a command line to one plain, resolved dictionary.

Hydra composes the YAML of this package and stays here: what goes inward is a dictionary, which the packages
read into their own dataclasses. Whatever is wrong with an override becomes one `InputError`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from conf.composition import composed
from conf.errors import check_preset, explain, names_preset, refuse_outside
from conf.files import PACKAGE, built_in, is_path, presets_of, text_of
from conf.folders import own_files
from conf.own import Chosen, Kept, chosen, naming_file
from conf.words import in_words_of_today, parsed_word
from space.shared.plain import InputError

_lately: list[Chosen] = []  # what was composed of presets of the user's own, for what is wrong with them


def compose(main: str, overrides: Iterable[str], *, package: str = PACKAGE) -> dict[str, Any]:
    """The settings of one run: `<package>/<main>.yaml` with its groups and `overrides`, all resolved.

    Raises:
        InputError: an override that cannot be parsed or applied, or a value that is still missing.
    """
    return compose_and_keep(main, overrides, package=package)[0]


def compose_and_keep(
    main: str, overrides: Iterable[str], kept: Kept | None = None, *, package: str = PACKAGE
) -> tuple[dict[str, Any], dict[str, str]]:
    """As `compose`, and the texts of the presets of the user's own that the words choose, to be composed of
    again (`kept`) when their files are gone.
    """
    folders = presets_of(package)
    own = chosen([in_words_of_today(word) for word in overrides], package, kept)
    if own.aliases:
        _lately.append(own)
    try:
        return _composed(main, own, package, folders), own.texts
    except InputError as error:
        raise InputError(own.shown(str(error))) from None


def _composed(main: str, own: Chosen, package: str, folders: dict[str, dict[str, str]]) -> dict[str, Any]:
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    parsed = [parsed_word(word) for word in own.words]
    for override in parsed:
        refuse_outside(override)
        if names_preset(override, folders) and str(override.value()) not in own.aliases:
            check_preset(override, folders[override.key_or_group])
    try:
        config = composed(main, own, package)
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except (HydraException, OmegaConfBaseException) as error:
        explain(error, main, parsed, own, package, folders)
    if not isinstance(plain, dict):
        raise TypeError(f"{main}.yaml must hold a mapping")
    return {str(key): value for key, value in plain.items()}


def architecture_texts(names: Iterable[str]) -> dict[str, str]:
    """`arch=name` -> text, of names of architectures that are files, or presets in folders of the user's."""
    import yaml

    found, own = {}, own_files(built_in(PACKAGE)).get("arch", {})
    for name in names:
        if name in own:
            plain = compose("count", [f"arch={name}"])["arch"]
            found[f"arch={name}"] = yaml.safe_dump(plain, sort_keys=False)
        elif is_path(name) and Path(name).is_file():
            found[f"arch={name}"] = text_of(Path(name), "arch")
    return found


@contextmanager
def naming_files() -> Iterator[None]:
    """Errors within the block about a field that a preset of the user's own sets name its file."""
    before = len(_lately)
    try:
        yield
    except InputError as error:
        raise naming_file(error, reversed(_lately[before:])) from None
    finally:
        del _lately[before:]
