import base64
import hashlib
import io
import json
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import torch
from PIL import Image

from cases import random_embeddings
from manymodal.calibration import Calibration
from manymodal.evaluation.checks import Finding
from manymodal.evaluation.entry import Gain
from manymodal.evaluation.headline import largest, points, singles
from manymodal.evaluation.highlights import highlights
from manymodal.evaluation.measure import measure
from manymodal.evaluation.names import Names, Shown
from manymodal.evaluation.page.charts import MOST_GAINS, Span, about, curves, gain_charts, heatmap
from manymodal.evaluation.page.html import page
from manymodal.evaluation.page.markup import VOID, Markup, joined, tag
from manymodal.evaluation.report import Report

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>'


def drawing(form="PNG"):
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(file, form)
    return file.getvalue()


def report(embeddings=None, names=None, **options):
    embeddings = embeddings or random_embeddings(items=20, labels=3, label_modality=True)
    return measure(embeddings, split="dev", seed=3, space="f00", names=names, **options)


class Page(HTMLParser):
    """Elements with their attributes and their own text; refuses what is not nested properly."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, name, attributes):
        assert len({key for key, _ in attributes}) == len(attributes)
        self.elements.append((name, dict(attributes)))
        if name not in VOID:
            self.open.append(name)

    def handle_startendtag(self, name, attributes):
        self.elements.append((name, dict(attributes)))

    def handle_endtag(self, name):
        assert self.open and self.open.pop() == name

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.texts.append(data)

    def all(self, name):
        return [attributes for element, attributes in self.elements if element == name]

    @property
    def text(self):
        return " ".join(self.texts)


@pytest.fixture(scope="module")
def whole():
    torch.manual_seed(0)
    embeddings = random_embeddings(items=30, labels=3, label_modality=True)
    of_target = {m: 0.2 + 3 * place for place, m in enumerate(embeddings.modalities)}
    weights = Calibration(dict.fromkeys(embeddings.modalities, of_target), "test", 9)
    names = Names({100 + i: f"item {i}" for i in range(30)}, "xyz", lambda m, row: Shown(f"{m} {row}", drawing()))
    bank = random_embeddings(items=30, labels=3, label_modality=True)
    options = {"bootstrap": 20, "calibration": weights, "correct": ["nnn"], "bank": bank}
    return report(embeddings, names, same_source=[("a", "b")], **options)


def test_one_file_that_needs_nothing_and_lets_only_its_own_script_run(whole):
    text = page(whole)
    shown = Page(text)
    for name, attributes in shown.elements:
        for key in ("src", "href", "srcset", "data", "action"):
            value = attributes.get(key) or ""
            assert not value or value.startswith(("#", "data:image/")), (name, key, value[:40])
        assert not [key for key in attributes if key.startswith("on")]
    assert "http://" not in text and "https://" not in text and "@import" not in text and "url(" not in text
    (policy,) = [meta["content"] for meta in shown.all("meta") if "http-equiv" in meta]
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy and "default-src 'none'" in policy


def test_it_says_what_it_is_of(whole):
    shown = Page(page(whole))
    for word in (
        "dev",
        "30",
        "f00",
        "manymodal",
        "torch",
        '"bootstrap": 20',
        "What to look at first",
        "Hubness",
        "Health",
    ):
        assert word in shown.text
    ids = Counter(attributes["id"] for _, attributes in shown.elements if "id" in attributes)
    assert max(ids.values()) == 1
    assert {a["href"] for a in shown.all("a")} <= {f"#{name}" for name in ids}
    assert shown.all("html") == [{"lang": "en"}] and all("scope" in th for th in shown.all("th"))
    assert all(img.get("alt") for img in shown.all("img")) and shown.all("img")


def test_texts_of_the_user_do_not_run():
    names = (f"a{EVIL}", "b & c", "d'<b>")
    embeddings = random_embeddings(items=20, modalities=names)
    shown_as = Names(
        {100 + i: f"{EVIL}{i}" for i in range(20)}, [], lambda m, row: Shown(EVIL, drawing("JPEG") if row % 2 else None)
    )
    made = replace(report(embeddings, shown_as), split=EVIL, settings={"k": EVIL}, space=EVIL)
    text = page(made)
    shown = Page(text)
    assert len(shown.all("script")) == 1 and not [
        img for img in shown.all("img") if not img["src"].startswith("data:image/jpeg")
    ]
    assert EVIL not in text and EVIL in shown.text and "b & c" in shown.text and "d'<b>" in shown.text
    assert not shown.all("b")


def test_the_heatmap_holds_every_figure_of_every_variant(whole):
    shown = Page(heatmap(whole.directions))
    variants = json.loads(shown.all("table")[0]["data-variants"])
    assert variants == ["equal weights", "calibrated weights", "nnn"]
    cells = {
        cell["title"].split(":")[0]: json.loads(cell["data-figures"]) for cell in shown.all("td") if "title" in cell
    }
    metrics = ("hit@1", "hit@5", "hit@10", "mrr", "map")
    assert len(shown.all("option")) == len(metrics) + len(variants)
    for unit, query, target in (("value", "b", "c"), ("item", ("a", "b"), "c")):
        entry = whole.find(query, target, unit=unit)
        raw, calibrated, corrected = cells[f"{' + '.join(entry.direction.query)} → {target}, by {unit}"]
        assert raw == pytest.approx([entry[m] for m in metrics], abs=1e-4)
        assert calibrated == pytest.approx([(entry.calibrated or entry.metrics)[m] for m in metrics], abs=1e-4)
        assert corrected == pytest.approx([entry.corrected["nnn"][m] for m in metrics], abs=1e-4)
        assert f"{100 * entry['hit@1']:.1f}" in shown.text
    (leak,) = [cell for cell in shown.all("td") if cell.get("title", "").startswith("a → b, by value")]
    assert (
        "data-leak" in leak
        and "leak" in leak["title"]
        and "gallery of" in leak["title"]
        and "hit@1 between" in leak["title"]
    )


def test_undefined_figures_are_dashes():
    made = report(random_embeddings(absent=True))
    shown = Page(page(made))
    cells = [json.loads(cell["data-figures"]) for cell in shown.all("td") if "data-figures" in cell]
    assert [None] * 5 in [cell[0] for cell in cells] and "–" in shown.text and "nan" not in shown.text.lower()


def gain(query, added, change, calibrated=None, target=("t",)):
    made = Gain(tuple(query), added, target, "item", 50, (0.3, 0.3 + change), (change - 0.01, change + 0.01), 0.5)
    return replace(made, calibrated=gain(query, added, calibrated, target=target)) if calibrated is not None else made


def test_gains_are_lines_with_intervals():
    text = gain_charts([gain("a", "b", 0.05, -0.002), gain("b", "a", -0.05)])
    shown = Page(text)
    assert (
        "+5.0 (+4.0 to +6.0)" in shown.text
        and "−0.2 (−1.2 to +0.8)" in shown.text
        and "−5.0 (−6.0 to −4.0)" in shown.text
    )
    dots = [(dot["class"], float(dot["cx"].rstrip("%"))) for dot in shown.all("circle")]
    assert [kind for kind, _ in dots] == ["raw down", "raw up", "calibrated level"]  # sorted by what is added
    assert 0 <= dots[0][1] < dots[2][1] < dots[1][1] <= 100
    assert "the lowest" not in shown.text


def test_many_gains_become_means_over_queries():
    many = [gain((f"q{i}",), added, 0.01 * i) for added in "ab" for i in range(MOST_GAINS)]
    shown = Page(gain_charts(many))
    assert len(shown.all("circle")) == 2 and "12 queries" in shown.text and "the lowest" in shown.text
    assert f"+{MOST_GAINS / 2 - 0.5:.1f} (+0.0 to +{MOST_GAINS - 1:.1f})" in shown.text


def test_spans():
    assert Span(0.0, 0.0, 0.0).words() == "+0.0" and Span(-0.0001, -0.01, 0.01).words() == "+0.0 (−1.0 to +1.0)"
    assert points(-0.0126) == "−1.3"
    assert [Span(0, *ends).sign() for ends in ((0.1, 0.2), (-0.2, -0.1), (-0.1, 0.2))] == ["up", "down", "level"]
    assert Span(1.0, 1.0, 1.0).sign() == "level"  # three items, or no bootstrap: nothing says that it is not chance


def test_curves_rise_to_the_share_that_is_found(whole):
    shown = Page(curves(whole.directions))
    scored = [entry for entry in [*singles(whole.directions, "item"), *largest(whole.directions)] if entry.queries]
    assert len(shown.all("path")) == len(scored) and len(shown.all("figure")) == 4
    for path in shown.all("path"):
        at = [tuple(map(float, point.split(","))) for point in path["d"][1:].split("L")]
        assert at == sorted(at, key=lambda point: (point[0], -point[1])) and at[-1][1] == 10  # all are found in the end
    entry = whole.find("c", "a", unit="item")
    first = [path["d"] for path in shown.all("path")]
    y = 10 + 164 * (1 - entry["hit@1"])
    assert any(d.startswith(f"M34.0,{y:.1f}") for d in first)


def test_highlights(whole):
    said = " ".join(highlights(whole))
    alone = [entry for entry in singles(whole.directions) if not entry.leak and entry["hit@1"] is not None]
    best = max(alone, key=lambda entry: entry["hit@1"])
    assert f"{best.direction.query[0]} → {best.direction.target[0]} is strongest" in said
    assert f"{100 * best['hit@1']:.1f} %" in said and "directions with a star" in said and "largest gain" in said
    assert "health check" in said
    assert highlights(Report("dev", 0, [])) == []


def finding(name, about, value, ok=False):
    return Finding(name, about, value, ok, "normal", "" if ok else f"advice on {' and '.join(about)}")


def test_what_asks_for_attention_is_said_once_a_check_of_the_worst():
    pairs = [("a", m) for m in "bcdefg"]
    gaps = [finding("centroid_gap", pair, 0.9 + 0.01 * place) for place, pair in enumerate(pairs)]
    low = [finding("separation", ("a", "b"), 0.1), finding("separation", ("b", "c"), -0.1)]
    made = Report("dev", 9, [], health=[*gaps, finding("repeats", ("a",), 0.0, ok=True), *low])
    assert made.remarks() == [
        "advice on a and g (likewise a and f; a and e; a and d and 2 more)",
        "advice on b and c (likewise a and b)",
    ]
    (said,) = highlights(made)
    assert "Of 9 health checks some ask for attention: centroid gap (6), separation (2)" in said
    shown = Page(page(made))
    assert "8 of 9 checks ask for attention" in shown.text and "and 5 more" in shown.text
    assert shown.text.count("advice on a and g") == 2  # among the worst, and in the list of all


def test_a_figure_that_no_draw_changes_is_given_no_interval(whole):
    entry = replace(whole.find("b", "c", unit="value"), ci={"hit@1": (0.0, 0.0)}, metrics={"hit@1": 0.0, "mrr": 0.1})
    told = " ".join(highlights(Report("dev", 3, [entry])))
    assert "for 0.0 % of" in told and "to 0.0" not in told
    assert "between" not in about(entry)


def test_headlines(whole):
    chosen = {(e.direction.query, e.direction.target): e.direction.unit for e in singles(whole.directions)}
    assert chosen[("a",), ("b",)] == "value" and chosen[("kind",), ("b",)] == "label" and len(chosen) == 12
    assert {e.direction.unit for e in singles(whole.directions, "item") if e.direction.query == ("a",)} == {"item"}
    assert all(
        set(e.direction.query) == {"a", "b", "c", "kind"} - set(e.direction.target) for e in largest(whole.directions)
    )


def test_hubness_is_said_of_single_directions(whole):
    entry = whole.find("b", "c", unit="value")
    assert f"{entry.hubness:.1f}" in Page(page(whole)).text and whole.find(("a", "b"), "c").hubness is None


def test_an_empty_report_is_a_page():
    shown = Page(page(Report("dev", 0, [])))
    assert "What the words mean" in shown.text and not shown.all("script")


def test_a_report_of_a_thousand_items_stays_small():
    picture = b"\x89PNG" + bytes(12_000)
    embeddings = random_embeddings(items=60, modalities=("a", "b", "c", "d"))
    text = page(report(embeddings, Names(show=lambda m, row: Shown("x" * 300, picture)), bootstrap=5))
    assert len(text) < 3_000_000


def test_markup():
    assert tag("p", "<&>", Markup("<b>x</b>"), ["a", tag("i", '"')]) == "<p>&lt;&amp;&gt;<b>x</b>a<i>&quot;</i></p>"
    assert (
        tag("td", class_="x", data_leak=True, title='"', hidden=False, id=None)
        == '<td class="x" data-leak title="&quot;"></td>'
    )
    assert tag("br") == "<br/>" and joined() == "" and tag("meta", name="x") == '<meta name="x"/>'
