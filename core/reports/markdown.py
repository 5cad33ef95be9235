"""Own words: Markdown that a person wrote, as HTML, or as Markdown that holds no HTML."""

import re
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token

LOWER = 3  # levels: a heading of own words stands below those of the report
_OTHER_LINK = re.compile(r"\]\((?!\s*<?(?:https?://|mailto:))", re.I)
_REFERENCE = re.compile(r"^(\s*(?:[>*+-]\s*)*)\[(?=[^\]]*\]:)")


def words_to_html(text: str) -> str:
    """Paragraphs, lists, tables, code and links; HTML in it is text, pictures are not fetched, and a link leads to
    http, https or mail or is none."""
    parser = _parser()
    tokens = parser.parse(text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + LOWER)}"
    return str(parser.renderer.render(tokens, parser.options, {}))  # what it renders is escaped


def words_to_markdown(text: str) -> str:
    """The same Markdown without HTML, pictures and links that run something, and with lower headings."""
    lines = text.splitlines()
    code, spans = [False] * len(lines), [False] * len(lines)  # lines of code; lines in which only code has what is odd
    for token in _parser().parse(text):
        first, last = token.map or (0, 0)
        if token.type in ("fence", "code_block"):
            code[first:last] = [True] * (last - first)
        elif token.type == "heading_open":
            level = int(token.tag[1])
            lines[first] = lines[first].replace("#" * level, "#" * min(6, level + LOWER), 1)
        elif token.type == "inline":
            spans[first:last] = [_holds_only_code(token)] * (last - first)
    return "\n".join(
        line if is_code else _disarmed(line, has_spans)
        for line, is_code, has_spans in zip(lines, code, spans, strict=True)
    )


def _holds_only_code(token: Token) -> bool:
    """Whether every "<", and every link, of a paragraph stands in code."""
    in_code = "".join(child.content for child in token.children or () if child.type == "code_inline")
    return bool(in_code) and all(token.content.count(sign) == in_code.count(sign) for sign in ("<", "]("))


def _disarmed(line: str, has_spans: bool) -> str:
    if not has_spans:
        line = _OTHER_LINK.sub(r"]\(", line.replace("<", "&lt;"))
    return _REFERENCE.sub(r"\1\\[", line.replace("![", "\\!["))


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable("table").disable(["image", "lheading", "reference"])
