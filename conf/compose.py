"""Words of a command line to one plain, resolved dictionary.

Hydra composes the YAML of this package and stays here: what goes inward is a dictionary, which the packages
read into their own dataclasses. Whatever is wrong with an override becomes one `InputError`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from conf.composition import composed, stored_words
from conf.errors import check_preset, explain, refuse_outside
from conf.files import PACKAGE, names_preset, presets_of
from conf.repeated import refuse_opposed, refuse_repeated, without
from conf.words import in_words_of_today, parsed_word, readable
from space.shared.plain import at_home

NO_PATH = ("prompt",)  # texts that stand as they are, whatever they begin with


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
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    given, earlier = ([readable(word) for word in words] for words in (overrides, before))
    folders = presets_of(package)
    refuse_repeated(map(parsed_word, given))
    words = [in_words_of_today(word) for word in (*without(earlier, given), *given)]
    parsed = [parsed_word(word) for word in words]
    for override in parsed:
        refuse_outside(override)
        if names_preset(override, folders):
            check_preset(override, folders[override.key_or_group])
    named = {override.key_or_group for override in parsed if names_preset(override, folders)}
    begin_with = {group: fields for group, fields in (stored or {}).items() if group not in named}
    refuse_opposed(parsed[-len(given) :] if given else [], folders)
    try:
        config = composed(main, [*stored_words(begin_with), *words], package)
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except (HydraException, OmegaConfBaseException) as error:
        explain(error, main, parsed, package, folders)
    if not isinstance(plain, dict):
        raise TypeError(f"{main}.yaml must hold a mapping")
    return {str(key): value if key in NO_PATH else at_home(value) for key, value in plain.items()}
