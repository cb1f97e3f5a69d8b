"""Write a file's name so that a person can read it, whatever bytes it is made of."""

import shlex
import unicodedata

# Control characters, invisible formatting characters, halves of surrogate pairs (bytes that are not UTF-8), line and
# paragraph separators.
_UNREADABLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_JOINERS = frozenset("\u200c\u200d\ufe0f")  # part of how Persian, Indian scripts and emoji are written


def unreadable_characters(name: str) -> list[str]:
    """Return the characters of `name` that cannot be seen or that are no characters at all, in order."""
    return [one for one in name if one not in _JOINERS and unicodedata.category(one) in _UNREADABLE]


def readable(name: str) -> str:
    r"""Return `name` with what cannot be seen escaped: `caf\xe9` for a byte that is not UTF-8, `a\rb` for a return."""
    strange = set(unreadable_characters(name))
    return "".join(_escaped(one) if one in strange else one for one in name)


def for_shell(path: str) -> str:
    r"""Return `path` as a word that bash reads back to the same bytes, and a person can read: `$'caf\xe9'`."""
    strange = set(unreadable_characters(path))
    if not strange:
        return shlex.quote(path)
    words = (_for_bash(one) if one in strange else one.replace("\\", r"\\").replace("'", r"\'") for one in path)
    return f"$'{''.join(words)}'"


def _for_bash(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # how Python shows a byte that is not UTF-8 (PEP 383)
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
