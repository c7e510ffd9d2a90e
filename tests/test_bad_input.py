"""What is wrong is said in a line, the exit code is not 0, and nothing that was there before is lost."""

import builtins
import errno
import io
import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import manymodal as mm
from manymodal import ManymodalError
from manymodal.files import replacing_folder
from samples import contents, picture, rows, run, sound, write, write_config

FEW = {"epochs": 1, "batch_size": 8, "dim": 8}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """(space, table); tests change neither."""
    folder = tmp_path_factory.mktemp("world")
    table = write(folder, rows())
    ran = run("fit", table, "--config", write_config(folder, train=FEW), "--out", folder / "pets", "--device", "cpu")
    assert ran.code == 0, ran.err
    return folder / "pets", table


def refused(*words):
    """The error of a command that must fail: one or two lines at the end of stderr, nothing on stdout."""
    ran = run(*words)
    assert ran.code == 1 and not ran.out, ran
    return in_words(ran.err)


def in_words(err):
    before, found, message = err.partition("error: ")
    assert found and "Traceback" not in err, err
    assert not before or before.endswith("\n")
    assert len(message.strip().splitlines()) <= 2, message
    return message


def refused_fit(tmp_path, made, *words, form="parquet", **config):
    """The error of a fit that leaves no space."""
    table = made if isinstance(made, Path) else write(tmp_path, made, form)
    said = write_config(tmp_path, **{"train": FEW, **config})
    message = refused("fit", table, "--config", said, "--out", tmp_path / "out", "--device", "cpu", *words)
    assert not (tmp_path / "out").exists()
    return message


def plain(**changes):
    """Items with a text and a vector, the first 16 in train; `changes` are {column: {row: value}}."""
    split = ["train"] * 16 + ["dev"] * 2 + ["test"] * 2
    made = [
        {"id": f"a{i}", "split": split[i], "text": f"number {i}", "features": [float(i), 1.0, -i / 2]}
        for i in range(20)
    ]
    for column, cells in changes.items():
        for i, value in cells.items():
            made[i][column] = value
    return made


def fit_plain(tmp_path, made, *words, **config):
    return refused_fit(tmp_path, made, *words, **{"label": None, "modalities": {}, **config})


# -- tables ------------------------------------------------------------------------------------------------------------


def test_no_such_file(world, tmp_path):
    nowhere = tmp_path / "nowhere.parquet"
    for words in (("describe", nowhere), ("fit", nowhere, "--out", tmp_path / "o"), ("evaluate", world[0], nowhere)):
        assert f"no such file or folder: {nowhere}" in refused(*words)
    assert "nowhere is no folder: not a saved space" in refused("evaluate", tmp_path / "nowhere", world[1])
    assert "cannot read" in refused("describe", world[1], "--config", tmp_path / "nowhere.yaml")


def test_an_empty_table(tmp_path):
    empty = {"none.csv": "", "head.csv": "id,text\n", "none.jsonl": "\n"}
    for name, content in empty.items():
        (tmp_path / name).write_text(content)
        assert "is empty" in refused("describe", tmp_path / name)
    import pyarrow.parquet as pq

    whole = pq.read_table(write(tmp_path, plain()))
    pq.write_table(whole.slice(0, 0), tmp_path / "none.parquet")
    assert "none.parquet is empty (0 rows, 4 columns)" in refused(
        "fit", tmp_path / "none.parquet", "--out", tmp_path / "o"
    )


def test_a_file_that_is_not_what_its_name_says(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and so on")
    assert "as Parquet" in refused("describe", tmp_path / "t.parquet")
    (tmp_path / "t.jsonl").write_text('{"a": 1}\n{"a": \n')
    assert "t.jsonl, line 2: not JSON" in refused("describe", tmp_path / "t.jsonl")
    (tmp_path / "t.txt").write_text("words")
    assert "cannot tell its format" in refused("describe", tmp_path / "t.txt")


def test_one_modality_only(tmp_path):
    message = fit_plain(tmp_path, [{"id": row["id"], "text": row["text"]} for row in plain()])
    assert "has one modality, 'text'; a space needs at least two" in message


def test_a_modality_that_train_lacks(tmp_path):
    made = [row | {"split": "train" if i > 4 else "test"} for i, row in enumerate(plain())]
    made = [row | {"features": row["features"] if row["split"] == "test" else None} for row in made]
    assert "'features' has no value in the train rows" in fit_plain(tmp_path, made)


def test_an_unknown_column_in_the_yaml(tmp_path):
    message = fit_plain(tmp_path, plain(), modalities={"vec": {"kind": "vector", "column": "feature"}})
    assert "modality 'vec': no column 'feature'" in message and "did you mean 'features'?" in message
    assert "label: no column 'kind'" in fit_plain(tmp_path, plain(), label="kind")
    assert "which is not image" in fit_plain(tmp_path, plain(), modalities={"features": {"kind": "image"}})


def test_an_unknown_key_in_the_yaml(tmp_path):
    assert "unknown key 'modality'; did you mean 'modalities'?" in fit_plain(tmp_path, plain(), modality={})
    message = fit_plain(tmp_path, plain(), modalities={"text": {"kind": "text", "colum": "text"}})
    assert "unknown key 'colum' under modalities.text" in message
    assert "no training setting 'epoch'; there are epochs" in fit_plain(tmp_path, plain(), train={"epoch": 3})
    assert "training setting epochs='many'" in fit_plain(tmp_path, plain(), train={"epochs": "many"})
    assert "training setting seed='first'" in fit_plain(tmp_path, plain(), train={"seed": "first"})
    assert "training setting values_per_item=0" in fit_plain(tmp_path, plain(), train={"values_per_item": 0})
    assert "dim='wide'" in fit_plain(tmp_path, plain(), train={"dim": "wide"})
    assert "pcmd" in fit_plain(tmp_path, plain(), objective={"pcmd": {}})
    assert "gamma" in fit_plain(tmp_path, plain(), objective={"pcmr": {"gamma": 1}})
    small = {"text": {"kind": "text", "options": {"size": 3}}}
    assert "encoder 'text' has no option 'size'" in fit_plain(tmp_path, plain(), modalities=small)
    (tmp_path / "t.yaml").write_text("modalities: [")
    message = refused("describe", write(tmp_path, plain()), "--config", tmp_path / "t.yaml")
    assert "t.yaml cannot be read as YAML" in message and "line 1" in message


def test_duplicate_ids(tmp_path):
    assert "two items have the id 'a2' (rows 2 and 9, column 'id')" in fit_plain(tmp_path, plain(id={9: "a2"}))


def test_a_split_with_no_rows(world, tmp_path):
    table = write(tmp_path, [row | {"split": "train"} for row in rows()])
    message = refused("evaluate", world[0], table, "--split", "test")
    assert "no rows in split 'test'; there are train 22, dev 2" in message and "--split all" in message
    made = [row | {"split": "test"} for row in plain()]
    assert "no rows in split 'train'; there are test 20" in fit_plain(tmp_path, made)
    assert "split='holdout'; allowed are train, dev, test and all" in refused("evaluate", *world, "--split", "holdout")


def test_a_label_column_that_disagrees_with_per_label(tmp_path):
    made = rows()
    made[4]["meaning"] = "a cube"
    message = refused_fit(tmp_path, made)
    assert "'meaning' is `per: label`, but items of label 'frame' differ" in message
    assert "an empty box" in message and "a cube" in message and "(row 4)" in message


def test_text_that_is_not_utf8(tmp_path):
    (tmp_path / "t.csv").write_bytes("id,text\na,bon\nb,hôtel\n".encode("latin-1"))
    message = refused("describe", tmp_path / "t.csv")
    assert "t.csv, line 3: not UTF-8 text (byte 0xf4); save it as UTF-8" in message
    (tmp_path / "t.yaml").write_bytes("id: clé".encode("latin-1"))
    assert "not UTF-8" in refused("describe", write(tmp_path, plain()), "--config", tmp_path / "t.yaml")


# -- values ------------------------------------------------------------------------------------------------------------


def skipping(tmp_path, made, *words, **config):
    """What a fit says that skips broken values, once it has succeeded."""
    said = write_config(tmp_path, train=FEW, **config)
    skip = ("--on-bad-value", "skip", "--device", "cpu")
    ran = run("fit", write(tmp_path, made), "--config", said, "--out", tmp_path / "skipped", *skip, *words)
    assert ran.code == 0, ran.err
    return ran.err


def test_a_truncated_jpeg(tmp_path):
    made = rows()
    for i in (0, 6):
        made[i]["photo"] = {"bytes": picture(i, "JPEG")[:500], "path": f"{i}.jpg"}
    message = refused_fit(tmp_path, made)
    assert "modality 'photo' (column photo), item 'a0': broken picture" in message
    assert "--on-bad-value skip" in message
    said = skipping(tmp_path, made)
    assert "2 values cannot be used" in said and "photo, a0: broken picture" in said and "photo, a6: " in said
    space = mm.load(tmp_path / "skipped")
    data = mm.read_collection(made, schema=space.schema, on_bad_value="skip")
    assert not {0, 6, 7} & set(space.encode(data).items["photo"].tolist())
    with pytest.raises(ManymodalError, match="item 'a0': broken picture"):
        space.encode(mm.read_collection(made, schema=space.schema))


@pytest.mark.parametrize("content", [b"", sound(0, seconds=0)], ids=["no bytes", "no samples"])
def test_an_empty_wav(tmp_path, content):
    made = rows()
    made[1]["speech"] = {"bytes": content, "path": "1.wav"}
    assert "modality 'speech' (column speech), item 'a1': empty" in refused_fit(tmp_path, made)
    assert "1 value cannot be used" in skipping(tmp_path, made)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_vector_that_is_not_finite(tmp_path, number):
    made = plain(features={3: [1.0, number, 0.0], 5: [number, number, number]})
    message = fit_plain(tmp_path, made)
    assert "modality 'features' (column features), item 'a3': 1 of 3 numbers are not finite" in message
    said = skipping(tmp_path, made, label=None, modalities={})
    assert "2 values cannot be used" in said and "features, a5: 3 of 3" in said


def test_vectors_of_unequal_length(tmp_path):
    made = plain(features={7: [1.0, 2.0]})
    message = fit_plain(tmp_path, made)
    assert "'features' (column features), item 'a7': the vector has 2 numbers, the others 3" in message
    assert "1 value cannot be used" in skipping(tmp_path, made, label=None, modalities={})


def test_an_item_with_no_values_at_all(tmp_path):
    made = plain(text={4: None}, features={4: None})
    table, out = write(tmp_path, made), tmp_path / "pets"
    ran = run("fit", table, "--out", out, "--epochs", 1, "--dim", 8, "--device", "cpu")
    assert ran.code == 0 and "1 item without a value in any modality (the first: 'a4')" in ran.err
    assert run("evaluate", out, table, "--split", "all", "--out", tmp_path / "r").code == 0
    entries = json.loads((tmp_path / "r" / "report.json").read_text())["directions"]
    assert all(entry["queries"] == 19 and entry["skipped"] == {"part": 1, "match": 0} for entry in entries)


def test_a_query_that_names_an_unknown_modality(world):
    ask = ("search", *world, "--target", "photo", "--query")
    assert "no modality 'caption'; there are" in refused(*ask, "caption=red")
    assert "no modality 'smell'" in refused("search", *world, "--query", "captions=red", "--target", "smell")
    assert "which is no part of the query" in refused(*ask, "captions=red", "--weight", "speech=2")


# -- spaces ------------------------------------------------------------------------------------------------------------


def without_config(folder):
    (folder / "config.json").unlink()


def half_a_config(folder):
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text[: len(text) // 2])


def half_the_weights(folder):
    content = (folder / "weights.safetensors").read_bytes()
    (folder / "weights.safetensors").write_bytes(content[: len(content) // 2])


def without_weights(folder):
    (folder / "weights.safetensors").unlink()


def of_another_format(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"format": 99, "manymodal": "7.0"}))


def of_other_sizes(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"dim": config["dim"] * 2}))


def no_mapping(folder):
    (folder / "config.json").write_text("[]")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (without_config, "has no config.json: not a saved space"),
        (half_a_config, "is a damaged space"),
        (half_the_weights, "is a damaged space"),
        (without_weights, "is a damaged space"),
        (of_another_format, "has format 99, this version reads 1: it was written by manymodal 7.0"),
        (of_other_sizes, "is a damaged space"),
        (no_mapping, "is a damaged space"),
    ],
)
def test_a_corrupt_space(world, tmp_path, harm, said):
    space = tmp_path / "pets"
    shutil.copytree(world[0], space)
    harm(space)
    for words in (("evaluate", space, world[1]), ("embed", space, world[1], "--out", tmp_path / "v")):
        message = refused(*words)
        assert said in message and str(space) in message


# -- disks -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def results(world, tmp_path):
    """A folder with a space, its report and its embeddings, all from before."""
    shutil.copytree(world[0], tmp_path / "pets")
    assert run("evaluate", *world, "--out", tmp_path / "report").code == 0
    assert run("embed", *world, "--out", tmp_path / "vectors").code == 0
    return tmp_path


def test_a_full_disk(world, results, tmp_path_factory):
    config = write_config(tmp_path_factory.mktemp("config"), train=FEW | {"epochs": 3, "checkpoint_seconds": 0})
    size = (world[0] / "weights.safetensors").stat().st_size
    before = contents(results)
    fit = ["fit", world[1], "--config", config, "--out", results / "pets", "--overwrite", "--device", "cpu"]
    tries = [  # (bytes that fit into a file, command)
        (4096, fit),
        (size + 4096, fit),  # enough for a space, not for a checkpoint
        (256, ["embed", *world, "--out", results / "vectors"]),
        (8192, ["evaluate", *world, "--out", results / "report"]),
        (256, ["evaluate", *world, "--out", results / "report"]),
    ]
    code = """
        import json, resource, signal, sys
        from samples import run
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        for limit, words in json.load(sys.stdin):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            print(json.dumps(run(*words)))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        input=json.dumps(tries, default=str),
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    ended = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(ended) == len(tries)
    for (_, (verb, *_)), (code, _, err) in zip(tries, ended, strict=True):
        message = in_words(err)
        assert code == 1 and "cannot write" in message, verb
        assert "File too large" in message and "What was there before is untouched" in message
    assert "checkpoint.pt" in ended[1][2]
    shutil.rmtree(results / "pets.training")  # from where --resume goes on, once there is space
    assert contents(results) == before


def read_only(monkeypatch, folder):
    """Every system call that would write under `folder` fails as it does on a disk mounted read-only."""

    def inside(path):
        return isinstance(path, (str, Path)) and Path(path).is_relative_to(folder)

    def guard(module, name, writes=lambda *arguments, **options: True):
        real = getattr(module, name)

        def guarded(path, *arguments, **options):
            if inside(path) and writes(path, *arguments, **options):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
            return real(path, *arguments, **options)

        monkeypatch.setattr(module, name, guarded)

    def for_writing(path, mode="r", *arguments, **options):
        return any(sign in mode for sign in "wax+")

    for module in (builtins, io):
        guard(module, "open", for_writing)
    guard(os, "mkdir", lambda path, *mode, **options: not Path(path).exists())
    for name in ("rename", "replace", "unlink", "rmdir"):
        guard(os, name)


def test_a_read_only_folder(world, results, tmp_path_factory, monkeypatch):
    config = write_config(tmp_path_factory.mktemp("config"), train=FEW)
    before = contents(results)
    read_only(monkeypatch, results)
    for words in (
        ("fit", world[1], "--config", config, "--out", results / "pets", "--overwrite", "--device", "cpu"),
        ("fit", world[1], "--config", config, "--out", results / "new", "--device", "cpu"),
        ("embed", *world, "--out", results / "vectors"),
        ("embed", *world, "--out", results / "new"),
        ("evaluate", *world, "--out", results / "report"),
        ("evaluate", *world, "--out", results / "new"),
    ):
        ran = run(*words)
        message = in_words(ran.err)
        assert ran.code == 1 and "cannot write" in message and "Read-only file system" in message
    with pytest.raises(ManymodalError, match="Read-only file system"):
        mm.load(world[0]).save(results / "pets")
    monkeypatch.undo()
    assert contents(results) == before and not (results / "new").exists()


def test_what_a_killed_process_moved_aside_is_put_back_or_cleared_away(world, results):
    """Killed between its two renames, or right after them, a save leaves `.pets.<mark>.old`."""
    space, before = mm.load(world[0]), contents(results)
    aside = results / ".pets.0123abcd.old"
    for killed_between in (True, False):
        if killed_between:
            (results / "pets").rename(aside)
            shutil.copytree(world[0], results / ".pets.0123abcd")
        else:
            shutil.copytree(results / "pets", aside)
        (results / ".pets.mine.old").mkdir(exist_ok=True)  # of somebody else
        space.save(results / "pets")
        assert contents(results).keys() == before.keys() and not aside.exists()
        assert (results / ".pets.mine.old").exists() and mm.load(results / "pets").fingerprint == space.fingerprint
    (results / "pets").rename(aside)
    with pytest.raises(ManymodalError, match="cannot write"), replacing_folder(results / "pets"):
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    assert contents(results).keys() == before.keys() and not aside.exists()  # what was there before is back


def test_a_link_to_a_folder_stays_a_link(world, results):
    (results / "link").symlink_to(results / "pets")
    mm.load(world[0]).save(results / "link")
    assert (results / "link").is_symlink() and mm.load(results / "pets").fingerprint
    assert not [path.name for path in results.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    "trouble", [OSError(errno.EIO, os.strerror(errno.EIO)), KeyboardInterrupt()], ids=["io", "ctrl-c"]
)
def test_a_space_that_cannot_get_into_place_leaves_the_old_one(world, results, monkeypatch, trouble):
    before, rename = contents(results), Path.rename

    def fails(path, target):
        if target == results / "pets" and not path.name.endswith(".old"):
            raise trouble
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fails)
    space = mm.load(world[0])
    with pytest.raises((ManymodalError, KeyboardInterrupt)):
        space.save(results / "pets")
    assert contents(results) == before
