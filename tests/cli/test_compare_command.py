"""`manymodal compare`: seeds averaged, two settings beside each other, and what is refused."""

import json

import pytest
from PIL import Image

from samples import run
from saved_reports import DIRECTIONS, draw_ranks, write_report


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """Three trainings of a plain setting, then three of a better one."""
    folder = tmp_path_factory.mktemp("reports")
    settings = (("plain", 10, 0.0), ("better", 20, 0.25))
    return [
        write_report(
            folder / f"{name}_{seed}", draw_ranks(first + seed, better), seed=seed, space=f"{name}{seed}", leak=(1,)
        )
        for name, first, better in settings
        for seed in (1, 2, 3)
    ]


def against(reports):
    return [word for report in reports for word in ("--against", report)]


def test_seeds_are_averaged(reports, tmp_path):
    ran = run("compare", *reports[:3], "--out", tmp_path / "out")
    assert ran.code == 0 and "compare.json and" in ran.err and "fewer" not in ran.err
    assert "hit@1 in %, test split, 120 items, 3 trainings" in ran.out
    for words in ("photo->text (value)", "text->photo (value) *", "raw", "calibrated", "nnn", "±"):
        assert words in ran.out
    content = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert [one["seed"] for one in content["reports"]] == [1, 2, 3] and len(content["directions"]) == 4
    figure = content["directions"][0]["figures"]["raw"]["hit@1"]
    assert f"{100 * figure['mean']:.1f} ± {100 * figure['sd']:.1f}" in ran.out and figure["seeds"] == 3
    with Image.open(tmp_path / "out" / "compare.png") as picture:
        assert picture.format == "PNG" and min(picture.size) > 150


def test_another_metric_and_one_training(reports):
    ran = run("compare", reports[0], "--metric", "median_rank")
    assert ran.code == 0 and "median_rank, test split" in ran.out and "±" not in ran.out
    ran = run("compare", reports[0], "--metric", "ndcg")
    assert ran.code == 1 and "metric 'ndcg' was not measured; allowed are hit@1, hit@5, mrr, median_rank" in ran.err


def test_two_settings_beside_each_other(reports, tmp_path):
    ran = run("compare", *reports[3:], *against(reports[:3]), "--out", tmp_path)
    assert ran.code == 0 and "fewer" not in ran.err
    lines = {line.split(" (")[0].strip(): line for line in ran.out.splitlines()}
    assert "▲" in lines["photo->text"] and "<0.001" in lines["text->photo"] and "▼" not in lines["kind->photo"]
    assert "over items and trainings; p adjusted for 4 directions (Holm)" in " ".join(ran.out.split())
    content = json.loads((tmp_path / "compare.json").read_text())
    row = content["directions"][0]
    assert row["significant"] and row["difference"]["mean"] == pytest.approx(row["means"][0] - row["means"][1])
    assert f"{100 * row['difference']['mean']:+.1f}" in lines["photo->text"]
    assert [one["space"] for one in content["against"]] == ["plain1", "plain2", "plain3"]
    assert (tmp_path / "compare.png").stat().st_size > 1000
    turned = run("compare", *reports[:3], *against(reports[3:])).out
    assert "▼" in next(line for line in turned.splitlines() if line.strip().startswith("photo->text"))


def test_calibrated_figures(reports):
    words = ("compare", *reports[3:], *against(reports[:3]))
    plain, weighted = (
        {x.split(" (")[0].strip(): x for x in run(*words, *more).out.splitlines()} for more in ([], ["--calibrated"])
    )
    assert plain["sound+text->photo"] != weighted["sound+text->photo"]


def test_fewer_than_three_seeds_are_said(reports):
    ran = run("compare", *reports[3:], *against(reports[:2]))
    assert ran.code == 0 and "fewer than three seeds: a difference between trainings is not shown" in ran.err
    ran = run("compare", reports[3], *against(reports[:1]))
    assert "over items; p adjusted" in " ".join(ran.out.split())


def test_left_out_and_unshared_are_said(reports, tmp_path):
    some = {place: rows[:60] for place, rows in draw_ranks(7).items() if place < 2}
    fewer = write_report(tmp_path / "fewer", some, directions=DIRECTIONS[:2], seed=9)
    ran = run("compare", *reports[:3], *against([fewer]))
    assert ran.code == 0 and "2 directions left out, not in every report:" in ran.err
    assert "  kind->photo (label)" in ran.err and "2 directions with items that one side alone scored" in ran.err


def test_mistakes_are_refused_in_a_line(reports, tmp_path):
    (tmp_path / "empty").mkdir()
    ran = run("compare", tmp_path / "empty")
    assert ran.code == 1 and "has no report.json: not a folder of a report" in ran.err and not ran.out
    ran = run("compare", reports[0], reports[0])
    assert ran.code == 1 and "are of one folder" in ran.err
    ran = run("compare", *reports[:2], *against([reports[4], reports[1]]))
    assert ran.code == 1 and f"{reports[1]} is on both sides" in ran.err
    ran = run("compare", reports[0], "--calibrated")
    assert ran.code == 1 and "--calibrated is for --against" in ran.err
    ran = run("compare", reports[0], *against(reports[3:4]), "--metric", "map")
    assert ran.code == 1 and '"mrr" and "hit@K"' in ran.err and len(ran.err.splitlines()) <= 3
