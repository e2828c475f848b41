"""Finished cells are kept, failed ones stay alone, and a folder belongs to one benchmark."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from fmas.benchmark.benchmark import run_benchmark
from fmas.benchmark.cells import BenchmarkRequest, Step
from fmas.benchmark.variants import chosen_variants
from fmas.errors import OutputError

Make = Callable[..., BenchmarkRequest]


def run(request: BenchmarkRequest, steps: Any, ruler: Any, **further: Any) -> dict[str, Any]:
    return run_benchmark(request, ruler=ruler, run_step=steps, command=["benchmark", "tiles"], **further)


def failing(variant: str, name: str, seed: int) -> Callable[[Step], str]:
    def fails(step: Step) -> str:
        place = f"seed-{seed}/{variant}/"
        return "out of memory (exit code 1)" if step.name == name and any(place in a for a in step.arguments) else ""

    return fails


def test_pairs_are_made_once_per_seed_for_all_variants(request_of: Make, steps: Any, ruler: Any) -> None:
    told: list[tuple[int, int, int]] = []
    results = run(request_of(jobs=3), steps, ruler, progress=lambda *counts: told.append(counts))

    assert {name: steps.names().count(name) for name in set(steps.names())} == {
        "synthesize": 2,
        "train": 8,
        "inspect": 8,
    }
    assert told == [(number, 8, 0) for number in range(1, 9)]
    assert len(results["cells"]) == 8
    assert {tuple(row["seeds"]) for row in results["rows"]} == {(0, 1)}


def test_a_finished_benchmark_is_not_redone(request_of: Make, steps: Any, ruler: Any) -> None:
    first = run(request_of(), steps, ruler)
    asked, measured = len(steps.asked), ruler.asked

    assert run(request_of(), steps, ruler) == first
    assert len(steps.asked) == asked
    assert ruler.asked == measured  # not even averages over seeds


def test_more_seeds_add_cells(request_of: Make, steps: Any, ruler: Any) -> None:
    before = run(request_of(seeds=1), steps, ruler)
    steps.asked.clear()
    after = run(request_of(seeds=2), steps, ruler)

    assert steps.names().count("train") == 4
    for row in after["rows"]:
        (single,) = (old for old in before["rows"] if old["variant"] == row["variant"])
        assert row["measures"]["aupro"]["per_seed"][0] == single["measures"]["aupro"]["mean"]


def test_a_failed_cell_fails_alone_and_is_tried_again(request_of: Make, steps: Any, ruler: Any) -> None:
    steps.fails = failing("unet-fmas", "train", 1)
    results = run(request_of(jobs=2), steps, ruler)

    (failed,) = (cell for cell in results["cells"] if "reason" in cell)
    assert (failed["variant"], failed["seed"]) == ("unet-fmas", 1)
    assert failed["reason"] == "train: out of memory (exit code 1)"
    (row,) = (row for row in results["rows"] if row["variant"] == "unet-fmas")
    assert row["seeds"] == [0]
    (contrast,) = (c for c in results["contrasts"] if c["asks"] == "FMAS instead of scars")
    assert contrast["seeds"] == [0]  # the seeds that both have

    steps.fails = lambda step: ""
    steps.asked.clear()
    results = run(request_of(), steps, ruler)
    assert steps.names() == ["train", "inspect"]
    assert not any("reason" in cell for cell in results["cells"])


def test_without_pairs_the_seeds_cells_fail_with_their_reason(request_of: Make, steps: Any, ruler: Any) -> None:
    steps.fails = lambda step: "no plan (exit code 1)" if step.name == "synthesize" and "0" in step.arguments else ""
    results = run(request_of(), steps, ruler)

    reasons = {cell.get("reason") for cell in results["cells"] if cell["seed"] == 0}
    assert reasons == {"synthesize: no plan (exit code 1)"}
    assert steps.names().count("synthesize") == 2  # tried once for all variants
    assert all("measures" in cell for cell in results["cells"] if cell["seed"] == 1)


def test_a_test_image_that_cannot_be_inspected_fails_the_cell(request_of: Make, steps: Any, ruler: Any) -> None:
    def without_one(step: Step, log: Path) -> Any:
        outcome = steps(step, log)
        if step.name == "inspect":
            scores = Path(step.arguments[step.arguments.index("--out") + 1]) / "scores.csv"
            scores.write_text("".join(line for line in scores.read_text().splitlines(True) if "dent/002" not in line))
        return outcome

    results = run(request_of(seeds=1), without_one, ruler)
    assert all("none for 1 of them, e.g. 'dent/002.png'" in cell["reason"] for cell in results["cells"])
    assert all(row["measures"] == {} for row in results["rows"])
    assert results["contrasts"] == []


def test_a_killed_cell_is_finished_by_a_rerun(request_of: Make, steps: Any, ruler: Any) -> None:
    def killed(step: Step, log: Path) -> Any:
        if step.name == "inspect":
            raise KeyboardInterrupt
        return steps(step, log)

    with pytest.raises(KeyboardInterrupt):
        run(request_of(), killed, ruler)
    results = run(request_of(), steps, ruler)
    assert not any("reason" in cell for cell in results["cells"])
    assert results["cells"][0]["resumed"] is True
    assert results["cells"][-1]["resumed"] is False


@pytest.mark.parametrize("changes", [{"steps": 9}, {"product": "nut"}, {"settings": ("unet.width=4",)}])
def test_other_options_are_refused(request_of: Make, steps: Any, ruler: Any, changes: dict[str, Any]) -> None:
    run(request_of(seeds=1), steps, ruler)
    with pytest.raises(OutputError, match=r"holds another one: .* was .*choose another --out"):
        run(request_of(seeds=1, **changes), steps, ruler)


def test_other_images_are_refused(request_of: Make, steps: Any, ruler: Any, dataset: Path) -> None:
    run(request_of(seeds=1), steps, ruler)
    (dataset / "train/good/003.png").unlink()
    with pytest.raises(OutputError, match="the images of 'tiles' as they were"):
        run(request_of(seeds=1), steps, ruler)


def test_somebody_elses_folder_is_refused(request_of: Make, steps: Any, ruler: Any) -> None:
    request = request_of()
    request.out.mkdir()
    (request.out / "letter.txt").write_text("dear")
    with pytest.raises(OutputError, match=r"holds 'letter\.txt'"):
        run(request, steps, ruler)
    with pytest.raises(OutputError, match="got the file"):
        run(request_of(out=request.out / "letter.txt"), steps, ruler)
    for content in ("[]", "no json"):
        (request.out / "benchmark.json").write_text(content)
        with pytest.raises(OutputError, match="as fmas benchmark writes it"):
            run(request, steps, ruler)
    assert steps.asked == []


def test_two_at_once_are_refused(request_of: Make, steps: Any, ruler: Any) -> None:
    request = request_of()
    (request.out / ".tmp").mkdir(parents=True)
    with FileLock(request.out / ".tmp" / "benchmark.lock"), pytest.raises(OutputError, match="another fmas benchmark"):
        run(request, steps, ruler)


def test_a_damaged_result_says_what_to_do(request_of: Make, steps: Any, ruler: Any) -> None:
    request = request_of(seeds=1)
    run(request, steps, ruler)
    folder = request.out / "tiles/seed-0/unet-fmas"
    (folder / "replicates.npz").write_bytes(b"no zip")
    (request.out / "tiles/seed-0/unet-scars/result.json").write_text("{")
    reasons = [cell.get("reason", "") for cell in run(request, steps, ruler)["cells"]]
    assert sum("replicates.npz" in reason for reason in reasons) == 1
    assert sum("result.json" in reason for reason in reasons) == 1


def test_a_result_says_what_it_was_made_with(request_of: Make, steps: Any, ruler: Any) -> None:
    request = request_of(seeds=1, variants=chosen_variants(("unet-fmas+wdam",), quick=False))
    run(request, steps, ruler)
    result = json.loads((request.out / "tiles/seed-0/unet-fmas+wdam/result.json").read_text())

    assert result["options"] == {"anomalies": "fmas", "wdam": True}
    assert [command.split()[1] for command in result["commands"]] == ["run", "train", "inspect"]
    assert result["seconds"]["train"] == 1.5
    assert result["training"] == {"steps": 7}
    assert result["machine"]["cores"] >= 1
    assert "numpy" in result["versions"]
    assert result["subbands"]["good"] == {"level1": [0.5, 0.25, 0.75, 0.125]}
    assert result["subbands"]["defective"] == {"level1": [0.5, 0.25, 0.75, 0.0]}
    assert set(result["kinds"]) == {"crack", "dent"}
