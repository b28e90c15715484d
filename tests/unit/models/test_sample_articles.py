from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from local.models.sentences import sentences

ARTICLES = Path("migrations/sample/articles")
PATHS = sorted(ARTICLES.glob("*/*.md"))


def test_each_tenant_has_its_articles() -> None:
    counts = Counter(path.parent.name for path in PATHS)
    assert counts["hotrodan"] >= 30
    assert counts["northwind"] == 6


@pytest.mark.parametrize("path", PATHS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_an_article_is_one_title_and_a_short_text(path: Path) -> None:
    text = path.read_text()
    title, _, rest = text.partition("\n")
    assert title.startswith("# ")
    assert "\n#" not in rest
    assert 80 <= len(text.split()) <= 250
    assert max(len(one.text) for one in sentences(text)) <= 400


def test_titles_and_sentences_are_not_repeated() -> None:
    texts = [path.read_text() for path in PATHS]
    titles = Counter(text.partition("\n")[0] for text in texts if "northwind" not in text.lower())
    assert max(titles.values()) == 1
    repeated = Counter(one.text for text in texts for one in sentences(text))
    assert [text for text, count in repeated.items() if count > 1] == []
