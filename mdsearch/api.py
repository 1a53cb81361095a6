"""What a notebook does with searches: start them with the words of a command line, and read what they said.

What takes seconds to import is imported where it is needed: words that cannot be used are refused before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from conf.compose import architecture_texts, compose_and_keep, naming_files
from conf.folders import config_folders
from conf.repeated import fields_of
from conf.stored import changed_by_words
from conf.words import as_entries, as_lists, as_text, as_typed, parsed_word, path_of, readable
from mdsearch.decoder_search import decoder_settings_of, is_of_decoders
from space.shared.plain import from_plain, to_plain

if TYPE_CHECKING:
    from search.ask_tell import AskTell
    from search.ask_tell_settings import AskTellSettings, ServeAddress
    from search.backends.connection import RayConnection
    from search.run import RunResult
    from search.settings import SearchSettings
    from search.subjects import AnySearchSettings

ADDRESS = ("host", "port", "token")
SEARCH_TEXTS = ("name", "runs_folder", "cache_folder", "data.folder", "data.captions", "data.source")


def search(*overrides: str, config_dir: str | Path | None = None) -> RunResult:
    """Run one search, as `mdsearch search <overrides>` does; returns where it is and what it says.

    For example `search("budget=md_lite", "trials=6", "name=lite").best`. `config_dir` is a folder of your own
    presets, as <group>/<name>.yaml.

    Raises:
        InputError: for overrides that cannot be used, before anything starts.
    """
    with config_folders([config_dir] if config_dir else []), naming_files():
        return run_search(*any_settings_of(overrides))


def settings(*overrides: str, config_dir: str | Path | None = None) -> SearchSettings:
    """The settings of a search, resolved from the words of a command line.

    Raises:
        InputError: an override that cannot be used.
    """
    with config_folders([config_dir] if config_dir else []), naming_files():
        return settings_of(overrides)[0]


def run_search(
    settings: AnySearchSettings, overrides: Sequence[str] = (), ray: RayConnection | None = None
) -> RunResult:
    """Search, confirm, report: the run folder holds all that `mdsearch search` leaves there. `overrides` are
    the words that the settings were made of; `mdsearch search resume=...` starts from them. `ray` is that of
    several searches in turn.

    Raises:
        InputError: for settings that cannot work, before anything starts.
    """
    from analysis.live import STANDARD
    from analysis.tracking import tracking
    from search import run

    return run.execute(settings, list(overrides), (*STANDARD, *tracking(settings.logger)), ray)


def any_settings_of(overrides: Sequence[str]) -> tuple[AnySearchSettings, list[str]]:
    """As `settings_of`; of a search over decoders where the words name a space of them, or the run of one."""
    return decoder_settings_of(overrides) if is_of_decoders(overrides) else settings_of(overrides)


def settings_of(overrides: Sequence[str]) -> tuple[SearchSettings, list[str]]:
    """Settings, and the words that they are made of: a resumed search starts from its own first words, and
    from the user's own YAML as it was then."""
    words = list(overrides)
    resume = path_of(words, "resume")
    if resume is not None:
        return _resumed(resume, words)
    plain, texts = _composed(words)
    from search.idle import refuse_idle
    from search.settings import settings_from_plain

    settings = settings_from_plain(plain)
    refuse_idle(_fields(words), settings)
    named = architecture_texts([*settings.named, *settings.confirmation.references])
    return replace(settings, presets=texts | named), words


def _resumed(folder: Path, new: list[str]) -> tuple[SearchSettings, list[str]]:
    from search.runs.folder import stored_overrides, stored_settings
    from search.settings import settings_from_plain

    words, stored = stored_overrides(folder), stored_settings(folder)
    now, texts = _composed(new, words, stored.presets)
    then, _ = _composed([], words, stored.presets)
    settings = settings_from_plain(changed_by_words(to_plain(stored), then, now, _as_meant(new)))
    references = settings.confirmation.references if any(word.startswith("conf") for word in new) else ()
    texts = architecture_texts(settings.named) | texts | stored.presets | architecture_texts(references)
    return replace(settings, presets=texts), [*words, *new]


def ask_tell(*overrides: str, config_dir: str | Path | None = None) -> AskTell:
    """A search whose training is elsewhere, of the words that `mdsearch serve` takes: `ask` it for networks,
    `tell` it their scores.

    For example `ask_tell("rungs=[1000,4000]", "start={fid: 300, clip: 0.1}", "budget.gmacs=120")`.

    Raises:
        InputError: for overrides that cannot be used, or a run folder that cannot.
    """
    from analysis.live import STANDARD
    from search.ask_tell import AskTell

    with config_folders([config_dir] if config_dir else []), naming_files():
        settings, _, words = serve_settings(overrides)
        return AskTell(settings, words, STANDARD)


def serve_settings(overrides: Sequence[str]) -> tuple[AskTellSettings, ServeAddress, list[str]]:
    """The settings of `mdsearch serve`, and the words that they are made of, a resumed search's own first."""
    from search.ask_tell_settings import AskTellSettings, ServeAddress, stored_ask_tell
    from search.other_side import with_other_side

    before, kept, was, resume = list[str](), dict[str, str](), None, path_of(overrides, "resume")
    if resume is not None:
        from search.runs.folder import stored_overrides

        before, was = stored_overrides(resume), stored_ask_tell(resume)
        kept = was.presets
    texts_of_it = ["name", "resume", "protocol", "token"]
    new, earlier = (as_text(words, texts_of_it) for words in (overrides, before))
    plain, texts = compose_and_keep("serve", new, before=earlier, kept=kept)
    if was is not None:
        then, _ = compose_and_keep("serve", [], before=earlier, kept=kept)
        address = {name: plain[name] for name in ADDRESS}
        plain = changed_by_words(to_plain(was), then, plain, new) | address
    texts = architecture_texts(plain["enqueue"]) | texts | kept
    where: ServeAddress = from_plain(ServeAddress, {name: plain.pop(name) for name in ADDRESS})
    settings: AskTellSettings = from_plain(AskTellSettings, plain | {"presets": texts})
    settings = replace(settings, budget=with_other_side(settings.budget, settings.space))
    kept_words = [word for word in overrides if word.lstrip("+").partition("=")[0] != "token"]  # a secret
    return settings, where, [*before, *kept_words]


def read_run(folder: str | Path) -> RunResult:
    """What a run folder says, as the search that made it returned it; interrupted while any of its trials has
    not ended.

    Raises:
        InputError: it is no run folder.
    """
    from search.run import RunResult
    from search.runs.files import REPORT_NAME
    from search.runs.record import read_history

    folder = Path(folder)
    history, report = read_history(folder), folder / REPORT_NAME
    unfinished = any(trial.state == "running" for trial in history.by_key.values())
    return RunResult(folder, history, report if report.is_file() else None, unfinished)


def _composed(
    words: Sequence[str], before: Sequence[str] = (), kept: Mapping[str, str] = MappingProxyType({})
) -> tuple[dict[str, Any], dict[str, str]]:
    return compose_and_keep("search", _as_meant(words), before=_as_meant(before), kept=kept)


def _fields(words: Sequence[str]) -> list[str]:
    """Dotted names of all that words set."""
    parsed = (parsed_word(readable(word)) for word in _as_meant(words))
    return [name for override in parsed for name, _ in fields_of(override)]


def _as_meant(words: Sequence[str]) -> list[str]:
    listed = as_lists(words, ["logger"])
    return as_entries(as_typed(as_text(listed, ["resume"]), SEARCH_TEXTS), "weights.files")
