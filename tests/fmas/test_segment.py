"""Segmenters that break their promise."""

from __future__ import annotations

import numpy as np
import pytest

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
