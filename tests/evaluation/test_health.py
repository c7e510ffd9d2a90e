import json

import pytest
import torch
from torch.nn.functional import normalize

from cases import random_embeddings
from manymodal.embeddings import Embeddings
from manymodal.errors import ManymodalError
from manymodal.evaluation.checks import CHECKS
from manymodal.evaluation.health import Finding, health
from oracles import oracle_effective_dimension, oracle_gaps, oracle_matches, oracle_separation, oracle_uniformity

ITEMS, DIM = 300, 32
SHIFT = normalize(torch.randn(1, DIM, generator=torch.Generator().manual_seed(5)), dim=1)


def trained(**changes):
    """Three modalities of 300 items that agree with noise; `changes` turn (vectors, items) of one into others."""
    truth = normalize(torch.randn(ITEMS, DIM), dim=1)
    rows = {"photo": torch.arange(ITEMS), "sound": torch.arange(0, ITEMS, 2)}
    rows["text"] = torch.arange(ITEMS).repeat_interleave(3)
    sides = {m: (normalize(truth[i] + 0.15 * torch.randn(len(i), DIM), dim=1), i) for m, i in rows.items()}
    sides |= {m: change(*sides[m]) for m, change in changes.items()}
    return Embeddings.normalized({m: v for m, (v, _) in sides.items()}, {m: i for m, (_, i) in sides.items()})


def fired(found):
    return {(f.name, *f.about) for f in found if not f.ok}


def by_key(found):
    return {(f.name, *f.about): f for f in found}


PAIRS_OF_PHOTO = [("photo", "sound"), ("photo", "text")]
AT_CHANCE = {("above_chance", "photo"), *(("separation", *pair) for pair in PAIRS_OF_PHOTO)}
FAR = {("centroid_gap", *pair) for pair in PAIRS_OF_PHOTO}
APART = {("distribution_gap", *pair) for pair in PAIRS_OF_PHOTO}


def shuffled(v, i):
    return v, i[torch.randperm(len(i))]


def shifted(v, i):
    return normalize(v + 2 * SHIFT, dim=1), i


def collapsed(v, i):
    return normalize(SHIFT + 0.005 * torch.randn(v.shape), dim=1), i


def placeholders(v, i):
    return torch.where((torch.arange(len(v)) % 5 == 0)[:, None], SHIFT, v), i


def on_a_line(v, i):
    return v[:, :1].sign() * SHIFT + 0.01 * torch.randn(v.shape), i


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (None, set()),
        (shuffled, AT_CHANCE),
        (shifted, {("common_component", "photo"), *FAR}),
        (collapsed, {("common_component", "photo"), ("uniformity", "photo"), *AT_CHANCE, *FAR, *APART}),
        (placeholders, {("repeats", "photo")}),
    ],
)
def test_what_is_broken_is_found_and_nothing_else(change, wanted):
    found = health(trained(photo=change) if change else trained())
    assert fired(found) == wanted
    assert all(f.value is not None and f.normal for f in found)
    assert all(bool(f.advice) != f.ok for f in found)


def test_few_directions_are_found():
    assert ("effective_dimension", "photo") in fired(health(trained(photo=on_a_line)))
    assert ("uniformity", "photo") not in fired(health(trained(photo=on_a_line)))  # two points far apart


def test_an_untrained_space_is_dead_throughout():
    random = {m: (lambda v, i: (torch.randn(v.shape), i)) for m in ("photo", "sound", "text")}
    names = {name for name, *_ in fired(health(trained(**random)))}
    assert names == {"above_chance", "separation"}


def test_one_good_pair_keeps_a_modality_alive():
    found = health(trained(photo=shuffled))
    assert by_key(found)["above_chance", "text"].value == by_key(found)["separation", "sound", "text"].value
    advice = by_key(found)["above_chance", "photo"].advice
    assert advice.startswith("photo is dead") and "ids" in advice


def test_figures_agree_with_the_plain_loops():
    embeddings = random_embeddings(items=14, labels=4, label_modality=True)
    found = by_key(health(embeddings))
    for m, v in embeddings.vectors.items():
        assert found["uniformity", m].value == pytest.approx(oracle_uniformity(v.numpy()), abs=1e-9)
        assert found["effective_dimension", m].value == pytest.approx(oracle_effective_dimension(v.numpy()), abs=1e-8)
        assert found["common_component", m].value == pytest.approx(float(v.mean(0).norm()))
    means = torch.stack([v.mean(0) for v in embeddings.vectors.values()])
    assert found["common_component", *embeddings.modalities].value == pytest.approx(float(means.mean(0).norm()))
    for a, b in (("a", "c"), ("b", "kind")):
        x, y = (embeddings.vectors[m].numpy() for m in (a, b))
        centroids, share = oracle_gaps(x, y)
        assert found["centroid_gap", a, b].value == pytest.approx(centroids)
        assert found["distribution_gap", a, b].value == pytest.approx(share, abs=1e-6)
        (mean, _), (_, sd), d_prime = oracle_separation(x, y, oracle_matches(embeddings, a, b))
        separation = found["separation", a, b]
        assert separation.value == pytest.approx(d_prime)
        assert separation.also["matches"] == pytest.approx(mean) and separation.also["others_sd"] == pytest.approx(sd)
    by_label = by_key(health(embeddings, match="label"))["separation", "a", "c"]
    x, y = (embeddings.vectors[m].numpy() for m in "ac")
    assert by_label.value == pytest.approx(oracle_separation(x, y, oracle_matches(embeddings, "a", "c", "label"))[2])


def values(found):
    return {key: pytest.approx(f.value, abs=1e-9) for key, f in by_key(found).items()}


def test_the_order_of_rows_and_modalities_changes_nothing():
    e = trained()
    order = {m: torch.randperm(len(v)) for m, v in e.vectors.items()}
    names = ["text", "sound", "photo"]
    other = Embeddings({m: e.vectors[m][order[m]] for m in names}, {m: e.items[m][order[m]] for m in names})
    for rows in (2000, 100):
        assert values(health(other, max_rows=rows)) == {k: f.value for k, f in by_key(health(e, max_rows=rows)).items()}


def test_a_draw_keeps_items_whole_and_matches_together():
    e = trained()
    found = by_key(health(e, max_rows=90, seed=1))
    assert found["separation", "photo", "text"].also["matched"] == 30  # the 30 items whose 90 texts were drawn
    assert found["separation", "photo", "text"].value == pytest.approx(
        by_key(health(e))["separation", "photo", "text"].value, rel=0.2
    )
    again, other = (by_key(health(e, max_rows=90, seed=seed))["uniformity", "text"].value for seed in (1, 2))
    assert again == found["uniformity", "text"].value != other
    assert by_key(health(e, max_rows=2))["uniformity", "text"].value is not None  # the first item, whole


def test_what_is_undefined_is_said():
    e = random_embeddings(items=6, absent=True)
    e = Embeddings({**e.vectors, "one": e.vectors["a"][:1]}, {**e.items, "one": e.items["a"][:1]})
    found = by_key(health(e))
    for name in ("common_component", "uniformity", "effective_dimension", "repeats"):
        assert found[name, "nobody"].value is None and "nobody has 0 values" in found[name, "nobody"].normal
        assert "one has 1 value, at least 2" in found[name, "one"].normal
    assert "no value of nobody has a match" in found["above_chance", "nobody"].normal
    assert "no values match" in found["separation", "a", "nobody"].normal
    assert "nobody has 0 values" in found["distribution_gap", "a", "nobody"].normal
    assert found["common_component", "a", "b", "c", "nobody", "one"].value is not None
    assert all(f.ok and not f.advice for f in found.values() if f.value is None)
    alone = by_key(health(trained().only("photo")))
    assert alone["above_chance", "photo"].value is None and alone["uniformity", "photo"].value is not None
    nothing = health(Embeddings({"x": torch.zeros(0, 4)}, {"x": torch.zeros(0, dtype=torch.int64)}))
    assert all(f.value is None for f in nothing)


def test_the_very_same_vectors_have_no_dimension():
    found = by_key(health(trained(photo=lambda v, i: (SHIFT.expand(v.shape), i))))
    assert found["effective_dimension", "photo"].value is None
    assert "all vectors of photo are the same" in found["effective_dimension", "photo"].normal
    assert not found["uniformity", "photo"].ok and not found["repeats", "photo"].ok


def test_few_items_are_measured_and_not_judged():
    e = trained(photo=shuffled, sound=collapsed).of_items(torch.arange(4))
    found = health(e)
    assert not fired(found)
    few = by_key(found)["uniformity", "sound"]
    assert few.value > CHECKS["uniformity"].limit and few.normal.endswith("not judged with fewer than 5 items")


def random_vectors(d=256, **counts):
    """So many random vectors of items 0, 1, ... in each modality."""
    return Embeddings.normalized(
        {m: torch.randn(n, d) for m, n in counts.items()}, {m: torch.arange(n) for m, n in counts.items()}
    )


def test_a_gap_that_random_halves_show_as_well_is_none():
    gap = by_key(health(random_vectors(1024, few=20, many=ITEMS)))["distribution_gap", "few", "many"]
    assert gap.value > CHECKS["distribution_gap"].limit and gap.also["reference"] > gap.value and gap.ok
    gap = by_key(health(random_vectors(one=2000, other=2000)))["distribution_gap", "one", "other"]
    assert 0 < gap.value < gap.also["reference"] < 0.2  # halves are fewer


def test_few_matches_can_be_alike_by_accident():
    a, b = (torch.randn(16, 256) for _ in range(2))
    ids = dict.fromkeys("ab", torch.arange(16))
    sides = [Embeddings.normalized({"a": a + share * b, "b": b}, ids) for share in (0, 0.01, 0.02, 0.03, 0.04)]
    found = [by_key(health(e))["separation", "a", "b"] for e in sides]
    assert found[0].also["noise"] == pytest.approx(0.75)
    between = [f for f in found if CHECKS["separation"].limit < f.value < 0.75]
    assert between and not any(f.ok for f in between)


def test_a_few_good_matches_do_not_bring_a_modality_to_life():
    e = trained(photo=shuffled)
    few = Embeddings({**e.vectors, "few": e.vectors["photo"][:3]}, {**e.items, "few": e.items["photo"][:3]})
    found = by_key(health(few))
    assert found["separation", "few", "photo"].value > 2 and not found["above_chance", "photo"].ok


def test_few_labels_are_judged_by_their_number():
    e = random_vectors(photo=ITEMS)
    labels = torch.arange(ITEMS) % 25
    e = Embeddings.normalized(
        {**e.vectors, "kind": torch.randn(25, 256)},
        {**e.items, "kind": torch.full((25,), -1)},
        {"photo": labels, "kind": torch.arange(25)},
    )
    found = health(e)
    assert by_key(found)["separation", "kind", "photo"].also["noise"] == pytest.approx(3 / 5)
    assert fired(found) == {("above_chance", "kind"), ("above_chance", "photo"), ("separation", "kind", "photo")}


def test_losses_against_their_chance_level():
    e = trained(photo=shuffled)
    loss = {("text", "photo"): 2.1, ("sound", "text"): 2.2, ("photo", "sound"): 1.0}
    chance = {("photo", "text"): 2.0, ("sound", "text"): 2.0}
    found = by_key(health(e, loss=loss, chance=chance))
    assert found["loss", "photo", "text"].value == pytest.approx(1.05) and not found["loss", "photo", "text"].ok
    assert found["loss", "sound", "text"].value == pytest.approx(1.1) and found["loss", "sound", "text"].ok
    assert found["loss", "photo", "sound"].value is None and "no chance level" in found["loss", "photo", "sound"].normal
    over = by_key(health(e, loss={("sound", "text"): 2.6}, chance=chance))
    assert not over["loss", "sound", "text"].ok and over["loss", "photo", "text"].value is None
    assert not [f for f in health(e) if f.name == "loss"]


def test_findings_are_json_in_a_stable_order():
    found = health(trained())
    assert json.loads(json.dumps([f.to_dict() for f in found], allow_nan=False))[1]["about"] == ["photo"]
    assert [f.name for f in found if f.about == ("photo", "text")] == ["separation", "distribution_gap", "centroid_gap"]
    assert {f.name for f in found} | {"loss"} == set(CHECKS)
    assert Finding("repeats", ("a",), None, True, "n", "").to_dict() == {
        "name": "repeats", "about": ["a"], "value": None, "ok": True, "normal": "n", "advice": "", "also": {}
    }  # fmt: skip


def test_names_may_hold_braces_and_progress_is_told():
    e, seen = trained(photo=collapsed), []
    e = Embeddings({f"{{{m}}}": v for m, v in e.vectors.items()}, {f"{{{m}}}": i for m, i in e.items.items()})
    assert by_key(health(e, progress=lambda done, of: seen.append((done, of))))[
        "uniformity", "{photo}"
    ].advice.startswith("{photo} has collapsed")
    assert seen == [(done, 6) for done in range(1, 7)]


def test_mistakes_are_refused_in_words():
    e = trained()
    with pytest.raises(ManymodalError, match="max_rows=1"):
        health(e, max_rows=1)
    with pytest.raises(ManymodalError, match="match='kind'"):
        health(e, match="kind")
    with pytest.raises(ManymodalError, match="no modality 'nose'"):
        health(e, loss={("nose", "text"): 1.0})
    with pytest.raises(ManymodalError, match="chance of .* is nan"):
        health(e, loss={}, chance={("photo", "text"): float("nan")})
    with pytest.raises(ManymodalError, match="no labels"):
        health(e, match="label")
