"""The subject of a search by its settings."""

from __future__ import annotations

from pathlib import Path

from search.ask_tell_settings import AskTellSettings, stored_ask_tell
from search.decoders.search import DecoderSearch
from search.decoders.settings import DecoderSearchSettings, stored_decoder_search
from search.runs.folder import stored_settings
from search.runs.header import searches_decoders, trained_elsewhere
from search.runs.record import History
from search.settings import SearchSettings
from search.subject import Subject
from search.unets import UnetSearch

AnySearchSettings = SearchSettings | DecoderSearchSettings


def subject_of(settings: AnySearchSettings) -> Subject:
    return UnetSearch(settings) if isinstance(settings, SearchSettings) else DecoderSearch(settings)


def stored_search(folder: Path, history: History) -> AnySearchSettings | AskTellSettings:
    """The settings of a run folder, whatever was searched and whoever trained. Raises InputError."""
    if searches_decoders(history.header):
        return stored_decoder_search(folder)
    return stored_ask_tell(folder) if trained_elsewhere(history) else stored_settings(folder)
