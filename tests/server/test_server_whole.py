"""The application around a real index: every route's answer, and every hostile body once more."""

import asyncio
import io
import json

import pytest
from asking import LEAKS, client, refused
from hostile import CASES
from PIL import Image

import real_index
from manymodal import QueryPart, Request
from manymodal.server import create_app


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return real_index.build(tmp_path_factory.mktemp("real"))


@pytest.fixture(scope="module")
def app(index):
    return create_app(index)


def asked(app, method, path, **given):
    async def ask():
        async with client(app) as asker:
            return await asker.request(method, path, **given)

    answer = asyncio.run(ask())
    assert not [leak for leak in LEAKS if leak in answer.text] or path.startswith(("/docs", "/openapi"))
    return answer


def test_a_search_finds_what_the_index_finds(app, index):
    query = [{"modality": "caption", "values": ["a cat in 2004"]}, {"modality": "photo", "items": ["4"], "weight": 0.5}]
    body = {"query": query, "target": "photo", "k": 3, "where": "year >= 2004"}
    answer = asked(app, "POST", "/search", json=body).json()
    parts = [QueryPart("caption", ["a cat in 2004"]), QueryPart("photo", ids=["4"], weight=0.5)]
    hits = index.search(Request(parts, "photo", 3, "year >= 2004"))
    assert [hit["id"] for hit in answer["hits"]] == [hit.id for hit in hits]
    assert [hit["score"] for hit in answer["hits"]] == pytest.approx([hit.score for hit in hits])
    first = answer["hits"][0]
    assert first["columns"]["year"] >= 2004 and set(first["parts"]) == {"caption", "photo"}
    picture = asked(app, "GET", first["shown"]["media"])
    assert picture.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(picture.content)) as opened:
        assert opened.size == (24, 24)


def test_files_of_a_form_are_asked_with(app):
    photo = real_index.rows()[7]["photo"]["bytes"]
    words = {"query": [{"modality": "photo", "values": [{"file": "mine"}]}], "target": "photo", "k": 1}
    files = {"mine": ("any name", photo, "image/png")}
    answer = asked(app, "POST", "/search", data={"request": json.dumps(words)}, files=files).json()
    assert answer["hits"][0]["id"] == "7" and answer["hits"][0]["score"] == pytest.approx(1, abs=1e-4)


def test_every_other_route_answers(app, index):
    similar = asked(app, "GET", "/similar", params={"id": "4", "target": "photo", "using": "photo", "k": 2}).json()
    assert len(similar["hits"]) == 2 and "4" not in {hit["id"] for hit in similar["hits"]}
    vectors = asked(app, "POST", "/embed", json={"modality": "points", "values": [[0.1] * 5]}).json()
    assert vectors["vectors"][0] == pytest.approx(index.embed("points", [[0.1] * 5])[0].tolist(), abs=1e-6)
    body = {"query": [{"modality": "photo", "items": ["4"]}], "modality": "species", "classes": ["the cat", "the dog"]}
    classes = asked(app, "POST", "/classify", json=body).json()["classes"]
    assert sorted(one["class"] for one in classes) == [0, 1] and classes[0]["similarity"] >= classes[1]["similarity"]
    page = asked(app, "GET", "/items", params={"where": "year < 2005", "limit": 2}).json()
    assert page["total"] == 5 and len(page["items"]) == 2
    item = asked(app, "GET", "/item", params={"id": real_index.HOSTILE})
    assert item.json()["columns"]["note"] != "" and item.headers["content-type"] == "application/json"
    there = asked(app, "GET", "/index").json()
    assert there["items"] == 40 and there["columns"]["year"] == "number"
    assert there["modalities"]["facts"]["cells"]["kind"]["categories"] == ["cat", "dog"]
    assert asked(app, "GET", "/ready").status_code == 200
    assert "manymodal" in asked(app, "GET", "/metrics").text


def test_a_hostile_body_does_no_more_to_a_real_index_than_to_a_pretended_one(app):
    for name, path, kind, body, statuses in CASES:
        answer = asked(app, "POST", path, content=body, headers={"Content-Type": kind})
        assert answer.status_code in statuses, (name, answer.status_code, answer.text[:300])
        if statuses != (200,):
            refused(answer, *statuses)
