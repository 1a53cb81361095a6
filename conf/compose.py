"""Words of a command line to one plain, resolved dictionary.

Hydra composes the YAML of this package and stays here: what goes inward is a dictionary, which the packages
read into their own dataclasses. Whatever is wrong with an override becomes one `InputError`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from conf.composition import choices, composed, stored_words
from conf.errors import check_kinds, check_preset, explain, refuse_outside
from conf.files import PACKAGE, built_in, is_path, names_preset, presets_of, text_of_file
from conf.folders import own_files
from conf.own import Chosen, Kept, chosen, naming_file
from conf.repeated import KIND, fields_of, refuse_opposed, refuse_repeated, without
from conf.words import in_words_of_today, parsed_word, readable
from space.shared.plain import InputError, at_home

NO_PATH = ("prompt",)  # texts that stand as they are, whatever they begin with
_lately: list[Chosen] = []  # what was composed of presets of the user's own, for what is wrong with them


def compose(
    main: str,
    overrides: Iterable[str],
    *,
    before: Iterable[str] = (),
    stored: Mapping[str, Mapping[str, Any]] | None = None,
    package: str = PACKAGE,
) -> dict[str, Any]:
    """The settings of one run: `<package>/<main>.yaml` with its groups and `overrides`, all resolved.

    Args:
        before: overrides of an earlier command line, which go first and may be given anew.
        stored: the fields that groups begin with instead of their default presets, where no word names one.

    Raises:
        InputError: an override that cannot be parsed or applied, a name that is given twice, or a value that
            is still missing.
    """
    return compose_and_keep(main, overrides, before=before, stored=stored, package=package)[0]


def compose_and_keep(
    main: str,
    overrides: Iterable[str],
    *,
    before: Iterable[str] = (),
    stored: Mapping[str, Mapping[str, Any]] | None = None,
    kept: Mapping[str, str] = MappingProxyType({}),
    package: str = PACKAGE,
) -> tuple[dict[str, Any], dict[str, str]]:
    """As `compose`, and the texts of the presets of the user's own that the words choose; `kept` are those of
    the words `before`, whose files may be gone.
    """
    given, earlier = (
        [in_words_of_today(readable(word), main) for word in words] for words in (overrides, before)
    )
    refuse_repeated(map(parsed_word, given))
    first = without(earlier, given)
    own = chosen([*first, *given], package, Kept(len(first), kept))
    if own.aliases:
        _lately.append(own)
    try:
        return _composed(main, own, len(first), stored, package), own.texts
    except InputError as error:
        raise InputError(own.shown(str(error))) from None


def _composed(
    main: str,
    own: Chosen,
    before: int,
    stored: Mapping[str, Mapping[str, Any]] | None,
    package: str,
) -> dict[str, Any]:
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    folders, parsed = presets_of(package), [parsed_word(word) for word in own.words]
    for override in parsed:
        refuse_outside(override)
        if names_preset(override, folders) and str(override.value()) not in own.aliases:
            check_preset(override, folders[override.key_or_group])
    named = {override.key_or_group for override in parsed if names_preset(override, folders)}
    begin_with = {group: fields for group, fields in (stored or {}).items() if group not in named}
    refuse_opposed(parsed[before:], folders)
    kinds = [
        field
        for override in parsed[before:]
        for field in fields_of(override)
        if field[0].endswith(f".{KIND}")
    ]
    if kinds:
        words = [override.input_line for override in parsed if names_preset(override, folders)]
        usual = choices(main, package, own.only(words))
        usual |= {group: str(fields.get(KIND, usual.get(group))) for group, fields in begin_with.items()}
        check_kinds(kinds, {group: usual[group] for group in usual if group not in named}, folders)
    try:
        config = composed(main, own.only([*stored_words(begin_with), *own.words]), package)
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except (HydraException, OmegaConfBaseException) as error:
        explain(error, main, parsed, own, package, folders)
    if not isinstance(plain, dict):
        raise TypeError(f"{main}.yaml must hold a mapping")
    return {str(key): value if key in NO_PATH else at_home(value) for key, value in plain.items()}


def architecture_texts(names: Iterable[str]) -> dict[str, str]:
    """`arch=name` -> text, of names of architectures that are files, or presets in folders of the user's."""
    import yaml

    found, own = {}, own_files(built_in(PACKAGE)).get("arch", {})
    for name in names:
        if name in own:
            plain = compose("count", [f"arch={name}"])["arch"]
            found[f"arch={name}"] = yaml.safe_dump(plain, sort_keys=False)
        elif is_path(name) and Path(name).is_file():
            found[f"arch={name}"] = text_of_file(Path(name), "arch")
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
