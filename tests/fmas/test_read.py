"""Photographs that cannot be used."""

from __future__ import annotations


def test_a_photograph_over_the_limit_is_a_listed_failure(run):
    out, summary = run(max_pixels=64 * 96)
    assert summary.counts.failures == {"ImageError": 5}
    assert "expected at most 6144 pixels" in (out / "failures.jsonl").read_text(encoding="utf-8")
