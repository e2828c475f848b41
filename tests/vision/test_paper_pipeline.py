"""The paper's pipeline, end to end: GPT (a fake service) + SAM + Stable Diffusion + LPIPS, all by their real libraries.

The models are tiny and have random weights; what is proved is that everything fits together, survives a kill, and that
not one pixel outside a mask changes although the VAE changes them all.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

for module in ("openai", "segment_anything", "diffusers", "transformers", "lpips"):
    pytest.importorskip(module, reason=f"needs {module}: pip install 'fmas-providers[all]'")

HERE = Path(__file__).parent
PROVIDERS = HERE.parent / "providers"
KEY = "sk-test-paper-0123456789"


@pytest.fixture
def service(monkeypatch):
    monkeypatch.syspath_prepend(str(PROVIDERS))
    server = importlib.import_module("fake_llm_server").FakeServer()
    with server.running():
        yield server


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    import torch

    sys.path[:0] = [str(PROVIDERS), str(HERE)]
    try:
        folder = tmp_path_factory.mktemp("models")
        importlib.import_module("tiny_stable_diffusion").save_tiny_pipeline(folder / "tiny-sd", grey_outside=True)
        torch.manual_seed(0)
        torch.save(importlib.import_module("test_sam_segmenter").tiny_sam().state_dict(), folder / "sam_vit_tiny.pth")
    finally:
        del sys.path[:2]
    return folder


@pytest.fixture
def photographs(tmp_path):
    folder = tmp_path / "screws"
    folder.mkdir()
    rng = np.random.default_rng(3)
    for number in range(6):
        picture = rng.normal(127, 2, (96, 128, 3))  # see grey_outside
        Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(folder / f"screw{number}.png")
    return folder


def command(photographs, models, out):
    return [
        *(sys.executable, str(HERE / "paper_pipeline.py"), "run", str(photographs), "--out", str(out)),
        *("--object", "metal screw", "--llm", "openai", "--segmenter", "sam", "--inpainter", "diffusers"),
        *("--selector", "lpips", "--candidates", "2", "--intensity", "0:10"),
        *("--set", f"segmenter.checkpoint={models / 'sam_vit_tiny.pth'}", "--set", "segmenter.device=cpu"),
        # What a random SAM draws is noise: it is not to be believed, and everything is product.
        *("--set", "segmenter.ranking.least_score=1"),
        *("--set", f"inpainter.model={models / 'tiny-sd'}", "--set", "inpainter.steps=2", "--set", "inpainter.size=64"),
        *("--set", "inpainter.device=cpu", "--set", "selector.backbone=random", "--set", "selector.device=cpu"),
    ]


def environment(service):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "FMAS_"))}
    return kept | {
        "OPENAI_API_KEY": KEY,
        "OPENAI_BASE_URL": f"{service.address}/v1",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "PYTHONWARNINGS": "ignore",
    }


def called(arguments, env):
    return subprocess.run(arguments, env=env, capture_output=True, text=True, timeout=240, check=False)


def tree(out):
    root = out / "dataset"
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_killed_resumed_and_valid(service, models, photographs, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    done = called(command(photographs, models, whole), environment(service))
    assert done.returncode in (0, 3), done.stderr
    rows = [json.loads(line) for line in (whole / "dataset/metal_screw/metadata.jsonl").read_text().splitlines()]
    assert len(rows) >= 4, done.stderr
    assert {row["defect_name"] for row in rows} <= {"deep scratch", "rust spot"}
    assert {row["components"][kind]["name"] for row in rows for kind in row["components"]} == {
        "openai",
        "sam",
        "diffusers",
        "lpips",
    }
    assert len(service.asked) == 1
    assert service.asked[0].path == "/v1/responses"

    in_batches = [*command(photographs, models, broken), "--set", "segmenter.batch_size=3"]  # no part of the identity
    _run_and_kill(in_batches, environment(service), broken)
    again = called(in_batches, environment(service))
    assert again.returncode in (0, 3), again.stderr
    assert tree(broken) == tree(whole)
    assert len(service.asked) == 2  # once for each folder, however often it is run

    for row in rows:
        folder = whole / "dataset/metal_screw"
        normal, defective, mask = (
            np.array(Image.open(folder / row[name])) for name in ("normal_file_name", "file_name", "mask_file_name")
        )
        assert (normal[mask == 0] == defective[mask == 0]).all()
        assert (normal[mask > 0] != defective[mask > 0]).any(axis=1).mean() >= 0.9
    checked = called([sys.executable, "-m", "fmas", "validate", str(whole)], environment(service))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert KEY not in done.stdout + done.stderr


def _run_and_kill(arguments, env, out):
    """Start a run and kill it with the second finished line of its manifest."""
    process = subprocess.Popen(arguments, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline and process.poll() is None:
            lines = sum(path.read_bytes().count(b"\n") for path in (out / "manifest").glob("*.jsonl"))
            if lines >= 2:
                break
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_doctor_looks_at_all_of_them_and_shows_no_key(service, models, tmp_path):
    """Device and weights are told where torchvision imports, too."""
    arguments = [
        *(sys.executable, str(HERE / "paper_pipeline.py"), "doctor", "--deep", "--json"),
        *("--set", "llm.name=openai", "--set", "segmenter.name=sam", "--set", "inpainter.name=diffusers"),
        *("--set", f"segmenter.checkpoint={models / 'sam_vit_tiny.pth'}", "--set", "selector.name=lpips"),
        *("--set", f"inpainter.model={models / 'tiny-sd'}", "--set", "selector.backbone=random"),
    ]
    done = called(arguments, environment(service) | {"TORCH_HOME": str(tmp_path)})
    assert done.stdout.startswith("{"), done.stderr
    said = json.loads(done.stdout)
    rows = {f"{row['kind']} {row['name']}": row for row in said["deep"]}
    for name in ("llm openai", "segmenter sam", "inpainter diffusers", "selector lpips"):
        assert (rows[name]["error"], rows[name]["wanted"]) == (None, True), name
    assert rows["segmenter sam"]["found"]["weights"].endswith(f"GB in {models / 'sam_vit_tiny.pth'}")
    assert rows["selector lpips"]["found"]["weights"].startswith("random")
    assert "hf download" in rows["segmenter sam-hf"]["error"]  # not named, so looked at with its defaults
    assert KEY not in done.stdout + done.stderr
    assert said["problems"] == []
