"""What the providers tell ``fmas doctor --deep``: device and weights, without loading or fetching anything."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fmas.errors import ConfigError
from fmas_providers.weights import weights_on_disk


def doctor(*arguments: str, **environment: str) -> tuple[int, dict[str, dict[str, object]], list[str]]:
    command = [sys.executable, "-m", "fmas", "doctor", "--deep", "--json", *arguments]
    kept = {name: value for name, value in os.environ.items() if not name.endswith(("_API_KEY", "_BASE_URL"))}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=kept | environment, timeout=300)
    assert done.stdout.startswith("{"), done.stderr
    found = json.loads(done.stdout)
    return done.returncode, {f"{row['kind']} {row['name']}": row for row in found["deep"]}, found["problems"]


def test_weights_of_a_folder_are_counted(tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "model.safetensors").write_bytes(bytes(20_000_000))
    assert weights_on_disk(str(tmp_path), None, section="inpainter") == f"0.02 GB in {tmp_path}"
    (tmp_path / "unet" / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"expected weights .* got none; check inpainter\.model"):
        weights_on_disk(str(tmp_path), None, section="inpainter")


def test_weights_that_were_never_fetched_are_told() -> None:
    pytest.importorskip("huggingface_hub")
    for model in ("owner/surely-absent-model", "no id/at/all"):
        with pytest.raises(ConfigError, match=f"expected the weights of '{model}'.*hf download {model}"):
            weights_on_disk(model, None, section="segmenter")


def test_diffusers_tells_device_pipeline_and_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("diffusers")
    pytest.importorskip("openai")
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    tiny_pipeline = importlib.import_module("tiny_stable_diffusion").save_tiny_pipeline(tmp_path / "tiny-sd")
    key = "sk-geheim-0123456789"
    named = ["llm.name=openai", "inpainter.name=diffusers", f"inpainter.model={tiny_pipeline}"]
    settings = [word for setting in named for word in ("--set", setting)]
    code, rows, problems = doctor(*settings, OPENAI_API_KEY=key)
    assert rows["llm openai"]["error"] is None
    assert key not in json.dumps(rows)
    row = rows["inpainter diffusers"]
    assert (code, problems, row["error"], row["wanted"]) == (0, [], None, True)
    found = row["found"]
    assert isinstance(found, dict)
    assert found["pipeline"] == "StableDiffusionInpaintPipeline"
    assert found["weights"].endswith(f"GB in {tiny_pipeline}")
    assert found["device"].startswith(("cpu", "cuda", "mps"))
    assert {"torch", "diffusers"} <= found.keys()


def test_missing_key_is_told() -> None:
    pytest.importorskip("openai")
    code, rows, problems = doctor("--set", "llm.name=openai")
    assert "OPENAI_API_KEY" in str(rows["llm openai"]["error"])
    assert code == len(problems) == 1


@pytest.mark.parametrize(("name", "requires"), [("unet", "safetensors"), ("onnx", "onnxruntime")])
def test_a_detector_that_is_here_says_on_what_it_computes(name: str, requires: str) -> None:
    pytest.importorskip(requires)
    _, rows, _ = doctor()
    row = rows[f"detector {name}"]
    assert row["error"] is None
    assert isinstance(row["found"], dict)
    assert {requires, "device"} <= row["found"].keys()
