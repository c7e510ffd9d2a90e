"""Bad input: refused by name, and nothing crashes, hangs, leaks or runs."""

import asyncio
import json

import pytest
from asking import LEAKS, client, encoded, part, picture, refused, sound, words
from fake_index import FakeIndex
from hostile import CASES, SCRIPTS, TRAVERSALS

from manymodal.server import Limits, ServerSettings, create_app

USUAL = create_app(FakeIndex())
PART = b'{"modality":"photo"}'


def post(body, path="/search", kind="application/json", settings=None, headers=()):
    async def ask():
        async with client(FakeIndex() if settings else USUAL, settings) as asker:
            return await asker.post(path, content=body, headers={"Content-Type": kind, **dict(headers)})

    return asyncio.run(ask())


def post_json(body, limits=None, path="/search"):
    return post(json.dumps(body), path, settings=ServerSettings(limits=Limits(**limits)) if limits else None)


def get(path):
    async def ask():
        async with client(USUAL) as asker:
            return await asker.get(path)

    return asyncio.run(ask())


def test_there_are_enough_of_them():
    assert len(CASES) >= 200 and len({name for name, *_ in CASES}) == len(CASES)


@pytest.mark.parametrize(("path", "kind", "body", "statuses"), [c[1:] for c in CASES], ids=[c[0][:60] for c in CASES])
def test_a_hostile_body_is_answered_politely(path, kind, body, statuses):
    answer = post(body, path, kind)
    if statuses == (200,):
        assert answer.status_code == 200 and not [leak for leak in LEAKS if leak in answer.text]
        assert answer.headers["content-type"] == "application/json"
    else:
        assert refused(answer, *statuses)


@pytest.mark.parametrize("text", [*TRAVERSALS, *SCRIPTS[1:], "x" * 1001, "", "999"])
@pytest.mark.parametrize("path", ["/item", "/media?modality=photo", "/similar?target=photo"])
def test_a_strange_id_is_not_found(path, text):
    async def ask():
        async with client(USUAL) as asker:
            return await asker.get(path.partition("?")[0], params={"id": text} | query)

    query = dict([path.partition("?")[2].split("=")]) if "?" in path else {}
    refused(asyncio.run(ask()), 404, 422)


@pytest.mark.parametrize(
    "path",
    [
        "/page/..%2fapp.py",
        "/page/%2e%2e/settings.py",
        "/page/%2e%2e%2f%2e%2e%2f%2e%2e%2fetc/passwd",
        "/page//etc/passwd",
        "/page/\\..\\app.py",
        "/page/%00",
        "/page/" + "x" * 5000,
        "/docs/%2e%2e/app.py",
        "/nowhere",
    ],
)
def test_no_path_leads_out(path):
    answer = get(path)
    assert answer.status_code in (404, 405) and "import" not in answer.text
    refused(answer, 404, 405)


@pytest.mark.parametrize(
    "path",
    [
        "/items?limit=0",
        "/items?limit=101",
        "/items?limit=x",
        "/items?offset=-1",
        "/items?offset=99999999999999999999",
        "/items?nothing=1",
        "/items?where=year%20>%201;DROP",
        "/similar?id=3",
        "/similar?id=3&target=nowhere",
        "/similar?id=3&target=photo&k=1001",
        "/similar?id=3&target=photo&using=nowhere",
        "/similar?id=2&target=photo&using=species",
        "/similar?id=3&target=photo&where=drop",
        "/media?id=3&modality=photo&place=-1",
        "/media?id=3",
        "/item",
    ],
)
def test_wrong_parameters_are_named(path):
    refused(get(path), 422)


def test_an_unknown_field_is_named():
    assert "query.0.colour: no such field" in refused(post_json(part("caption", "a", colour=1)), 422)
    assert "nothing" in refused(get("/items?nothing=1"), 422)


def test_a_refusal_does_not_repeat_a_long_text():
    assert len(refused(post_json(words(target="x" * 900, where="x" * 9000)), 422)) < 1100


def test_a_body_is_limited_as_declared_and_as_it_comes():
    small = {"limits": Limits(body_bytes=1000)}

    async def chunks():
        for _ in range(100):
            yield b" " * 100

    assert "1,000 bytes" in refused(post(b" " * 1001, settings=ServerSettings(**small)), 413)
    assert "1,000 bytes" in refused(post(chunks(), settings=ServerSettings(**small)), 413)
    lie = post(b"{}", settings=ServerSettings(**small), headers={"Content-Length": "9" * 30})
    assert refused(lie, 413, 422)


def test_a_body_that_does_not_come_is_not_waited_for():
    async def slowly():
        yield b"{"
        await asyncio.sleep(5)
        yield b"}"

    assert "arrive" in refused(post(slowly(), settings=ServerSettings(body_seconds=0.05)), 408)


def test_bodies_are_limited_all_together():
    answer = post(b" " * 2000, settings=ServerSettings(held_bytes=1000))
    assert refused(answer, 503) and answer.headers["retry-after"]


def test_packed_bodies_are_not_unpacked():
    answer = post(b"\x1f\x8b\x08", headers={"Content-Encoding": "gzip"})
    assert "gzip" in refused(answer, 415)


@pytest.mark.parametrize(
    ("limits", "body", "said"),
    [
        ({"k": 5}, words(k=6), "at most 5"),
        ({"parts": 0}, words(), "parts: 1; at most 0"),
        ({"values": 1}, part("caption", "a", "b"), "at most 1"),
        ({"ids": 1}, part("photo", items=["1", "2"]), "at most 1"),
        ({"text_characters": 3}, words("four"), "characters: 4; at most 3"),
        ({"text_characters": 3}, part("facts", {"kind": "four"}), "at most 3"),
        ({"where_characters": 3}, words(where="year > 2010"), "at most 3"),
        ({"picture_pixels": 15}, part("photo", encoded(picture((4, 4)))), "4 x 4 pixels; at most 15"),
        ({"request_pixels": 31}, part("photo", *[encoded(picture((4, 4)))] * 2), "at most 31 pixels"),
        ({"sound_seconds": 0.05}, part("call", encoded(sound(0.1))), "at most 0.05 seconds"),
        ({"request_sound_seconds": 0.15}, part("call", *[encoded(sound(0.1))] * 2), "0.15 seconds in all"),
    ],
)
def test_each_limit_is_kept_and_named(limits, body, said):
    assert said in refused(post_json(body, limits), 422)
    assert post_json(body).status_code == 200  # within the limits that are usual


def test_media_that_take_long_to_look_at_are_refused_before_they_are_decoded(monkeypatch):
    monkeypatch.setattr("manymodal.server.asked.HEADER_SECONDS", 0.0)
    assert "too long to read" in refused(post_json(part("photo", encoded(picture()))), 422)


def test_a_limit_of_classes():
    body = {"query": words()["query"], "modality": "species", "classes": ["a", "b"]}
    assert "at most 1" in refused(post_json(body, {"classes": 1}, "/classify"), 422)
    assert "at most 3" in refused(
        post_json({"modality": "caption", "values": ["four"]}, {"text_characters": 3}, "/embed"), 422
    )


def test_an_animation_counts_and_reads_as_its_first_frame():
    from PIL import Image

    more = [Image.new("RGB", (4, 4), colour) for colour in ("blue", "green")]
    moving = picture(format="GIF", save_all=True, append_images=more)
    still = picture(format="GIF")
    answers = [post_json(part("photo", encoded(each))).json()["hits"] for each in (moving, still)]
    assert answers[0] == answers[1]


def test_a_file_that_no_value_names_is_refused():
    async def ask():
        async with client(USUAL) as asker:
            form = {"request": (None, json.dumps(words())), "lost": ("x", b"1")}
            return await asker.post("/search", files=form)

    assert "'lost'" in refused(asyncio.run(ask()), 422)


def test_a_name_outside_the_table_is_said_with_those_inside():
    detail = refused(post_json(part("facts", {"colour": 1})), 422)
    assert "'colour'" in detail and "year" in detail
    assert "caption" in refused(post_json(part("nowhere", "a")), 422)


@pytest.mark.parametrize(
    "body, said",
    [
        (b'{"query":[' + PART + (b"," + PART) * 1000 + b'],"target":"photo"}', "query: List should have at most 1000"),
        (b'{"query":[' + b"{}," * 900 + b'{}],"target":"photo"}', "query.0.modality: Field required"),
        (b'{"query":[{"modality":"photo","items":[' + b'"",' * 999 + b'""]}],"target":"photo"}', "query.0.items.0: "),
        (b'{"query":[{"modality":"photo","vectors":[[' + b"null," * 999 + b'1]]}],"target":"photo"}', "vectors.0.0: "),
        (b"{" + b",".join(b'"%d":1' % n for n in range(5000)) + b"}", "5,000 fields; there are query, target"),
    ],
    ids=["parts", "empty parts", "items", "vectors", "fields"],
)
def test_of_a_flood_of_mistakes_the_first_is_said(body, said):
    """To list them all took ten seconds of every thread's time for a body within its limit."""
    detail = refused(post(body), 422)
    assert said in detail and detail.count("; ") <= 1
