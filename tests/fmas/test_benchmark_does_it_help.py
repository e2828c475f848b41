"""The comparison's rivals tell the truth in their masks, its network learns, and the script runs, small."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

BENCHMARKS = Path(__file__).parents[2] / "packages/fmas/benchmarks"
SIDE = 160


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Let the benchmarks' own modules be imported, and return the rivals."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    import rivals

    return rivals


def grain(seed: int, *, grey: bool = True, shape: tuple[int, int] = (SIDE, SIDE)) -> np.ndarray:
    """Return a photograph of which hardly two neighbours are equal."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (*shape, 1 if grey else 3)).astype(np.uint8)
    return np.repeat(image, 3, axis=2) if grey else image


def material(rivals: ModuleType, photographs: list[np.ndarray]) -> object:
    import texture_sources

    textures = [texture_sources._procedural(number, 64, np.random.default_rng(number)) for number in range(5)]
    return rivals.Material(photographs, [np.ones(one.shape[:2], bool) for one in photographs], textures)


@pytest.mark.parametrize("method", ["cutpaste", "nsa", "draem"])
@pytest.mark.parametrize("grey", [True, False])
def test_a_mask_is_what_changed(bench: ModuleType, method: str, grey: bool) -> None:
    photographs = [grain(seed, grey=grey) for seed in range(3)]
    stuff = material(bench, photographs)
    before = photographs[0].copy()
    everywhere = np.ones((SIDE, SIDE), bool)
    hits = []
    for seed in range(12):
        painted, mask = bench.RIVALS[method](photographs[0], everywhere, stuff, np.random.default_rng(seed))
        assert painted.shape == before.shape and painted.dtype == np.uint8
        assert mask.shape == before.shape[:2] and mask.dtype == np.bool_
        changed = (painted != before).any(axis=2)
        # NSA's own rule leaves out what a median over 5 x 5 removes: corners, and the rim of a patch.
        least = 0.01 if method == "nsa" else 0
        assert np.count_nonzero(changed & ~mask) <= least * mask.size, "what changed is in the mask"
        if grey:
            assert not np.ptp(painted.astype(int), axis=2).any(), "a grey photograph stays grey"
        if mask.any():
            hits.append(changed[mask].mean())
    assert len(hits) >= 8, "most draws leave something"
    assert np.mean(hits) > 0.9, "and nearly all of the mask changed"
    assert np.array_equal(photographs[0], before), "the photograph itself is not written to"


def test_a_scar_is_as_long_and_wide_as_published(bench: ModuleType) -> None:
    photograph = grain(0, shape=(256, 256))
    for seed in range(30):
        _, mask = bench.cutpaste_scar(photograph, mask_of(photograph), None, np.random.default_rng(seed))
        assert 0.6 * 2 * 10 <= np.count_nonzero(mask) <= 1.2 * 16 * 25


def test_a_scar_fits_into_a_photograph_narrower_than_itself(bench: ModuleType) -> None:
    photograph = grain(0, shape=(400, 9))
    painted, mask = bench.cutpaste_scar(photograph, mask_of(photograph), None, np.random.default_rng(1))
    assert painted.shape == photograph.shape and mask.any()


def test_poisson_puts_a_patch_where_its_mask_says(bench: ModuleType) -> None:
    """A patch blended into itself changes nothing: the place OpenCV computes is the one meant."""
    rng = np.random.default_rng(0)
    smooth = np.cumsum(np.cumsum(rng.normal(0, 1, (120, 140)), axis=0), axis=1)
    photograph = np.repeat(((smooth - smooth.min()) / np.ptp(smooth) * 200 + 20).astype(np.uint8)[..., None], 3, 2)
    for top, left, height, width in ((20, 30, 31, 44), (5, 7, 40, 41), (60, 80, 50, 50), (0, 0, 33, 36)):
        there = (slice(top, top + height), slice(left, left + width))
        blended, touched = bench._poisson(
            photograph, mask_of(photograph), photograph[there].copy(), np.ones((height, width), bool), there
        )
        assert touched[there][1:-1, 1:-1].all() and np.count_nonzero(touched) == (height - 2) * (width - 2)
        assert np.abs(blended.astype(int) - photograph).max() <= 2


def test_nsa_keeps_to_the_product(bench: ModuleType) -> None:
    photographs = [grain(seed) for seed in range(2)]
    product = np.zeros((SIDE, SIDE), bool)
    product[:, : SIDE // 4] = True
    stuff = bench.Material(photographs, [product, product], [])
    for seed in range(10):
        _, mask = bench.nsa(photographs[0], product, stuff, np.random.default_rng(seed))
        assert not mask.any() or mask[product].sum() > 0.1 * mask.sum()
    assert not bench.nsa(photographs[0], np.zeros_like(product), stuff, np.random.default_rng(0))[1].any()


def test_the_noise_is_perlins(bench: ModuleType) -> None:
    import texture_sources

    noise = texture_sources.noise_grid((128, 96), (8, 4), np.random.default_rng(0))
    assert noise.shape == (128, 96) and noise.dtype == np.float32
    assert np.abs(noise).max() <= 1.0 + 1e-6
    # Gradient noise vanishes at the corners of its cells, and is smooth.
    assert np.abs(noise[15:17, 23:25]).max() < 0.15
    assert np.abs(np.diff(noise, axis=0)).max() < 0.25


def test_all_changes_to_a_texture_keep_its_form(bench: ModuleType) -> None:
    import texture_sources

    texture = grain(0, grey=False, shape=(40, 50))
    for seed in range(30):
        changed = texture_sources.altered(texture, np.random.default_rng(seed))
        assert changed.shape == texture.shape and changed.dtype == np.uint8


def mask_of(photograph: np.ndarray) -> np.ndarray:
    return np.ones(photograph.shape[:2], bool)


@pytest.fixture
def torch() -> ModuleType:
    return pytest.importorskip("torch", reason="the comparison trains a network with torch")


def test_the_network_learns_what_is_plain(bench: ModuleType, torch: ModuleType) -> None:
    import small_network

    from fmas.types import NormalSyntheticMask

    rng = np.random.default_rng(0)
    pairs = []
    for _ in range(6):
        normal = np.repeat(rng.normal(120, 4, (70, 80, 1)), 3, axis=2).clip(0, 255).astype(np.uint8)
        mask = np.zeros((70, 80), bool)
        top, left = rng.integers(5, 45, 2)
        mask[top : top + 14, left : left + 14] = True
        pairs.append(NormalSyntheticMask(normal, np.where(mask[..., None], np.uint8(30), normal), mask))
    torch.set_num_threads(1)
    budget = small_network.Budget(steps=16, size=64, batch=4, learning_rate=1e-2)
    network = small_network.train(pairs, budget, 0, channels=1)
    found = small_network.predict(network, pairs[0].synthetic, size=64, channels=1)
    assert found.shape == (70, 80) and found.dtype == np.float32
    assert found[pairs[0].mask].mean() > found[~pairs[0].mask].mean() + 1
    another = small_network.train(pairs, budget, 0, channels=1)
    again = small_network.predict(another, pairs[0].synthetic, size=64, channels=1)
    assert np.array_equal(found, again), "the same seed gives the same network"


def test_the_loss_tells_right_from_wrong(bench: ModuleType, torch: ModuleType) -> None:
    import small_network

    truth = torch.zeros(2, 16, 16)
    truth[0, 4:6, 4:6] = 1
    right, nothing, wrong = 20 * truth - 10, torch.full_like(truth, -10.0), 10 - 20 * truth
    losses = [float(small_network.focal_and_dice(logits, truth)) for logits in (right, nothing, wrong)]
    assert losses[0] < 0.05 < losses[1] < losses[2]


def test_paired_differences_are_those_of_compare(bench: ModuleType, torch: ModuleType) -> None:
    import comparison_tables
    import training_pairs

    from fmas_evaluate import compare

    rng = np.random.default_rng(3)
    images = []
    for number in range(24):
        mask = np.zeros((20, 20), bool)
        mask[5:9, 5:9] = number >= 12
        images.append(training_pairs.TestImage("scratch" if number >= 12 else "good", np.zeros((20, 20, 3)), mask))
    runs = {}
    for method, strength in (("nsa", 0.4), ("fmas", 0.8)):
        maps = [(rng.normal(size=(20, 20)) + strength * image.mask).astype(np.float32) for image in images]
        runs[method] = [comparison_tables.Scored(maps, [float(one.max()) for one in maps], {})]
    found = comparison_tables.measured(runs, images, replicates=200)
    masks = [image.mask if image.kind != "good" else None for image in images]
    expected = compare(runs["fmas"][0].maps, runs["nsa"][0].maps, masks, metrics=["pixel_auroc"], replicates=200)
    ours = found["against"]["nsa"]["pixel_auroc"]
    assert ours["difference"] == pytest.approx(expected["pixel_auroc"].difference)
    assert ours["p_value"] == pytest.approx(expected["pixel_auroc"].p_value)
    assert ours["interval"] == pytest.approx([expected["pixel_auroc"].lower, expected["pixel_auroc"].upper])
    assert set(found["kinds"]) == {"scratch"}


@pytest.mark.slow
@pytest.mark.integration
def test_the_comparison_runs(tmp_path: Path, torch: ModuleType) -> None:
    pytest.importorskip("fmas_evaluate", reason="the comparison measures with fmas-evaluate")
    folders = {"train/good": 12, "test/good": 3, "test/spot": 3}
    for folder, count in folders.items():
        (tmp_path / "data" / folder).mkdir(parents=True)
        for number in range(count):
            image = np.random.default_rng(number).normal(130, 5, (90, 100, 1)).repeat(3, axis=2)
            if "spot" in folder:
                image[40:50, 40:50] -= 60
            Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(tmp_path / f"data/{folder}/{number}.png")
    (tmp_path / "data/ground_truth/spot").mkdir(parents=True)
    truth = np.zeros((90, 100), np.uint8)
    truth[40:50, 40:50] = 255
    for number in range(3):
        Image.fromarray(truth).save(tmp_path / f"data/ground_truth/spot/{number}_mask.png")
    command = [sys.executable, BENCHMARKS / "does_it_help.py", "--data", tmp_path / "data", "--seeds", 1, "--steps", 2]
    command += [
        "--size",
        32,
        "--pairs",
        11,
        "--replicates",
        20,
        "--work",
        tmp_path / "work",
        "--out",
        tmp_path / "r.json",
    ]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "| fmas |" in done.stdout and "| spot |" in done.stdout
    numbers = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert set(numbers["overall"]) == {"cutpaste", "nsa", "draem", "fmas"}
    assert set(numbers["against"]) == {"cutpaste", "nsa", "draem"}
    assert numbers["about"]["fmas"][0]["pairs"] == 11
    assert len(list((tmp_path / "work").glob("*.npz"))) == 4
