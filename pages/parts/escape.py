"""Names that people gave, made safe to show: they are data, never markup."""

import html
import unicodedata

LONGEST = 80
_MARKS = frozenset("\\`*_{}[]()<>#+-.!|~$:&^=\"'@/%")
# ZWNJ and ZWJ are letters' business (Persian, emoji); every other control or direction character is replaced.
_JOINERS = "\u200c\u200d"
_HIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
# Streamlit looks for links, emoji, icons and arrows in the text *after* Markdown's escapes are resolved, so a
# backslash does not stop them; an invisible word joiner beside these characters does.
_WORD_JOINER = "\u2060"
_JOINED = frozenset(":@.-<>=")
_FIXED_SPACE = "\u00a0"  # four plain spaces at the start would make a block of code


def shown(text: object, longest: int = LONGEST) -> str:
    """`text` for places that take plain text, such as tables: hidden characters as �, shortened to `longest`."""
    clean = str(text)
    if not clean.isprintable():  # most are, and a table of a thousand runs shows thousands
        clean = "".join("�" if _is_hidden(character) else character for character in clean)
    return clean if len(clean) <= longest else clean[: longest - 1] + "…"


def escape(text: object, longest: int = LONGEST) -> str:
    """`text` for Markdown, labels, captions and tooltips: shown() and then every mark of the language disarmed."""
    told = []
    for character in shown(text, longest):
        if character in _JOINED:
            told.append(_WORD_JOINER)
        told.append(f"\\{character}" if character in _MARKS else character)
        if character in _JOINED:
            told.append(_WORD_JOINER)
    line = "".join(told)
    return _FIXED_SPACE * (len(line) - len(line.lstrip(" "))) + line.lstrip(" ")


def plotted(text: object, longest: int = 28) -> str:
    """`text` for Plotly, which reads tags such as <b> and <a href> in every label."""
    return html.escape(shown(text, longest), quote=False)


def _is_hidden(character: str) -> bool:
    return unicodedata.category(character) in _HIDDEN_CATEGORIES and character not in _JOINERS
