"""Takes ``docs/images/report.png`` of the demo's report: ``python docs/figures/make_report_screenshot.py``.

Does what ``fmas demo`` does and photographs the first pair of the report with a headless Chromium, which must be
installed (``chromium`` or ``google-chrome`` on the path).
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

from fmas import RunConfig, synthesize
from fmas.demo_photographs import write_demo_photographs
from fmas.report import write_report

TARGET = Path(__file__).parents[1] / "images" / "report.png"
WIDTH, HEIGHT = 1280, 2000
FIRST_PAIR = (0, 1208, 1280, 1836)  # left, top, right, bottom; below the page's head
COLOURS = 255  # a palette keeps the file small; text and photographs of one product need no more


def main() -> None:
    """Take the picture."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        raise SystemExit("expected chromium or google-chrome on the path, found neither; install one")
    with tempfile.TemporaryDirectory() as folder:
        out, shot = Path(folder, "out"), Path(folder, "report.png")
        photographs = write_demo_photographs(Path(folder, "photographs"))
        synthesize(RunConfig(images=photographs, out=out, object="brick wall"))
        page = write_report(out).resolve().as_uri()
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=1"]
        size = f"--window-size={WIDTH},{HEIGHT}"
        subprocess.run([browser, *options, size, f"--screenshot={shot}", page], check=True, timeout=120)  # noqa: S603
        with Image.open(shot) as image:
            TARGET.parent.mkdir(exist_ok=True)
            image.convert("RGB").crop(FIRST_PAIR).quantize(COLOURS, method=Image.Quantize.MEDIANCUT).save(
                TARGET, optimize=True
            )


if __name__ == "__main__":
    main()
