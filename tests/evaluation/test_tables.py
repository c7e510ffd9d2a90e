import csv
import io
import re

import pytest

from cases import random_embeddings
from manymodal.calibration import Calibration
from manymodal.evaluation.evaluate import evaluate
from manymodal.evaluation.gains import gains
from manymodal.evaluation.report import Report
from manymodal.evaluation.tables import directions_csv, escape, gains_csv, latex

WEIGHTS = Calibration({m: {"a": 1.0, "b": 0.5, "c": 2.0} for m in "abc"}, "test", 9)


def report(embeddings=None, **options):
    embeddings = embeddings or random_embeddings(items=20)
    entries = evaluate(embeddings, **options)
    return Report("test_split", 20, entries, seed=3, gains=gains(entries, bootstrap=options.get("bootstrap")))


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def number(text):
    return None if text == "" else float(text)


def test_a_row_a_direction_with_all_figures():
    made = report(
        bootstrap=20, calibration=WEIGHTS, correct=["nnn"], bank=random_embeddings(), same_source=[("a", "b")]
    )
    lines = rows(directions_csv(made))
    assert len(lines) == len(made.directions)
    for line, entry in zip(lines, made.directions, strict=True):
        assert (line["query"], line["target"]) == ("+".join(entry.direction.query), "+".join(entry.direction.target))
        assert (line["unit"], line["match"]) == (entry.direction.unit, entry.match)
        counts = [int(line[name]) for name in ("queries", "skipped part", "skipped match", "gallery", "leak")]
        assert counts == [entry.queries, entry.skipped["part"], entry.skipped["match"], entry.gallery, entry.leak]
        assert {name: number(line[name]) for name in entry.metrics} == pytest.approx(entry.metrics)
        assert number(line["hubness"]) == entry.hubness
        assert (number(line["hit@5 low"]), number(line["hit@5 high"])) == entry.ci["hit@5"]
        assert number(line["nnn map"]) == entry.corrected["nnn"]["map"]
        assert number(line["calibrated hit@1"]) == (entry.calibrated and entry.calibrated["hit@1"])


def test_what_is_undefined_is_empty():
    lines = rows(directions_csv(report(random_embeddings(absent=True), bootstrap=10)))
    (line,) = [one for one in lines if (one["query"], one["target"], one["unit"]) == ("nobody", "a", "value")]
    assert line["queries"] == "0" and line["hit@1"] == "" and line["hit@1 low"] == ""


def test_a_row_a_gain():
    made = report(bootstrap=20, calibration=WEIGHTS)
    lines = rows(gains_csv(made))
    assert len(lines) == len(made.gains) > 0
    for line, gain in zip(lines, made.gains, strict=True):
        assert (line["query"], line["added"], line["target"]) == (
            "+".join(gain.query),
            gain.added,
            "+".join(gain.target),
        )
        assert [number(line[name]) for name in ("without", "with", "gain")] == [*gain.hit, gain.gain]
        assert [number(line[name]) for name in ("low", "high", "p")] == [*gain.ci, gain.p]
        assert number(line["calibrated with"]) == gain.calibrated.hit[1]
    plain = rows(gains_csv(report()))
    assert plain[0]["low"] == plain[0]["p"] == "" and "calibrated with" not in plain[0]


def test_without_gains_there_is_still_a_header():
    assert rows(gains_csv(Report("dev", 0, []))) == [] and gains_csv(Report("dev", 0, [])).startswith("query,added")


def test_names_are_quoted():
    names = ('co,mma "quoted"', "line\nbreak", "c")
    lines = rows(directions_csv(report(random_embeddings(modalities=names))))
    assert {name for line in lines for name in line["query"].split("+")} == set(names)


def unescaped(text, sign):
    return re.findall(rf"(?<!\\){re.escape(sign)}", text)


def test_latex_has_every_single_direction_and_the_largest_queries():
    made = report(random_embeddings(items=20, modalities=("a", "b", "c", "d")), same_source=[("a", "b")])
    text = latex(made)
    lines = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert lines[0] == r"query & target & unit & queries & gallery & hit@1 & hit@5 & hit@10 & median rank \\"
    assert len(lines) == 1 + 12 + 4 and all(line.count("&") == 8 for line in lines)
    entry = made.find("c", "d", unit="value")
    figures = " & ".join(f"{100 * entry[f'hit@{k}']:.1f}" for k in (1, 5, 10))
    assert rf"c & d & value & {entry.queries} & {entry.gallery} & {figures} & {entry['median_rank']:g} \\" in lines
    assert any(line.startswith("a + b + c & d & item") for line in lines)
    assert r"a\textsuperscript{*} & b & value" in text and "One side was made from the other" in text
    assert r"test\_split" in text and "20 items, seed 3" in text and "value: one value is a query" in text
    assert "made from the other" not in latex(report())


def test_latex_of_names_with_signs_is_balanced():
    names = (r"100%_{\evil}", "a&b$#~^", '<"|>')
    text = latex(report(random_embeddings(modalities=names)))
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    bare = body.replace(r"\{", "").replace(r"\}", "")
    assert bare.count("{") == bare.count("}")
    assert (
        not unescaped(body, "%") and not unescaped(body, "$") and not unescaped(body, "#") and not unescaped(body, "_")
    )
    assert r"\evil" not in body and r"\textbackslash{}evil" in body
    assert body.count(r"\begin{table}") == body.count(r"\end{table}") == 1


def test_escape():
    assert escape("50% of a_b & {c}") == r"50\% of a\_b \& \{c\}"
    assert escape("\\~^\n x") == r"\textbackslash{}\textasciitilde{}\textasciicircum{} x"


def test_latex_of_nothing_is_a_table():
    assert r"\bottomrule" in latex(Report("dev", 0, []))
    undefined = latex(report(random_embeddings(absent=True)))
    assert " & -- & -- & -- & --" in undefined
