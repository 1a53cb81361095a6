"""Searches over decoders from the words of a command line: which are, and their settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from conf.compose import compose_and_keep
from conf.files import PACKAGE, is_path, preset_text, presets_of, text_of_file, unquoted
from conf.repeated import fields_of, refuse_beside
from conf.stored import changed_by_words
from conf.words import as_entries, as_text, as_typed, parsed_word, path_of, readable
from space.shared.plain import to_plain

if TYPE_CHECKING:
    from search.decoders.settings import DecoderSearchSettings

DECODER_MAIN = "search_decoder"  # of conf/
DECODER_TEXTS = (
    "name", "runs_folder", "cache_folder", "data.folder", "data.captions", "data.source",
    "weights.cache_folder",
)  # fmt: skip
_GROUP, _MARK = "space", "middle_blocks:"  # a preset of this group that holds this is of decoders


def is_of_decoders(words: Sequence[str]) -> bool:
    """Whether a search with these words is over decoders: by the space that they name, or by the run that
    goes on."""
    resume = path_of(words, "resume")
    if resume is not None:
        from search.decoders.settings import is_decoder_search

        return is_decoder_search(resume)
    named = [word.partition("=")[2] for word in words if word.startswith(f"{_GROUP}=")]
    return any(_MARK in _text_of(unquoted(name)) for name in named)


def _text_of(name: str) -> str:
    if is_path(name) and not Path(name).expanduser().is_file():
        return ""  # which is refused where it is read
    return "" if name.startswith("{") else preset_text(presets_of(PACKAGE), _GROUP, name)


def decoder_settings_of(words: Sequence[str]) -> tuple[DecoderSearchSettings, list[str]]:
    """Settings, and the words that they are made of, a resumed search's own first.

    Raises:
        InputError: a word that cannot be used.
    """
    from search.decoders.settings import decoder_settings_from_plain, refuse_idle_in_decoders, with_encoder

    words = list(words)
    resume = path_of(words, "resume")
    if resume is not None:
        return _resumed(resume, words)
    refuse_beside(words, "init_from", ["autoencoder"], "whose encoder stays")
    refuse_idle_in_decoders(_names_of_fields(words))
    plain, texts = _composed(words)
    settings = decoder_settings_from_plain(with_encoder(plain))
    named = [*settings.enqueue, *settings.confirmation.references]
    return replace(settings, presets=texts | autoencoder_texts(named)), words


def _resumed(folder: Path, new: list[str]) -> tuple[DecoderSearchSettings, list[str]]:
    from search.decoders.settings import decoder_settings_from_plain, stored_decoder_search, with_encoder
    from search.runs.folder import stored_overrides

    refuse_beside(new, "resume", ["autoencoder", "init_from"], "whose encoder stays")
    words, stored = stored_overrides(folder), stored_decoder_search(folder)
    now, texts = _composed(new, words, stored.presets)
    then, _ = _composed([], words, stored.presets)
    known = stored.space.fixed
    plain = changed_by_words(
        to_plain(stored), with_encoder(then, known), with_encoder(now, known), _as_meant(new)
    )
    settings = decoder_settings_from_plain(plain)
    named = autoencoder_texts(settings.confirmation.references)
    return replace(settings, presets=named | texts | stored.presets), [*words, *new]


def _composed(
    words: Sequence[str], before: Sequence[str] = (), kept: Mapping[str, str] = MappingProxyType({})
) -> tuple[dict[str, Any], dict[str, str]]:
    return compose_and_keep(DECODER_MAIN, _as_meant(words), before=_as_meant(before), kept=kept)


def _as_meant(words: Sequence[str]) -> list[str]:
    return as_entries(as_typed(as_text(words, ["resume", "init_from"]), DECODER_TEXTS), "weights.files")


def _names_of_fields(words: Sequence[str]) -> list[str]:
    parsed = (parsed_word(readable(word)) for word in _as_meant(words))
    return [name for override in parsed for name, _ in fields_of(override)]


def autoencoder_texts(names: Sequence[str]) -> dict[str, str]:
    """`autoencoder=name` -> text, of names that are files: a run goes on when they are gone."""
    files = [name for name in names if is_path(name) and Path(name).is_file()]
    return {f"autoencoder={name}": text_of_file(Path(name), "autoencoder") for name in files}
