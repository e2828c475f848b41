"""What lies in the data set, byte by byte."""

from __future__ import annotations

import json
import os

import numpy as np
from PIL import Image

from fmas.files import AtomicWriter
from fmas.pair_files import PNG_TEXT_KEY
from fmas.types import Fingerprint


def test_images_and_masks_are_as_promised(run, photographs, rows):
    out, _ = run()
    root = out / "dataset/test_part"
    for row in rows(out):
        source = Image.open(photographs / row["source"])
        normal, synthetic = Image.open(root / row["normal_file_name"]), Image.open(root / row["file_name"])
        mask = Image.open(root / row["mask_file_name"])
        assert (normal.mode, synthetic.mode, mask.mode) == ("RGB", "RGB", "L")
        assert normal.size == synthetic.size == mask.size == source.size == (row["width"], row["height"])
        assert (np.asarray(normal) == np.asarray(source)).all()
        inside = np.asarray(mask)
        assert set(np.unique(inside)) == {0, 255}
        changed = np.abs(np.asarray(normal).astype(int) - np.asarray(synthetic)).max(axis=2)
        assert (changed[inside == 0] == 0).all()
        assert (changed[inside == 255] >= 1).mean() >= 0.9
        assert changed.max() >= 8
        assert row["mask_area"] == (inside == 255).sum()


def test_image_carries_its_row(run, rows):
    out, _ = run(holdout_good=0.4)
    for row in rows(out):
        with Image.open(out / "dataset/test_part" / row["file_name"]) as image:  # held-out ones as well
            image.load()
            assert json.loads(image.text[PNG_TEXT_KEY]) == row


def test_held_out_photographs_are_written_as_they_are(run, photographs, rows):
    out, summary = run(holdout_good=0.5, per_image=2)
    held = [row for row in rows(out) if row["defect"] == "good"]
    assert 0 < len(held) < 6
    assert summary.counts.held_out == len(held)
    for row in held:
        pixels = np.asarray(Image.open(out / "dataset/test_part" / row["file_name"]))
        assert (pixels == np.asarray(Image.open(photographs / row["source"]))).all()
        assert row["file_name"].startswith("test/good/")
        assert not (out / f"dataset/test_part/train/good/{row['stem'] // 2:06d}.png").exists()
    stems = [row["stem"] for row in rows(out)]
    assert len(stems) == len(set(stems))


def test_no_absolute_path_or_time_in_the_data_set(run, tmp_path, tree):
    out, _ = run()
    for name, content in tree(out).items():
        assert os.fsencode(tmp_path) not in content, name


def test_no_secret_of_the_environment_reaches_a_file(run, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-this-must-not-appear")
    out, _ = run()
    for path in out.rglob("*"):
        if path.is_file():
            assert b"sk-this-must-not-appear" not in path.read_bytes()


def test_rows_name_the_components_of_the_run_and_the_author_of_the_plan(run, fakes, monkeypatch, rows):
    out, _ = run(limit=1)
    monkeypatch.setattr(type(fakes["llm"]), "fingerprint", lambda self: Fingerprint("fake", "2"))
    run(limit=2)
    for row in rows(out):
        assert row["components"]["llm"]["version"] == "1"  # plan.json was written by version 1
        assert row["components"]["inpainter"] == {
            "name": "fake", "version": "1", "digest": Fingerprint("fake", "1").digest()[:16],
        }  # fmt: skip


def test_compression_follows_the_configuration(run, tmp_path):
    sizes = []
    for level in (0, 9):
        out, _ = run(out=tmp_path / str(level), write={"compress_level": level}, limit=1)
        sizes.append(sum(path.stat().st_size for path in out.glob("dataset/**/*.png")))
    assert sizes[0] > 1.5 * sizes[1]


def test_a_photograph_whose_pairs_all_fail_leaves_no_twin_even_for_a_moment(run, fakes, monkeypatch):
    written = []
    real = AtomicWriter.write
    monkeypatch.setattr(
        AtomicWriter, "write", lambda self, path, content: written.append(path.name) or real(self, path, content)
    )
    fakes["inpainter"].paint = lambda job: job.image.copy()
    run(limit=1)
    assert "000000.png" not in written


def test_samples_come_back_without_pixels(run, monkeypatch):
    """They are sent between processes, and the run holds several."""
    import fmas.pipeline

    seen = []
    real = fmas.pipeline.manifest_entries
    monkeypatch.setattr(fmas.pipeline, "manifest_entries", lambda sample, *_: seen.append(sample) or real(sample, *_))
    run()
    assert len(seen) == 6
    for sample in seen:
        assert (sample.image, sample.foreground) == (None, None)
        assert all(not pair.candidates and pair.chosen is None and not pair.placements for pair in sample.pairs)
