"""The YAML and the schema: what they say, what they refuse, and that one gives the other back."""

import pytest

from manymodal.collection import Config, Schema, make_config, read_collection, read_config, yaml_of
from manymodal.errors import ManymodalError

YAML = """
id: code
split_by: family
label: species
modalities:
  photo:   {kind: vector, column: features}
  caption: {kind: text, column: captions, several: true, encoder: some/encoder, options: {size: 64}}
  traits:  {kind: table, columns: [wingspan, diet]}
  species: {kind: text, column: species_name, per: label}
ignore: [url]
same_source: [[photo, caption]]
objective: {pcmr: {lam: 10, beta: -0.1}}
train: {epochs: 30, lr: 0.001}
"""

ROWS = [
    {
        "code": i,
        "family": f"f{i // 2}",
        "species": f"s{i % 3}",
        "species_name": f"the name of {i % 3}",
        "features": [i, 1.0],
        "captions": [f"text {i}", f"words {i}"],
        "wingspan": i / 2,
        "diet": ["fish", "fruit"][i % 2],
        "weight": i * 3,
        "url": f"http://{i}",
        "remark": f"remark {i}",
        "pen": {"a": i, "b": "x"},
        "stack": [[[1.0]]],
    }
    for i in range(40)
]


def write(folder, text):
    (folder / "pets.yaml").write_text(text, encoding="utf-8")
    return folder / "pets.yaml"


def test_a_whole_yaml_is_read(tmp_path):
    config = read_config(write(tmp_path, YAML))
    assert config.id == "code"
    assert config.modalities["caption"].options == {"size": 64}
    assert config.objective == {"pcmr": {"lam": 10, "beta": -0.1}}
    assert config.train == {"epochs": 30, "lr": 0.001}


def test_every_key_may_be_left_out(tmp_path):
    assert read_config(write(tmp_path, "")) == Config()
    assert read_config(write(tmp_path, "objective: pcmc")).objective == "pcmc"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("modalites: {}", "unknown key 'modalites'; did you mean 'modalities'\\? Allowed: id, split"),
        ("modalities: {photo: {knd: image}}", "unknown key 'knd' under modalities.photo; did you mean 'kind'"),
        ("modalities: {photo: {kind: img}}", "modalities.photo.kind: got 'img'.*'image'"),
        ("modalities: {photo: {kind: text, columns: [a, b]}}", "modalities.photo: .*columns of a table"),
        ("modalities: {photo: {column: a, columns: [b]}}", "either `column` or `columns`"),
        ("modalities: {item: {}}", "'item' cannot name a modality"),
        ("modalities: {'a=b': {}}", "'a=b' cannot name a modality"),
        ("split_seed: soon", "split_seed: got 'soon'"),
        ("[1, 2]", "holds a list"),
        ("a: [", "cannot be read as YAML"),
        ("label: a\nlabel: b", "'label' twice"),
        ("modalities:\n  photo: {kind: image}\n  photo: {kind: text}", "'photo' twice"),
    ],
)
def test_what_a_yaml_must_not_say(text, reason, tmp_path):
    with pytest.raises(ManymodalError, match=reason) as caught:
        read_config(write(tmp_path, text))
    assert "pets.yaml" in str(caught.value)


def test_a_yaml_that_is_absent_or_not_utf8(tmp_path):
    with pytest.raises(ManymodalError, match="cannot read .*none.yaml"):
        read_config(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"label: esp\xe8ce")
    with pytest.raises(ManymodalError, match="not UTF-8"):
        read_config(tmp_path / "latin.yaml")


def test_small_numbers_are_numbers(tmp_path):
    assert read_config(write(tmp_path, "train: {lr: 1e-3, beta: -2E4}")).train == {"lr": 0.001, "beta": -20000.0}


def test_the_config_adds_to_and_overrides_what_is_inferred(tmp_path):
    schema = read_collection(ROWS, config=write(tmp_path, YAML)).schema
    assert schema.modalities["photo"].width == 2
    assert schema.modalities["species"].per == "label"
    assert schema.modalities["traits"].columns == ["wingspan", "diet"]
    assert schema.modalities["traits"].cells == {"wingspan": "number", "diet": "text"}
    assert schema.modalities["table"].columns == ["weight"]
    assert schema.modalities["remark"].kind == "text"
    assert schema.modalities["pen"].struct
    assert "url" not in schema.modalities
    assert schema.label_names == ["s0", "s1", "s2"]
    assert schema.same_source == [["photo", "caption"]]


def test_what_is_left_out_of_a_modality_is_inferred():
    schema = read_collection(ROWS, config={"modalities": {"words": {"column": "captions"}}}).schema
    assert (schema.modalities["words"].kind, schema.modalities["words"].several) == ("text", True)
    assert "captions" not in schema.modalities


@pytest.mark.parametrize(
    "config",
    [
        {},
        make_config({"split_seed": 3, "split_by": "family", "label": None, "id": "code", "ignore": ["remark", "url"]}),
        YAML,
    ],
)
def test_the_written_yaml_gives_the_schema_back(config, tmp_path):
    schema = read_collection(ROWS, config=write(tmp_path, config) if isinstance(config, str) else config).schema
    again = read_collection(ROWS, config=write(tmp_path, yaml_of(schema))).schema
    assert again.model_dump() == schema.model_dump()


def test_a_schema_survives_json(tmp_path):
    schema = read_collection(ROWS, config=write(tmp_path, YAML)).schema
    assert Schema.model_validate_json(schema.model_dump_json()) == schema


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"label": "specis"}, "label: no column 'specis'.*did you mean 'species'"),
        ({"ignore": ["nothing"]}, "ignore: no column 'nothing'"),
        ({"modalities": {"photo": {"kind": "image"}}}, "modality 'photo': no column 'photo'"),
        ({"modalities": {"x": {"kind": "text", "column": "features"}}}, "list<.*is not text; needed: string"),
        ({"modalities": {"x": {"kind": "table", "columns": ["diet", "features"]}}}, "'features' .* is not table"),
        ({"modalities": {"x": {"kind": "text", "column": "captions", "several": False}}}, "`several: false`"),
        ({"modalities": {"x": {"column": "stack"}}}, "could be several kinds; say which"),
        ({"modalities": {"x": {"column": "url", "per": "label"}}}, "no column of labels"),
        ({"modalities": {"table": {"column": "url"}}}, "two modalities would be called 'table'"),
        ({"same_source": [["features", "caption"]]}, "'caption', which is no modality; did you mean 'captions'"),
    ],
)
def test_a_config_that_does_not_fit_the_table(config, reason):
    with pytest.raises(ManymodalError, match=reason):
        read_collection(ROWS, config=config)


def test_a_config_and_a_schema_exclude_each_other():
    schema = read_collection(ROWS).schema
    with pytest.raises(ManymodalError, match="either config= or schema="):
        read_collection(ROWS, config={}, schema=schema)
    with pytest.raises(ManymodalError, match='allowed are "stop" and "skip"'):
        read_collection(ROWS, on_bad_value="ignore")
