"""A page as a reader's program sees it: tables, headings, drawings, and whether tags match."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

# Elements of HTML that have no end.
VOID = frozenset({"meta", "link", "br", "img", "hr", "input"})


@dataclass
class ParsedTable:
    """columns and rows of text; scopes are those of its headers."""

    caption: str
    columns: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    scopes: list[str | None] = field(default_factory=list)

    def row(self, *begins: str) -> list[str]:
        """The row that begins so."""
        found = [row for row in self.rows if tuple(row[: len(begins)]) == begins]
        assert len(found) == 1, (begins, self.rows)
        return found[0]

    def column(self, name: str) -> list[str]:
        """The cells below a header."""
        return [row[self.columns.index(name)] for row in self.rows]


class HtmlPage(HTMLParser):
    """The page; mismatched tags fail at once."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.headings: list[tuple[int, str]] = []
        self.drawings: list[dict[str, str | None]] = []
        self.shapes: list[tuple[str, dict[str, str | None]]] = []
        self.captions: dict[str, str] = {}
        self.tables: list[ParsedTable] = []
        self.tags: list[str] = []
        self.text = ""
        self._open: list[tuple[str, dict[str, str | None]]] = []
        self._words = ""
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self._open.append((tag, dict(attrs)))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        assert len(attributes) == len(attrs), f"an attribute twice in {tag}"
        self.tags.append(tag)
        if identity := attributes.get("id"):
            self.ids.append(identity)
        self.links += [str(attributes[key]) for key in ("href", "src") if key in attributes]
        if tag == "svg" and "aria-hidden" not in attributes:
            self.drawings.append(attributes)
        if tag in ("rect", "line", "path", "circle", "polygon", "image"):
            self.shapes.append((tag, attributes))
        if tag == "table":
            self.tables.append(ParsedTable(self.captions[str(attributes["aria-labelledby"])]))
        if tag == "tr" and self._is_open("tbody"):
            self.tables[-1].rows.append([])
        if tag in ("th", "td", "h1", "h2", "h3", "p"):
            self._words = ""

    def handle_endtag(self, tag: str) -> None:
        opened, attributes = self._open.pop()
        assert opened == tag, f"{opened} closed by {tag}"
        words = self._words.strip()
        if tag in ("h1", "h2", "h3"):
            self.headings.append((int(tag[1]), words))
        if tag == "p" and attributes.get("class") == "caption":
            self.captions[str(attributes["id"])] = words
        if tag in ("th", "td"):
            table = self.tables[-1]
            (table.columns if self._is_open("thead") else table.rows[-1]).append(words)
            if tag == "th":
                table.scopes.append(attributes.get("scope"))

    def handle_data(self, data: str) -> None:
        self._words += data
        if not self._is_open("style"):
            self.text += data

    def _is_open(self, tag: str) -> bool:
        return any(opened == tag for opened, _ in self._open)

    def table(self, begin: str) -> ParsedTable:
        """The table whose caption begins so."""
        found = [table for table in self.tables if table.caption.startswith(begin)]
        assert len(found) == 1, [table.caption for table in self.tables]
        return found[0]

    @property
    def sections(self) -> list[str]:
        return [words for level, words in self.headings if level == 2]
