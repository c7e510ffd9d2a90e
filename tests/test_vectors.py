import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

import manymodal as mm
from cases import random_embeddings
from manymodal.embeddings import Embeddings
from manymodal.errors import ManymodalError
from manymodal.evaluation.evaluate import evaluate
from manymodal.folder import save_embeddings
from manymodal.vectors import check_same_modalities, read_vectors, read_vectors_of
from vector_folders import eye, write_npy, write_parquet

FIRST = 100  # the first item of `random_embeddings`
ITEMS = 14


def random():
    return random_embeddings(items=ITEMS, labels=4, label_modality=True, absent=True, dtype=torch.float32)


def shuffled(embeddings):
    """The same rows in another order."""
    order = {m: torch.randperm(len(v)) for m, v in embeddings.vectors.items()}
    parts = (embeddings.vectors, embeddings.items, embeddings.labels)
    return Embeddings(*[{m: part[m][rows] for m, rows in order.items()} for part in parts])


def columns(embeddings, m):
    """Ids (None of a modality with one value per label) and labels (None where unknown) as a program writes them."""
    ids = None if m == "kind" else [f"x{i}" for i in embeddings.items[m].tolist()]
    return ids, [f"kind {y}" if y >= 0 else None for y in embeddings.labels[m].tolist()]


def photos(tmp_path):
    """A folder with one modality."""
    write_npy(tmp_path / "v", "photo", eye(), ["1", "2"], None)
    return tmp_path / "v"


def write_all_npy(folder, embeddings):
    for m, vectors in embeddings.vectors.items():
        write_npy(folder, m, vectors, *columns(embeddings, m))


def write_both(folder, embeddings):
    for m, vectors in embeddings.vectors.items():
        (write_parquet if m in ("a", "kind") else write_npy)(folder, m, vectors, *columns(embeddings, m))


def write_saved(folder, embeddings):
    """As `manymodal embed` does: a table of all items, also those without a value."""
    items, labels = (torch.cat([*ids.values()]).tolist() for ids in (embeddings.items, embeddings.labels))
    label_of = dict(zip(items, labels, strict=True))
    split = ["train", "dev", "test"]
    made = [
        {"id": f"x{i}", "label": f"kind {y}" if y >= 0 else None, "split": split[i % 3], "a": f"text {i}"}
        for i in range(FIRST + ITEMS)
        for y in [label_of.get(i, -1)]
    ]
    data = mm.read_collection(made, config={"modalities": {"a": {"kind": "text"}}})
    code = {name: i for i, name in enumerate(data.label_names)}
    labels = {
        m: torch.tensor([code.get(f"kind {y}", -1) for y in of.tolist()], dtype=torch.int64)
        for m, of in embeddings.labels.items()
    }
    coded = Embeddings(embeddings.vectors, embeddings.items, labels)
    ordinals = {m: torch.arange(len(v)) for m, v in embeddings.vectors.items()}
    save_embeddings(folder, coded, ordinals, data, "the space", None)
    return data


def same(entries, others):
    """Equal but for the last bits of the means, whose terms come in another order."""
    assert len(entries) == len(others) > 10
    for entry, other in zip(entries, others, strict=True):
        found, expected = entry.to_dict(), other.to_dict()
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            approximately = pytest.approx(value, abs=1e-12) if isinstance(value, float) else value
            assert found[name] == approximately, (str(entry.direction), name)


@pytest.mark.parametrize("write", [write_all_npy, write_both, write_saved])
@pytest.mark.parametrize("match", ["item", "label"])
def test_a_folder_gives_the_figures_of_the_vectors_in_memory(tmp_path, write, match):
    embeddings = random()
    expected = evaluate(embeddings, match=match)
    assert any(e["hit@1"] not in (None, 0, 1) for e in expected)
    write(tmp_path / "v", embeddings)
    read = read_vectors(tmp_path / "v")
    assert read.embeddings.modalities == embeddings.modalities and read.embeddings.per_label("kind")
    same(evaluate(read.embeddings, match=match), expected)
    write(tmp_path / "w", shuffled(embeddings))
    same(evaluate(read_vectors(tmp_path / "w").embeddings, match=match), expected)


def test_the_order_of_rows_changes_no_interval(tmp_path):
    embeddings = random()
    write_all_npy(tmp_path / "v", embeddings)
    write_both(tmp_path / "w", shuffled(embeddings))
    one, other = (
        evaluate(read_vectors(tmp_path / name).embeddings, unit="value", bootstrap=50, directions=["b->a", "c->b"])
        for name in "vw"
    )
    assert [e.ci for e in one] == [e.ci for e in other] and one[0].ci["hit@5"][0] < one[0].ci["hit@5"][1]


def test_ids_and_labels_lead_back(tmp_path):
    embeddings = random()
    write_both(tmp_path / "v", embeddings)
    read = read_vectors(tmp_path / "v")
    for m in embeddings.modalities:
        ids, labels = columns(embeddings, m)
        if ids is not None:
            assert [read.ids[i] for i in read.embeddings.items[m].tolist()] == ids
        assert [read.label_names[y] if y >= 0 else None for y in read.embeddings.labels[m].tolist()] == labels
        assert read.embeddings.vectors[m].equal(embeddings.vectors[m])
    assert (read.items, read.space, read.split, read.ordinals, read.columns(0)) == (None, None, None, {}, {})
    assert any("kind.parquet: no ids, so one value per label" in note for note in read.notes)


def test_a_split_of_an_embedded_folder(tmp_path):
    embeddings = random()
    data = write_saved(tmp_path / "v", embeddings)
    whole, test = read_vectors(tmp_path / "v"), read_vectors(tmp_path / "v", split="test")
    rows = torch.as_tensor(data.rows("test"))
    assert test.items.equal(rows) and len(whole.items) == FIRST + ITEMS  # also those without a value
    assert set(test.ids) == set(rows.tolist()) and test.ids[int(rows[0])] == f"x{int(rows[0])}"
    assert test.columns(int(rows[1])) == {"a": f"text {int(rows[1])}"}
    assert (test.split, test.space, whole.split) == ("test", "the space", None)
    assert any("several splits together: dev 38, test 38, train 38" in note for note in whole.notes)
    of_test = {m: torch.isin(ids, rows) for m, ids in whole.embeddings.items.items()}
    of_test["kind"] = torch.isin(whole.embeddings.labels["kind"], torch.as_tensor(data.labels[data.rows("test")]))
    for m, kept in of_test.items():
        assert test.embeddings.vectors[m].equal(whole.embeddings.vectors[m][kept])
        assert test.ordinals[m].equal(whole.ordinals[m][kept])
    assert len(test.embeddings.vectors["b"]) < len(whole.embeddings.vectors["b"])
    assert read_vectors(tmp_path / "v", split="val").split == "dev"
    assert read_vectors(tmp_path / "v", split="all").items.equal(whole.items)


def test_vectors_to_estimate_from_are_of_one_split(tmp_path):
    """A folder of `manymodal embed` may hold what is measured as well."""
    write_saved(tmp_path / "saved", random())
    write_all_npy(tmp_path / "npy", random())
    dev = read_vectors_of(tmp_path / "saved", "dev")
    assert dev.ids == read_vectors(tmp_path / "saved", split="dev").ids != read_vectors(tmp_path / "saved").ids
    assert read_vectors_of(tmp_path / "npy", "dev").ids == read_vectors(tmp_path / "npy").ids


def test_a_label_keeps_its_value_though_its_items_have_none(tmp_path):
    kinds = ["cat", "dog"]
    made = [
        {"id": str(i), "label": kinds[i == 2], "split": "test" if i else "train", "a": f"text {i}"} for i in range(3)
    ]
    data = mm.read_collection(made, config={"modalities": {"a": {"kind": "text"}}})
    items = {"a": torch.tensor([0, 1]), "kind": torch.tensor([-1, -1])}  # item 2, the only dog, has no value
    labels = {"a": torch.tensor([0, 0]), "kind": torch.tensor([0, 1])}
    embeddings = Embeddings(dict.fromkeys(items, torch.eye(2)), items, labels)
    save_embeddings(tmp_path / "v", embeddings, dict.fromkeys(items, torch.tensor([0, 0])), data, None, None)
    read = read_vectors(tmp_path / "v", split="test")
    assert read.embeddings.labels["kind"].tolist() == [0, 1] and read.items.tolist() == [1, 2]
    assert evaluate(read.embeddings, directions=["a->kind"], unit="value")[0].gallery == 2


def test_normalize_an_embedded_folder(tmp_path):
    embeddings = random()
    write_saved(tmp_path / "v", embeddings)
    file = tmp_path / "v" / "b.safetensors"
    tensors = load_file(file)
    save_file({**tensors, "vectors": 2 * tensors["vectors"].double()}, file)
    with pytest.raises(ManymodalError, match=r"b.safetensors, row 0 has norm 2.*--normalize"):
        read_vectors(tmp_path / "v")
    assert torch.allclose(read_vectors(tmp_path / "v", normalize=True).embeddings.vectors["b"], embeddings.vectors["b"])


def test_folders_that_are_none(tmp_path):
    two = photos(tmp_path)
    with pytest.raises(ManymodalError, match="is not there; needed: a folder"):
        read_vectors(tmp_path / "nowhere")
    with pytest.raises(ManymodalError, match="is a file; needed: a folder"):
        read_vectors(two / "photo.npy")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.safetensors").write_text("")
    with pytest.raises(ManymodalError, match=r"holds no vectors \(but a.safetensors\); needed"):
        read_vectors(tmp_path / "other")
    write_npy(two, "text", eye(), ["1", "2"], None)
    with pytest.raises(ManymodalError, match="split='test': .* have no splits; keep a folder for each"):
        read_vectors(two, split="test")
    assert len(read_vectors(two, split="all").ids) == 2


def test_mistakes_in_an_embedded_folder(tmp_path):
    folder = tmp_path / "v"
    write_saved(folder, random())
    with pytest.raises(ManymodalError, match="split='tset'; allowed are train, dev, test and all"):
        read_vectors(folder, split="tset")
    np.save(folder / "photo.npy", eye())
    with pytest.raises(ManymodalError, match="and photo.npy beside them; keep one of the two"):
        read_vectors(folder)
    (folder / "photo.npy").rename(folder / "photo.txt")
    assert "ignored: photo.txt" in read_vectors(folder).notes
    table = pq.read_table(folder / "items.parquet")
    pq.write_table(table.slice(0, FIRST), folder / "items.parquet")
    with pytest.raises(ManymodalError, match=r"has items \(the first is 1\d\d\) that items.parquet does not list"):
        read_vectors(folder)
    pq.write_table(table.filter(pa.compute.not_equal(table["split"], "dev")), folder / "items.parquet")
    with pytest.raises(ManymodalError, match="does not list"):
        read_vectors(folder)
    pq.write_table(table.drop_columns("split"), folder / "items.parquet")
    with pytest.raises(ManymodalError, match=r"damaged embeddings \(items.parquet lacks split\)"):
        read_vectors(folder)


def test_a_split_without_items_is_refused(tmp_path):
    write_saved(tmp_path / "v", random())
    file = tmp_path / "v" / "items.parquet"
    table = pq.read_table(file)
    split = pa.array(["test"] * len(table))
    pq.write_table(table.set_column(table.column_names.index("split"), "split", split), file)
    with pytest.raises(ManymodalError, match="no items of split 'dev' .* there are those of test"):
        read_vectors(tmp_path / "v", split="dev")


def test_folders_of_one_space(tmp_path):
    two = photos(tmp_path)
    write_npy(two, "text", eye(), ["1", "2"], None)
    read = read_vectors(two)
    other = read_vectors(two)
    check_same_modalities(read, other)

    def refused(message, one=read, **changes):
        changed = dataclasses.replace(other, **changes)
        for pair in ((one, changed), (changed, one)):
            with pytest.raises(ManymodalError, match=message):
                check_same_modalities(*pair)

    refused("has modalities .*photo.* both need the same", embeddings=other.embeddings.only("photo"))
    wide = {m: torch.eye(3)[:2] for m in ("photo", "text")}
    refused("has d = ", embeddings=Embeddings(wide, other.embeddings.items))
    items = {**other.embeddings.items, "text": torch.tensor([-1, -1])}
    labels = dict.fromkeys(items, torch.tensor([0, 1]))
    refused("'text' has one value per label", embeddings=Embeddings(other.embeddings.vectors, items, labels))
    refused("embed both with one", one=dataclasses.replace(read, space="one"), space="two")
    check_same_modalities(read, dataclasses.replace(other, space="two"))
