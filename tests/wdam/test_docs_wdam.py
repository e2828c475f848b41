"""Every code block about WDAM runs, and prints what the page says it prints."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "packages/wdam/README.md"  # its blocks carry no mark, which a reader of the raw file would see
PAGES = [
    README,
    ROOT / "docs/explanation/wavelet-domain-attention.md",
    *sorted((ROOT / "docs/how-to").glob("*wdam*.md")),
]
NEEDS = {
    "runnable_wdam": (),
    "onnx": ("onnxruntime", "onnxscript"),
    "hub": ("huggingface_hub", "safetensors"),
    "vision": ("torchvision", "timm", "transformers"),
    "anomalib": ("anomalib",),
}
BLOCK = re.compile(
    r"^(?:<!-- (?P<marker>\w+) -->\n)?```python\n(?P<code>.*?)^```\n(?:\n```text\n(?P<output>.*?)^```\n)?", re.M | re.S
)
BLOCKS = [
    pytest.param(match["marker"] or "runnable_wdam", match["code"], match["output"], id=f"{page.stem}-{number}")
    for page in PAGES
    for number, match in enumerate(BLOCK.finditer(page.read_text(encoding="utf-8")))
    if match["marker"] or page == README
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_is_marked(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    markers = [match["marker"] for match in BLOCK.finditer(text)]
    assert text.count("```python\n") == len(markers) > 0
    assert set(markers) <= ({None} if page == README else set(NEEDS))


@pytest.mark.parametrize(("marker", "code", "output"), BLOCKS)
def test_a_block_runs(
    marker: str, code: str, output: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = [name for name in NEEDS[marker] if find_spec(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}; nox -s vision has what this suite has not")
    monkeypatch.chdir(tmp_path)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), warnings.catch_warnings():
        if NEEDS[marker]:
            warnings.simplefilter("ignore")  # what other people's libraries warn of is not ours
        exec(compile(code, f"{marker} block", "exec"), {"__name__": "__main__"})  # noqa: S102 (our own documents)
    if output is not None:
        assert printed.getvalue() == output
