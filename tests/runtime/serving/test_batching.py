"""The batcher's rules, on a real event loop, with work that ends when the test says so."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import pytest

from runtime.answers.refusals import RequestRefused
from runtime.serving.batching import Batcher, BatchingWay
from runtime.serving.turn_queue import Outcome

LONG_S = 60.0  # a deadline that no test reaches


@dataclass
class Model:
    """A batch function whose batches end when they are released; answers `image * 10`."""

    batches: list[list[list[int]]] = field(default_factory=list)
    gates: list[asyncio.Event] = field(default_factory=list)
    poison: int | None = None

    async def __call__(self, items: Sequence[list[int]]) -> list[list[int]]:
        self.batches.append([list(item) for item in items])
        gate = asyncio.Event()
        self.gates.append(gate)
        await gate.wait()
        if any(self.poison in item for item in items):
            raise MemoryError(f"cannot compute {items}")
        return [[image * 10 for image in item] for item in items]

    async def release(self, index: int) -> None:
        """Let batch `index` end and everything that follows from it happen."""
        self.gates[index].set()
        await settle()


async def settle() -> None:
    """Run whatever can run: far more turns of the loop than any chain of callbacks here has links."""
    for _ in range(50):
        await asyncio.sleep(0)


def on_a_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    @wraps(test)
    def run() -> None:
        asyncio.run(asyncio.wait_for(test(), 10))

    # pytest reads the wrapped function's kind through this.
    del run.__wrapped__
    return run


def make_batcher(sessions: int = 1, batch: int = 4, queue: int = 100, **options: Any) -> Batcher[list[int], int]:
    return Batcher(num_sessions=sessions, max_batch_images=batch, max_queued_images=queue, **options)


async def submit(
    batcher: Batcher[list[int], int], model: Model, *images: int, deadline_s: float = LONG_S
) -> asyncio.Task[Outcome[int]]:
    task = asyncio.create_task(batcher.submit(list(images), model, deadline_s))
    await settle()
    return task


async def answers(task: Awaitable[Outcome[int]]) -> list[int]:
    return (await task).answers


@on_a_loop
async def test_lone_request_starts_at_once_also_after_a_long_wait_of_others() -> None:
    batcher, model = make_batcher(), Model()
    tasks = [await submit(batcher, model, i) for i in range(9)]
    for batch in range(3):
        await model.release(batch)
    await asyncio.gather(*tasks)
    lone = await submit(batcher, model, 42)
    assert model.batches[-1] == [[42]]
    await model.release(3)
    assert (await lone).wait_s < 0.2  # a machine that does other work may stop for a moment


@on_a_loop
async def test_free_session_takes_all_that_has_gathered_up_to_a_batch_in_order() -> None:
    batcher, model = make_batcher(batch=4), Model()
    tasks = [await submit(batcher, model, i) for i in range(7)]
    assert model.batches == [[[0]]]
    await model.release(0)
    assert model.batches[1:] == [[[1], [2], [3], [4]]]
    await model.release(1)
    assert model.batches[2:] == [[[5], [6]]]
    await model.release(2)
    assert [await answers(task) for task in tasks] == [[i * 10] for i in range(7)]


@on_a_loop
async def test_as_many_batches_run_as_there_are_sessions_and_no_session_rests_while_somebody_waits() -> None:
    batcher, model = make_batcher(sessions=2, batch=1), Model()
    tasks = [await submit(batcher, model, i) for i in range(5)]
    assert model.batches == [[[0]], [[1]]]
    await model.release(1)
    assert model.batches[2:] == [[[2]]]
    await model.release(0)
    assert model.batches[3:] == [[[3]]]
    assert batcher.queued_images == 1
    for batch in (2, 3, 4):
        await model.release(batch)
    assert [await answers(task) for task in tasks] == [[0], [10], [20], [30], [40]]


@on_a_loop
async def test_batch_is_filled_by_images_not_by_requests_and_nobody_overtakes() -> None:
    batcher, model = make_batcher(batch=4), Model()
    tasks = [await submit(batcher, model, *images) for images in ([0], [1, 2, 3], [4, 5], [6])]
    await model.release(0)
    assert model.batches[1] == [[1, 2, 3]]  # [6] would have fitted, but [4, 5] came first
    await model.release(1)
    assert model.batches[2] == [[4, 5], [6]]
    await model.release(2)
    assert [(await task).batch_images for task in tasks] == [1, 3, 3, 3]


@on_a_loop
async def test_request_larger_than_a_batch_is_split_evenly_over_the_sessions_and_joined_in_order() -> None:
    batcher, model = make_batcher(sessions=2, batch=4), Model()
    task = await submit(batcher, model, *range(9))
    assert model.batches == [[[0, 1]], [[2, 3]]], "four pieces: two for each session"
    for batch in (1, 2, 3):
        await model.release(batch)
    assert not task.done()
    await model.release(0)
    assert await answers(task) == [i * 10 for i in range(9)]


@on_a_loop
async def test_free_sessions_share_a_request_that_fits_a_batch_and_busy_ones_do_not() -> None:
    batcher, model = make_batcher(sessions=2, batch=4), Model()
    first = await submit(batcher, model, 0, 1, 2)
    assert model.batches == [[[0]], [[1, 2]]]
    second = await submit(batcher, model, 3, 4, 5)
    await model.release(0)
    assert model.batches[2:] == [[[3, 4, 5]]]
    for batch in (1, 2):
        await model.release(batch)
    assert [await answers(task) for task in (first, second)] == [[0, 10, 20], [30, 40, 50]]


@on_a_loop
async def test_small_request_waits_for_a_batch_of_a_large_one_and_not_for_all_of_it() -> None:
    batcher, model = make_batcher(batch=2), Model()
    large = await submit(batcher, model, *range(8))
    small = [await submit(batcher, model, 10), await submit(batcher, model, 11, 12)]
    for batch in range(5):
        assert len(model.batches) == batch + 1
        await model.release(batch)
    assert model.batches[1:4] == [[[2, 3]], [[10]], [[11, 12]]], "in the order of their arrival"
    assert [await answers(task) for task in small] == [[100], [110, 120]]
    assert not large.done()
    await model.release(5)
    assert await answers(large) == [i * 10 for i in range(8)]


@on_a_loop
async def test_large_request_gets_its_turn_however_many_small_ones_come() -> None:
    batcher, model = make_batcher(batch=1), Model()
    large = await submit(batcher, model, 0, 1, 2, 3)
    small = [await submit(batcher, model, 10), await submit(batcher, model, 11)]
    for batch in range(10):
        await model.release(batch)
        small.append(await submit(batcher, model, 12 + batch))
    assert large.done()
    for batch in range(10, 16):
        await model.release(batch)
    await asyncio.gather(large, *small)


@on_a_loop
async def test_images_of_a_large_request_are_batched_with_those_of_others() -> None:
    batcher, model = make_batcher(batch=4), Model()
    large = await submit(batcher, model, *range(9))
    small = await submit(batcher, model, 10)
    for batch in range(3):
        await model.release(batch)
    assert model.batches == [[[0, 1, 2]], [[3, 4, 5], [10]], [[6, 7, 8]]]
    assert await answers(small) == [100]
    assert await answers(large) == [i * 10 for i in range(9)]


@on_a_loop
async def test_wait_is_that_of_the_turns_that_a_request_needs() -> None:
    batcher, model = make_batcher(batch=2), Model()
    batcher._image_s = 1.0
    running = [await submit(batcher, model, *range(10)), await submit(batcher, model, 10, 11)]
    assert (batcher.queued_images, batcher.expected_wait_s) == (10, 4.0)
    batcher.refuse_if_full(deadline_s=4.5)
    with pytest.raises(RequestRefused, match=r"wait would be 4\.0 s"):
        batcher.refuse_if_full(deadline_s=3.5)
    # Three turns: both of its own before the last, three of the first request's, and the second request.
    with pytest.raises(RequestRefused, match=r"wait would be 12\.0 s"):
        await batcher.submit([1] * 6, model, 11.5)
    for batch in range(6):
        await model.release(batch)
    await asyncio.gather(*running)


@on_a_loop
async def test_queue_is_bounded_in_images_and_says_when_to_come_back() -> None:
    batcher, model = make_batcher(queue=5), Model()
    running = await submit(batcher, model, 0)
    waiting = await submit(batcher, model, 1, 2, 3)
    with pytest.raises(RequestRefused, match="3 images wait, at most 5 may") as refused:
        await batcher.submit([4, 5, 6], model, LONG_S)
    assert (refused.value.retry_after_s or 0) >= 1
    fits = await submit(batcher, model, 4, 5)
    assert batcher.queued_images == 5
    for batch in range(3):
        await model.release(batch)
    assert [await answers(task) for task in (running, waiting, fits)] == [[0], [10, 20, 30], [40, 50]]


@on_a_loop
async def test_request_larger_than_the_queue_is_taken_where_nobody_waits() -> None:
    batcher, model = make_batcher(batch=2, queue=3), Model()
    running = await submit(batcher, model, 0)
    large = await submit(batcher, model, 1, 2, 3, 4)
    with pytest.raises(RequestRefused, match="try again later"):
        await batcher.submit([5], model, LONG_S)
    for batch in range(3):
        await model.release(batch)
    assert [await answers(running), await answers(large)] == [[0], [10, 20, 30, 40]]


@on_a_loop
async def test_request_is_refused_before_decoding_if_those_being_decoded_will_fill_the_queue() -> None:
    batcher = make_batcher(queue=2)
    batcher.num_arriving = 1
    batcher.refuse_if_full(LONG_S)
    batcher.num_arriving = 2
    with pytest.raises(RequestRefused, match="try again later"):
        batcher.refuse_if_full(LONG_S)


@on_a_loop
async def test_request_that_would_miss_its_deadline_is_refused_but_never_where_nobody_waits() -> None:
    batcher, model = make_batcher(batch=1), Model()
    batcher._image_s = 100.0  # a machine that stood still during the last batch
    running = await submit(batcher, model, 0)
    first_in_queue = await submit(batcher, model, 1)
    with pytest.raises(RequestRefused, match=r"wait would be 100\.0 s") as refused:
        await batcher.submit([2], model, 50.0)
    assert refused.value.retry_after_s == 100
    with pytest.raises(RequestRefused, match="try again later"):
        batcher.refuse_if_full(50.0)
    await model.release(0)
    await model.release(1)
    assert [await answers(running), await answers(first_in_queue)] == [[0], [10]]
    assert batcher._image_s < 100  # each batch corrects the estimate


@on_a_loop
async def test_request_past_its_deadline_is_answered_and_not_computed() -> None:
    batcher, model = make_batcher(), Model()
    running = await submit(batcher, model, 0)
    with pytest.raises(RequestRefused, match="no answer within the deadline"):
        await batcher.submit([1], model, 0.02)
    assert batcher.queued_images == 0
    with pytest.raises(RequestRefused, match="before the images were decoded"):
        await batcher.submit([1], model, 0.0)
    await model.release(0)
    assert await answers(running) == [0]
    assert model.batches == [[[0]]]


@on_a_loop
async def test_deadline_holds_while_the_batch_runs_and_neighbours_get_their_answers() -> None:
    batcher, model = make_batcher(), Model()
    blocker = await submit(batcher, model, 0)
    late = await submit(batcher, model, 1, deadline_s=0.05)
    neighbour = await submit(batcher, model, 2)
    await model.release(0)
    assert model.batches[1] == [[1], [2]]
    with pytest.raises(RequestRefused, match="no answer within the deadline"):
        await late
    await model.release(1)
    assert [await answers(blocker), await answers(neighbour)] == [[0], [20]]


@on_a_loop
async def test_cancelled_request_leaves_the_queue_with_all_its_pieces() -> None:
    batcher, model = make_batcher(batch=2), Model()
    running = await submit(batcher, model, 0)
    gone = await submit(batcher, model, 1, 2, 3, 4, 5)
    stays = await submit(batcher, model, 6)
    assert batcher.queued_images == 6
    gone.cancel()
    with suppress(asyncio.CancelledError):
        await gone
    assert batcher.queued_images == 1
    await model.release(0)
    await model.release(1)
    assert model.batches == [[[0]], [[6]]]
    assert [await answers(running), await answers(stays)] == [[0], [60]]


@on_a_loop
async def test_request_that_makes_its_batch_fail_harms_nobody_else() -> None:
    batcher, model = make_batcher(), Model(poison=2)
    tasks = [await submit(batcher, model, i) for i in range(4)]
    for batch in range(5):
        await model.release(batch)
    assert model.batches[1:] == [[[1], [2], [3]], [[1]], [[2]], [[3]]]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [r.answers if isinstance(r, Outcome) else type(r) for r in results] == [[0], [10], MemoryError, [30]]


@on_a_loop
async def test_wrong_number_of_answers_is_an_error_and_not_somebody_elses_answer() -> None:
    async def short(items: Sequence[list[int]]) -> list[list[int]]:
        return [[1] for _ in items]

    with pytest.raises(RuntimeError, match=r"answered \[1\] images, expected \[2\]"):
        await make_batcher().submit([1, 2], short, LONG_S)


@on_a_loop
async def test_closing_refuses_what_waits_and_comes_and_lets_running_batches_end() -> None:
    batcher, model = make_batcher(), Model()
    running = await submit(batcher, model, 0)
    waiting = await submit(batcher, model, 1)
    closing = asyncio.create_task(batcher.close())
    await settle()
    with pytest.raises(RequestRefused, match="shutting down"):
        await waiting
    with pytest.raises(RequestRefused, match="shutting down"):
        await batcher.submit([2], model, LONG_S)
    assert not closing.done()
    await model.release(0)
    await closing
    assert await answers(running) == [0]
    assert model.batches == [[[0]]]


@on_a_loop
async def test_observers_are_told_of_batches_and_of_the_queue() -> None:
    batches: list[tuple[int, int]] = []
    depths: list[int] = []
    batcher = make_batcher(
        on_batch=lambda images, requests, _: batches.append((images, requests)), on_queue=depths.append
    )
    model = Model()
    tasks = [await submit(batcher, model, *images) for images in ([0], [1, 2], [3])]
    for batch in range(2):
        await model.release(batch)
    await asyncio.gather(*tasks)
    assert batches == [(1, 1), (3, 2)]
    assert (max(depths), depths[-1]) == (3, 0)


@on_a_loop
async def test_background_goes_where_nobody_waits_and_its_batches_are_its_own() -> None:
    model, batcher = Model(), make_batcher(batch=32)
    tasks = [asyncio.create_task(batcher.submit([1], model, LONG_S))]
    await settle()
    for images in ([2], [3], [5, 6, 7]):
        tasks.append(asyncio.create_task(batcher.submit(images, model, LONG_S, is_background=True)))
    await settle()
    assert (batcher.queued_images, batcher.expected_wait_s) == (0, 0)
    tasks.append(asyncio.create_task(batcher.submit([4], model, LONG_S)))
    await settle()
    await model.release(0)
    assert model.batches[1:] == [[[4]]]
    await model.release(1)
    assert model.batches[2:] == [[[2], [3]]]
    for index in (2, 3, 4):
        await model.release(index)
    assert model.batches[3:] == [[[5]], [[6, 7]]]
    assert [(await task).answers for task in tasks] == [[10], [20], [30], [50, 60, 70], [40]]


@on_a_loop
async def test_background_leaves_one_of_several_sessions_free() -> None:
    model, batcher = Model(), make_batcher(sessions=3, batch=1)
    behind = [asyncio.create_task(batcher.submit([i], model, LONG_S, is_background=True)) for i in range(4)]
    await settle()
    assert len(model.batches) == 2
    front = asyncio.create_task(batcher.submit([9], model, LONG_S))
    await settle()
    assert model.batches[2:] == [[[9]]]
    for index in range(5):
        await model.release(index)
    assert (await front).answers == [90]
    assert [(await task).answers for task in behind] == [[0], [10], [20], [30]]


@on_a_loop
async def test_background_is_not_refused_for_a_full_queue_and_leaves_when_it_is_given_up() -> None:
    model, batcher = Model(), make_batcher(queue=1)
    tasks = [asyncio.create_task(batcher.submit([i], model, LONG_S)) for i in range(2)]
    await settle()
    behind = [asyncio.create_task(batcher.submit([i], model, LONG_S, is_background=True)) for i in (2, 3)]
    await settle()
    with pytest.raises(RequestRefused):
        batcher.refuse_if_full(LONG_S)
    behind[0].cancel()
    await settle()
    for index in range(3):
        await model.release(index)
    assert model.batches == [[[0]], [[1]], [[3]]]
    assert (await behind[1]).answers == [30]
    assert [(await task).answers for task in tasks] == [[0], [10]]
    late = asyncio.create_task(batcher.submit([4], model, LONG_S))
    await settle()
    last = asyncio.create_task(batcher.submit([5], model, LONG_S, is_background=True))
    await settle()
    closing = asyncio.create_task(batcher.close())
    await settle()
    with pytest.raises(RequestRefused, match="shutting down"):
        await last
    await model.release(3)
    await closing
    assert (await late).answers == [40]


@on_a_loop
async def test_requests_that_may_not_share_a_batch_are_one_call_each() -> None:
    batcher, model = make_batcher(sessions=2, batch=100, way=BatchingWay(max_requests=1, splits=False)), Model()
    tasks = [await submit(batcher, model, *images) for images in ((1, 2, 3), (4,), (5,), (6,))]
    assert model.batches == [[[1, 2, 3]], [[4]]], "not shared out among sessions that are free"
    await model.release(0)
    assert model.batches[2:] == [[[5]]]
    for batch in (1, 2, 3):
        await model.release(batch)
    assert model.batches[3:] == [[[6]]]
    assert [await answers(task) for task in tasks] == [[10, 20, 30], [40], [50], [60]]


@on_a_loop
async def test_window_gathers_requests_though_a_session_is_free_and_a_full_batch_does_not_wait() -> None:
    batcher, model = make_batcher(way=BatchingWay(window_s=0.05)), Model()
    first, second = await submit(batcher, model, 1), await submit(batcher, model, 2)
    assert model.batches == []
    while not model.batches:
        await asyncio.sleep(0.001)
    assert model.batches == [[[1], [2]]]
    await model.release(0)
    assert [await answers(task) for task in (first, second)] == [[10], [20]]
    batcher = make_batcher(way=BatchingWay(window_s=LONG_S))
    full = [await submit(batcher, model, 1, 2), await submit(batcher, model, 3, 4)]
    assert model.batches[1:] == [[[1, 2], [3, 4]]]
    await model.release(1)
    assert [await answers(task) for task in full] == [[10, 20], [30, 40]]
