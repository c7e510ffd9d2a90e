"""GCCA in feature space against the N x N projection matrices of its definition, its invariances and its refusals."""

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from manymodal.embeddings import Embeddings
from manymodal.errors import ManymodalError
from manymodal.objectives.gcca import GCCA, gcca
from oracles import oracle_gcca

WIDTHS = {"a": 5, "b.2": 4, "c": 3}


def views(items=40, missing=0.3, noise=0.5, several=True):
    """Features that share two latent numbers an item, with gaps, and in `c` up to three values per item."""
    latent = torch.randn(items, 2, dtype=torch.float64)
    features, ids = {}, {}
    for m, width in WIDTHS.items():
        values = (torch.rand(items) >= missing) * (torch.randint(1, 4, (items,)) if several and m == "c" else 1)
        ids[m] = (100 + torch.arange(items)).repeat_interleave(values)[torch.randperm(int(values.sum()))]
        seen = latent[ids[m] - 100] @ torch.randn(2, width, dtype=torch.float64)
        features[m] = seen + noise * torch.randn_like(seen) + 3
    return features, ids


def cosines(vectors):
    """All similarities, which say all there is to say about a space up to a rotation."""
    stacked = torch.cat([vectors[m] for m in sorted(vectors)])
    return stacked @ stacked.T


@pytest.mark.parametrize("power", [0.0, 1.5])
@pytest.mark.parametrize("case", [{}, {"missing": 0.0, "several": False}])
def test_equals_the_projection_matrices_of_its_definition(case, power):
    features, ids = views(**case)
    got = GCCA(WIDTHS, 4, ridge=0.2, power=power).fit(features, ids)
    vectors, eigenvalues = oracle_gcca(features, ids, 4, 0.2, power)
    assert got.eigenvalues.tolist() == pytest.approx(eigenvalues.tolist(), rel=1e-10)
    twin = cosines({m: torch.from_numpy(v) for m, v in vectors.items()})
    assert torch.allclose(cosines(got.transform(features)), twin, atol=1e-10)


def test_the_shared_vector_is_the_mean_of_the_projections_an_item_has():
    """The condition of stationarity: eigenvalue * g_i is the mean over i's views of their projections."""
    n, present = 30, torch.rand(30, 3) > 0.3
    present[:, 0] |= ~present.any(1)
    xs = [torch.randn(n, w, dtype=torch.float64) for w in (5, 4, 3)]
    means, heads, values = gcca(xs, present, 3, ridge=0.1)
    projected = [torch.where(h[:, None], x - u, 0) @ w for x, h, u, w in zip(xs, present.T, means, heads, strict=True)]
    shared = sum(projected) / present.sum(1, keepdim=True) / values
    assert torch.allclose(shared.T @ (present.sum(1, keepdim=True) * shared), torch.eye(3, dtype=torch.float64))
    x, here, w, u = xs[1], present[:, 1], heads[1], means[1]
    c = (x - u)[here].T @ (x - u)[here]
    c += 0.1 * c.trace() / 4 * torch.eye(4, dtype=torch.float64)
    assert torch.allclose(c @ w, (x - u)[here].T @ shared[here])


def test_two_views_give_canonical_correlations():
    """With two full views and no ridge an eigenvalue is (1 + correlation) / 2."""
    x, y = (torch.randn(50, w, dtype=torch.float64) for w in (4, 3))
    y[:, :2] += x[:, :2]
    items = torch.arange(50)
    model = GCCA({"x": 4, "y": 3}, 3, ridge=0.0).fit({"x": x, "y": y}, {"x": items, "y": items})
    qx, qy = (torch.linalg.qr(v - v.mean(0)).Q for v in (x, y))
    correlations = torch.linalg.svdvals(qx.T @ qy)
    assert torch.allclose(model.eigenvalues, (1 + correlations) / 2)


def test_order_of_rows_and_modalities_does_not_matter():
    features, ids = views()
    order = {m: torch.randperm(len(ids[m])) for m in reversed(WIDTHS)}
    shuffled = GCCA(dict(reversed(WIDTHS.items())), 3).fit(
        {m: features[m][r] for m, r in order.items()}, {m: ids[m][r] for m, r in order.items()}
    )
    again = shuffled.transform({m: features[m] for m in order})
    assert torch.allclose(cosines(again), cosines(GCCA(WIDTHS, 3).fit(features, ids).transform(features)))


def test_a_linear_change_of_a_view_changes_nothing_without_ridge():
    features, ids = views()
    turned = {**features, "a": features["a"] @ torch.randn(5, 5, dtype=torch.float64) + 7}

    def similarities(given, ridge):
        return cosines(GCCA(WIDTHS, 3, ridge).fit(given, ids).transform(given))

    assert torch.allclose(similarities(features, 0.0), similarities(turned, 0.0), atol=1e-8)
    assert not torch.allclose(similarities(features, 0.5), similarities(turned, 0.5), atol=1e-3)
    scaled = {**features, "a": 1000 * features["a"]}  # the ridge follows the scale of a modality
    assert torch.allclose(similarities(features, 0.5), similarities(scaled, 0.5), atol=1e-8)


def test_items_that_say_nothing_change_nothing():
    """A modality without rows is a modality that is not there; an item's repeated value is one value."""
    features, ids = views(several=False)
    twice = {**features, "a": features["a"].repeat(2, 1)}, {**ids, "a": ids["a"].repeat(2)}
    one, two = (GCCA(WIDTHS, 3).fit(*given) for given in ((features, ids), twice))
    assert torch.allclose(cosines(one.transform(features)), cosines(two.transform(features)))
    bare = {**features, "c": features["c"][:0]}, {**ids, "c": ids["c"][:0]}
    without = [{m: v for m, v in given.items() if m != "c"} for given in bare]
    small = GCCA({"a": 5, "b.2": 4}, 3).fit(*without)
    empty = GCCA(WIDTHS, 3).fit(*bare)
    assert torch.allclose(cosines(small.transform(without[0])), cosines(empty.transform(without[0])))


def test_linearly_dependent_columns_are_no_matter_without_ridge():
    features, ids = views()
    doubled = {**features, "a": features["a"].repeat(1, 2)}
    wide = GCCA({**WIDTHS, "a": 10}, 3, ridge=0.0).fit(doubled, ids)
    narrow = GCCA(WIDTHS, 3, ridge=0.0).fit(features, ids)
    assert torch.allclose(cosines(wide.transform(doubled)), cosines(narrow.transform(features)), atol=1e-8)


def test_a_modality_with_one_value_per_label_is_every_items_of_that_label():
    features, ids = views(missing=0.0, several=False)
    of_item = torch.arange(40) % 4 - 1  # -1: unknown
    labels = {m: of_item[i - 100] for m, i in ids.items()}
    kinds = torch.randn(3, 3, dtype=torch.float64)
    known = [labels["c"] >= 0, labels["c"][labels["c"] >= 0]]
    spread = GCCA(WIDTHS, 3).fit({**features, "c": kinds[known[1]]}, {**ids, "c": ids["c"][known[0]]})
    nobody = torch.full((3,), -1)
    given = {**features, "c": kinds}, {**ids, "c": nobody}, {**labels, "c": torch.arange(3)}
    per_label = GCCA(WIDTHS, 3).fit(*given)
    assert torch.allclose(per_label.eigenvalues, spread.eigenvalues)
    assert per_label.embeddings(*given).per_label("c")
    with pytest.raises(ManymodalError, match="c: one value per label"):
        GCCA(WIDTHS, 3).fit(*given[:2])


def test_label_modalities_alone_are_fitted_by_label():
    features, ids = views(missing=0.0, several=False)
    labels = {**ids, "c": ids["c"].clone()}
    labels["c"][3] = -1  # unknown: with nobody
    known = labels["c"] >= 0
    twin = GCCA(WIDTHS, 3).fit({**features, "c": features["c"][known]}, {**ids, "c": ids["c"][known]})
    per_label = GCCA(WIDTHS, 3).fit(features, {m: torch.full_like(i, -1) for m, i in ids.items()}, labels)
    assert torch.allclose(per_label.eigenvalues, twin.eigenvalues)


def test_finds_what_is_shared_and_survives_saving(tmp_path):
    features, ids = views(items=300, noise=0.1, several=False, missing=0.1)
    features = {m: v.float() for m, v in features.items()}
    model = GCCA(WIDTHS, 2).fit(features, ids)
    e = model.embeddings(features, ids)
    assert isinstance(e, Embeddings) and e.vectors["a"].dtype == torch.float32
    both = torch.isin(ids["a"], ids["c"])
    twin = ids["a"][both][:, None] == ids["c"][None]
    s = e.vectors["a"][both] @ e.vectors["c"].T
    assert s[twin].mean() > 0.9 > 0.2 > s[~twin].mean().abs()
    save_file(model.state_dict(), tmp_path / "gcca.safetensors")
    again = GCCA(**model.settings())
    again.load_state_dict(load_file(tmp_path / "gcca.safetensors"))
    assert torch.equal(cosines(again.transform(features)), cosines(model.transform(features)))


def test_refusals_say_what_came():
    features, ids = views()
    model = GCCA(WIDTHS, 3)
    with pytest.raises(ManymodalError, match="call fit"):
        model.transform(features)
    with pytest.raises(ManymodalError, match="between 1 and 12"):
        GCCA(WIDTHS, 13)
    with pytest.raises(ManymodalError, match="ridge=-1"):
        GCCA(WIDTHS, 2, ridge=-1)
    with pytest.raises(ManymodalError, match=r"\(n, 5\)"):
        model.fit({**features, "a": features["b.2"]}, ids)
    with pytest.raises(ManymodalError, match="no modality 'd'"):
        model.fit({**features, "d": features["a"]}, ids)
    with pytest.raises(ManymodalError, match="all of them"):
        model.fit({"a": features["a"]}, {"a": ids["a"]})
    with pytest.raises(ManymodalError, match="row 2 is not finite"):
        model.fit({**features, "a": features["a"].index_fill(0, torch.tensor([2]), torch.nan)}, ids)
    with pytest.raises(ManymodalError, match="two modalities"):
        model.fit(features, {m: i + 1000 * k for k, (m, i) in enumerate(ids.items())})
    model.fit(features, ids)
    with pytest.raises(ManymodalError, match=r"features\['a'\] row 0 is the mean"):
        model.transform({"a": model.mean[:5][None]})


def test_the_example_in_the_documents_runs():
    page = (Path(__file__).parents[2] / "docs" / "objectives.md").read_text(encoding="utf-8")
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL) if "GCCA" in block]
    names = {}
    exec(code, names)
    e = names["embeddings"]
    assert (e.vectors["photo"][:150] * e.vectors["speech"]).sum(1).mean() > 0.8
