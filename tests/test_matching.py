"""The rule of what matches, as keys and as pairs, against plain loops."""

import pytest
import torch

from cases import random_embeddings, vectors
from manymodal.embeddings import Embeddings
from manymodal.errors import ManymodalError
from manymodal.matching import check_match, matching_pairs, pair_keys
from oracles import oracle_matches


@pytest.mark.parametrize("match", ["item", "label"])
@pytest.mark.parametrize("seed", range(4))
def test_pairs_are_those_of_the_two_rules(seed, match):
    torch.manual_seed(seed)
    e = random_embeddings(items=9, labels=3, label_modality=True, absent=seed % 2 == 0)
    for a in e.modalities:
        for b in e.modalities:
            if a < b:
                i, j = matching_pairs(*pair_keys(e, a, b, match))
                pairs = list(zip(i.tolist(), j.tolist(), strict=True))
                assert pairs == sorted(oracle_matches(e, a, b, match))


def test_an_unknown_label_matches_nothing_but_its_own_item():
    n = torch.tensor([0, 1])
    unknown = torch.tensor([-1, -1])
    e = Embeddings({"a": vectors(2), "b": vectors(2)}, {"a": n, "b": n}, {"a": unknown, "b": unknown})
    i, j = matching_pairs(*pair_keys(e, "a", "b", "label"))
    assert i.tolist() == j.tolist() == [0, 1]


def test_label_modalities_need_labels():
    e = Embeddings({"a": vectors(2), "kind": vectors(2)}, {"a": torch.arange(2), "kind": torch.tensor([-1, -1])})
    with pytest.raises(ManymodalError, match="'a' and 'kind' match by label"):
        pair_keys(e, "a", "kind")
    with pytest.raises(ManymodalError, match='"item" and "label"'):
        check_match("row")
