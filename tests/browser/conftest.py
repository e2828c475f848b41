"""Output folders made on the spot, and a real browser that fails a test for anything a page must not do."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fmas.manifest import ManifestEntry

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
KINDS = ("crack", "dent", "scratch", "stain")
BAND = (0.16, 0.32)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Return a headless Chromium, or skip with the reason why there is none."""
    required = os.environ.get("FMAS_BROWSER_REQUIRED") == "1"  # the nox session brings both
    if not required:
        pytest.importorskip("playwright", reason="needs playwright (nox -s browser)")
        if CHROMIUM is None:
            pytest.skip("needs a browser: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_report(browser: Any) -> Iterator[Callable[..., Any]]:
    """Return a function that opens a page; a request, a script error or a policy violation fails the test.

    Its keywords go to the browser's context (``viewport``, ``color_scheme``, ``reduced_motion`` …).
    """
    contexts: list[Any] = []
    broken: list[str] = []

    def open_(path: Path, *, fragment: str = "", **options: Any) -> Any:
        context = browser.new_context(**({"viewport": {"width": 1400, "height": 1000}} | options))
        contexts.append(context)
        page = context.new_page()
        url = path.resolve().as_uri()
        page.on(
            "request", lambda request: request.url.split("#")[0] == url or broken.append(f"asked for {request.url}")
        )
        page.on("pageerror", lambda error: broken.append(f"script error: {error}"))
        # A test reads canvases back more often than the page does.
        page.on("console", lambda message: "willReadFrequently" in message.text or broken.append(message.text))
        page.on("dialog", lambda dialog: (broken.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.goto(url + (f"#{fragment}" if fragment else ""))
        page.wait_for_selector("#list > li .drawn, #nothing:not([hidden])")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert broken == []


@pytest.fixture(scope="session")
def make_output(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that makes an output folder whose pairs share a few small pictures.

    ``change(stem, row)`` may return changes of a row; ``failures`` are manifest lines of pairs that were not made.
    """

    def make(
        pairs: int,
        *,
        change: Callable[[int, dict[str, Any]], dict[str, Any]] = lambda stem, row: {},
        failures: int = 0,
        object_: str = "test part",
    ) -> Path:
        out = tmp_path_factory.mktemp("output") / "out"
        dataset = out / "dataset" / "part"
        pictures = [_write_pictures(dataset, number) for number in range(4)]
        (out / "manifest").mkdir()
        with (out / "manifest" / "shard-1-of-1.jsonl").open("w", encoding="utf-8") as file:
            for stem in range(pairs):
                row = _row(stem, pictures[stem % len(pictures)])
                row |= change(stem, row)
                file.write(_entry(stem, row=row, rejections=row["rejections"]) + "\n")
            for stem in range(pairs, pairs + failures):
                file.write(_entry(stem, row=None, rejections=_rejections(stem, 4)) + "\n")
        identity = {
            "fmas_version": "0.1.0",
            "category": "part",
            "object": object_,
            "seed": 0,
            "per_image": 2,
            "max_pixels": 10_000_000,
            "select": {"band": list(BAND)},
        }
        (out / "run.json").write_text(json.dumps({"identity": identity, "digest": "0" * 64}), encoding="utf-8")
        settings = "images: photographs of 'parts'\nout: out\nshard:\n- 1\n- 1\n"
        (out / "config.resolved.yaml").write_text(settings, encoding="utf-8")
        return out

    return make


def _write_pictures(dataset: Path, number: int) -> dict[str, Any]:
    """Write one photograph, one defective image and one mask; return what a row says about them."""
    generator = np.random.default_rng(number)
    size = ((120, 160), (140, 110), (96, 96), (200, 300))[number]
    normal = np.clip(generator.normal(120, 9, (*size, 3)), 0, 255).astype(np.uint8)
    mask = np.zeros(size, dtype=bool)
    mask[40:60, 30 : 50 + 5 * number] = True
    mask[45:50, 35:38] = False  # a hole in it
    result = normal.copy()
    result[mask] = 255 - result[mask] // 2
    kind = KINDS[number]
    names = {
        "normal_file_name": f"train/good/{number:06d}.png",
        "file_name": f"test/{kind}/{number:06d}.png",
        "mask_file_name": f"ground_truth/{kind}/{number:06d}_mask.png",
    }
    for name, pixels in zip(names.values(), (normal, result, mask.astype(np.uint8) * 255), strict=True):
        (dataset / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(dataset / name)
    return names | {
        "kind": kind,
        "defect": kind,
        "height": size[0],
        "width": size[1],
        "mask_area": int(mask.sum()),
        "region_box": [25, 35, min(size[1], 75), 70],
    }


def _rejections(stem: int, count: int) -> list[dict[str, Any]]:
    reasons = ("unchanged", "too_small", "black")
    return [
        {"candidate": number, "attempt": 0, "seed": 7 + number, "reason": reasons[(stem + number) % 3]}
        for number in range(count)
    ]


def _row(stem: int, pictures: dict[str, Any]) -> dict[str, Any]:
    """Return a pair's row; its numbers follow from the stem so that tests can count."""
    score = round(0.1 + 0.003 * (stem % 100), 4)
    severity = round(0.2 + 0.1 * (stem % 7), 2)
    return pictures | {
        "stem": stem,
        "source": f"line {stem % 3}/part {stem:05d}.png",
        "defect_name": f"{pictures['kind']} no. {stem}",
        "severity": severity,
        "planned_severity": 0.5,
        "prompt": f"a photograph with a {pictures['kind']}",
        "negative_prompt": "text, watermark",
        "seed": 9_007_199_254_740_993,  # one more than a number in a script can tell from its neighbour
        "candidate": 1,
        "attempt": 0,
        "generation": 0,
        "score": score,
        "band": list(BAND),
        "region_shape": "rectangle",
        "noise_floor": 4,
        "high_threshold": 8,
        "foreground_kind": "texture",
        "foreground_confidence": 0.9,
        "candidates": [
            {
                "candidate": number,
                "attempt": 0,
                "seed": 100 + number,
                "score": score + 0.05 * (number - 1),
                "severity": severity,
            }
            for number in range(3)
        ],
        "rejections": _rejections(stem, stem % 3),
        "components": {
            kind: {"name": "builtin", "version": "1"} for kind in ("llm", "segmenter", "inpainter", "selector")
        },
        "image_sha256": f"{stem:064x}",
    }


def _entry(stem: int, *, row: dict[str, Any] | None, rejections: list[dict[str, Any]]) -> str:
    failure = None if row else {"stage": "inpaint", "reason": "rejected", "message": f"all candidates of {stem} failed"}
    return ManifestEntry(
        stem=stem,
        source=f"part {stem:05d}.png" if row is None else str(row["source"]),
        status="done" if row else "failed",
        files={},
        row=row,
        failure=failure,
        rejections=tuple(rejections),
        written=1,
    ).to_line()
