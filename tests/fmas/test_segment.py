"""Segmenters that break their promise."""

from __future__ import annotations

import numpy as np
import pytest

from fmas.errors import ComponentError
from fmas.types import Foreground


def test_segmenter_may_use_its_buffer_again(run, fakes, monkeypatch, tmp_path, rows):
    buffers = {}

    def segment(self, image):
        buffer = buffers.setdefault(image.shape[:2], np.zeros(image.shape[:2], bool))
        buffer[:] = image.max(axis=2) > 40
        buffer[: image.shape[0] // 2] &= len(buffers) % 2 == 0
        return Foreground(buffer, "object", 1.0)

    monkeypatch.setattr(type(fakes["segmenter"]), "segment", segment)
    out, _ = run(per_image=2)
    assert len(rows(out)) == 12


@pytest.mark.parametrize("mask", ["empty", "size", "dtype"])
def test_segmenter_that_breaks_its_promise_is_a_listed_failure(run, fakes, mask, monkeypatch):
    def segment(self, image):
        shape = image.shape[:2]
        broken = {
            "empty": np.zeros(shape, bool),
            "size": np.ones((3, 3), bool),
            "dtype": np.ones(shape, np.uint8),
        }[mask]
        return Foreground(broken, "object", 1.0)

    monkeypatch.setattr(type(fakes["segmenter"]), "segment", segment)
    _, summary = run(limit=1)
    assert summary.counts.failures == {"ComponentError": 1}


def test_a_held_out_photograph_is_not_segmented(run, fakes, monkeypatch):
    monkeypatch.setattr(type(fakes["segmenter"]), "segment", lambda self, image: pytest.fail("segmented"))
    _, summary = run(holdout_good=0.999)
    assert (summary.counts.held_out, summary.failed) == (6, 0)


def test_a_segmenter_that_writes_into_its_input_fails(run, fakes, monkeypatch):
    def vandal(self, image):
        image[...] = 0

    monkeypatch.setattr(type(fakes["segmenter"]), "segment", vandal)
    _, summary = run(limit=1)
    assert summary.counts.failures == {"ValueError": 1}


class Batches:
    """Adds ``segment_many`` to a fake segmenter and notes what it is given."""

    def __init__(self, fakes, monkeypatch, *, batch_size=4, many=None):
        self.seen = []
        kind = type(fakes["segmenter"])

        def segment_many(component, images):
            self.seen.append(len(images))
            return many(component, images) if many else [component.segment(image) for image in images]

        monkeypatch.setattr(kind, "batch_size", batch_size, raising=False)
        monkeypatch.setattr(kind, "segment_many", segment_many, raising=False)


def test_a_segmenter_that_can_gets_several_photographs_at_once_and_the_bytes_are_the_same(
    run, fakes, monkeypatch, tmp_path, tree
):
    one_by_one, _ = run(out=tmp_path / "one")
    batches = Batches(fakes, monkeypatch)
    together, summary = run(out=tmp_path / "four")
    assert batches.seen == [4, 2]
    assert summary.failed == 0
    assert tree(together) == tree(one_by_one)


def test_one_bad_photograph_of_a_batch_fails_alone(run, fakes, monkeypatch):
    segment, third = type(fakes["segmenter"]).segment, []

    def refuse_the_third(self, image):
        if image.tobytes() in third:
            raise RuntimeError("out of memory")
        return segment(self, image)

    def many(component, images):
        if not third:
            third.append(images[2].tobytes())
        return [component.segment(image) for image in images]

    monkeypatch.setattr(type(fakes["segmenter"]), "segment", refuse_the_third)
    Batches(fakes, monkeypatch, many=many)
    _, summary = run()
    assert summary.counts.failures == {"RuntimeError": 1}
    assert summary.made == 5


def test_one_bad_mask_of_a_batch_fails_alone(run, fakes, monkeypatch):
    segment = type(fakes["segmenter"]).segment
    first = []

    def sometimes_empty(self, image):
        first.append(image.tobytes())
        found = segment(self, image)
        return found if image.tobytes() != first[0] else Foreground(np.zeros_like(found.mask), "object", 1.0)

    monkeypatch.setattr(type(fakes["segmenter"]), "segment", sometimes_empty)
    Batches(fakes, monkeypatch)
    _, summary = run()
    assert summary.counts.failures == {"ComponentError": 1}


def test_too_few_foregrounds_are_asked_for_again_one_by_one(run, fakes, monkeypatch, tmp_path, tree):
    expected, _ = run(out=tmp_path / "one")
    Batches(fakes, monkeypatch, many=lambda component, images: [component.segment(image) for image in images][1:])
    out, summary = run(out=tmp_path / "few")
    assert summary.failed == 0
    assert tree(out) == tree(expected)


def test_held_out_photographs_of_a_batch_are_left_out(run, fakes, monkeypatch):
    batches = Batches(fakes, monkeypatch, batch_size=6)
    _, summary = run(holdout_good=0.5)
    assert 0 < summary.counts.held_out < 6
    assert batches.seen == [6 - summary.counts.held_out]


@pytest.mark.parametrize("size", [0, -1, "4", None])
def test_a_batch_size_that_is_none_ends_the_run_at_once(run, fakes, monkeypatch, size):
    Batches(fakes, monkeypatch, batch_size=size)
    with pytest.raises(ComponentError, match=r"whole number from 1 as the segmenter's batch_size"):
        run()
