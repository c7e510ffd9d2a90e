import pytest
import torch
from torch.nn.functional import normalize

from cases import random_embeddings, vectors
from manymodal.centring import centred, means, remove_means
from manymodal.compose import compose_items, rows_of
from manymodal.embeddings import Embeddings
from manymodal.errors import ManymodalError
from manymodal.matching import keys
from manymodal.ranks import ranks
from oracles import oracle_remove_mean


def test_agree_with_the_plain_loop():
    embeddings = random_embeddings(labels=3, label_modality=True, absent=True)
    found = remove_means(embeddings, means(embeddings))
    for m in ("a", "b", "c", "kind"):
        assert torch.allclose(found.vectors[m], torch.from_numpy(oracle_remove_mean(embeddings.vectors[m])), atol=1e-12)
    assert found.vectors["nobody"].shape == (0, 8) and "nobody" not in means(embeddings)
    assert all(torch.equal(found.items[m], embeddings.items[m]) for m in embeddings.modalities)
    assert all(torch.equal(found.labels[m], embeddings.labels[m]) for m in embeddings.modalities)


def test_order_of_rows_and_other_modalities_do_not_matter():
    embeddings = random_embeddings()
    of_all, order = means(embeddings), torch.randperm(len(embeddings.vectors["b"]))
    alone = Embeddings({"b": embeddings.vectors["b"][order]}, {"b": embeddings.items["b"][order]})
    assert torch.allclose(means(alone)["b"], of_all["b"])
    whole = remove_means(embeddings, of_all).vectors["b"]
    assert torch.allclose(remove_means(alone, of_all).vectors["b"], whole[order])
    assert torch.equal(centred(embeddings.vectors["b"], of_all["b"]), whole)


def test_half_precision_stays_half_and_is_counted_in_float32():
    embeddings = Embeddings({"a": vectors(3000, dtype=torch.float32).half()}, {"a": torch.arange(3000)})
    found = means(embeddings)
    assert found["a"].dtype == torch.float32
    assert torch.allclose(found["a"], embeddings.vectors["a"].float().mean(dim=0), atol=1e-6)
    assert remove_means(embeddings, found).vectors["a"].dtype == torch.float16


def test_a_gap_between_modalities_no_longer_decides_for_the_query():
    """Composed of two modalities, one of which lies far off: its mean outweighs what it says of the item."""
    n, d = 200, 32
    truth, far = vectors(n, d, torch.float32), normalize(torch.randn(d), dim=0)
    items = torch.arange(n)
    embeddings = Embeddings.normalized(
        {
            "photo": truth + 3 * far + 0.25 * torch.randn(n, d),
            "sound": truth + 0.25 * torch.randn(n, d),
            "text": torch.cat([truth, 3 * far + 0.3 * torch.randn(n, d)]),  # half of them are of no item, and far off
        },
        {"photo": items, "sound": items, "text": torch.arange(2 * n)},
    )

    def hit(embeddings):
        queries, gallery = compose_items(embeddings, ["photo", "sound"]), rows_of(embeddings, "text")
        found = ranks(
            queries.vectors[:n], gallery.vectors, keys(queries.items[:n], None, False), keys(gallery.items, None, False)
        )
        return float((found.ranks == 1).double().mean())

    assert hit(embeddings) < 0.5 < 0.8 < hit(remove_means(embeddings, means(embeddings)))


def test_mistakes_are_refused_in_words():
    embeddings = random_embeddings()
    found = means(embeddings)
    with pytest.raises(ManymodalError, match="modality 'b' has no mean; there are means of a, c"):
        remove_means(embeddings, {m: found[m] for m in ("a", "c")})
    assert remove_means(embeddings.only("a"), found).modalities == ("a",)  # further means are not used
    with pytest.raises(ManymodalError, match=r"vectors\['a'\] row 1 is its modality's mean"):
        remove_means(embeddings, {**found, "a": embeddings.vectors["a"][1]})
    with pytest.raises(ManymodalError, match=r"vectors \(3, 8\) and mean \(7,\)"):
        centred(vectors(3), torch.zeros(7))
