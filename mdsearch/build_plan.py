"""What `mdsearch build` is to do: its stages, each one command with the folders of others in its words."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from analysis.system.record import LATENCY_ENDING
from conf.compose import compose
from conf.files import PACKAGE, built_in
from conf.folders import config_options
from conf.repeated import without
from conf.words import as_entries, as_text
from search.runs.files import RECORD_NAME
from search.runs.record import read_events
from space.shared.command_lines import setting_word, typed_line, typed_words
from space.shared.plain import InputError, from_plain, nearest

BUILD_TEXTS = ("out", "base")
OF_STAGES = ("stages", "words")  # mappings whose values are parts of command lines
SEARCHES = ("search", "search decoder")
DECIDED_HERE = ("out", "resume", "runs_folder", "name")
_BASE, _OUT = "train", "out"  # the stage in whose place base= stands; the folder of all
Divide = Callable[[list[str]], tuple[str, list[str]]]
_NAMED = re.compile(r"(?<!\{)\{([a-z][\w-]*(?:\|[a-z][\w-]*)*)\}(?!\})")  # {train}; {decoder|autoencoder}


@dataclass(frozen=True)
class BuildCommand:
    """The fields of conf/build.yaml, and of a preset of conf/system."""

    name: str = "system"
    stages: dict[str, str | None] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    minutes: dict[str, float] = field(default_factory=dict)
    base: str | None = None
    out: str | None = None
    dry_run: bool = False
    format: Literal["text", "json"] = "text"

    def __post_init__(self) -> None:
        if self.format != "text" and not self.dry_run:
            raise InputError(f"format: {self.format!r} is of a plan; allowed: text, or beside dry_run=true")
        for group, names in (("words", self.words), ("minutes", self.minutes)):
            for name in names:
                if name not in self.stages:
                    raise InputError(f"{group}.{name}: no such stage; {nearest(name, self.stages)}")
        if self.base is not None and _BASE not in self.stages:
            raise InputError(f"base: takes the place of the stage {_BASE}, which {self.name} has not")

    def folder(self) -> Path:
        return Path(self.out or f"built/{self.name}").expanduser()


@dataclass(frozen=True)
class BuildStage:
    """One command of a system.

    Attributes:
        words: as it is begun.
        leaves: a folder, or a file.
        reads: stages whose folders its words name -> these folders.
        paths: words that name such a folder, or what it leaves, by their names.
        minutes: that it takes, as measured; None: not known.
    """

    name: str
    command: str
    words: tuple[str, ...]
    leaves: Path
    reads: Mapping[str, Path]
    paths: Mapping[str, str]
    minutes: float | None

    def now(self) -> tuple[str, list[str]]:
        """The command and its words: a search that was begun is gone on with; all others go on by themselves
        in a folder of theirs."""
        record = self.leaves / RECORD_NAME
        if self.command in SEARCHES and record.is_file() and any(True for _ in read_events(record)):
            return SEARCHES[0], [setting_word("resume", self.leaves), *config_options()]
        return self.command, [*self.words, *config_options()]

    def line(self) -> str:
        """To be pasted."""
        return typed_line(*self.now())


def build_command(words: list[str]) -> BuildCommand:
    """Raises InputError: a word that cannot be used."""
    meant = as_text(words, BUILD_TEXTS)
    left_out = [word for word in meant if word.endswith("=null")]  # of stages that must be there
    others = [word for word in meant if word not in left_out]
    for mapping in OF_STAGES:
        others = as_entries(others, mapping)
    command: BuildCommand = from_plain(BuildCommand, compose("build", [*others, *left_out]))
    return command


def planned_stages(command: BuildCommand, divide: Divide) -> tuple[list[BuildStage], list[str]]:
    """In their order; and a line for each that is left out.

    Args:
        divide: tells the command that words begin with, which `mdsearch.commands` knows, from the rest.

    Raises:
        InputError: a stage that reads one that is none or comes later, words that cannot be used, or nothing
            to do.
    """
    found, notes = list[BuildStage](), list[str]()
    names, folders = list(command.stages), {_OUT: command.folder()}
    replaced = [] if command.base is None else names[: names.index(_BASE) + 1]
    if command.base is not None:
        folders[_BASE] = Path(command.base).expanduser()
    for name in names:
        verb, words = _words(command, name, divide)
        _check_named(name, words, names)
        if verb is None:
            notes.append(f"{name}: left out")
        elif name in replaced:
            notes.append(f"{name}: left out, since base={command.base} takes its place")
        elif lacking := [each for each in _named(words) if not _first(each, folders)]:
            notes.append(f"{name}: left out, since it reads {lacking[0]}")
        else:
            found.append(_stage(command, name, verb, words, folders))
            folders[name] = found[-1].leaves
    if not found:
        raise InputError(f"stages: none is left of {command.name}; needed: one or more")
    for stage in found:
        check_words(stage)
    return found, notes


def check_words(stage: BuildStage) -> None:
    """Raises InputError for names and presets that the command has not. A preset that is a file of another
    stage is to come."""
    to_come = built_in(PACKAGE).keys() & stage.paths.keys()
    known = [word for word in stage.words if word.partition("=")[0] not in to_come]
    try:
        compose(stage.command.replace(" ", "_"), as_entries(known, "weights.files"))
    except InputError as error:
        raise InputError(f"{stage.name}: {error}") from None


def _words(command: BuildCommand, name: str, divide: Divide) -> tuple[str | None, list[str]]:
    """The command of a stage, and its words, of which the user's own count before the preset's. None: it is
    left out."""
    if (text := command.stages[name]) is None:
        return None, []
    try:
        verb, words = divide(typed_words(text))
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    own = typed_words(command.words.get(name, ""))
    # A folder in braces is no mapping, which would leave fields as they are.
    filled = [_NAMED.sub("folder", word) for word in own]
    kept = dict(zip(words, (_NAMED.sub("folder", word) for word in words), strict=True))
    return verb, [*(word for word, plain in kept.items() if without([plain], filled)), *own]


def _named(words: list[str]) -> list[str]:
    """What stands in braces."""
    return [names for word in words for names in _NAMED.findall(word)]


def _check_named(stage: str, words: list[str], stages: list[str]) -> None:
    for name in "|".join(_named(words)).split("|"):
        if name and name not in (*stages, _OUT):
            raise InputError(
                f"{stage}: {{{name}}} is no stage; {nearest(name, stages)}; text in braces: {{{{{name}}}}}"
            )
        if name in stages and stages.index(name) >= stages.index(stage):
            raise InputError(f"{stage}: reads {name}, which comes later; needed: the other way round")


def _first(names: str, folders: Mapping[str, Path]) -> str | None:
    return next((name for name in names.split("|") if name in folders), None)


def _stage(
    command: BuildCommand, name: str, verb: str, given: list[str], folders: Mapping[str, Path]
) -> BuildStage:
    for word in given:
        if "=" not in word or word.partition("=")[0] in DECIDED_HERE:
            raise InputError(f"{name}: {word}: not in a stage, whose folder is decided here; leave it out")
    leaves = command.folder() / (f"{name}{LATENCY_ENDING}" if verb == "latency" else name)
    values = {word.partition("=")[0]: _filled(word.partition("=")[2], folders) for word in given}
    own = [setting_word("out", leaves)]
    if verb in SEARCHES:
        own = [setting_word("runs_folder", leaves.parent), setting_word("name", leaves.name)]
    reads = [each for names in _named(given) if (each := _first(names, folders)) not in (None, _OUT)]
    return BuildStage(
        name,
        verb,
        (*(_placed(word, folders) for word in given), *own),
        leaves,
        {each: folders[each] for each in reads if each is not None},
        {key: text for key, text in values.items() if text is not None} | {"out": str(leaves)},
        command.minutes.get(name),
    )


def _filled(value: str, folders: Mapping[str, Path]) -> str | None:
    """With folders in place of braces; None: it has none."""
    text = _NAMED.sub(lambda found: str(folders[_first(found[1], folders) or _OUT]), value)
    return text.replace("{{", "{").replace("}}", "}") if text != value else None


def _placed(word: str, folders: Mapping[str, Path]) -> str:
    """As it is given to the command."""
    name, _, value = word.partition("=")
    text = _filled(value, folders)
    if text is None:
        return f"{name}={value.replace('{{', '{').replace('}}', '}')}"
    return f"{name}={text}" if text[:1] in ("[", "{") else setting_word(name, text)
