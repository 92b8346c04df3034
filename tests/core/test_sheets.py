"""Tables for notebooks: their text is never HTML or Markdown."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from flowyml_aws.core.sheets import Sheet, to_html, to_markdown

HOSTILE = "<img src=x onerror=alert(1)> | **b** [a](http://x) `c` \x1b[2J\n# d ![e](http://y)"


def a_sheet(text: str) -> Sheet:
    return Sheet(text, (text, "n"), [(text, "1")], frozenset({1}), (text,), (text,))


class Tags(HTMLParser):
    """The tags and the text of a document."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(document)
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.text() | st.just(HOSTILE))
def test_html_has_only_the_tags_of_the_table(text: str) -> None:
    parsed = Tags(to_html([a_sheet(text)]))
    assert parsed.tags <= {"div", "p", "b", "table", "tr", "th", "td", "pre"}


def test_html_shows_hostile_text_as_it_is() -> None:
    parsed = Tags(to_html([a_sheet(HOSTILE)]))
    assert parsed.text.count("<img src=x onerror=alert(1)> | **b** [a](http://x) `c` \\x1b[2J") == 5


def test_markdown_shows_hostile_text_as_it_is() -> None:
    markdown = to_markdown([Sheet(HOSTILE, ("a",), [(HOSTILE,)], lines=(HOSTILE,))])
    title, table, line = markdown.split("\n\n")
    assert title.startswith("**&#60;img") and title.endswith("**")
    assert len(table.splitlines()) == 3 and table.splitlines()[2].count("|") == 2
    assert not re.search(r"[<>\[\]`!\x1b\n]", line)


def test_code_keeps_its_lines() -> None:
    assert "<pre>a\n  b</pre>" in to_html([Sheet("", code=("a\n  b",))])
    assert to_markdown([Sheet("", code=("a\n  ```",))]) == "    a\n      ```"


def test_a_long_table_is_cut_with_the_number_of_its_rows() -> None:
    sheet = Sheet("", ("n",), [(str(n),) for n in range(500)])
    for text in (to_html([sheet]), to_markdown([sheet])):
        assert "… and 300 more" in text and "499" not in text
