"""What the server answers where all is well."""

import asyncio
import base64
import json

import numpy as np
import pytest
from asking import client, encoded, part, picture, sound, words
from fake_index import HOSTILE, KINDS, FakeIndex

from manymodal.collection.media import decode_picture
from manymodal.requests import QueryPart, Request
from manymodal.server import Limits, ServerSettings, examples


@pytest.fixture
def index():
    return FakeIndex()


def run(index, steps, settings=None, **headers):
    async def all_of_it():
        async with client(index, settings, **headers) as ask:
            return await steps(ask)

    return asyncio.run(all_of_it())


def post(index, path, body, settings=None, **more):
    return run(index, lambda ask: ask.post(path, json=body, **more), settings)


def get(index, path, settings=None, headers=None, **params):
    return run(index, lambda ask: ask.get(path, params=params, headers=headers), settings)


def test_a_search_gives_what_the_index_gives(index):
    query = [
        {"modality": "caption", "values": ["asleep", "at night"], "weight": 2},
        {"modality": "photo", "items": ["3"]},
        {"modality": "caption", "values": ["dog"], "weight": -0.5},
    ]
    answer = post(index, "/search", {"query": query, "target": "photo", "k": 5, "where": "year > 2010"}).json()
    [hits] = index.search_many(
        [
            Request(
                [
                    QueryPart("caption", ["asleep", "at night"], weight=2),
                    QueryPart("photo", ids=["3"]),
                    QueryPart("caption", ["dog"], weight=-0.5),
                ],
                "photo",
                5,
                "year > 2010",
            )
        ]
    )
    assert [hit["id"] for hit in answer["hits"]] == [hit.id for hit in hits] and len(hits) == 5
    for got, hit in zip(answer["hits"], hits, strict=True):
        assert got["score"] == pytest.approx(hit.score) and got["parts"] == pytest.approx(hit.parts)
        assert set(got["parts"]) == {"caption", "photo", "-caption"} and got["columns"]["year"] > 2010
        assert got["shown"]["type"] == "image/jpeg" and got["shown"]["text"] is None
    assert answer["target"] == "photo" and answer["exact"] is True and answer["version"] == 1 and answer["took_ms"] > 0


@pytest.mark.parametrize(
    ("modality", "value"),
    [
        ("caption", "猫 asleep"),
        ("facts", {"year": 2011, "kind": "cat"}),
        ("facts", {"year": None, "kind": True}),
        ("points", [1, 2.5, 3, 4, 5]),
        ("strokes", [[0, 1], [2, 3.5], [4, 5]]),
        ("photo", encoded(picture())),
        ("photo", encoded(picture(format="WEBP"))),
        ("photo", encoded(picture(format="TIFF"))),
        ("call", encoded(sound())),
        ("call", encoded(sound(format="FLAC"))),
        ("call", encoded(sound(format="OGG", rate=16000))),
        ("call", encoded(sound(format="MP3", rate=16000))),
        ("species", "a cat"),
    ],
)
def test_each_kind_of_value_can_be_asked_with(index, modality, value):
    answer = post(index, "/search", part(modality, value))
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["hits"]) == 10
    vector = post(index, "/embed", {"modality": modality, "values": [value, value]}).json()
    assert vector["d"] == 8 and vector["space"] == "f" * 16
    assert np.allclose(np.linalg.norm(vector["vectors"], axis=1), 1, atol=1e-5) and len(vector["vectors"]) == 2


def test_vectors_go_out_and_come_back(index):
    [vector] = post(index, "/embed", {"modality": "caption", "values": ["asleep"]}).json()["vectors"]
    by_vector = {"query": [{"modality": "caption", "vectors": [vector]}], "target": "item"}
    by_words = words(target="item")
    ids = [[hit["id"] for hit in post(index, "/search", each).json()["hits"]] for each in (by_vector, by_words)]
    assert ids[0] == ids[1]


def test_an_upload_is_the_same_as_base64(index):
    form = {"request": (None, json.dumps(part("photo", {"file": "a"}, {"file": "b"})))}
    files = {"a": ("../../etc/passwd", picture()), "b": ("x.png", picture((5, 5)))}
    answer = run(index, lambda ask: ask.post("/search", files=form | files))
    assert answer.status_code == 200, answer.text
    plain = post(index, "/search", part("photo", encoded(picture()), encoded(picture((5, 5)))))
    assert answer.json()["hits"] == plain.json()["hits"]


def test_the_request_of_an_upload_may_be_a_file_itself(index):
    form = {"request": ("blob", json.dumps(words()), "application/json")}
    assert run(index, lambda ask: ask.post("/search", files=form)).status_code == 200


def test_a_label_modality_is_exact_in_any_engine_and_its_hits_are_labels(index):
    index.engine = "lancedb"
    answer = post(index, "/search", words(target="species")).json()
    assert {hit["id"] for hit in answer["hits"]} == {"cat", "dog"} and answer["exact"] is True
    assert post(index, "/search", words()).json()["exact"] is False


def test_similar_items_leave_out_the_item_and_use_what_is_named(index):
    answer = get(index, "/similar", id="3", target="photo", k=7).json()
    assert len(answer["hits"]) == 7 and "3" not in [hit["id"] for hit in answer["hits"]]
    assert set(answer["hits"][0]["parts"]) == set(KINDS) - {"species"}
    some = run(index, lambda ask: ask.get("/similar?id=3&target=photo&using=photo&using=species&where=year > 2020"))
    assert set(some.json()["hits"][0]["parts"]) == {"photo", "species"}
    assert all(hit["columns"]["year"] > 2020 for hit in some.json()["hits"])
    labels = get(index, "/similar", id="3", target="species").json()["hits"]
    assert len(labels) == 2


def test_classes_are_ranked_by_place(index):
    body = {"query": words()["query"], "modality": "species", "classes": ["asleep", "a dog", "a cat"]}
    ranked = post(index, "/classify", body).json()["classes"]
    assert ranked[0] == {"class": 0, "similarity": pytest.approx(1)}  # the very words of the query
    assert sorted(each["class"] for each in ranked) == [0, 1, 2]


def test_items_are_paged_and_one_is_looked_up(index):
    page = get(index, "/items", where="year > 2010", limit=3, offset=2).json()
    assert page["total"] == 29 and [item["id"] for item in page["items"]] == ["13", "14", "15"]
    item = get(index, "/item", id="13").json()
    assert item == page["items"][0] and item["label"] == "dog"
    assert item["values"]["photo"][0]["media"] == "/media?id=13&modality=photo&place=0"


def test_media_are_kept_by_browsers_and_come_in_ranges(index):
    async def steps(ask):
        whole = await ask.get("/media?id=3&modality=photo&place=0")
        again = await ask.get("/media?id=3&modality=photo", headers={"If-None-Match": whole.headers["etag"]})
        some = await ask.get("/media?id=3&modality=photo", headers={"Range": "bytes=4-6"})
        beyond = await ask.get("/media?id=3&modality=photo", headers={"Range": "bytes=400-"})
        return whole, again, some, beyond

    whole, again, some, beyond = run(index, steps)
    assert whole.content == b"\xff\xd8\xff jpeg" and whole.headers["content-type"] == "image/jpeg"
    assert whole.headers["x-content-type-options"] == "nosniff" and "private" in whole.headers["cache-control"]
    assert "sandbox" in whole.headers["content-security-policy"]
    assert (again.status_code, again.content) == (304, b"")
    assert (some.status_code, some.content, some.headers["content-range"]) == (206, b"jpe", "bytes 4-6/8")
    assert beyond.status_code == 416


def test_media_that_could_hold_script_are_not_named_as_such(index, monkeypatch):
    monkeypatch.setattr(index, "media", lambda *_: (b"<svg/>", "image/svg+xml"))
    assert get(index, "/media", id="3", modality="photo").headers["content-type"] == "application/octet-stream"


def test_the_index_describes_itself_and_its_limits(index):
    told = get(index, "/index", ServerSettings(limits=Limits(k=77), per_minute=600)).json()
    assert told["targets"] == [*KINDS, "item"] and told["items"] == 40 and told["space"] == "f" * 16
    assert told["modalities"]["facts"]["cells"]["kind"] == {"kind": "category", "categories": ["cat", "dog"]}
    assert told["modalities"]["foreign"]["kind"] is None and told["modalities"]["strokes"]["width"] == 2
    assert told["limits"]["k"] == 77 and told["limits"]["requests_per_minute"] == 600
    needed = {"body_bytes", "picture_pixels", "sound_seconds", "parts", "values", "text_characters", "where_characters"}
    assert needed <= set(told["limits"])


def test_script_in_ids_and_texts_comes_back_as_json(index):
    answer = get(index, "/item", id=HOSTILE)
    assert answer.headers["content-type"] == "application/json" and answer.json()["id"] == HOSTILE
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "<" not in answer.json()["values"]["photo"][0]["media"]


def test_metrics_tell_what_happened(index):
    async def steps(ask):
        await ask.post("/search", json=words())
        await ask.post("/search", json={})
        await ask.get("/nowhere/%2e%2e/" + "x" * 100)
        return await ask.get("/metrics")

    text = run(index, steps).text
    assert 'manymodal_requests_total{route="/search",status="200"} 1.0' in text
    assert 'manymodal_requests_total{route="/search",status="422"} 1.0' in text
    assert 'manymodal_requests_total{route="other",status="404"} 1.0' in text
    assert "manymodal_batch_size_sum 1.0" in text and "manymodal_index_items 40.0" in text
    assert "manymodal_index_version 1.0" in text and "manymodal_waiting 0.0" in text and "xxx" not in text


def test_what_the_examples_show_can_be_read():
    decode_picture(base64.b64decode(examples.PIXEL))
