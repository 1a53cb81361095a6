"""The subject of a search by its settings."""

from __future__ import annotations

from search.decoders.search import DecoderSearch
from search.decoders.settings import DecoderSearchSettings
from search.settings import SearchSettings
from search.subject import Subject
from search.unets import UnetSearch

AnySearchSettings = SearchSettings | DecoderSearchSettings


def subject_of(settings: AnySearchSettings) -> Subject:
    return UnetSearch(settings) if isinstance(settings, SearchSettings) else DecoderSearch(settings)
