"""Keys, shares, origins and headers."""

import asyncio

import pytest
from asking import client, refused, words
from fake_index import FakeIndex

from manymodal.errors import ManymodalError
from manymodal.server import ServerSettings

OPEN = ["/", "/live", "/ready", "/docs", "/docs/start.js", "/openapi.json"]
CLOSED = ["/index", "/metrics", "/items", "/item?id=3", "/media?id=3&modality=photo", "/similar?id=3&target=photo"]


def run(steps, settings, **headers):
    async def all_of_it():
        async with client(FakeIndex(), settings, **headers) as ask:
            return await steps(ask)

    return asyncio.run(all_of_it())


def key(text):
    return {"Authorization": text}


def test_a_key_opens_everything_and_none_opens_only_what_tells_nothing():
    async def steps(ask):
        for path in OPEN:
            assert (await ask.get(path)).status_code == 200, path
        for path in [*CLOSED, "/nowhere", "/page", "/index/"]:
            answer = await ask.get(path)
            assert "bearer key" in refused(answer, 401) and answer.headers["www-authenticate"] == "Bearer"
            assert (await ask.get(path, headers=key("Bearer two"))).status_code in (200, 404)
        assert refused(await ask.post("/search", json=words()), 401)
        assert (await ask.post("/search", json=words(), headers=key("bearer one"))).status_code == 200

    run(steps, ServerSettings(keys=("one", "two")))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer o",
        "Bearer onee",
        "Bearer one two",
        "Basic one",
        "one",
        "Bearer ö",
        "Bearer ONE",
    ],
)
def test_nothing_but_the_key_is_the_key(text):
    answer = run(lambda ask: ask.get("/index", headers={"Authorization": text.encode()}), ServerSettings(keys=("one",)))
    assert refused(answer, 401)


def test_keys_are_not_shown():
    assert "secret" not in repr(ServerSettings(keys=("secret",)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"keys": ("",)},
        {"keys": (" ",)},
        {"keys": ("one ",)},
        {"keys": ("clé",)},
        {"hosts": ("https://a",)},
        {"origins": ("*",)},
        {"origins": ("https://a/b",)},
        {"root_path": "a"},
        {"per_minute": 0},
        {"waiting": 0},
        {"request_seconds": float("nan")},
    ],
)
def test_settings_that_would_open_or_close_the_service_are_refused(wrong):
    with pytest.raises(ManymodalError):
        ServerSettings(**wrong)


def test_a_client_that_asks_too_often_is_told_when_to_come_back():
    async def steps(ask):
        answers = [await ask.get("/index", headers=key("Bearer one")) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert "3 requests a minute" in refused(answers[3], 429) and 1 <= int(answers[3].headers["retry-after"]) <= 20
        assert (await ask.get("/index", headers=key("Bearer two"))).status_code == 200  # another client
        assert (await ask.get("/live")).status_code == 200

    run(steps, ServerSettings(keys=("one", "two"), per_minute=3))


def test_without_keys_a_client_is_its_address():
    async def steps(ask):
        return [(await ask.get("/index", headers=key(f"Bearer {n}"))).status_code for n in range(3)]

    assert run(steps, ServerSettings(per_minute=2)) == [200, 200, 429]


def test_no_foreign_page_may_ask_unless_it_is_named():
    asked = {"Origin": "https://b.example", "Access-Control-Request-Method": "POST"}

    async def steps(ask):
        before = await ask.options("/search", headers=asked)
        answer = await ask.post("/search", json=words(), headers={"Origin": "https://b.example"})
        return before, answer

    before, answer = run(steps, ServerSettings(keys=("one",)))
    assert not [name for each in (before, answer) for name in each.headers if name.startswith("access-control")]
    before, answer = run(steps, ServerSettings(keys=("one",), origins=("https://a.example",)))
    assert before.status_code == 400 and "access-control-allow-origin" not in answer.headers
    before, answer = run(steps, ServerSettings(keys=("one",), origins=("https://b.example",)))
    assert before.status_code == 200 and before.headers["access-control-allow-origin"] == "https://b.example"
    assert answer.status_code == 401 and answer.headers["access-control-allow-origin"] == "https://b.example"


@pytest.mark.parametrize("path", [*OPEN, *CLOSED, "/nowhere", "/item?id=nobody", "/items?limit=x"])
def test_every_answer_has_the_headers_that_browsers_obey(path):
    headers = run(lambda ask: ask.get(path), None).headers
    policy = headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
    assert "default-src 'self'" in policy or "default-src 'none'" in policy
    assert "http" not in policy and "unsafe-eval" not in policy and "script-src" not in policy
    assert ("'unsafe-inline'" in policy) == path.startswith("/docs")


def test_behind_a_prefix_everything_is_found_and_guarded_alike():
    async def steps(ask):
        for prefix in ("/pets", ""):  # proxies take it away, or do not
            assert (await ask.get(prefix + "/live")).status_code == 200
            assert refused(await ask.get(prefix + "/index"), 401)
            assert (await ask.get(prefix + "/index", headers=key("Bearer one"))).status_code == 200
            for path in ("/", "/page/app.js", "/docs", "/docs/start.js", "/docs/swagger-ui.css"):
                assert (await ask.get(prefix + path)).status_code == 200, prefix + path
        bare = await ask.get("/pets")  # where the page's relative addresses would lead out of the prefix
        assert bare.status_code == 307 and bare.headers["location"] == "/pets/"
        assert (await ask.get("/openapi.json")).json()["servers"] == [{"url": "/pets"}]
        assert refused(await ask.get("/petsindex"), 401)
        assert (await ask.get("/petsindex", headers=key("Bearer one"))).status_code == 404

    run(steps, ServerSettings(keys=("one",), root_path="/pets"))


@pytest.mark.parametrize(
    "host, status",
    [("pets.example", 200), ("PETS.example:8000", 200), ("pets.example.", 200), ("evil.example", 421), ("", 421)],
)
@pytest.mark.parametrize("named", ["pets.example", "Pets.Example:443"])
def test_only_hosts_that_are_named_are_answered(host, status, named):
    settings = ServerSettings(hosts=(named,))
    answer = run(lambda ask: ask.get("/", headers={"Host": host}), settings)
    assert answer.status_code == status
    assert run(lambda ask: ask.get("/live", headers={"Host": host}), settings).status_code == 200  # for those who watch
    assert run(lambda ask: ask.get("/", headers={"Host": host}), ServerSettings()).status_code == 200


@pytest.mark.parametrize("path", ["/", "/live", "/page/app.js", "/docs", "/index", "/media?id=3&modality=photo"])
def test_head_is_answered_as_get_is_without_the_body(path):
    async def steps(ask):
        return await ask.get(path), await ask.head(path)

    whole, head = run(steps, None)
    assert whole.status_code == head.status_code == 200 and whole.content and not head.content
    assert head.headers["content-length"] == str(len(whole.content))
    assert run(lambda ask: ask.head("/search"), None).status_code == 405


def test_a_page_is_not_put_together_from_two_versions_nor_shown_without_its_key():
    async def steps(ask):
        return [(await ask.get(path)).headers for path in ("/", "/page/app.js", "/media?id=3&modality=photo")]

    page, script, media = run(steps, None)
    assert page["cache-control"] == script["cache-control"] == "no-cache"
    assert media["cache-control"].startswith("private") and media["vary"] == "Authorization"
