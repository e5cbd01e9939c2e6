"""docs/article.md: links lead somewhere, claims have a verdict, sources are listed, numbers are right."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest

ARTICLE = Path(__file__).resolve().parent.parent / "docs" / "article.md"
TEXT = ARTICLE.read_text(encoding="utf-8")
VERDICTS = {"true", "partly", "false", "not testable here", "open"}
ARXIV = re.compile(r"\b\d{4}\.\d{4,5}\b")


def rows(header):
    """The cells of all table rows below a header that starts with these words."""
    found, inside = [], False
    for line in TEXT.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        inside = bool(cells) and (inside or line.startswith(header))
        if inside and not line.startswith((header, "|---")):
            found.append(cells)
    return found


CLAIMS = rows("| # | the article says |")
SOURCES = rows("| source | title |")
CHAPTERS = re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]
IDS = [re.sub(r"<a id=.*</a>", "", cells[0]) for cells in CLAIMS]


def anchors(path):
    """The places of a Markdown file that a link can name: its headings, as GitHub writes them, and its own anchors."""
    text = path.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ +(.+)$", text, flags=re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r'<a id="([^"]+)"', text))


def links():
    return re.findall(r"!?\[[^\]]*\]\(([^)\s]+)\)", TEXT)


def test_the_ledger_is_complete():
    assert len(CLAIMS) >= 30
    assert len(set(IDS)) == len(IDS)
    assert {identifier[0] for identifier in IDS} == set("MHCTALRU")


@pytest.mark.parametrize("cells", CLAIMS, ids=IDS)
def test_every_claim_has_five_cells_an_anchor_and_a_verdict(cells):
    assert len(cells) == 5
    anchor, identifier = re.fullmatch(r'<a id="(\w+)"></a>(\w+)', cells[0]).groups()
    assert anchor == identifier.lower()
    assert cells[3] in VERDICTS
    assert all(cells)


@pytest.mark.parametrize("cells", CLAIMS, ids=lambda c: c[0][-2:])
def test_a_claim_shows_code_or_course_and_a_reason(cells):
    assert "](../" in cells[2] or "notebook" in cells[2]
    assert len(cells[4]) > 40


@pytest.mark.parametrize("link", sorted({link for link in links() if not link.startswith("https://")}))
def test_every_relative_link_and_anchor_resolves(link):
    path, _, anchor = link.partition("#")
    target = (ARTICLE.parent / path).resolve() if path else ARTICLE
    assert target.exists(), f"{link}: no such file"
    assert not anchor or anchor in anchors(target), f"{link}: no such place"


def test_outside_links_go_to_arxiv_and_name_the_paper_they_show():
    outside = re.findall(r"\[([^\]]+)\]\((https?://[^)]+)\)", TEXT)
    assert outside
    assert all(url == f"https://arxiv.org/abs/{label}" and ARXIV.fullmatch(label) for label, url in outside)


def test_every_paper_is_in_the_sources_once_and_where_it_says():
    listed = [ARXIV.search(cells[0]).group() for cells in SOURCES if ARXIV.search(cells[0])]
    assert len(set(listed)) == len(listed)
    cited = {}
    for identifier, cells in zip(IDS, CLAIMS):
        for paper in ARXIV.findall(" ".join(cells)):
            cited.setdefault(paper, set()).add(identifier)
    assert cited == {ARXIV.search(c[0]).group(): set(c[3].split(", ")) for c in SOURCES if ARXIV.search(c[0])}
    assert all(cells[2] for cells in SOURCES)


def test_books_and_journals_of_the_sources_are_used_where_it_says():
    for cells in SOURCES:
        if not ARXIV.search(cells[0]):
            authors = cells[0].rsplit(" ", 1)[0]
            assert {i for i, c in zip(IDS, CLAIMS) if authors in c[4]} == set(cells[3].split(", "))


@pytest.mark.parametrize("identifier", ["U2", "U3", "U4"])
def test_numbers_of_the_applications_are_those_that_notebook_14_shows(identifier):
    notebook = json.loads(
        (ARTICLE.parent.parent / "notebooks" / "14_beyond_pictures.ipynb").read_text(encoding="utf-8")
    )
    shown = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    shown = "".join("".join(o.get("text", "")) + "".join(o.get("data", {}).get("text/markdown", "")) for o in shown)
    said = ARXIV.sub("", CLAIMS[IDS.index(identifier)][4])
    numbers = re.findall(r"(?<![\d.])0\.\d{2,3}(?!\d)|\d+%", said)
    assert len(numbers) >= 8
    for number in numbers:
        assert re.search(rf"(?<![\d.]){re.escape(number)}(?!\d)", shown), f"{number} is not in notebook 14"


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("−0.0005 at d = 0", -0.5 * math.log1p(0.001)),
        ("½ (d + 6.908)", -math.log(0.001)),
        ("6.236 for a batch of 256 images", math.log(2 * 256 - 1)),
    ],
)
def test_numbers_of_our_own_are_computed_again(written, value):
    assert written in TEXT
    number = re.search(r"−?\d+\.(\d+)", written)
    assert float(number.group().replace("−", "-")) == pytest.approx(value, abs=0.5 * 10 ** -len(number.group(1)))


def test_formulas_give_these_numbers_in_the_package():
    import torch

    from sslkit.losses import distance_contrast, nt_xent

    same, far = torch.ones(256, 4), 100 * torch.eye(4)
    assert distance_contrast(same, same).item() == pytest.approx(-0.0005, abs=1e-6)
    d = 2 * 100**2
    assert distance_contrast(far, far.roll(1, 0)).item() == pytest.approx((d + 6.908) / 2, rel=1e-6)
    assert nt_xent(same, same).item() == pytest.approx(6.236, abs=1e-3)


def test_the_figure_can_be_read_without_seeing_it():
    from xml.etree import ElementTree

    root = ElementTree.parse(ARTICLE.parent / "simclr_two_figures.svg").getroot()
    name = "{http://www.w3.org/2000/svg}"
    named = {element.get("id"): (element.text or "").strip() for element in root.iter() if element.get("id")}
    assert root.get("role") == "img"
    assert all(len(named[part]) > 20 for part in root.get("aria-labelledby").split())
    assert not list(root.iter(f"{name}script")) + list(root.iter(f"{name}image"))
    alt = re.search(r"!\[([^\]]+)\]\(simclr_two_figures\.svg\)", TEXT).group(1)
    assert len(alt) > 100
