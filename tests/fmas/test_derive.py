"""The files that follow from the manifest: the rows, the card, the failures and the counts."""

from __future__ import annotations

import json

import pytest
import yaml


def test_card_names_every_key_of_a_row(run, rows):
    """Hugging Face drops a key that the card does not name, without a word."""
    out, _ = run(holdout_good=0.4)
    _, front_matter, _ = (out / "dataset/test_part/README.md").read_text(encoding="utf-8").split("---\n", 2)
    features = [item["name"] for item in yaml.safe_load(front_matter)["configs"][0]["features"]]
    names = {"file_name": "image", "mask_file_name": "mask", "normal_file_name": "normal"}
    keys = {names.get(key, key) for row in rows(out) for key in row}
    assert set(features) == keys
    assert features[:3] == ["image", "mask", "normal"]


def test_failures_name_the_photograph_as_the_data_set_does(run, photographs):
    (photographs / "part_2.png").write_bytes(b"not a picture")
    out, _ = run()
    listed = (out / "failures.jsonl").read_text(encoding="utf-8")
    assert "'part_2.png'" in listed
    assert str(photographs) not in listed


def test_changed_libraries_are_noted(run):
    out, summary = run(limit=1)
    assert summary.notes == ()
    content = json.loads((out / "run.json").read_text(encoding="utf-8"))
    content["libraries"]["numpy"] = "1.0"
    (out / "run.json").write_text(json.dumps(content), encoding="utf-8")
    _, summary = run()
    assert len(summary.notes) == 1
    assert "numpy was 1.0, now " in summary.notes[0]
    assert run()[1].notes == ()


@pytest.mark.parametrize("per_image", [1, 2])
def test_a_card_names_the_components_though_the_first_photograph_was_held_out(run, photographs, per_image, rows):
    out, _ = run(holdout_good=0.4, per_image=per_image)
    held = [row["defect"] == "good" for row in rows(out)]
    assert any(held) and not all(held)
    card = (out / "dataset/test_part/README.md").read_text(encoding="utf-8")
    assert "- inpainter: `fake` 1" in card


def test_card_front_matter_survives_any_object_name(run):
    out, _ = run(object='so-called "part"\nof: {many}', category="test_part")
    card = (out / "dataset/test_part/README.md").read_text(encoding="utf-8")
    _, front_matter, body = card.split("---\n", 2)
    assert yaml.safe_load(front_matter)["pretty_name"] == "Synthetic defects: test_part"
    assert "(so-called 'part' of: {many})" in body


def test_card_tells_two_runs_apart(run, tmp_path):
    """Hugging Face caches under the folder's name and the card's front matter."""
    cards = {
        (run(out=tmp_path / f"out{seed}", seed=seed)[0] / "dataset/test_part/README.md")
        .read_text(encoding="utf-8").split("---\n", 2)[1]
        for seed in range(2)
    }  # fmt: skip
    assert len(cards) == 2


def test_failures_list_their_rejections(run, fakes):
    fakes["inpainter"].paint = lambda job: job.image.copy()
    out, _ = run(limit=1)
    (line,) = (out / "failures.jsonl").read_text(encoding="utf-8").splitlines()
    assert {item["reason"] for item in json.loads(line)["rejections"]} == {"unchanged"}
