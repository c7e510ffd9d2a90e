import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from manymodal.compose import Rows
from manymodal.errors import ManymodalError
from manymodal.evaluation.graded import Relevance, graded, read_relevance
from manymodal.evaluation.metrics import per_query, summary
from manymodal.ranks import ranks
from oracles import oracle_graded

K = (1, 3, 10)


def rows(vectors, items):
    return Rows(vectors, torch.as_tensor(items), None)


def tied(n, kinds=5):
    """Unit vectors whose products are multiples of 1/64, few of them different."""
    signs = torch.randint(0, 2, (kinds, 64)).float() * 2 - 1
    return signs[torch.randint(kinds, (n,))] / 8


def judged(queries, items, share=0.4):
    """Gains 0 to 3 of some of the pairs of items."""
    pairs = torch.cartesian_prod(torch.arange(queries), torch.arange(items))
    pairs = pairs[torch.rand(len(pairs)) < share]
    return Relevance(pairs[:, 0], pairs[:, 1], torch.randint(0, 4, (len(pairs),)).float())


def table(relevance, queries, gallery):
    """Gain of every query row and gallery row, as nested lists."""
    gain = {
        (q, t): g
        for q, t, g in zip(relevance.queries.tolist(), relevance.gallery.tolist(), relevance.gain.tolist(), strict=True)
    }
    return [[gain.get((q, t), 0) for t in gallery.items.tolist()] for q in queries.items.tolist()]


@pytest.mark.parametrize("gains", ["linear", "exponential"])
@pytest.mark.parametrize("block", [1, 60, 2**22])
def test_agree_with_the_plain_loop_where_scores_tie(gains, block):
    queries = rows(tied(14), torch.randint(9, (14,)))
    gallery = rows(tied(30), torch.randint(-1, 12, (30,)).clamp(min=0))
    relevance = judged(8, 15)  # item 8 asks with no judgement; items 12 to 14 have no row
    found = graded(queries, gallery, relevance, K, gains, block)
    scores = (queries.vectors.double() @ gallery.vectors.double().T).tolist()
    gain = table(relevance, queries, gallery)
    assert found.rows.tolist() == [i for i in range(14) if any(gain[i])]
    for at, i in enumerate(found.rows.tolist()):
        twin = oracle_graded(scores[i], gain[i], K, gains == "exponential")
        assert {name: float(value[at]) for name, value in found.values.items()} == pytest.approx(twin, abs=1e-12), i


def test_agree_with_trec_eval_where_nothing_ties():
    pytrec_eval = pytest.importorskip("pytrec_eval")
    queries, gallery = rows(torch.randn(25, 16), torch.arange(25)), rows(torch.randn(60, 16), torch.arange(60))
    relevance = judged(25, 60, share=0.2)
    gain = table(relevance, queries, gallery)
    truth = {str(i): {str(j): int(g) for j, g in enumerate(row)} for i, row in enumerate(gain)}
    scores = queries.vectors @ gallery.vectors.T
    run = {str(i): {str(j): float(s) for j, s in enumerate(row)} for i, row in enumerate(scores)}
    measures = {"ndcg", "ndcg_cut.1,3,10", "P.1,3,10", "success.1,3,10"}
    theirs = pytrec_eval.RelevanceEvaluator(truth, measures).evaluate(run)
    ours = graded(queries, gallery, relevance, K)
    names = {"ndcg": "ndcg"} | {f"ndcg@{k}": f"ndcg_cut_{k}" for k in K}
    names |= {f"precision@{k}": f"P_{k}" for k in K} | {f"hit@{k}": f"success_{k}" for k in K}
    assert set(names) == set(ours.values)
    for name, other in names.items():
        expected = [theirs[str(i)][other] for i in ours.rows.tolist()]
        assert ours.values[name].tolist() == pytest.approx(expected, abs=1e-6), name


def test_one_gain_alone_is_the_same_as_matching():
    """Ties within the tolerance included: the last two rows are 5e-7 apart."""
    vectors = torch.cat([tied(40), torch.tensor([[0.5, 0.0], [0.5 - 5e-7, 0.0]]).repeat(1, 32) / 4])
    queries, gallery = rows(tied(12), torch.arange(12) % 6), rows(vectors, torch.arange(42) % 7)
    same = Relevance(torch.arange(6), torch.arange(6), torch.full((6,), 2.0))
    found = graded(queries, gallery, same, K).values
    binary = per_query(ranks(queries.vectors, gallery.vectors, queries.items, gallery.items), K)
    for name in [f"{metric}@{k}" for metric in ("ndcg", "hit") for k in K]:
        torch.testing.assert_close(found[name], binary[name])


def test_near_ties_stand_behind_lower_gains():
    query = rows(torch.tensor([[1.0, 0.0]]), [0])
    relevance = Relevance(torch.tensor([0, 0]), torch.tensor([1, 2]), torch.tensor([3.0, 1.0]))

    def ndcg(high, low, none):
        gallery = rows(torch.tensor([[high, 0.0], [low, 0.0], [none, 0.0]]), [1, 2, 3])
        return float(graded(query, gallery, relevance, (3,)).values["ndcg@3"])

    best = 3 + 1 / torch.log2(torch.tensor(3.0)).item()
    assert ndcg(0.5, 0.4, 0.3) == pytest.approx(1)
    assert ndcg(0.5, 0.5 - 2e-6, 0.3) == pytest.approx(1)
    assert ndcg(0.5, 0.5 - 5e-7, 0.3) == pytest.approx((1 + 3 / 1.5849625) / best)
    assert ndcg(0.5, 0.5, 0.5) == pytest.approx((3 / 2 + 1 / 1.5849625) / best)  # not relevant, low, high
    assert graded(query, rows(torch.eye(2)[:1], [1]), relevance).values["ndcg"].tolist() == [1]


def test_the_order_of_rows_and_judgements_says_nothing():
    queries, gallery, relevance = rows(tied(9), torch.arange(9)), rows(tied(20), torch.randint(8, (20,))), judged(9, 8)
    whole = graded(queries, gallery, relevance, K)
    by_row, by_pair = torch.randperm(20), torch.randperm(len(relevance.gain))
    shuffled = graded(
        queries,
        rows(gallery.vectors[by_row], gallery.items[by_row]),
        Relevance(*(side[by_pair] for side in (relevance.queries, relevance.gallery, relevance.gain))),
        K,
    )
    assert torch.equal(whole.rows, shuffled.rows)
    for name, values in whole.values.items():
        torch.testing.assert_close(values, shuffled.values[name])


def test_a_gain_of_zero_is_the_same_as_none():
    queries, gallery, relevance = rows(tied(9), torch.arange(9)), rows(tied(20), torch.arange(20)), judged(9, 20)
    some = relevance.gain > 0
    assert not some.all()
    without = Relevance(relevance.queries[some], relevance.gallery[some], relevance.gain[some])
    torch.testing.assert_close(graded(queries, gallery, relevance), graded(queries, gallery, without))


def test_nothing_relevant_has_no_figure():
    none = torch.zeros(0, dtype=torch.int64)
    for relevance in (Relevance(none, none, torch.zeros(0)), Relevance(none + 1, none, torch.zeros(0))):
        found = graded(rows(torch.eye(3), [0, 1, 2]), rows(torch.eye(3), [0, 1, 2]), relevance)
        assert len(found.rows) == 0 and set(summary(found.values).values()) == {None}
    assert len(graded(rows(torch.eye(3), [-1] * 3), rows(torch.eye(3), [0, 1, 2]), judged(3, 3, 1)).rows) == 0


def test_mistakes_are_refused_in_words():
    ids, gain = torch.arange(2), torch.ones(2)
    with pytest.raises(ManymodalError, match=r"gain are torch.float32 of shape \(1,\); needed: floats \(2,\)"):
        Relevance(ids, ids, gain[:1])
    with pytest.raises(ManymodalError, match=r"gallery are torch.int32 .* int64 \(2,\)"):
        Relevance(ids, ids.int(), gain)
    with pytest.raises(ManymodalError, match="row 1: gain -0.5"):
        Relevance(ids, ids, torch.tensor([1.0, -0.5]))
    with pytest.raises(ManymodalError, match="row 0: gain nan"):
        Relevance(ids, ids, torch.tensor([torch.nan, 1]))
    with pytest.raises(ManymodalError, match="item 4 to item 3 is listed twice"):
        Relevance(torch.tensor([3, 2, 3]), torch.tensor([4, 2, 4]), torch.ones(3))
    with pytest.raises(ManymodalError, match="an item is negative"):
        Relevance(ids - 1, ids, gain)
    some = rows(torch.eye(2), ids)
    with pytest.raises(ManymodalError, match="k=0"):
        graded(some, some, Relevance(ids, ids, gain), k=(0,))
    with pytest.raises(ManymodalError, match="gains='square'; allowed"):
        graded(some, some, Relevance(ids, ids, gain), gains="square")
    with pytest.raises(ManymodalError, match="gain 2000 is too high"):
        graded(some, some, Relevance(ids, ids, gain * 2000), gains="exponential")


IDS = {"007": 0, "a, b": 1, "ü": 2}


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_judgements_are_read(tmp_path, form):
    path = tmp_path / f"judged.{form}"
    if form == "csv":
        path.write_text('query,judge,gain,target\n007,x,2,"a, b"\nü,y,0.5,007\n7,x,1,ü\n', encoding="utf-8")
    else:
        columns = {"query": ["007", "ü", "7"], "judge": ["x"] * 3, "gain": [2, 0.5, 1], "target": ["a, b", "007", "ü"]}
        pq.write_table(pa.table(columns), path)
    found, notes = read_relevance(path, IDS)
    assert (found.queries.tolist(), found.gallery.tolist(), found.gain.tolist()) == ([0, 2], [1, 0], [2, 0.5])
    assert notes == [f"{path.name}: columns not read: judge", f"{path.name}: 1 row of 3 left out, ids not known"]


def test_ids_that_are_numbers_are_compared_as_texts(tmp_path):
    path = tmp_path / "judged.parquet"
    pq.write_table(pa.table({"query": [11, 12], "target": [12, 11], "gain": [1, 3]}), path)
    found, notes = read_relevance(path, {"11": 5, "12": 6})
    assert found.queries.tolist() == [5, 6] and found.gain.tolist() == [1, 3] and notes == []


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "query,gain\n007,1\n", "a.csv has no column target; needed are query, target, gain"),
        ("a.csv", "query,target,gain\n007,ü,\n", "row 0 has an empty cell"),
        ("a.csv", "query,target,gain\nx,y,1\n007,ü,-1\n", "a.csv row 1: gain -1.0"),
        ("a.csv", "query,target,gain\n007,ü,much\n", "cannot read a.csv"),
        ("a.csv", "query,target,gain\nx,y,1\n", "no row has a query and a target that are ids"),
        ("a.csv", "query,target,gain\n007,ü,1\n007,ü,2\n", "a.csv row 1: ü is judged twice for 007"),
        ("a.txt", "", "a.txt: relevance is read from .csv and .parquet"),
        ("a.parquet", "PAR", "cannot read a.parquet"),
    ],
)
def test_broken_judgements_are_refused_by_name(tmp_path, name, content, said):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(ManymodalError, match=said):
        read_relevance(tmp_path / name, IDS)
    with pytest.raises(ManymodalError, match=r"cannot read none.csv"):
        read_relevance(tmp_path / "none.csv", IDS)
