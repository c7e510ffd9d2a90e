"""Many at a time: batches, a full queue, time that runs out, clients that hang up, and what the index does meanwhile."""

import asyncio
import logging

import pytest
from asking import ROOT, client, part, refused, until, words
from fake_index import FakeIndex

from manymodal.errors import ManymodalError
from manymodal.server import ServerSettings, create_app


def run(steps, index=None, **settings):
    index = index or FakeIndex()

    async def all_of_it():
        async with client(index, ServerSettings(**settings)) as ask:
            return await steps(ask, index)

    return asyncio.run(all_of_it())


async def held(ask, index):
    """A search that holds the lane until `index.free` is set."""
    index.free.clear()
    first = asyncio.create_task(ask.post("/search", json=words()))
    await until(lambda: index.batches)
    return first


def test_64_at_a_time_are_answered_in_few_batches_each_with_its_own():
    async def steps(ask, index):
        alone = [(await ask.post("/search", json=words(f"text {n}"))).json()["hits"] for n in range(4)]
        index.batches.clear()
        first = await held(ask, index)
        many = [asyncio.create_task(ask.post("/search", json=words(f"text {n % 4}"))) for n in range(64)]
        await until(lambda: len(ask._transport.app.state.service.searches) == 64)
        index.free.set()
        answers = await asyncio.gather(first, *many)
        assert {answer.status_code for answer in answers} == {200}
        assert [answer.json()["hits"] for answer in answers[1:]] == alone * 16
        assert index.batches == [1, 32, 32]

    run(steps)


def test_a_full_queue_refuses_politely_and_the_others_are_answered():
    async def steps(ask, index):
        first = await held(ask, index)
        many = [asyncio.create_task(ask.post("/search", json=words())) for _ in range(20)]
        await until(lambda: sum(task.done() for task in many) == 12)
        index.free.set()
        answers = await asyncio.gather(first, *many)
        busy = [answer for answer in answers if answer.status_code == 503]
        assert len(busy) == 12 and all(int(answer.headers["retry-after"]) >= 1 for answer in busy)
        assert all("waiting" in refused(answer, 503) for answer in busy)
        assert [answer.status_code for answer in answers].count(200) == 9
        assert 'manymodal_refused_total{why="queue"} 12.0' in (await ask.get("/metrics")).text

    run(steps, waiting=8)


def test_a_search_that_takes_too_long_is_given_up_and_the_next_is_answered():
    async def steps(ask, index):
        first = await held(ask, index)
        late = await ask.post("/search", json=words())  # waits behind it, then gives up
        assert "0.2 seconds" in refused(late, 504)
        assert refused(await first, 504)
        index.free.set()
        await until(lambda: not ask._transport.app.state.service.searches)
        assert (await ask.post("/search", json=words())).status_code == 200
        assert index.batches == [1, 1]  # the one that gave up was skipped

    run(steps, request_seconds=0.2)


def test_a_search_whose_client_hung_up_is_skipped():
    index = FakeIndex()
    app = create_app(index)
    body = b'{"query": [{"modality": "caption", "values": ["a"]}], "target": "photo"}'
    scope = {
        "type": "http", "method": "POST", "path": "/search", "raw_path": b"/search", "query_string": b"",
        "headers": [(b"content-type", b"application/json")], "client": ("127.0.0.1", 1), "scheme": "http",
        "server": ("127.0.0.1", 80), "http_version": "1.1", "root_path": "",
    }  # fmt: skip

    async def steps():
        index.free.clear()
        async with client(app) as ask:
            first = asyncio.create_task(ask.post("/search", json=words()))
            await until(lambda: index.batches)
            messages = asyncio.Queue()
            messages.put_nowait({"type": "http.request", "body": body, "more_body": False})
            gone = asyncio.create_task(app(dict(scope), messages.get, lambda _: asyncio.sleep(0)))
            await until(lambda: len(app.state.service.searches) == 1)
            messages.put_nowait({"type": "http.disconnect"})
            await gone
            index.free.set()
            assert (await first).status_code == 200
            text = (await ask.get("/metrics")).text
            assert 'route="/search",status="499"} 1.0' in text
        assert index.batches == [1]

    asyncio.run(steps())


def test_one_bad_search_of_a_batch_harms_no_other(caplog):
    async def steps(ask, index):
        first = await held(ask, index)
        bodies = [words("a"), words("poison"), part("nowhere", "a"), words("b", target="nowhere"), words("b")]
        many = [asyncio.create_task(ask.post("/search", json=body)) for body in bodies]
        await until(lambda: len(ask._transport.app.state.service.searches) == 4)
        index.free.set()
        answers = await asyncio.gather(first, *many)
        assert [answer.status_code for answer in answers] == [200, 200, 500, 422, 422, 200]
        assert refused(answers[2], 500) == "an unexpected error; the server's log has it"
        assert "default-src" in answers[2].headers["content-security-policy"]

    with caplog.at_level(logging.ERROR):
        run(steps)
    assert "poison" in caplog.text and "/search" in caplog.text  # the log has the trace


def test_an_index_that_fails_is_an_error_of_the_server_and_shows_nothing(caplog):
    index = FakeIndex(failure=OSError(f"{ROOT}/index.json is gone"))

    async def steps(ask, index):
        assert refused(await ask.post("/search", json=words()), 500)
        assert (await ask.get("/live")).status_code == 200
        assert refused(await ask.get("/ready"), 503) and index.failure.args[0] not in (await ask.get("/ready")).text

    run(steps, index)


def test_writes_by_others_appear_with_at_most_one_look_a_second():
    async def steps(ask, index):
        for _ in range(5):
            await ask.post("/search", json=words())
        await ask.get("/items")
        assert index.refreshed == 1

    run(steps, refresh_seconds=60)

    async def each_time(ask, index):
        for _ in range(3):
            await ask.post("/search", json=words())
        assert (await ask.get("/item?id=3")).status_code == 200
        assert index.refreshed == 4

    run(each_time, refresh_seconds=0)


def test_a_new_version_is_told_with_what_is_new_in_it():
    async def steps(ask, index):
        before = (await ask.post("/search", json=words())).json()
        index.version = 2
        index.modalities = {name: each for name, each in index.modalities.items() if name != "points"}
        after = (await ask.post("/search", json=words())).json()
        assert (before["version"], after["version"]) == (1, 2)
        assert "manymodal_index_version 2.0" in (await ask.get("/metrics")).text
        assert "no modality 'points'" in refused(await ask.post("/search", json=part("points", [1] * 5)), 422)

    run(steps, refresh_seconds=0)


def test_an_index_that_cannot_be_refreshed_still_answers(monkeypatch, caplog):
    index = FakeIndex()

    def refresh():
        raise ManymodalError("no such folder")

    monkeypatch.setattr(index, "refresh", refresh)
    assert run(lambda ask, _: ask.post("/search", json=words()), index).status_code == 200
    assert "version 1" in caplog.text


def test_ready_says_when_searches_are_answered_and_when_no_more():
    async def steps(ask, index):
        index.failure = RuntimeError("not yet")
        assert (await ask.get("/ready")).headers["retry-after"] == "1"
        index.failure = None
        assert (await ask.get("/ready")).status_code == 200
        ask._transport.app.state.service.stopping = True
        assert "shutting down" in refused(await ask.get("/ready"), 503)

    run(steps)


def test_after_shutdown_nothing_is_taken():
    async def steps(ask, index):
        service = ask._transport.app.state.service
        await asyncio.to_thread(service.close)
        assert "shutting down" in refused(await ask.post("/search", json=words()), 503)
        assert refused(await ask.get("/items"), 503)

    run(steps)


@pytest.mark.parametrize("path", ["/embed", "/classify"])
def test_encoders_take_turns_with_searches(path):
    bodies = {
        "/embed": {"modality": "caption", "values": ["a"]},
        "/classify": {"query": words()["query"], "modality": "species", "classes": ["a", "b"]},
    }

    async def steps(ask, index):
        first = await held(ask, index)
        second = asyncio.create_task(ask.post(path, json=bodies[path]))
        await until(lambda: len(ask._transport.app.state.service.searches) == 1)
        assert (await ask.get("/item?id=3")).status_code == 200  # items do not wait for them
        index.free.set()
        assert [(await each).status_code for each in (first, second)] == [200, 200]

    run(steps)
