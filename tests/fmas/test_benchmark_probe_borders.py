"""The probe's patches lie where they should, its classifiers see what is there and nothing where nothing is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch", reason="the probe's network is one of torch")

BENCHMARKS = Path(__file__).parents[2] / "packages/fmas/benchmarks"


@pytest.fixture
def patches(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Let the benchmarks' own modules be imported, and return that of the patches."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    import probe_patches

    return probe_patches


def pair(patches: ModuleType, change: np.ndarray, mask: np.ndarray, *, source: str = "a", seed: int = 0) -> object:
    """Return a composite: grain, and the same with a change, ``(H, W)`` in grey levels."""
    twin = np.random.default_rng(seed).normal(120, 4, (*mask.shape, 1)).repeat(3, axis=2).round().astype(np.uint8)
    return patches.Composite(source, "stain", twin, (twin + change[..., None]).clip(0, 255).astype(np.uint8), mask)


def test_fading_keeps_every_pixel_within_a_few_levels(patches: ModuleType) -> None:
    change = np.zeros((60, 70))
    change[20:40, 20:40] = np.linspace(-40, 9, 20)
    composite = pair(patches, change, change != 0)
    before = patches.visible_change(composite)
    faint = patches.faded(composite, 3.0)
    assert before == 40 and patches.visible_change(faint) == 3
    assert np.array_equal(faint.picture[~composite.mask], composite.twin[~composite.mask])
    small = pair(patches, np.clip(change, -2, 2).round(), change != 0)
    assert np.array_equal(patches.faded(small, 3.0).picture, small.picture), "what is faint already stays as it is"


def test_patches_are_centred_on_the_border(patches: ModuleType) -> None:
    mask = np.zeros((90, 100), bool)
    mask[30:60, 35:70] = True
    composite = pair(patches, mask * 5.0, mask)
    found = patches.cut_patches([composite], each=50, seed=0)
    assert found.originals.shape == found.composites.shape == (50, patches.SIDE, patches.SIDE)
    half = patches.SIDE // 2
    for original, changed in zip(found.originals, found.composites, strict=True):
        difference = changed - original
        assert difference[half, half] == 5, "the middle is a pixel of the mask"
        assert (difference[half - 1 : half + 2, half - 1 : half + 2] == 0).any(), "next to one that is none"


def test_masks_without_room_for_a_patch_are_refused(patches: ModuleType) -> None:
    mask = np.ones((20, 20), bool)
    with pytest.raises(SystemExit, match="larger photographs"):
        patches.cut_patches([pair(patches, mask * 5.0, mask)], each=2, seed=0)


def test_a_control_changes_its_mask_alone(patches: ModuleType) -> None:
    mask = np.zeros((80, 90), bool)
    mask[30:50, 30:50] = True
    composite = pair(patches, mask * 5.0, mask)
    for name, control in patches.CONTROLS.items():
        changed = (control(composite, np.random.default_rng(1)).picture != composite.twin).any(axis=2)
        assert changed[mask].mean() > 0.5, name
        if name != "soft paste":
            assert not changed[~mask].any(), name


def test_residuals_see_no_slope(patches: ModuleType) -> None:
    import probe_classifiers

    assert np.allclose(probe_classifiers.KERNELS.sum(axis=(1, 2)), 0, atol=1e-5)
    slope = np.add.outer(np.arange(32.0), 2 * np.arange(32.0)).astype(np.float32)[None]
    flat = np.zeros_like(slope)
    # The differences of first order see it; all others are those of an even surface.
    assert probe_classifiers.rich_features(flat).shape == probe_classifiers.rich_features(slope).shape
    second = np.einsum("kij,ij->k", probe_classifiers.KERNELS, slope[0, :5, :5])
    assert np.count_nonzero(np.abs(second) > 1e-3) == 2


def texture(seed: int, count: int, spread: float) -> np.ndarray:
    return np.random.default_rng(seed).normal(120, spread, (count, 32, 32)).astype(np.float32)


def probed(first: np.ndarray, second: np.ndarray, patches: ModuleType) -> dict[str, float]:
    import probe_borders

    count = len(first)
    names = np.repeat([f"p{number}" for number in range(count // 10)], 10)
    found = probe_borders.probed(patches.Patches(first, second, names, np.full(count, "stain")), epochs=6, seed=0)
    return {name: verdict.accuracy()["accuracy"] for name, verdict in found.items()}


def test_the_probes_see_grain_that_is_missing(patches: ModuleType) -> None:
    seen = probed(texture(0, 300, 4.0), texture(1, 300, 3.0), patches)
    assert seen["statistics"] > 0.9
    assert seen["network"] > 0.8


def test_the_probes_see_nothing_where_nothing_is(patches: ModuleType) -> None:
    same = texture(0, 300, 4.0)
    seen = probed(same, same.copy(), patches)
    assert seen == {"statistics": 0.5, "network": 0.5}


def test_an_interval_is_over_photographs(patches: ModuleType) -> None:
    import probe_borders

    right = np.repeat([True, False], 50)
    sources = np.repeat(["a", "b"], 50)
    one = probe_borders.Verdict(right, sources, np.full(100, "stain")).accuracy()
    assert one["accuracy"] == 0.5 and (one["lower"], one["upper"]) == (0.0, 1.0)


def test_grain_is_relative_to_brightness(patches: ModuleType) -> None:
    import probe_borders

    mask = np.zeros((80, 80), bool)
    mask[10:70, 10:70] = True
    composite = pair(patches, np.zeros((80, 80)), mask)
    darker = patches.Composite("a", "stain", composite.twin, (composite.twin * 0.5).round().astype(np.uint8), mask)
    assert probe_borders.grain_left(darker) == pytest.approx(1.0, abs=0.15)
    flat = patches.Composite("a", "stain", composite.twin, np.full_like(composite.twin, 110), mask)
    assert probe_borders.grain_left(flat) == pytest.approx(0.0, abs=1e-3)
    assert probe_borders.grain_left(pair(patches, np.zeros((40, 40)), np.eye(40, dtype=bool))) is None


@pytest.mark.slow
@pytest.mark.integration
def test_the_probe_runs(tmp_path: Path) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for number in range(6):
        image = np.random.default_rng(number).normal(120, 5, (150, 160, 1)).repeat(3, axis=2)
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / f"{number}.png")
    command = [sys.executable, BENCHMARKS / "probe_borders.py", "--photographs", folder, "--per-image", 6]
    command += ["--epochs", 1, "--out", tmp_path / "numbers.json"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stderr
    numbers = json.loads((tmp_path / "numbers.json").read_text(encoding="utf-8"))
    assert done.returncode == (0 if numbers["passed"] else 1)
    assert set(numbers["overall"]) == {"fmas", "hard paste", "soft paste", "slight blur"}
    for both in numbers["overall"].values():
        for found in both.values():
            assert 0 <= found["lower"] <= found["accuracy"] <= found["upper"] <= 1
            assert found["patches"] > 20
