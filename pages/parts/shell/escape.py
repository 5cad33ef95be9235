"""Names that people gave, made safe to show: they are data, never markup."""

import html
import re
import unicodedata

LONGEST = 80
_MARKS = frozenset("\\`*_{}[]()<>#+-.!|~$:&^=\"'@/%")
# ZWNJ and ZWJ are letters' business (Persian, emoji); every other control or direction character is replaced.
_JOINERS = "\u200c\u200d"
_HIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
# Streamlit looks for links, emoji, icons and arrows in the text *after* Markdown's escapes are resolved, so a
# backslash does not stop them. One sign of each stands in a span of its own instead, so that nothing is found, and what
# is shown, selected and copied is the very name.
_FOUND_LATER = re.compile(
    r"""
    :(?=[\w+-]+:)                            # :smile:, :material_home:, :streamlit:
    | (?<=http):(?=//) | (?<=https):(?=//)    # http://a
    | (?<=www)\.                              # www.a.b
    | @(?=[\w-]+\.)                           # a@b.c
    | (?<!\S)(?:<->|->|<-|--|>=|<=|~=)(?!\S)  # a -> b
    """,
    re.VERBOSE | re.IGNORECASE,
)
_SPAN = ":color[{}]{{}}"  # of Streamlit, here without any colour
_FIXED_SPACE = "\u00a0"  # four plain spaces at the start would make a block of code


def shown(text: object, longest: int = LONGEST) -> str:
    """`text` for places that take plain text, such as tables: hidden characters as �, shortened to `longest`."""
    clean = str(text)
    if not clean.isprintable():  # most are, and a table of a thousand runs shows thousands
        clean = "".join("�" if _is_hidden(character) else character for character in clean)
    return clean if len(clean) <= longest else clean[: longest - 1] + "…"


def escape(text: object, longest: int = LONGEST) -> str:
    """`text` for Markdown, labels, captions and tooltips: shown() and then every mark of the language disarmed."""
    clean = shown(text, longest)
    apart = {place for found in _FOUND_LATER.finditer(clean) for place in range(*found.span())}
    marked = []
    for place, character in enumerate(clean):
        plain = f"\\{character}" if character in _MARKS else character
        marked.append(_SPAN.format(plain) if place in apart else plain)
    line = "".join(marked)
    return _FIXED_SPACE * (len(line) - len(line.lstrip(" "))) + line.lstrip(" ")


def plotted(text: object, longest: int = 28) -> str:
    """`text` for Plotly, which reads tags such as <b> and <a href> in every label."""
    return html.escape(shown(text, longest), quote=False)


def _is_hidden(character: str) -> bool:
    return unicodedata.category(character) in _HIDDEN_CATEGORIES and character not in _JOINERS
