"""The HTML page: self-contained, nothing in it that a name could break, and true to the numbers."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fmas_evaluate.cli import main
from fmas_evaluate.inputs import Pair
from fmas_evaluate.report import charts
from fmas_evaluate.report.curves import Curve
from fmas_evaluate.report.worst import judge, worst_alarms, worst_misses

Image = pytest.importorskip("PIL.Image", reason="needs pillow (extra cli)")
overlays = pytest.importorskip("fmas_evaluate.report.overlays")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = "<script>document.title='broken'</script>\"'&amp;"


@pytest.fixture
def page(folders: Any, tmp_path: Path) -> Callable[..., str]:
    """Return a function that runs the command and returns the page it wrote."""

    def write(*arguments: object, folders: Any = folders) -> str:
        target = tmp_path / "page.html"
        given = ["--maps", folders.maps, "--truth", folders.truth, "--html", target, *arguments]
        assert main([str(one) for one in given]) == 0
        return target.read_text(encoding="utf-8")

    return write


class Outline(html.parser.HTMLParser):
    """Collects elements, links and whether every tag is closed."""

    VOID = frozenset({"br", "img", "meta", "line", "polyline", "polygon"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.words += data


def test_everything_is_inside_and_nothing_runs(page: Callable[..., str]) -> None:
    text = page("--per-class", "--bootstrap", "20")
    outline = Outline(text)
    assert outline.open == []
    assert "script" not in outline.tags
    assert outline.links
    assert [link for link in outline.links if not link.startswith("data:image/png;base64,")] == []
    style = re.search(r"<style>(.*?)</style>", text, flags=re.DOTALL)
    assert style is not None
    assert "url(" not in style[1]
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'" in text
    assert "style=" not in text


def test_it_shows_the_numbers(page: Callable[..., str], folders: Any, capsys: pytest.CaptureFixture[str]) -> None:
    words = Outline(page("--json", "--protocol", "rd4ad", "--compare", folders.maps, "--bootstrap", "20")).words
    content = json.loads(capsys.readouterr().out)
    for name in ("image_auroc", "pixel_auroc", "average_precision", "f1_max", "aupro", "aupro@0.05"):
        assert f"{content[name]:.4f}" in words
    interval = content["intervals"]["pixel_auroc"]
    assert f"{interval['lower']:.4f} to {interval['upper']:.4f}" in words
    for heading in ("Curves", "Comparison", "Published protocol", "Misses by defect size", "Worst misses at F1-max"):
        assert heading in words
    assert f"at score {content['f1_max_threshold']:.6g}" in words


def test_the_same_folders_give_the_same_bytes(page: Callable[..., str]) -> None:
    assert page("--bootstrap", "10") == page("--bootstrap", "10")


def test_hostile_names_stay_text(make_folders: Any, page: Callable[..., str]) -> None:
    name = HOSTILE.replace("/", "\u2215")  # no file name holds a slash
    folders = make_folders(f"{name}/{name}", f"{name}/1", "good/0", where=name)
    outline = Outline(page("--per-class", "--compare", folders.maps, "--bootstrap", "10", folders=folders))
    assert "script" not in outline.tags
    assert f"{name}/{name}" in outline.words


def test_without_a_defect_there_are_no_curves(make_folders: Any, page: Callable[..., str]) -> None:
    words = Outline(page(folders=make_folders("good/0", "good/1", where="good_only"))).words
    assert "n/a" in words
    assert "Curves" not in words
    assert "Worst" not in words


def test_photographs_are_shown_if_there_are_any(page: Callable[..., str], folders: Any, tmp_path: Path) -> None:
    (tmp_path / "photographs" / "crack").mkdir(parents=True)
    Image.new("RGB", (60, 50), (10, 200, 30)).save(tmp_path / "photographs" / "crack" / "000.JPG")
    (tmp_path / "photographs" / "crack" / "001.png").write_bytes(b"no picture")
    text = page("--images", tmp_path / "photographs")
    assert text.count('alt="photograph of crack/000"') >= 1
    assert "photograph of crack/001" not in text


def test_the_number_of_images_is_limited(page: Callable[..., str]) -> None:
    assert page("--worst", "1").count('<figure class="image">') <= 2
    assert page("--worst", "0").count("<img") == 0


def test_infinite_scores_are_drawn(page: Callable[..., str], folders: Any) -> None:
    scores = folders.scores["crack/000"]
    scores[0, 0], scores[1, 1] = np.inf, -np.inf
    np.save(folders.maps / "crack/000.npy", scores)
    assert "<img" in page()


def pixels(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def test_a_single_pixel_survives_shrinking() -> None:
    mask = np.zeros((2000, 1500), bool)
    mask[1234, 777] = True
    assert overlays.shrunk_mask(mask, 300, 225).sum() == 1
    scores = np.zeros((2000, 1500), np.float32)
    scores[1234, 777] = 5
    small = overlays.shrunk_scores(scores, 300, 225)
    assert small.shape == (300, 225)
    assert (small == 5).sum() == 1
    picture = pixels(overlays.map_uri(scores, mask, threshold=4.0, low=0.0, high=5.0))
    assert picture.shape == (300, 225, 3)
    assert (picture == (255, 45, 141)).all(axis=2).sum() == 8  # the outline around one pixel


def test_an_elongated_map_stays_in_shape() -> None:
    scores = np.linspace(0, 1, 9000, dtype=np.float32).reshape(3, 3000)
    picture = pixels(overlays.map_uri(scores, np.zeros(scores.shape, bool), threshold=np.nan, low=0.0, high=1.0))
    assert picture.shape == (1, 300, 3)


def pair(name: str, scores: list[list[float]], mask: list[list[int]]) -> Pair:
    return Pair(name, np.array(scores, np.float32), np.array(mask, bool))


def test_images_are_judged_at_the_threshold() -> None:
    judged = judge(pair("a", [[0, 1, 2], [3, 4, 5]], [[1, 0, 0], [0, 0, 1]]), threshold=4, image_score=5)
    assert judged.sizes.tolist() == [1, 1]
    assert judged.covered.tolist() == [0.0, 1.0]
    assert (judged.missed_regions, judged.missed_pixels, judged.false_pixels, judged.normal_peak) == (1, 1, 1, 4.0)
    whole = judge(pair("b", [[1.0]], [[1]]), threshold=0, image_score=1)
    assert (whole.false_pixels, whole.normal_peak) == (0, -np.inf)


def test_the_worst_come_first() -> None:
    images = [
        judge(pair("large", [[0, 0, 0, 9]], [[1, 1, 0, 1]]), threshold=5, image_score=0),
        judge(pair("small", [[0, 8, 8, 9]], [[1, 0, 0, 1]]), threshold=5, image_score=0),
        judge(pair("half", [[0, 9, 8, 8]], [[1, 1, 0, 0]]), threshold=5, image_score=0),
        judge(pair("found", [[0, 9]], [[0, 1]]), threshold=5, image_score=0),
        judge(pair("good", [[0, 6]], [[0, 0]]), threshold=5, image_score=0),
    ]
    assert [one.name for one in worst_misses(images, 9)] == ["large", "small", "half"]
    assert [one.name for one in worst_alarms(images, 9)] == ["good", "half", "small"]
    assert [one.name for one in worst_alarms(images, 1)] == ["good"]


@pytest.mark.parametrize("end", [1.0, 0.375, 0.0625, 0.0125, 0.7, 1e-4])
def test_axes_carry_few_round_numbers(end: float) -> None:
    ticks = charts._ticks(end)
    assert 4 <= len(ticks) <= 11
    assert ticks[0] == 0
    assert ticks[-1] <= end * (1 + 1e-9)
    assert all(len(f"{tick:g}") <= 6 for tick in ticks)


def test_the_shade_ends_at_the_limit() -> None:
    curve = Curve(np.array([0.0, 0.2, 1.0]), np.array([0.0, 0.5, 1.0]))
    text = charts.chart("t", [("a", curve)], across="x", up="y", limit=0.3, shown=0.6)
    area = re.search(r'<polygon class="shade" points="([^"]*)"', text)
    assert area is not None
    corners = [tuple(map(float, point.split(","))) for point in area[1].split()]
    right = max(x for x, _ in corners)
    assert right == pytest.approx(46 + 240 * 0.3 / 0.6, abs=0.1)
    assert min(y for x, y in corners if x == right) == pytest.approx(12 + 240 * (1 - 0.5625), abs=0.1)


@pytest.mark.integration
@pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: apt-get install chromium")
@pytest.mark.parametrize("injected", [False, True])
def test_a_browser_has_nothing_to_complain_about(page: Callable[..., str], tmp_path: Path, injected: bool) -> None:
    page("--per-class", "--bootstrap", "10")
    target = tmp_path / "page.html"
    if injected:
        text = target.read_text(encoding="utf-8")
        target.write_text(text.replace("<main>", "<main><script>document.title = 'broken'</script>"), encoding="utf-8")
    quiet = (
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
        *("--disable-background-networking", "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND"),
    )
    command = [
        str(CHROMIUM),
        *quiet,
        f"--user-data-dir={tmp_path / 'profile'}",
        "--enable-logging=stderr",
        "--dump-dom",
    ]
    done = subprocess.run([*command, target.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    console = "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
    assert "<title>maps: evaluation</title>" in done.stdout
    assert ("Content Security Policy" in console) if injected else (console == "")
