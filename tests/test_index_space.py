"""The space of an index: copied or named, taken anew with an index that is made anew, never one that changed."""

import shutil

import pytest

import manymodal as mm
from indexes import CONFIG, made_rows
from manymodal import Index, ManymodalError

QUERY = {"captions": "a red disc"}


def small_space(cache):
    data = mm.read_collection(made_rows(), config=CONFIG)
    space = mm.Space.for_collection(data, dim=8, cache=cache, seed=3)
    return data, space.fit(data, cache=cache, device="cpu", epochs=1, batch_size=8)


def names(folder, start):
    return sorted(path.name for path in folder.iterdir() if path.name.startswith(start))


def read(folder, world, cache):
    """An index that is built and then opened, and what it finds."""
    Index.build(folder, *world, cache=cache)
    reader = Index.open(folder)
    return reader, found(reader)


def found(index):
    return [(hit.id, round(hit.score, 4)) for hit in index.search(QUERY, "photo", 5)]


def test_an_index_made_anew_brings_its_own_space_to_those_who_read_it(world, cache, tmp_path):
    folder = tmp_path / "x.index"
    reader, before = read(folder, world, cache)
    anew = Index.build(folder, *small_space(cache), cache=cache, overwrite=True)
    assert reader.d == 16 and found(reader) == before  # until it looks
    assert reader.refresh() and reader.d == 8 and reader.fingerprint == anew.fingerprint
    assert found(reader) == found(anew) != before


def test_what_is_open_answers_on_where_the_space_of_the_new_index_is_gone(world, cache, tmp_path):
    folder = tmp_path / "x.index"
    reader, before = read(folder, world, cache)
    others, other = small_space(cache)
    other.save(tmp_path / "named")
    Index.build(folder, others, other, space_folder=tmp_path / "named", cache=cache, overwrite=True)
    shutil.rmtree(tmp_path / "named")
    with pytest.raises(ManymodalError, match="cannot be opened with its space"):
        reader.refresh()
    assert found(reader) == before and reader.d == 16
    with pytest.raises(ManymodalError, match="cannot be opened with its space"):
        Index.open(folder)
    assert found(Index.open(folder, space=other)) != before


def test_a_copy_of_the_space_lasts_as_long_as_the_tables_it_made(world, cache, tmp_path):
    data, space = world
    folder = tmp_path / "x.index"
    index = Index.build(folder, data, space, cache=cache)
    first = names(folder, "space-")
    space.fingerprint = None  # as after a fit that ends where the one before did
    index = Index.build(folder, data, space, cache=cache, overwrite=True)
    assert len(names(folder, "space-")) == len(names(folder, "tables-")) == 2 and first[0] in names(folder, "space-")
    index.compact()
    assert len(names(folder, "space-")) == len(names(folder, "tables-")) == 1
    assert found(Index.open(folder)) == found(index)


def test_a_build_that_fails_leaves_no_space(world, cache, tmp_path):
    _, space = world
    rows = made_rows()
    rows[20]["photo"] = {"bytes": b"no picture", "path": "x.png"}
    data = mm.read_collection(rows, schema=space.schema)
    with pytest.raises(ManymodalError, match="a20"):
        Index.build(tmp_path / "x.index", data, space, cache=cache)
    assert names(tmp_path / "x.index", "") == [".write.lock"]


def test_a_space_that_changed_since_neither_asks_nor_adds(cache, tmp_path):
    data, space = small_space(cache)
    index = Index.build(tmp_path / "x.index", data, space, cache=cache)
    by_id = mm.Request([mm.QueryPart("captions", ids=["a3"])], "photo")
    before = index.search(by_id)
    space.fit(data, cache=cache, device="cpu", epochs=1, batch_size=8)
    for ask in (
        lambda: index.search(QUERY, "photo"),
        lambda: index.embed("captions", ["x"]),
        lambda: index.classify(by_id.parts, "captions", ["x"]),
        lambda: index.add(mm.read_collection(made_rows()[:2], schema=space.schema), cache=cache),
    ):
        with pytest.raises(ManymodalError, match="was made by the space"):
            ask()
    assert index.search(by_id) == before
