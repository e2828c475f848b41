"""Photographs through a detector, in order, a few in memory, each error beside the photograph that caused it."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import fmas.inspection_stream as stream
from fmas.errors import ComponentError
from fmas.inspection_stream import Failed, Photograph, Scored, read_ahead, scored
from fmas.sources import Source, find_sources

LIMIT = 10_000_000


def photograph(number: int, size: tuple[int, int] = (4, 6)) -> Photograph:
    image = np.full((*size, 3), number, dtype=np.uint8)
    return Photograph(Source(number, Path(f"{number}.png"), f"{number}.png"), 1, 2, "", image)


def unreadable(number: int) -> Failed:
    return Failed(Source(number, Path(f"{number}.png"), f"{number}.png"), "read", "broken")


def answer(image: np.ndarray) -> tuple[np.ndarray, float]:
    return np.full(image.shape[:2], image[0, 0, 0], dtype=np.float32), float(image[0, 0, 0])


def detector_of(score) -> SimpleNamespace:
    return SimpleNamespace(score=score)


def numbers(results) -> list[tuple[int, float | str]]:
    return [
        (one.photograph.source.index, one.score) if isinstance(one, Scored) else (one.source.index, one.stage)
        for one in results
    ]


def one_by_one(images):
    yield from map(answer, images)


def in_batches(images):
    batch = []
    for image in images:
        batch.append(image)
        if len(batch) == 3:
            yield from map(answer, batch)
            batch = []
    yield from map(answer, batch)


def all_at_once(images):
    return [answer(image) for image in list(images)]


def from_a_thread(images):
    taken: list[np.ndarray] = []
    thread = threading.Thread(target=lambda: taken.extend(images))
    thread.start()
    thread.join()
    yield from map(answer, taken)


@pytest.mark.parametrize("score", [one_by_one, in_batches, all_at_once, from_a_thread])
@pytest.mark.parametrize("count", [0, 1, 7, 64, 65, 130])
def test_each_photograph_gets_its_own_answer_in_order(score, count):
    given_ = [unreadable(number) if number % 5 == 3 else photograph(number) for number in range(count)]
    wanted = [(number, "read" if number % 5 == 3 else float(number)) for number in range(count)]
    assert numbers(scored(detector_of(score), iter(given_))) == wanted


@given(
    kinds=st.lists(st.sampled_from(["fine", "unreadable", "raises", "exits", "nan"]), max_size=30),
    batch=st.integers(1, 5),
)
def test_whatever_goes_wrong_concerns_one_photograph(kinds, batch):
    def score(images):
        waiting = []
        for image in images:
            waiting.append(image)
            if len(waiting) == batch:
                yield from flush(waiting)
        yield from flush(waiting)

    def flush(waiting):
        taken, waiting[:] = list(waiting), []
        for image in taken:
            kind = kinds[image[0, 0, 0]]
            if kind == "raises":
                raise RuntimeError("out of memory")
            if kind == "exits":
                raise SystemExit(3)
        for image in taken:
            values, number = answer(image)
            if kinds[image[0, 0, 0]] == "nan":
                values[0, 0] = np.nan
            yield values, number

    given_ = [unreadable(n) if kind == "unreadable" else photograph(n) for n, kind in enumerate(kinds)]
    stages = {"unreadable": "read", "raises": "score", "exits": "score", "nan": "score"}
    wanted = [(number, stages.get(kind, float(number))) for number, kind in enumerate(kinds)]
    assert numbers(scored(detector_of(score), iter(given_))) == wanted


def test_detector_that_never_answers_fails_every_photograph_and_ends():
    def silent(images):
        return iter(())

    def broken(images):
        raise ValueError("no weights")

    for score in (silent, broken):
        results = list(scored(detector_of(score), iter([photograph(0), unreadable(1), photograph(2)])))
        assert numbers(results) == [(0, "score"), (1, "read"), (2, "score")]
    assert "no weights" in results[0].error


def test_detector_that_stops_early_is_asked_again():
    def lazy(images):
        images = iter(images)
        for _ in range(2):
            if (image := next(images, None)) is not None:
                yield answer(image)

    assert numbers(scored(detector_of(lazy), iter(map(photograph, range(7))))) == [(n, float(n)) for n in range(7)]


def test_detector_that_answers_too_often_is_not_trusted():
    def chatty(images):
        for image in images:
            yield answer(image)
            yield answer(image)

    with pytest.raises(ComponentError, match=r"one map and score for each photograph.*got more"):
        list(scored(detector_of(chatty), iter([photograph(0), photograph(1)])))


def test_interruption_is_no_failure():
    def interrupted(images):
        for image in images:
            yield answer(image)
            raise KeyboardInterrupt

    results = scored(detector_of(interrupted), iter([photograph(0), photograph(1)]))
    assert next(results).score == 0.0
    with pytest.raises(KeyboardInterrupt):
        next(results)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda image: answer(image)[0], r"expected \(map, score\) from the detector, got ndarray"),
        (lambda image: (answer(image)[0][1:], 0.0), r"expected a map of 4 x 6 float32 .* got float32 \(3, 6\)"),
        (lambda image: (answer(image)[0].astype(np.float64), 0.0), r"got float64 \(4, 6\)"),
        (lambda image: ([[0.0]], 0.0), "got list"),
        (lambda image: (answer(image)[0] + np.float32("inf"), 0.0), "finite values in the map, got NaN or infinity"),
        (lambda image: (answer(image)[0] * np.float32("nan"), 0.0), "finite values in the map, got NaN or infinity"),
        (lambda image: (answer(image)[0], float("nan")), "finite image score, got nan"),
        (lambda image: (answer(image)[0], "high"), "number as image score, got str"),
    ],
)
def test_answers_are_held_to_the_contract(broken, message):
    def score(images):
        for image in images:
            yield broken(image) if image[0, 0, 0] == 1 else answer(image)

    results = list(scored(detector_of(score), iter(map(photograph, range(3)))))
    assert numbers(results) == [(0, 0.0), (1, "score"), (2, 2.0)]
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(results[1].error)


def test_a_detector_may_use_its_buffer_again():
    def score(images):
        buffer = np.empty((4, 6), dtype=np.float32)
        for image in images:
            buffer[:] = image[0, 0, 0]
            yield buffer, 0.0

    results = list(scored(detector_of(score), iter(map(photograph, range(3)))))
    assert [float(one.map[0, 0]) for one in results] == [0.0, 1.0, 2.0]


def test_greedy_detector_gets_a_bounded_share(monkeypatch):
    monkeypatch.setattr(stream, "_MOST_PIXELS_AT_ONCE", 100)
    most = []

    def greedy(images):
        taken = list(images)
        most.append(len(taken))
        yield from map(answer, taken)

    assert len(list(scored(detector_of(greedy), (photograph(n % 250, (4, 6)) for n in range(200))))) == 200
    assert max(most) == 5  # 4 x 24 pixels are below 100, the fifth photograph is over
    monkeypatch.undo()
    most.clear()
    list(scored(detector_of(greedy), (photograph(n % 250) for n in range(200))))
    assert max(most) == 64


@pytest.fixture
def folder(tmp_path):
    for number in range(30):
        Image.fromarray(np.full((8, 8, 3), number, dtype=np.uint8)).save(tmp_path / f"{number:02d}.png")
    return tmp_path


def test_reading_ahead_keeps_the_order_and_fails_alone(folder):
    (folder / "05.png").write_bytes(b"no picture")
    (folder / "07.png").unlink()
    (folder / "07.png").symlink_to(folder / "gone")
    results = list(read_ahead(find_sources(folder), max_pixels=LIMIT))
    assert [one.source.relative for one in results] == [f"{number:02d}.png" for number in range(30)]
    broken = [one for one in results if isinstance(one, Failed)]
    assert [one.source.relative for one in broken] == ["05.png", "07.png"]
    assert broken[0].size == 10 and broken[1].size == -1
    assert "'05.png'" in broken[0].error
    assert all(one.image[0, 0, 0] == one.source.index for one in results if isinstance(one, Photograph))
    assert not any(one.image.flags.writeable for one in results if isinstance(one, Photograph))


def test_a_mistake_of_ours_while_reading_ends_nothing(folder, monkeypatch):
    def odd(path, **_):
        if path.name == "03.png":
            raise ZeroDivisionError
        return np.zeros((8, 8, 3), dtype=np.uint8), ""

    monkeypatch.setattr(stream, "read_image", odd)
    results = list(read_ahead(find_sources(folder), max_pixels=LIMIT))
    assert [one.source.index for one in results if isinstance(one, Failed)] == [3]
    assert len(results) == 30


def test_too_many_pixels_fail_before_they_are_decoded(folder):
    results = list(read_ahead(find_sources(folder)[:2], max_pixels=63))
    assert all(isinstance(one, Failed) and "expected at most 63 pixels" in one.error for one in results)


def test_reader_never_runs_ahead_of_a_slow_detector_without_bound(folder, monkeypatch):
    started = []
    read = stream.read_image

    def counted(path, **options):
        started.append(path)
        return read(path, **options)

    monkeypatch.setattr(stream, "read_image", counted)

    def slow(images):
        for number, image in enumerate(images, start=1):
            threading.Event().wait(0.01)  # time enough for readers to run away
            assert len(started) <= number + stream._AHEAD
            yield answer(image)

    results = list(scored(detector_of(slow), read_ahead(find_sources(folder), max_pixels=LIMIT)))
    assert all(isinstance(one, Scored) for one in results), results
    assert len(started) == 30


def test_closing_ends_reading(folder):
    before = threading.active_count()
    results = read_ahead(find_sources(folder), max_pixels=LIMIT)
    next(results)
    results.close()
    assert threading.active_count() == before
