"""The lane: batches, a bounded queue, and an answer for each asker whatever becomes of the others."""

import asyncio
import gc
import threading
import weakref

import pytest
from asking import until

from manymodal.server.dispatch import Closed, Full, Lane


class Doubler:
    """Doubles numbers once it is let; keeps what came as one batch."""

    def __init__(self, free=True):
        self.batches, self.free = [], threading.Event()
        if free:
            self.free.set()

    def __call__(self, jobs):
        self.batches.append(list(jobs))
        assert self.free.wait(10)
        if "all" in jobs:
            raise RuntimeError("all")
        return [ValueError(job) if job == "bad" else job * 2 for job in jobs]


def test_what_waits_is_answered_as_one_batch_and_each_gets_its_own():
    async def steps():
        double = Doubler(free=False)
        lane = Lane(double, waiting=100, batch=8)
        first = lane.submit(0)
        await until(lambda: double.batches == [[0]])
        others = [lane.submit(number) for number in range(1, 20)]
        assert len(lane) == 19
        double.free.set()
        assert await asyncio.gather(first, *others) == [2 * number for number in range(20)]
        assert [len(batch) for batch in double.batches] == [1, 8, 8, 3]

    asyncio.run(steps())


def test_an_error_is_its_own_askers_alone():
    async def steps():
        double = Doubler(free=False)
        lane = Lane(double, waiting=10, batch=8)
        first = lane.submit(0)
        await until(lambda: double.batches)
        answers = [lane.submit(job) for job in (1, "bad", 2)]
        double.free.set()
        got = await asyncio.gather(first, *answers, return_exceptions=True)
        assert (got[0], got[1], got[3]) == (0, 2, 4) and isinstance(got[2], ValueError)

    asyncio.run(steps())


def test_a_batch_that_fails_as_a_whole_is_answered_and_the_lane_goes_on():
    async def steps():
        lane = Lane(Doubler(), waiting=10)
        with pytest.raises(RuntimeError, match="all"):
            await lane.submit("all")
        assert await lane.submit(2) == 4

    asyncio.run(steps())


def test_the_queue_is_bounded_and_those_who_gave_up_make_room():
    async def steps():
        double = Doubler(free=False)
        lane = Lane(double, waiting=2)
        first = lane.submit(0)
        await until(lambda: double.batches)
        gone, stays = lane.submit(1), lane.submit(2)
        assert lane.full
        with pytest.raises(Full):
            lane.submit(3)
        gone.cancel()
        late = lane.submit(4)
        double.free.set()
        assert await asyncio.gather(first, stays, late) == [0, 4, 8]
        assert double.batches == [[0], [2], [4]]  # the one that gave up cost nothing

    asyncio.run(steps())


def test_closing_finishes_what_is_there_and_takes_nothing_more():
    async def steps():
        double = Doubler()
        lane = Lane(double, waiting=10)
        answers = [lane.submit(number) for number in range(5)]
        await asyncio.to_thread(lane.close, 10)
        assert await asyncio.gather(*answers) == [0, 2, 4, 6, 8]
        with pytest.raises(Closed):
            lane.submit(1)

    asyncio.run(steps())


def test_closing_does_not_wait_for_ever():
    async def steps():
        double = Doubler(free=False)
        lane = Lane(double, waiting=10)
        lane.submit(0)
        await until(lambda: double.batches)
        left = lane.submit(1)
        await asyncio.to_thread(lane.close, 0.05)
        with pytest.raises(Closed):
            await left
        double.free.set()

    asyncio.run(steps())


def test_several_threads_work_at_a_time():
    async def steps():
        double = Doubler(free=False)
        lane = Lane(double, waiting=10, threads=3)
        answers = [lane.submit(number) for number in range(4)]
        await until(lambda: len(double.batches) == 3)
        double.free.set()
        assert await asyncio.gather(*answers) == [0, 2, 4, 6]

    asyncio.run(steps())


def test_askers_of_several_event_loops_share_a_lane():
    lane = Lane(Doubler(), waiting=100, batch=8)

    async def steps():
        return await asyncio.gather(*[lane.submit(number) for number in range(10)])

    got = []
    threads = [threading.Thread(target=lambda: got.append(asyncio.run(steps()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [[2 * number for number in range(10)]] * 4


def test_a_waiting_lane_keeps_nothing_of_its_last_job():
    class Big:
        def __mul__(self, other):
            return other

    async def steps():
        lane = Lane(Doubler.__call__.__get__(Forgetful()), waiting=10)
        job = Big()
        seen = weakref.ref(job)
        assert await lane.submit(job) == 2
        del job
        await asyncio.sleep(0.05)
        gc.collect()
        return seen()

    assert asyncio.run(steps()) is None


class Forgetful(Doubler):
    batches = property(lambda self: [], lambda self, value: None)
