"""The report in a real browser: its own script may run, its filter filters, hostile texts do nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fmas import RunConfig, synthesize
from fmas.report import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND"),
)

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    (folder / "in").mkdir()
    generator = np.random.default_rng(11)
    for number in range(3):
        pixels = np.clip(generator.normal(120, 8, (120, 160, 1)), 0, 255).astype(np.uint8).repeat(3, axis=2)
        Image.fromarray(pixels).save(folder / "in" / f"part{number} <img src=x onerror=document.title='broken'>.png")
    defects = folder / "defects.yaml"
    defects.write_text(
        "- {name: \"<script>document.title='broken'</script>\", prompt: '\"><script>1</script>', kind: scratch}\n"
        "- {name: stain, prompt: a stain, kind: stain}\n",
        encoding="utf-8",
    )
    config = RunConfig.model_validate(
        {
            "images": folder / "in",
            "out": folder / "out",
            "object": "plate",
            "per_image": 4,
            "llm": {"name": "builtin", "defects": str(defects)},
        }
    )
    synthesize(config)
    return write_report(config.out)


def opened(page: Path, profile: Path) -> tuple[str, str]:
    """Return the document after its script ran, and what the browser said on its console."""
    command = [str(CHROMIUM), *QUIET, f"--user-data-dir={profile}", "--enable-logging=stderr", "--dump-dom"]
    done = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


def test_script_runs_under_the_policy_and_nothing_is_refused(report: Path, tmp_path: Path) -> None:
    document, console = opened(report, tmp_path)
    assert console == ""
    assert '<form id="filters">' in document  # the script has taken `hidden` away
    assert re.search(r'id="showing" role="status">12 of 12 shown<', document)
    assert "<title>plate: synthetic defects</title>" in document


def test_filter_hides_the_kinds_that_are_not_wanted(report: Path, tmp_path: Path) -> None:
    text = report.read_text(encoding="utf-8")
    unchecked = text.replace('value="stain" checked', 'value="stain"')
    assert unchecked != text
    page = tmp_path / "unchecked.html"
    page.write_text(unchecked, encoding="utf-8")
    document, _ = opened(page, tmp_path / "profile")
    stains = len(re.findall(r'data-kind="stain"', document))
    assert 0 < stains < 12
    assert f"{12 - stains} of 12 shown" in document
    assert len(re.findall(r'<article class="pair"[^>]* hidden=""', document)) == stains


def test_a_script_that_is_not_ours_is_refused(report: Path, tmp_path: Path) -> None:
    page = tmp_path / "injected.html"
    text = report.read_text(encoding="utf-8")
    page.write_text(text.replace("<main>", "<main><script>document.title = 'broken'</script>"), encoding="utf-8")
    document, console = opened(page, tmp_path / "profile")
    assert "<title>plate: synthetic defects</title>" in document
    assert "Content Security Policy" in console
