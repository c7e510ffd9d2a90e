import pytest
import torch
from torch.nn.functional import normalize

from cases import random_embeddings
from manymodal.embeddings import Embeddings
from manymodal.evaluation.evaluate import evaluate
from manymodal.evaluation.examples import SHOWN, find_examples
from manymodal.evaluation.names import Names, Shown


def told(modality, row):
    """What a value looks like: its modality and its row."""
    return Shown(f"{modality} {row}")


def seen(embeddings, items=True):
    return Names({i: f"item {i}" for i in range(1000)} if items else {}, ["red", "green", "blue"], told)


def found(embeddings, asked=None, names=None, **options):
    entries = evaluate(embeddings, directions=asked)
    return find_examples(embeddings, entries, names or seen(embeddings), **options)


def plane(angles, items):
    """Vectors of the plane at these angles."""
    angles = torch.tensor(angles, dtype=torch.float64)
    return torch.stack([angles.cos(), angles.sin()], dim=1), torch.tensor(items)


def laid_out(a, b):
    """Embeddings of two modalities from {name: (angles, items)}."""
    (va, ia), (vb, ib) = plane(*a), plane(*b)
    return Embeddings({"a": va, "b": vb}, {"a": ia, "b": ib})


def test_best_by_margin_and_worst_by_rank():
    # Item 0 meets its match with nothing near, items 1 and 2 with each other's beside it; item 3 finds two others first.
    embeddings = laid_out(([0.0, 1.5, 1.7, 3.0], [0, 1, 2, 3]), ([0.0, 1.5, 1.65, -0.4], [0, 1, 2, 3]))
    best, second, worst = found(embeddings, ["a->b"], per_direction=2)
    assert (best.kind, best.owner, best.first, best.gallery) == ("best", "item 0", 1, 4)
    assert (second.kind, second.owner) == ("best", "item 2")  # by 0.019; item 1 by 0.011
    assert (worst.kind, worst.owner, worst.first) == ("worst", "item 3", 3)
    assert [hit.owner for hit in best.hits] == ["item 0", "item 3", "item 1", "item 2"]
    assert best.hits[0].score == pytest.approx(1) and best.hits[0].match and not best.hits[1].match
    assert worst.hits[2].match and worst.found is None  # all four are shown, its own among them
    assert worst.query == (("a", (Shown("a 3"),)),) and worst.hits[0].values == (("b", (Shown("b 2"),)),)


def test_agrees_with_plain_loops():
    embeddings = random_embeddings(items=30, missing=0.1)
    (entry,) = [e for e in evaluate(embeddings, directions=["b->c"]) if e.direction.unit == "value"]
    margins, ranks = {}, {}
    for row, (q, item) in enumerate(zip(embeddings.vectors["b"], embeddings.items["b"].tolist(), strict=True)):
        own = [
            float(q @ g)
            for g, i in zip(embeddings.vectors["c"], embeddings.items["c"].tolist(), strict=True)
            if i == item
        ]
        rest = [
            float(q @ g)
            for g, i in zip(embeddings.vectors["c"], embeddings.items["c"].tolist(), strict=True)
            if i != item
        ]
        if own:
            ranks[row] = 1 + sum(score >= max(own) for score in rest)
            margins[row] = max(own) - max(rest)
    shown = find_examples(embeddings, [entry], seen(embeddings), per_direction=1)
    best, worst = shown
    assert best.query[0][1] == (Shown(f"b {max(margins, key=margins.get)}"),)
    assert best.first == 1 and worst.first == max(ranks.values())
    assert worst.query[0][1] == (Shown(f"b {max(ranks, key=lambda row: (ranks[row], -embeddings.items['b'][row]))}"),)
    assert worst.found is not None and worst.found.match and not any(hit.match for hit in worst.hits)
    assert len(worst.hits) == SHOWN


def test_the_order_of_rows_and_modalities_decides_nothing():
    embeddings = random_embeddings(items=25, labels=3, label_modality=True)
    order = {m: torch.randperm(len(v)) for m, v in embeddings.vectors.items()}
    names = sorted(embeddings.vectors, reverse=True)
    shuffled = Embeddings(
        *({m: of[m][order[m]] for m in names} for of in (embeddings.vectors, embeddings.items, embeddings.labels))
    )

    def plain(some):
        return [
            (e.direction, e.kind, e.owner, e.first, [(h.owner, round(h.score, 5), h.match) for h in e.hits])
            for e in some
        ]

    ids_only = Names({100 + i: f"item {i}" for i in range(25)}, ["red", "green", "blue"])
    assert plain(found(embeddings, names=ids_only)) == plain(found(shuffled, names=ids_only))


def test_a_few_directions_single_and_combined_without_leaks():
    embeddings = random_embeddings(items=20)
    entries = evaluate(embeddings, same_source=[("a", "b")])
    shown = find_examples(embeddings, entries, seen(embeddings), directions=3)
    asked = list(dict.fromkeys(example.direction for example in shown))
    assert (
        len(asked) == 3
        and [len(d.query) for d in asked] == [1, 1, 2]
        and [d.unit for d in asked] == ["value", "value", "item"]
    )
    assert all({*d.query, *d.target} != {"a", "b"} for d in asked)
    alone = {e.direction: e["hit@1"] for e in entries if e.direction.unit == "value" and not e.leak}
    assert alone[asked[0]] == max(alone.values()) and alone[asked[1]] == min(alone.values())
    every = find_examples(embeddings, entries, seen(embeddings), directions=20)
    assert len({example.direction for example in every}) == 5  # of six single ones two leak; and one combined
    leaks = [entry for entry in entries if entry.leak]
    assert find_examples(embeddings, leaks, seen(embeddings))  # better than none


def test_no_owner_is_shown_twice_in_a_direction():
    embeddings = random_embeddings(items=15, missing=0)
    shown = found(embeddings, ["b->a"], per_direction=15)
    for direction in {example.direction for example in shown}:
        for kind in ("best", "worst"):
            owners = [example.owner for example in shown if example.direction == direction and example.kind == kind]
            assert len(set(owners)) == len(owners)


def test_an_items_values_and_those_of_its_label_are_shown():
    vectors = {m: normalize(torch.randn(n, 4), dim=1) for m, n in {"photo": 3, "text": 8, "kind": 2}.items()}
    items = {"photo": torch.arange(3), "text": torch.tensor([0] * 7 + [1]), "kind": torch.tensor([-1, -1])}
    labels = {"photo": torch.tensor([0, 1, 1]), "text": torch.tensor([0] * 7 + [1]), "kind": torch.tensor([1, 0])}
    embeddings = Embeddings(vectors, items, labels)
    shown = found(embeddings, ["kind+text->photo"], per_direction=5)
    (of_first,) = [example for example in shown if example.owner == "item 0"]
    assert of_first.query == (("kind", (Shown("kind 1"),)), ("text", tuple(Shown(f"text {k}") for k in range(SHOWN))))
    of_label = found(embeddings, ["kind->photo"], per_direction=5)
    assert {example.owner for example in of_label} <= {"red", "green"} and all(e.match == "label" for e in of_label)
    (red,) = [example for example in of_label if example.owner == "red"]
    assert red.query == (("kind", (Shown("kind 1"),)),)
    composed = found(embeddings, ["photo->kind+text"], per_direction=5)
    (hit,) = [hit for hit in composed[0].hits if hit.owner == "item 1"]
    assert hit.values == (("kind", (Shown("kind 0"),)), ("text", (Shown("text 7"),)))


def test_without_anything_to_look_at_there_are_ids():
    (example, *_) = found(random_embeddings(), ["a->b"], names=Names())
    assert example.query == () and example.hits[0].values == () and example.owner.startswith("10")


def test_what_was_not_scored_has_no_examples():
    embeddings = random_embeddings(absent=True)
    assert found(embeddings, ["nobody->a", "a->nobody"]) == []
    assert find_examples(embeddings, [], Names()) == []
