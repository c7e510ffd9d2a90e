import math

import pytest
import torch
from torch.nn.functional import normalize

from cases import random_embeddings, vectors
from manymodal.embeddings import Embeddings
from manymodal.errors import ManymodalError
from manymodal.hubness import (
    METHODS,
    Correction,
    corrected,
    fit_correction,
    k_occurrences,
    sample_bank,
    skewness,
)
from manymodal.ranks import ranks
from oracles import oracle_csls, oracle_k_occurrences, oracle_nnn, oracle_qb_norm, oracle_skewness

BLOCKS = [1, 100, 10**9]


def exact(n, d=64, levels=64):
    """Unit vectors whose products are multiples of 1/64, exact in float32; some of the rows are equal."""
    signs = torch.randint(0, 2, (levels, d)).float() * 2 - 1
    return signs[torch.randint(levels, (n,))] / 8


def with_hub(n=60, d=32, bank=200):
    """Queries, gallery and bank: the queries have a component in common, which the gallery's row 0 is made of."""
    truth, common = vectors(n + bank, d, torch.float32), normalize(torch.randn(d), dim=0)
    queries = normalize(truth + 0.1 * torch.randn(n + bank, d) + 1.5 * common, dim=1)
    gallery = truth[:n].clone()
    gallery[0] = common
    return queries[:n], gallery, queries[n:]


def hit(queries, gallery):
    ids = torch.arange(len(queries))
    return float((ranks(queries, gallery, ids, ids).ranks == 1).double().mean())


# -- counts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("k", [1, 3, 10, 50])
def test_occurrences_agree_with_the_plain_loop_where_scores_tie(k, block):
    queries, gallery = exact(23, levels=6), exact(31, levels=7)
    found = k_occurrences(queries, gallery, k, block)
    assert found.dtype == torch.int64 and found.tolist() == oracle_k_occurrences(queries, gallery, k)
    assert int(found.sum()) == 23 * min(k, 31)


def test_occurrences_follow_the_rows_of_the_gallery_and_not_those_of_the_queries():
    queries, gallery = vectors(20), vectors(30)
    order, shuffled = torch.randperm(30), torch.randperm(20)
    found = k_occurrences(queries, gallery, 4)
    assert torch.equal(k_occurrences(queries[shuffled], gallery[order], 4), found[order])


def test_skewness_agrees_with_the_plain_loop():
    counts = torch.randint(0, 30, (50,)) ** 2
    assert skewness(counts) == pytest.approx(oracle_skewness(counts.tolist()), rel=1e-12)
    assert skewness(torch.full((7,), 3)) == 0.0 == skewness(counts[:0])


def test_a_planted_hub_is_seen_and_its_absence_too():
    queries, gallery, _ = with_hub()
    counts, without = k_occurrences(queries, gallery, 1), k_occurrences(gallery, gallery, 1)
    assert skewness(counts) > 4
    assert int(counts.argmax()) == 0
    assert skewness(without) == 0.0
    random = k_occurrences(vectors(2000, 3), vectors(200, 3), 10)  # few dimensions: no hubs
    assert abs(skewness(random)) < 0.7


# -- corrections: the same ranking as the published scores -------------------------------------------------------------


def better(scores):
    """(n, m, m): whether a query scores one row above another, up to rounding."""
    scores = torch.as_tensor(scores, dtype=torch.float64)
    return scores[:, :, None] - scores[:, None, :] > 1e-6


def scores_of(correction, queries, gallery, **options):
    queries, gallery = corrected(correction, queries, gallery, **options)
    return queries @ gallery.T


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("beta", [1.0, 20.0])
def test_qb_norm_ranks_as_published(beta, block):
    queries, bank, gallery = exact(15), exact(9), exact(21)
    correction = fit_correction("qb_norm", bank, gallery, beta=beta, block=block)
    twin = torch.tensor(oracle_qb_norm(queries, bank, gallery, beta), dtype=torch.float64)
    raw = (queries @ gallery.T).double()
    changed = (twin != raw).any(dim=1)
    assert changed.any() and not changed.all()  # both kinds of query are here
    twin[changed] = twin[changed].log() / beta  # at the scale of the others
    assert torch.equal(better(scores_of(correction, queries, gallery, block=block)), better(twin))


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize(("k", "alpha"), [(1, 0.75), (4, 1.0), (128, 0.75)])
def test_nnn_ranks_as_published(k, alpha, block):
    queries, bank, gallery = exact(9), exact(16), exact(21)
    correction = fit_correction("nnn", bank, gallery, k=k, alpha=alpha, block=block)
    found = scores_of(correction, queries, gallery)
    assert torch.equal(better(found), better(oracle_nnn(queries, bank, gallery, k, alpha)))


@pytest.mark.parametrize("k", [1, 4, 50])
def test_csls_ranks_as_published(k):
    queries, bank, gallery = exact(9), exact(16), exact(21)
    found = scores_of(fit_correction("csls", bank, gallery, k=k), queries, gallery)
    assert torch.equal(better(2 * found), better(oracle_csls(queries, bank, gallery, k)))


@pytest.mark.parametrize("method", METHODS)
def test_one_more_dimension_takes_the_bias_off(method):
    queries, bank, gallery = (vectors(n, 16, torch.float32) for n in (40, 50, 30))
    correction = fit_correction(method, bank, gallery)
    raw = queries @ gallery.T
    expected = raw - correction.bias
    if correction.hubs is not None:
        assert (correction.hubs == (k_occurrences(bank, gallery, 1) > 0)).all() and not correction.hubs.all()
        expected = torch.where(correction.hubs[raw.argmax(dim=1)][:, None], expected, raw)
    assert torch.allclose(scores_of(correction, queries, gallery), expected, rtol=0, atol=1e-6)
    assert not torch.allclose(expected, raw, rtol=0, atol=1e-2)


@pytest.mark.parametrize("method", METHODS)
def test_blocks_and_order_of_the_bank_change_nothing(method):
    bank, gallery = vectors(50, 16, torch.float32), vectors(30, 16, torch.float32)
    whole, order = fit_correction(method, bank, gallery), torch.randperm(30)
    for other in (
        fit_correction(method, bank, gallery, block=70),
        fit_correction(method, bank[torch.randperm(50)], gallery),
        fit_correction(method, bank.double(), gallery.double()),
    ):
        assert torch.allclose(other.bias, whole.bias, rtol=0, atol=1e-6) and other.bias.dtype == torch.float32
        assert whole.hubs is None or torch.equal(other.hubs, whole.hubs)
    assert torch.allclose(fit_correction(method, bank, gallery[order]).bias, whole.bias[order], rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_a_planted_hub_is_repaired(method):
    queries, gallery, bank = with_hub()
    raw = hit(queries, gallery)
    repaired = corrected(fit_correction(method, bank, gallery), queries, gallery)
    assert raw < 0.6 and hit(*repaired) > raw + 0.2
    assert int(k_occurrences(*repaired, 1)[0]) < int(k_occurrences(queries, gallery, 1)[0]) / 2


def test_beta_leads_from_the_mean_of_the_bank_to_its_best():
    bank, gallery = vectors(50, 16, torch.float32), vectors(30, 16, torch.float32)
    of_bank = gallery @ bank.T
    for beta, expected in ((1e5, of_bank.amax(dim=1)), (1e-2, of_bank.mean(dim=1))):  # and e^(1e5 s) is no infinity
        bias = fit_correction("qb_norm", bank, gallery, beta=beta).bias
        assert torch.allclose(bias, expected, rtol=0, atol=2e-3)


def test_nothing_to_correct():
    some, none = vectors(5, dtype=torch.float32), torch.zeros(0, 8)
    assert k_occurrences(none, some).tolist() == [0] * 5 and k_occurrences(some, none).shape == (0,)
    for method in METHODS:
        queries, gallery = corrected(fit_correction(method, some, none), some, none)
        assert queries.shape == (5, 9) and gallery.shape == (0, 9)
        assert corrected(fit_correction(method, some, some), none, some)[0].shape == (0, 9)


def test_mistakes_are_refused_in_words():
    some = vectors(5)
    with pytest.raises(ManymodalError, match="'dsl'; allowed are qb_norm, nnn, csls"):
        fit_correction("dsl", some, some)
    with pytest.raises(ManymodalError, match="csls has no option 'beta'; it has k, block"):
        fit_correction("csls", some, some, beta=20)
    with pytest.raises(ManymodalError, match="nnn: the bank is empty"):
        fit_correction("nnn", some[:0], some)
    with pytest.raises(ManymodalError, match="csls: the bank is empty"):
        fit_correction("csls", some[:0], some)
    with pytest.raises(ManymodalError, match="qb_norm: the bank is empty"):
        fit_correction("qb_norm", some[:0], some)
    with pytest.raises(ManymodalError, match=r"\(5, 8\) and \(2, 3\) do not fit"):
        fit_correction("nnn", torch.zeros(2, 3), some)
    with pytest.raises(ManymodalError, match="k=0"):
        fit_correction("csls", some, some, k=0)
    with pytest.raises(ManymodalError, match="k=0"):
        k_occurrences(some, some, 0)
    with pytest.raises(ManymodalError, match="beta=0"):
        fit_correction("qb_norm", some, some, beta=0)
    with pytest.raises(ManymodalError, match="alpha=nan"):
        fit_correction("nnn", some, some, alpha=math.nan)
    with pytest.raises(ManymodalError, match="of a gallery of 3 rows and this one has 5"):
        corrected(Correction(torch.zeros(3)), some, some)
    with pytest.raises(ManymodalError, match="items=0"):
        sample_bank(random_embeddings(), items=0)


# -- the bank ----------------------------------------------------------------------------------------------------------


def items_of(embeddings):
    return {int(i) for m in embeddings.modalities if not embeddings.per_label(m) for i in embeddings.items[m]}


def test_a_bank_has_the_same_items_everywhere_and_all_of_their_values():
    embeddings = random_embeddings(items=30, labels=5, label_modality=True, absent=True)
    bank = sample_bank(embeddings, items=8, seed=3)
    drawn = items_of(bank)
    assert len(drawn) == 8
    for m in ("a", "b", "c", "nobody"):
        rows = [r for r, item in enumerate(embeddings.items[m].tolist()) if item in drawn]
        assert torch.equal(bank.vectors[m], embeddings.vectors[m][rows]) and bank.dim == embeddings.dim
        assert torch.equal(bank.items[m], embeddings.items[m][rows])
        assert torch.equal(bank.labels[m], embeddings.labels[m][rows])
    assert torch.equal(bank.labels["kind"], embeddings.labels["kind"])  # all labels
    assert items_of(sample_bank(embeddings, items=8, seed=4)) != drawn


def test_the_draw_does_not_depend_on_the_order_of_rows_or_modalities():
    embeddings = random_embeddings(items=30)
    orders = {m: torch.randperm(len(v)) for m, v in reversed(embeddings.vectors.items())}
    shuffled = Embeddings(
        {m: embeddings.vectors[m][o] for m, o in orders.items()},
        {m: embeddings.items[m][o] for m, o in orders.items()},
    )
    assert items_of(sample_bank(shuffled, 8)) == items_of(sample_bank(embeddings, 8))


def test_a_bank_of_no_more_items_than_there_are():
    embeddings = random_embeddings(items=9, labels=3, label_modality=True)
    assert len(sample_bank(embeddings)) == len(embeddings)
    kinds = embeddings.only("kind")
    assert len(sample_bank(kinds, items=1)) == len(kinds)
