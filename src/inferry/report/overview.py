"""The head of the page: what was run, and what came out in a few figures."""

from collections.abc import Sequence
from dataclasses import dataclass

from inferry.report.markup import NOTHING, Markup, element, join, section, table


@dataclass(frozen=True)
class Fact:
    """One figure.

    Attributes:
        label: What it is.
        value: As it is printed.
        note: What a reader should know beside it; may be empty.
        tone: ``good``, ``bad`` or empty.
    """

    label: str
    value: str
    note: str = ""
    tone: str = ""


@dataclass(frozen=True)
class Overview:
    """One run in a few words.

    Attributes:
        label: Short and unique among the runs of a page.
        family: Of the model.
        checkpoint: Its name; empty where the bundle was not found.
        data: Name of the data set.
        path: Of the run.
        facts: The figures, the most important one first.
    """

    label: str
    family: str
    checkpoint: str
    data: str
    path: str
    facts: tuple[Fact, ...]


def title_of(runs: Sequence[Overview]) -> str:
    """What the page is called."""
    if len(runs) == 1:
        return f"{runs[0].family} on {runs[0].data}"
    families = " and ".join(dict.fromkeys(run.family for run in runs))
    data = " and ".join(dict.fromkeys(run.data for run in runs))
    return f"{families} on {data}: {len(runs)} runs side by side"


def overview_section(runs: Sequence[Overview], links: Sequence[tuple[str, str]]) -> Markup:
    """Title, what was run, figures, and links to the sections (name and title)."""
    navigation = element("nav", *(element("a", title, href=f"#{name}") for name, title in links))
    head = element("header", element("p", "Inferry report", class_="kicker"), element("h1", title_of(runs)))
    figures = _tiles(runs[0]) if len(runs) == 1 else _columns(runs)
    return join([head, navigation, figures])


def _tiles(run: Overview) -> Markup:
    checkpoint = f"checkpoint {run.checkpoint}, " if run.checkpoint else ""
    said = element("p", checkpoint, "run ", element("code", run.path), class_="lead")
    tiles = [
        element(
            "div",
            element("dt", fact.label),
            element("dd", fact.value, class_=fact.tone or None),
            element("dd", fact.note, class_="note"),
        )
        for fact in run.facts
    ]
    return join([said, element("dl", *tiles, class_="tiles")])


def _columns(runs: Sequence[Overview]) -> Markup:
    names = list(dict.fromkeys(fact.label for run in runs for fact in run.facts))
    found = [{fact.label: fact for fact in run.facts} for run in runs]
    rows = [
        ("family", *(run.family for run in runs)),
        ("checkpoint", *(run.checkpoint or NOTHING for run in runs)),
        ("data set", *(run.data for run in runs)),
        ("run", *(run.path for run in runs)),
        *((name, *(_cell(facts.get(name)) for facts in found)) for name in names),
    ]
    return table(["", *(run.label for run in runs)], rows)


def _cell(fact: Fact | None) -> Markup:
    if fact is None:
        return Markup(NOTHING)
    beside = join([" ", element("span", fact.note, class_="note")]) if fact.note else Markup()
    return join([element("b", fact.value, class_=fact.tone or None), beside])


def settings_section(labels: Sequence[str], settings: Sequence[dict[str, str]]) -> Markup:
    """What differs between several runs."""
    names = list(dict.fromkeys(name for one in settings for name in one))
    rows = [
        (name, *(one.get(name, NOTHING) for one in settings))
        for name in names
        if len({one.get(name) for one in settings}) > 1
    ]
    if not rows:
        return section("Settings that differ", "settings", element("p", "None: all settings are the same."))
    return section("Settings that differ", "settings", table(["", *labels], rows))


def provenance_section(labels: Sequence[str], settings: Sequence[dict[str, str]], command: str) -> Markup:
    """Every setting and version behind the numbers, and the command that writes this page again."""
    names = list(dict.fromkeys(name for one in settings for name in one))
    rows = [(name, *(one.get(name, NOTHING) for one in settings)) for name in names]
    again = (element("p", "This page is written again by:"), element("pre", element("code", command)))
    return section("Signature", "signature", table(["", *labels], rows), *again)
