"""Text from data (class names, paths, descriptions) made safe for Markdown: it shows as written, never as markup."""

import html
import re

# Characters that can open or close markup within a line or a table cell (CommonMark 0.31.2, section 2.4).
_SPECIAL = re.compile(r"([\\`*_{}\[\]#|~$])")


def inline(text: str) -> str:
    """Escape text that stands within a line or a table cell; line breaks become spaces."""
    return _SPECIAL.sub(r"\\\1", html.escape(" ".join(text.split()), quote=False))


def paragraph(text: str) -> str:
    """Escape a sentence or more and end it with a full stop."""
    escaped = inline(text)
    return escaped if escaped.endswith((".", "!", "?")) else f"{escaped}."


def code(text: str) -> str:
    """Show text letter by letter in a code span that fits a table cell."""
    flat = " ".join(text.split()).replace("|", "\\|")
    longest = max((len(run) for run in re.findall("`+", flat)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {flat} {fence}" if longest else f"{fence}{flat}{fence}"
