"""`manymodal import`: what it writes where, and that it writes over nothing."""

import pytest

from published import cub, flickr8k
from samples import contents, run


@pytest.mark.parametrize(
    ("name", "make", "files"),
    [
        ("flickr8k", flickr8k, ["data.parquet", "data.yaml"]),
        ("cub", cub, ["data.parquet", "data.yaml", "data_zero_shot.yaml"]),
    ],
)
def test_the_table_and_its_yaml_are_written_once(tmp_path, name, make, files):
    folder, out = make(tmp_path / "in"), tmp_path / "out" / "data.parquet"
    ran = run("import", name, folder, "--out", out)
    assert ran.code == 0 and f"in {out}; to be read with --config {out.with_suffix('.yaml')}" in ran.out
    assert sorted(path.name for path in out.parent.iterdir()) == files
    before = contents(out.parent)
    ran = run("import", name, folder, "--out", out)
    assert ran.code == 1 and f"{out} exists" in ran.err and "--overwrite" in ran.err
    out.unlink()
    out.with_suffix(".yaml").write_text("changed: by hand")
    assert f"{out.with_suffix('.yaml')} exists" in run("import", name, folder, "--out", out).err
    assert run("import", name, folder, "--out", out, "--overwrite").code == 0
    assert contents(out.parent) == before


def test_the_table_is_parquet_and_nothing_is_written_on_an_error(tmp_path):
    ran = run("import", "cub", cub(tmp_path / "in"), "--out", tmp_path / "out" / "cub.csv")
    assert ran.code == 1 and "found the ending '.csv'; needed: .parquet" in ran.err
    ran = run("import", "cub", tmp_path, "--out", tmp_path / "out" / "cub.parquet")
    assert ran.code == 1 and "lacks images, images.txt" in ran.err
    assert not (tmp_path / "out").exists()


def test_a_written_table_is_described_without_a_fault(tmp_path):
    out = tmp_path / "cub.parquet"
    run("import", "cub", cub(tmp_path / "in"), "--out", out)
    ran = run("describe", out, "--config", tmp_path / "cub_zero_shot.yaml")
    assert ran.code == 0, ran.err
    assert "3 labels: Black footed Albatross 2, Crested Auklet 2, Le Conte Sparrow 1" in ran.out
