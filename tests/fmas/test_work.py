"""What a run has to do, and what of it is done already."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fmas.errors import OutputError, UsageError
from fmas.sources import Source
from fmas.work import wanted_samples


def test_shards_share_one_output(run, tmp_path, tree):
    whole, _ = run(per_image=2)
    for shard in ("3/3", "1/3", "2/3"):
        sharded, summary = run(out=tmp_path / "sharded", per_image=2, shard=shard)
        assert summary.made == 4
    assert tree(whole) == tree(sharded)


def test_limit_takes_the_first_and_a_later_run_the_rest(run, tmp_path, rows, tree):
    out, summary = run(limit=2)
    assert summary.made == 2
    assert [row["source"] for row in rows(out)] == ["part_0.png", "part_1.png"]
    out, summary = run()
    assert (summary.made, summary.kept) == (4, 2)
    whole, _ = run(out=tmp_path / "whole")
    assert tree(out) == tree(whole)


def test_rerun_redoes_nothing(run, fakes):
    run()
    fakes["inpainter"].batches.clear()
    fakes["llm"].asked.clear()
    _out, summary = run()
    assert (summary.made, summary.kept) == (0, 6)
    assert fakes["inpainter"].batches == []
    assert fakes["llm"].asked == []


def test_lost_file_is_made_again(run, fakes, rows, tree):
    out, _ = run()
    before = tree(out)
    (out / "dataset/test_part" / rows(out)[2]["mask_file_name"]).unlink()
    _, summary = run()
    assert (summary.made, summary.kept) == (1, 5)
    assert tree(out) == before


def test_torn_image_is_made_again(run, rows, tree):
    out, _ = run()
    before = tree(out)
    path = out / "dataset/test_part" / rows(out)[1]["file_name"]
    path.write_bytes(path.read_bytes()[:-100])
    _, summary = run()
    assert (summary.made, summary.kept) == (1, 5)
    assert tree(out) == before


def test_more_pairs_than_six_digits_are_refused(run, tmp_path, monkeypatch):
    monkeypatch.setattr("fmas.work._MOST_STEMS", 11)
    with pytest.raises(UsageError, match="expected at most 11 pairs in one data set, got 6 photographs times 2"):
        run(per_image=2)
    assert not (tmp_path / "out").exists()


def test_lost_manifest_is_refused(run, tree):
    out, _ = run()
    before = tree(out)
    shutil.rmtree(out / "manifest")
    with pytest.raises(OutputError, match="which says what is finished, got images without it"):
        run()
    assert tree(out) == before


def test_unreadable_manifest_never_looks_like_an_empty_one(run, monkeypatch, tree):
    """Regression: every image was swept away because the manifest's folder could not be listed."""
    out, _ = run()
    before = tree(out)
    real = Path.iterdir

    def iterdir(self):
        if self.name == "manifest":
            raise PermissionError(13, "Permission denied")
        return real(self)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    with pytest.raises(OutputError, match=r"expected to read .*manifest, got Permission denied"):
        run()
    monkeypatch.setattr(Path, "iterdir", real)
    assert tree(out) == before


def test_changed_photograph_never_overwrites_the_twin_of_finished_pairs(run, photographs, fakes, tree):
    def only_one(job):
        image = job.image.copy()
        if not job.seed % 2:
            image[job.region] = 255 - image[job.region]
        return image

    fakes["inpainter"].paint = only_one
    out, summary = run(per_image=3, candidates=1, refine={"attempts": 1}, region={"placements": 1})
    assert summary.made > 0
    assert summary.failed > 0
    before = tree(out)
    for path in sorted(photographs.iterdir())[1:-1]:
        image = np.asarray(Image.open(path)).copy()
        Image.fromarray(255 - image).save(path)
    fakes["inpainter"].paint = None
    with contextlib.suppress(OutputError):  # where the spot check saw one of them
        _, again = run(per_image=3, candidates=1, refine={"attempts": 1}, region={"placements": 1})
        assert again.counts.failures["ImageError"] > 0
    after = tree(out)
    assert {name: after[name] for name in before if "/train/" in name} == {
        name: content for name, content in before.items() if "/train/" in name
    }


def test_another_folder_with_the_same_names_is_refused(run, photographs, tree):
    out, _ = run(limit=3)
    before = tree(out)
    for path in photographs.iterdir():
        Image.fromarray(np.full((64, 64, 3), 99, np.uint8)).save(path)
    with pytest.raises(OutputError, match=r"'part_0.png' has changed; restore them, or choose another --out"):
        run()
    assert tree(out) == before


def test_as_many_pairs_as_six_digits_hold_are_allowed(run, monkeypatch):
    monkeypatch.setattr("fmas.work._MOST_STEMS", 6)
    assert run()[1].made == 6


def test_the_share_that_is_held_out_is_the_one_asked_for(make_config, photographs):
    sources = [Source(number, photographs / "x", f"{number}.png") for number in range(2000)]
    held = sum(sample.held_out for sample in wanted_samples(make_config(holdout_good=0.3), sources))
    assert 540 < held < 660


def test_pairs_of_one_photograph_have_seeds_of_their_own(run, rows):
    out, _ = run(per_image=3, limit=1)
    seeds = [candidate["seed"] for row in rows(out) for candidate in row["candidates"]]
    assert len(set(seeds)) == len(seeds) == 6
