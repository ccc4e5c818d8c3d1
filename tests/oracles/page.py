"""A page of HTML as a reader meets it: elements balanced, text, and whatever it would load."""

from __future__ import annotations

import html
import html.parser


class Page(html.parser.HTMLParser):
    """Checks that elements are balanced, and collects text, tags and whatever could be loaded."""

    VOID = ("meta", "br", "link", "img", "input", "hr")

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []
        self.words: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        values = [value for name, value in attrs if name in ("src", "href", "xlink:href", "action", "data", "srcset")]
        self.loaded += [value for value in values if not value.startswith("#")]

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"unbalanced </{tag}>"

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())
