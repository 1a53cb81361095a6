"""`mdsearch search decoder`: one search over the decoders of an encoder that stays."""

from __future__ import annotations

from mdsearch.commands import search
from mdsearch.decoder_search import decoder_settings_of


def main(words: list[str]) -> int:
    return search.search_or_plan(*decoder_settings_of(words))
