"""Takes ``docs/images/report.png`` of the demo's report: ``python docs/figures/make_report_screenshot.py``.

Does what ``fmas demo`` does and photographs the report with a headless Chromium: needs ``pip install playwright`` and
``chromium`` or ``google-chrome`` on the path.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from fmas import RunConfig, synthesize
from fmas.demo_photographs import write_demo_photographs
from fmas.report import write_report

TARGET = Path(__file__).parents[1] / "images" / "report.png"
SIZE = {"width": 1400, "height": 900}
COLOURS = 255  # a palette keeps the file small; text and photographs of one product need no more


def main() -> None:
    """Take the picture."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        raise SystemExit("expected chromium or google-chrome on the path, found neither; install one")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        out, shot = Path(folder, "out"), Path(folder, "report.png")
        photographs = write_demo_photographs(Path(folder, "photographs"))
        synthesize(RunConfig(images=photographs, out=out, object="brick wall"))
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"])
        page = chromium.new_page(viewport=SIZE, color_scheme="light")
        page.goto(write_report(out).resolve().as_uri())
        page.wait_for_selector("#list .drawn")
        page.wait_for_timeout(500)
        page.screenshot(path=shot)
        chromium.close()
        with Image.open(shot) as image:
            TARGET.parent.mkdir(exist_ok=True)
            image.convert("RGB").quantize(COLOURS, method=Image.Quantize.MEDIANCUT).save(TARGET, optimize=True)


if __name__ == "__main__":
    main()
