"""`manymodal describe`."""

import yaml

from manymodal import read_collection, read_config
from samples import CONFIG, rows, run, write, write_config


def test_modalities_are_counted(tmp_path):
    ran = run("describe", write(tmp_path, rows()), "--config", write_config(tmp_path))
    assert ran.code == 0
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in ran.out.splitlines() if "│" in line]
    of = {name: rest for name, *rest in lines}  # kind, columns, present, missing, values, per item, width
    assert of["captions"] == ["text", "captions", "18", "6", "36", "1 to 3", ""]
    assert of["photo"] == ["image", "photo", "23", "1", "23", "1", ""]
    assert of["trace"] == ["series", "trace", "23", "1", "23", "1", "2"]
    assert of["meaning"] == ["text, per label", "meaning", "3", "0", "3", "1", ""]
    assert "splits: train 16, dev 4, test 4" in ran.out and "3 labels: disc 8, frame 8, stroke 8" in ran.out
    assert "table: columns weight, colour" in ran.err  # what was inferred


def test_what_was_inferred_is_yaml_that_infers_the_same(tmp_path):
    path = write(tmp_path, rows())
    ran = run("describe", path, "--yaml")
    assert ran.code == 0 and yaml.safe_load(ran.out)["modalities"]["captions"]["several"] is True
    (tmp_path / "kept.yaml").write_text(ran.out)
    assert read_collection(path, config=read_config(tmp_path / "kept.yaml")).schema == read_collection(path).schema
    assert run("describe", path, "--yaml", "--config", tmp_path / "kept.yaml").out == ran.out
    said = yaml.safe_load(run("describe", path, "--yaml", "--config", write_config(tmp_path)).out)
    assert said["modalities"]["meaning"] == CONFIG["modalities"]["meaning"]


def test_broken_values_are_listed_and_the_exit_code_says_so(tmp_path):
    made = rows()
    made[2]["photo"]["bytes"] = made[2]["photo"]["bytes"][:60]
    made[4]["features"][1] = float("inf")
    ran = run("describe", write(tmp_path, made))
    assert ran.code == 1
    assert "2 values cannot be used" in ran.err
    assert "photo, a2: broken picture" in ran.err and "features, a4: 1 of 6 numbers are not finite" in ran.err
