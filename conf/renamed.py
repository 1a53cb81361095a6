"""Presets that have a new name: the old one is understood for one release more."""

from __future__ import annotations

from space.shared.renamed import note_renamed

RENAMED = {f"{group}=own": f"{group}=custom" for group in ("sampler", "stopping", "evaluators")}


def current(word: str) -> str:
    """An override by the present name of its preset.

    >>> current("sampler=own"), current("sampler.use=own")
    ('sampler=custom', 'sampler.use=own')
    """
    if word not in RENAMED:
        return word
    note_renamed(word, RENAMED[word])
    return RENAMED[word]
