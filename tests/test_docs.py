"""What the pages for people name exists: links, anchors, commands and their settings; and they stay short."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

from conf.files import presets_of
from conf.help import groups, help_text
from conf.words import SAME
from mdsearch.commands import FLAT

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += sorted((ROOT / "docs").glob("*.md"))
GENERATED = [
    ROOT / "docs" / name for name in ("emoji.md", "evidence.md", "one-step-measured.md")
]  # by commands
MOST_WORDS = 12_000

by_name = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@by_name
def test_links_and_anchors_lead_somewhere(page: Path) -> None:
    assert broken(page) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    links = "[a](#one-two) [b](#three) [c](page.md#one-two) [d](gone.md) ![e](gone.png)"
    page.write_text(f"# One, two\n\n{links}\n")
    assert broken(page) == ["#three", "gone.md", "gone.png"]


@by_name
def test_commands_and_their_settings_exist(page: Path) -> None:
    assert unknown(page.read_text()) == []


def test_an_unknown_command_or_setting_is_found() -> None:
    text = "`mdsearch find`; `mdsearch search trails=3 'stopping.use=a.py:A' budget.gigs=3`"
    text += "; `python -m benchmarks.gone`; `mdsearch search -m sampler=tpe,tpi data=./mine.yaml`"
    text += "\n\n    mdsearch melt"
    gone = ["search trails", "search budget.gigs", "search sampler=tpi", "benchmarks.gone"]
    assert unknown(text) == ["melt", "find", *gone]


def test_what_people_read_is_short() -> None:
    assert 5_000 < sum(words(page.read_text()) for page in PAGES if page not in GENERATED) <= MOST_WORDS
    assert words("| a | `b=1` |\n| --- | - |\n") == 2


def words(text: str) -> int:
    """What people read: bars and rules of tables are none."""
    return sum(any(letter.isalnum() for letter in word) for word in text.split())


def broken(page: Path) -> list[str]:
    """The links of a page, to other pages or within it, that lead nowhere."""
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    return [link for link in links if "://" not in link and not _leads(page, link)]


def _leads(page: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = page.parent / name if name else page
    return target.exists() and (not anchor or anchor in anchors(target))


@cache
def anchors(page: Path) -> set[str]:
    """Those of a page's headings, as GitHub makes them."""
    return {anchor for _, anchor, _ in sections(page)}


def section(page: Path, anchor: str) -> str:
    """What stands under a heading, sections within it too; all of the page without an anchor."""
    if not anchor:
        return page.read_text()
    behind = itertools.dropwhile(lambda each: each[1] != anchor, sections(page))
    depth, _, text = next(behind)
    return text + "".join(each[2] for each in itertools.takewhile(lambda each: each[0] > depth, behind))


def sections(page: Path) -> list[tuple[int, str, str]]:
    """A page's headings in their order: depth, anchor, and the text up to the next one."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    parts = re.split(r"^(#+) +(.*)$", text, flags=re.MULTILINE)[1:]
    named = zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    return [(len(marks), _anchor(heading), text) for marks, heading, text in named]


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def unknown(text: str) -> list[str]:
    """The commands, and the settings of known ones, that a page names and nothing has."""
    found: list[str] = []
    for words in commands(text):
        name = " ".join(words[:2]) if " ".join(words[:2]) in FLAT else words[0]
        if name not in FLAT:
            found.append(name)
            continue
        settings = [word.partition("=")[::2] for word in words if "=" in word]
        found += [f"{name} {setting}" for setting, _ in settings if not exists(name, setting.lstrip("+"))]
        for group, value in settings:
            presets = _presets(name.replace(" ", "_")).get(group, {})
            chosen = value.split(",") if presets else []  # several where a command sweeps
            found += [f"{name} {group}={one}" for one in chosen if one.isidentifier() and one not in presets]
    return found + [name for name in re.findall(r"python -m (benchmarks\.\w+)", text) if not _module(name)]


def _module(name: str) -> bool:
    return (ROOT / f"{name.replace('.', '/')}.py").is_file()


def commands(text: str) -> Iterator[list[str]]:
    """The words behind every `mdsearch` in code: in a block, or within a line."""
    text = re.sub(r" *\\\n\s*|^```.*$", " ", text, flags=re.MULTILINE)
    blocks = re.findall(r"^(?:    |mdsearch ).*$", text, flags=re.MULTILINE)
    for code in (*blocks, *re.findall(r"`([^`]+)`", text)):
        line = re.match(r"\s*mdsearch ([a-z].*)", code.replace("\n", " "))
        if line is not None:
            yield shlex.split(re.split(r"  +|\s#", line[1])[0])


def exists(command: str, setting: str) -> bool:
    """A field or a group of a command; or a field that another preset of one of its groups has; or an entry
    of a mapping."""
    main = command.replace(" ", "_")
    setting = SAME.get(main, {}).get(setting, setting)
    group, _, field = setting.partition(".")
    for there in (re.escape(setting) + "=", re.escape(group) + "={}"):
        if re.search(rf"^ *{there}", _help(main), flags=re.MULTILINE):
            return True
    return any(field in yaml.safe_load(text) for text in _presets(main).get(group, {}).values())


@cache
def _help(main: str) -> str:
    return help_text(main)


@cache
def _presets(main: str) -> dict[str, dict[str, str]]:
    return {group: presets_of("conf").get(group, {}) for group in groups(main)}
