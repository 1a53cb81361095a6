"""Commands to paste: quoted for a shell, and for the reading of `name=value` behind it (see `conf.words`)."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

# what is read as the text that it is; "2024", "null" and "a (1)" are not
_BARE = re.compile(r"(?!(?:null|true|false|inf|nan)$)[./]*[a-z_][\w./:-]*", re.ASCII | re.IGNORECASE)
_SAFE_SOURCE = re.compile(r"(?![~+-])[^=]*/.*", re.DOTALL)


def command_line(command: str, *sources: object, **settings: object) -> str:
    """What to paste into a shell to have the command read these sources, and these values of its settings.

    >>> command_line("compare", "runs/a", "runs/b c", out="d (1).html")
    "mdsearch compare runs/a 'runs/b c' 'out=\"d (1).html\"'"
    """
    words = [*map(source_word, sources), *(setting_word(name, value) for name, value in settings.items())]
    return typed_line(command, words)


def typed_line(command: str, words: Iterable[str]) -> str:
    """The same of words as somebody typed them."""
    return " ".join(map(shell_word, ["mdsearch", *command.split(), *words]))


def shell_word(word: str) -> str:
    """Quoted for a shell. What standard output cannot show, in an ASCII terminal or of a name that is not
    UTF-8, stands as the bytes that it is: `$'f\\xc3\\xbcr'`, which bash and zsh read in any locale."""
    try:
        word.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
        return shlex.quote(word)
    except UnicodeEncodeError:
        return f"$'{''.join(map(_shell_byte, _name_bytes(word)))}'"


def _name_bytes(word: str) -> bytes:
    try:
        return os.fsencode(word)
    except UnicodeEncodeError:  # of a file, under a locale that could not name it
        return word.encode("utf-8", "surrogateescape")


def _shell_byte(byte: int) -> str:
    character = chr(byte)
    if not character.isascii() or not character.isprintable() or character == "!":  # the last: of history
        return f"\\x{byte:02x}"
    return f"\\{character}" if character in "'\\" else character


def typed_words(text: str) -> list[str]:
    """The words of a part of a command line."""
    return shlex.split(text)


def setting_word(name: str, value: object) -> str:
    """`name=value`, read back equal: None, true or false, numbers, text, paths, lists of these."""
    return f"{name}={_written(value)}"


def source_word(source: object) -> str:
    """A run folder, or another source of a command line, that nothing takes for a setting or an option."""
    text = str(source)
    is_path = isinstance(source, Path)
    return f"./{text}" if (is_path or "=" in text) and not _SAFE_SOURCE.fullmatch(text) else text


def quoted(text: str) -> str:
    """Text as a value that is read as it stands, whatever is in it."""
    escaped = uninterpolated(text)
    return '"' + re.sub(r'(\\*)("|\Z)', lambda found: _before_quote(found[1], found[2]), escaped) + '"'


def uninterpolated(text: str) -> str:
    """Text in which OmegaConf finds no interpolation, and which it resolves to what it was."""
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", text)


def _before_quote(backslashes: str, quote: str) -> str:
    return 2 * backslashes + (f"\\{quote}" if quote else "")


def _written(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(_written, value))}]"
    text = str(value)
    return text if _BARE.fullmatch(text) else quoted(text)
