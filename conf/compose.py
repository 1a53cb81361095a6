"""Words of a command line to one plain, resolved dictionary.

Hydra composes the YAML of this package and stays here: what goes inward is a dictionary, which the packages
read into their own dataclasses. Whatever is wrong with an override becomes one `InputError`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from conf.composition import composed
from conf.errors import check_preset, explain, refuse_outside
from conf.files import PACKAGE, names_preset, presets_of
from conf.repeated import refuse_opposed, refuse_repeated, without
from conf.words import in_words_of_today, parsed_word


def compose(
    main: str, overrides: Iterable[str], *, before: Iterable[str] = (), package: str = PACKAGE
) -> dict[str, Any]:
    """The settings of one run: `<package>/<main>.yaml` with its groups and `overrides`, all resolved.

    Args:
        before: overrides of an earlier command line, which go first and may be given anew.

    Raises:
        InputError: an override that cannot be parsed or applied, a name that is given twice, or a value that
            is still missing.
    """
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    given = list(overrides)
    folders = presets_of(package)
    refuse_repeated(map(parsed_word, given))
    words = [in_words_of_today(word) for word in (*without(before, given), *given)]
    parsed = [parsed_word(word) for word in words]
    for override in parsed:
        refuse_outside(override)
        if names_preset(override, folders):
            check_preset(override, folders[override.key_or_group])
    refuse_opposed(parsed[-len(given) :] if given else [], folders)
    try:
        config = composed(main, words, package)
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except (HydraException, OmegaConfBaseException) as error:
        explain(error, main, parsed, package, folders)
    if not isinstance(plain, dict):
        raise TypeError(f"{main}.yaml must hold a mapping")
    return {str(key): value for key, value in plain.items()}
