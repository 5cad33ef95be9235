"""One source for every word: the pages' help texts and the guide's glossary say the same."""

import ast
from pathlib import Path

from core.glossary import TERMS, glossary_document, setting_terms

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*(ROOT / "pages").rglob("*.py"), ROOT / "streamlit_app.py"]


def test_the_guide_has_the_glossary_that_the_program_writes():
    assert (ROOT / "docs" / "guide" / "glossary.md").read_text(encoding="utf-8") == glossary_document(), (
        "write it anew: python -m core.glossary > docs/guide/glossary.md"
    )


def test_a_word_has_one_meaning():
    assert not TERMS.keys() & setting_terms().keys()
    assert len(setting_terms()) > 30


def test_what_the_pages_explain_is_in_the_glossary():
    used = set()
    for path in PAGES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "TERMS":
                used.add(ast.literal_eval(node.slice))
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert node.value not in TERMS.values(), f"{path} repeats a text of core/glossary.py"
    assert used <= TERMS.keys() and len(used) >= 10
