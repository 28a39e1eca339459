"""The report: counts are right, nothing of a user is markup, nothing asks for anything from outside, pins are tinted."""

import re
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from types import SimpleNamespace

import networkx as nx
import numpy as np
import pytest
from PIL import Image

from constraints.certificate import Certificate
from domains.page import element, page
from domains.smiles import charts
from domains.smiles.metrics import Sample
from domains.smiles.properties import describe
from domains.smiles.report import report, report_pictures
from domains.smiles.writers import write
from domains.spec import DesignSpec
from seqdiff.errors import ConfigError

EVIL = "<script>alert(1)</script>&\"'<img src=http://x.example/a onerror=1>\x00"


@dataclass(frozen=True)
class Design:
    sequence: str
    canonical: str | None
    valid: bool
    reason: str
    pins_kept: bool = True
    metrics: dict[str, float | bool | None] = field(default_factory=dict)
    pinned_atoms: tuple[int, ...] = ()
    certificate: Certificate = Certificate("exact", EVIL, holds=(EVIL,))


def made(smiles, **fields):
    found = describe(smiles)
    return replace(
        Design(smiles, found.canonical, found.valid, found.reason, metrics={**found.metrics, "novel": True}), **fields
    )


DESIGNS = [
    made("CCCCc1ccccc1", pinned_atoms=(4, 5, 6, 7, 8, 9)),
    made("c1ccccc1CCCC"),  # the first again
    made("CC(=O)Nc1ccc(O)cc1", pins_kept=False),
    made("OCC1CCNCC1"),
    made("C1CC", reason=EVIL),
]
SPEC = DesignSpec("smiles", template="C{3}", n=7, wishes=("valid", "logp >= 2"), model="./nowhere")
ANSWER = SimpleNamespace(
    designs=DESIGNS, spec=replace(SPEC, label=EVIL), summary={"asked": 7, "returned": 5, "abstained": 2, "lost": 0}
)


class Reader(HTMLParser):
    """Elements that are open, every attribute seen, and the text of the page."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes, self.said = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.said.append(data)


def read(path):
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    assert not reader.open
    return reader


@pytest.fixture(scope="module")
def lineage():
    graph = nx.DiGraph()
    for node, score in {"a": 0.1, "b": 0.4, "c": 0.3, "d": 0.9, "refused": None}.items():
        graph.add_node(node, smiles="CCO", pinned_atoms=(1, 2), score=score)
    graph.add_edges_from([("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"), ("d", "refused")])
    return graph


@pytest.fixture(scope="module")
def reference():
    return Sample.of(["CCO", "CCCN", "c1ccccc1O", "CC(=O)N", "OCC1CCNCC1", "CCSCC"])


@pytest.fixture(scope="module")
def whole(tmp_path_factory, lineage, reference):
    return report(tmp_path_factory.mktemp("report") / "designs.html", ANSWER, reference, lineage)


def test_no_text_is_markup_and_nothing_is_asked_for(whole):
    reader, content = read(whole), whole.read_text(encoding="utf-8")
    assert not {"script", "img", "link", "iframe", "object", "form", "image", "a"} & {*reader.tags}
    assert not [name for name, _ in reader.attributes if name.startswith("on") or name == "src"]
    assert all(value.startswith("#") for name, value in reader.attributes if name == "href")
    assert not re.search(r"url\((?!#)|@import|https?:", content.replace("src=http://x.example/a", ""))
    assert "default-src 'none'" in dict(reader.attributes)["content"] or "default-src 'none'" in content
    shown = EVIL.replace("\x00", "\ufffd")
    assert sum(shown in said for said in reader.said) == 4  # certificate, what holds, label, reason
    ids = [value for name, value in reader.attributes if name == "id"]
    used = [*re.findall(r"url\(#([^)]+)\)", content), *(v[1:] for n, v in reader.attributes if n == "href")]
    assert len(ids) == len({*ids}) and {*used} <= {*ids}


def test_counts_have_their_denominators(whole):
    rows = re.findall(r"<tr>(.*?)</tr>", whole.read_text(encoding="utf-8"))
    rows = [re.sub("<[^>]+>", "|", row).strip("|").replace("||", "|") for row in rows]
    for expected in [
        "returned|5|7|asked for|71.4%",
        "abstained: no particle met what was asked|2|7|asked for|28.6%",
        "valid, says RDKit|4|5|returned|80.0%",
        "all that is pinned kept|3|4|valid|75.0%",
        "all that must hold found to hold|5|5|returned|100.0%",
        "distinct|3|4|valid|75.0%",
        "not among the molecules trained on|3|3|distinct|100.0%",
        "wish reached: logp &gt;= 2|2|4|valid|50.0%",
    ]:
        assert expected in rows


def test_pinned_atoms_are_tinted_in_every_drawing(tmp_path, whole, lineage):
    content = whole.read_text(encoding="utf-8")
    assert content.count('<figure class="card">') == 3 + 3  # the distinct ones, and the line a, b, d
    cards = re.findall(r'<figure class="card">.*?</figure>', content, re.DOTALL)
    assert [("var(--pinned" in card) for card in cards] == ["CCCCc" in card or "score" in card for card in cards]
    assert "#AFDBF4" not in content.upper().replace("VAR(--PINNED, #AFDBF4)", "").replace("--PINNED: #AFDBF4", "")


def test_a_list_gives_a_report_too(tmp_path):
    write(tmp_path / "designs.html", DESIGNS)
    first = (tmp_path / "designs.html").read_bytes()
    said = " ".join(read(tmp_path / "designs.html").said)
    assert "5 designed molecules" in said and "reference" not in said and "Lineage" not in said
    write(tmp_path / "designs.html", DESIGNS)
    assert (tmp_path / "designs.html").read_bytes() == first  # nothing of the time or of chance
    write(tmp_path / "none.html", [])
    assert "0 designed molecules" in read(tmp_path / "none.html").said


def test_the_same_pictures_as_png(tmp_path, reference, lineage):
    paths = report_pictures(tmp_path / "pictures", DESIGNS, reference, lineage)
    assert [path.name for path in paths] == ["grid.png", "properties.png", "map.png", "lineage.png"]
    for path, colour in zip(paths[1:], ((0, 114, 178), (0, 114, 178), (213, 94, 0)), strict=True):
        with Image.open(path) as picture:
            colours = {c for _, c in picture.convert("RGB").getcolors(1 << 20)}
        assert colour in colours, path


def test_principal_axes_are_those_of_the_singular_value_decomposition():
    rng = np.random.default_rng(0)
    for n, m in ((40, 12), (10, 64)):
        x = (rng.random((n, m)) < 0.3).astype(np.float32)
        mean, axes, share = charts.principal_axes(x)
        _, s, v = np.linalg.svd(x - x.mean(0), full_matrices=False)
        assert share == pytest.approx((s[:2] ** 2).sum() / (s**2).sum(), rel=1e-5)
        assert np.abs(np.abs((v[:2] * axes.T).sum(1)) - 1).max() < 1e-5


def test_a_line_of_descent_follows_the_better_parent(lineage):
    assert charts.line_of_descent(lineage) == ["a", "b", "d"]
    with pytest.raises(ConfigError, match="without cycles"):
        charts.lineage_chart(nx.DiGraph([(1, 2), (2, 1)]))
    with pytest.raises(ConfigError, match="nodes with a `score`, got none"):
        charts.lineage_chart(nx.DiGraph([(1, 2)]))


def test_colours_become_variables_also_where_they_are_attributes():
    svg = "<path fill='#1F2933'/><path style='stroke:#0072b2'/><path stroke=\"#123456\"/>"
    assert charts.with_variables(svg) == (
        "<path style='fill:var(--ink, #1f2933)'/><path style='stroke:var(--ours, #0072b2)'/><path style=\"stroke:#123456\"/>"
    )


def test_text_of_elements_keeps_its_order():
    assert "<p>a<b>c</b>d&lt;e</p>" in page("t", element("p", "a", element("b", "c"), "d", "<e"))
