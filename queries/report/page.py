"""The report as one HTML file: inline SVG, no scripts, no network; it prints well."""

import html
from collections.abc import Iterable
from pathlib import Path
from string import Template

import pandas as pd

from queries.report.model import Exhibit, GroupSize, Report, Section
from queries.report.numbers import signed

_PAGE = Path(__file__).with_name("page.html")


def to_html(found: Report) -> str:
    """One self-contained page. Texts of the store are escaped, so that none is run as markup."""
    values = dict(zip(found.facts["fact"], found.facts["value"], strict=True))
    return Template(_PAGE.read_text(encoding="utf-8")).substitute(
        title=_text(found.title or f"Token loss trajectories of {values['Model']}"),
        lead=_text(found.lead),
        contents="".join(_entry(section) for section in found.sections if not section.is_empty),
        facts=_facts(found.facts),
        sections="\n".join(_section(section) for section in found.sections),
        missing=_items(found.missing),
    )


def _entry(section: Section) -> str:
    return f'<li><a href="#{_text(section.key)}">{_text(section.title)}</a></li>'


def _section(section: Section) -> str:
    if section.is_empty:
        return (
            f'<section id="{_text(section.key)}" class="empty"><p><b>{_text(section.figures)}.</b> '
            f"{_text(' '.join(section.seen))}</p></section>"
        )
    parts = [
        f'<section id="{_text(section.key)}"><h2>{_text(section.title)}</h2>',
        f'<p class="question">{_text(section.question)}</p>',
        _groups(section.groups),
        f'<div class="seen"><h3>Findings</h3>{_items(section.seen)}</div>',
    ]
    if section.compared:
        parts.append(f"<h3>Compared with the report's own figure</h3>{_items(section.compared)}")
    parts += [_figure(exhibit) for exhibit in section.exhibits]
    parts += [_table(title, frame) for title, frame in section.tables.items() if len(frame)]
    return "\n".join([*parts, "</section>"])


def _groups(groups: Iterable[GroupSize]) -> str:
    rows = [
        f"<tr><td>{_text(g.name)}</td><td><code>{_text(' '.join(g.clause.split()))}</code></td>"
        f"<td class=n>{g.n_tokens:,}</td><td class=n>{g.n_docs:,}</td></tr>"
        for g in groups
    ]
    if not rows:
        return ""
    head = "<th>Group</th><th>Tokens where</th><th class=n>Tokens</th><th class=n>Documents</th>"
    return f"<table class=groups><tr>{head}</tr>{''.join(rows)}</table>"


def _figure(exhibit: Exhibit) -> str:
    from queries.charts.render import inline_svg  # altair is loaded when a chart is drawn

    svg = inline_svg(exhibit.chart())
    title = f"Figure {exhibit.number}. {exhibit.title}"
    return (
        f'<figure><div role="img" aria-label="{_text(title)}">{svg}</div>'
        f"<figcaption><b>{_text(title)}.</b> {_text(exhibit.note)}</figcaption>"
        f"<details><summary>The SQL behind it</summary><pre>{_text(exhibit.script)}</pre>"
        "</details></figure>"
    )


def _table(title: str, frame: pd.DataFrame) -> str:
    head = "".join(_heading(name, frame[name].dtype.kind) for name in frame.columns)
    rows = "".join(
        f"<tr>{''.join(map(_cell, row, frame.columns))}</tr>"
        for row in frame.itertuples(index=False, name=None)
    )
    return f"<h3>{_text(title)}</h3><div class=wide><table><tr>{head}</tr>{rows}</table></div>"


def _heading(name: str, kind: str) -> str:
    return f"<th{' class=n' if kind in 'iuf' else ''}>{_text(name.replace('_', ' '))}</th>"


def _cell(value: object, column: str) -> str:
    if isinstance(value, float):
        if value != value:
            return "<td class=n>–</td>"  # not known
        text = f"{value:,.3g}" if column.startswith("p_") else f"{value:,.2f}"
        return f"<td class=n>{signed(value) if column == 'change' else text}</td>"
    if isinstance(value, int) or hasattr(value, "dtype"):
        return f"<td class=n>{value:,}</td>"
    kind = {"before": " class=before", "token": " class=token"}.get(column, "")
    return f"<td{kind}>{_text(' '.join(str(value).split()) or repr(value))}</td>"


def _facts(facts: pd.DataFrame) -> str:
    pairs = zip(facts["fact"], facts["value"], strict=True)
    return "".join(f"<dt>{_text(fact)}</dt><dd>{_text(value)}</dd>" for fact, value in pairs)


def _items(sentences: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{_text(sentence)}</li>' for sentence in sentences)}</ul>"


def _text(value: str) -> str:
    return html.escape(value)
