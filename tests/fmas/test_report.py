"""The page of ``fmas report``: it says what the run made, lets no text become markup, asks the network for nothing."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shutil
import threading
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from PIL import Image

from fmas import synthesize
from fmas.decisions import Decision, DecisionLog
from fmas.errors import OutputError, UsageError
from fmas.report import page as page_module
from fmas.report import read_overview, write_report
from fmas.report.page import ReviewMode, page_chunks
from fmas.report.pictures import CROP_SIDE, MASK_SIDE, WHOLE_SIDE, PictureReader
from fmas.types import Defect, DefectKind, InpaintJob

Fakes: TypeAlias = dict[str, Any]

HOSTILE_NAME = """<script>alert(1)</script> "scratch' & dent"""
HOSTILE_PROMPT = """</style></script><img src=x onerror=alert(2)> javascript:alert(3) {{ 7 * 7 }} -->"""
HOSTILE_NEGATIVE = """'"><b onclick="alert(4)">bold"""
HOSTILE_OBJECT = """</title><base href="//evil"> 'gear'"""
HOSTILE_FILE = """"onload='x' <svg onload=alert(5)>.png"""
HOSTILE = Defect(
    name=HOSTILE_NAME,
    prompt=HOSTILE_PROMPT,
    negative_prompt=HOSTILE_NEGATIVE,
    kind=DefectKind.SCRATCH,
    severity=0.8,
)
VOID = {"meta", "input"}


class Page(HTMLParser):
    """What a browser would make of the page: elements with their attributes, texts between them, data in scripts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.raw: dict[str, str] = {}
        self.data: list[tuple[dict[str, str], str]] = []
        self.feed(text)
        self.close()
        assert self._open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.elements.append((tag, attributes))
        if tag not in VOID:
            self._open.append(tag)
        if attributes.get("type") == "application/json":
            self.data.append((attributes, ""))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        inside = self._open[-1] if self._open else ""
        if inside == "script" and self.elements[-1][1].get("type") == "application/json":
            attributes, before = self.data[-1]
            self.data[-1] = (attributes, before + data)
        elif inside in ("script", "style"):
            self.raw[inside] = self.raw.get(inside, "") + data
        else:
            self.texts.append(data.strip())

    def all(self, tag: str, class_: str = "") -> list[dict[str, str]]:
        return [
            attributes
            for name, attributes in self.elements
            if name == tag and (not class_ or class_ in attributes.get("class", "").split())
        ]

    @property
    def facts(self) -> dict[str, Any]:
        (facts,) = [json.loads(text) for attributes, text in self.data if attributes.get("id") == "page"]
        return dict(facts)

    @property
    def pairs(self) -> list[dict[str, Any]]:
        return [json.loads(text) for attributes, text in self.data if attributes.get("class") == "pair"]

    @property
    def pictures(self) -> list[dict[str, Any]]:
        return [json.loads(text) for attributes, text in self.data if re.fullmatch(r"p\d+", attributes.get("id", ""))]

    @property
    def text(self) -> str:
        return " ".join(self.texts)


def read_page(out: Path, **options: int) -> Page:
    return Page(write_report(out, **options).read_text(encoding="utf-8"))


def picture(content: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(content)))


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in next(out.glob("dataset/*/metadata.jsonl")).read_text("utf-8").splitlines()]


@pytest.fixture
def run(fakes: Fakes, make_registry: Callable[..., object], make_config: Callable[..., object]) -> Callable[..., Path]:
    """Run the pipeline on the photographs and return the output folder."""

    def make(**settings: object) -> Path:
        config = make_config(**settings)
        synthesize(config, registry=make_registry(fakes))
        return config.out

    return make


@pytest.fixture
def hostile(run: Callable[..., Path], fakes: Fakes, photographs: Path) -> Path:
    fakes["llm"].defects = [HOSTILE]
    (photographs / "part_0.png").rename(photographs / HOSTILE_FILE)
    (photographs / "<i>broken<i>.png").write_bytes(b"no image")
    return run(object=HOSTILE_OBJECT, category="part")


def test_no_text_becomes_markup(hostile: Path) -> None:
    page = read_page(hostile)
    for text in (HOSTILE_OBJECT, "<i>broken<i>.png"):
        assert text in page.texts or any(text in found for found in page.texts), text
    held = {str(value) for pair in page.pairs for value in pair.values()}
    assert held >= {HOSTILE_NAME, HOSTILE_PROMPT, HOSTILE_NEGATIVE, HOSTILE_FILE}
    tags = [tag for tag, _ in page.elements]
    assert tags.count("style") == tags.count("title") == 1
    assert tags.count("script") == 1 + len(page.data)
    assert not {"b", "i", "img", "base", "iframe", "link", "object", "embed"} & set(tags)
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name in ("style", "src")], tag
    assert [attributes["href"] for attributes in page.all("a")] == ["#pairs"]


def test_data_can_break_out_of_no_element(hostile: Path) -> None:
    text = write_report(hostile).read_text(encoding="utf-8")
    for found in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', text, flags=re.DOTALL):
        assert not set("<>&") & set(found)
        assert found.isascii()
        json.loads(found)


def test_ids_are_unique_and_labels_lead_somewhere(run: Callable[..., Path]) -> None:
    page = read_page(run())
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    labels = [attributes["aria-labelledby"] for _, attributes in page.elements if "aria-labelledby" in attributes]
    made_by_script = {"loupe-title", "help-title"}
    assert labels
    assert set(labels) - made_by_script <= set(ids)
    assert all(f'id: "{name}"' in page.raw["script"] for name in made_by_script)


def test_page_names_no_address(run: Callable[..., Path]) -> None:
    text = write_report(run()).read_text(encoding="utf-8")
    without_pictures = re.sub(r'"[A-Za-z0-9+/=]{60,}"', "", text)
    namespace = '"http://www.w3.org/2000/svg"'
    assert without_pictures.count("http") == without_pictures.count("http-equiv") + without_pictures.count(namespace)
    assert "//" not in re.sub(r"^\s*//.*|[;,] // .*", "", without_pictures.replace(namespace, ""), flags=re.MULTILINE)
    assert "url(" not in without_pictures
    assert "@import" not in without_pictures
    assert "innerHTML" not in without_pictures


def policy_of(page: Page) -> dict[str, str]:
    (policy,) = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    return dict(rule.strip().split(" ", 1) for rule in policy.split(";"))


def test_policy_allows_exactly_our_script_and_styles(hostile: Path) -> None:
    page = read_page(hostile)

    def hash_of(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    expected = {
        "default-src": "'none'",
        "style-src": hash_of(page.raw["style"]),
        "script-src": hash_of(page.raw["script"]),
        "require-trusted-types-for": "'script'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert policy_of(page) == expected
    assert "\r" not in page.raw["script"] + page.raw["style"]  # a parser would change it, and the hash would not match


def test_review_asks_its_own_server_and_carries_no_picture(run: Callable[..., Path]) -> None:
    out = run()
    page = Page("".join(page_chunks(read_overview(out), review=ReviewMode("secret"))))
    assert page.facts["review"] == {"token": "secret"}
    assert len(page.pairs) == 6
    assert page.pictures == []
    assert policy_of(page)["connect-src"] == "'self'"
    assert policy_of(page)["default-src"] == "'none'"
    shas = [pair["sha"] for pair in page.pairs]
    assert shas == [row["image_sha256"] for row in rows(out)]
    assert read_page(out).facts["review"] is None


def nothing_every_third_time(job: InpaintJob) -> np.ndarray:
    return paint(job) if job.seed % 3 else job.image.copy()


def test_every_pair_has_its_facts(run: Callable[..., Path], fakes: Fakes) -> None:
    fakes["inpainter"].paint = nothing_every_third_time
    out = run(select={"band": [0.1, 0.25]}, per_image=2)
    pairs = read_page(out).pairs
    assert len(pairs) == len(rows(out)) == 12
    for pair, row in zip(pairs, rows(out), strict=True):
        for name, key in (
            ("stem", "stem"),
            ("name", "defect_name"),
            ("prompt", "prompt"),
            ("negative", "negative_prompt"),
            ("kind", "kind"),
            ("severity", "severity"),
            ("score", "score"),
            ("band", "band"),
            ("area", "mask_area"),
            ("region", "region_box"),
            ("source", "source"),
            ("candidate", "candidate"),
            ("normal", "normal_file_name"),
            ("result", "file_name"),
            ("mask", "mask_file_name"),
        ):
            assert pair[name] == row[key], name
        assert pair["seed"] == str(row["seed"])
        assert [one["score"] for one in pair["candidates"]] == [one["score"] for one in row["candidates"]]
        assert [one["reason"] for one in pair["rejections"]] == [one["reason"] for one in row["rejections"]]
        assert set(pair["components"]) == {"llm", "segmenter", "inpainter", "selector"}
    assert any(pair["rejections"] for pair in pairs)


def test_says_what_it_is(run: Callable[..., Path]) -> None:
    texts = read_page(run(seed=5)).texts
    for expected in ("test part", "test_part", "5", "Every defect here is synthetic", "Nothing failed"):
        assert expected in texts, expected
    text = " ".join(texts)
    assert "A surface that was painted anew counts as changed" in text


def composed(pictures: dict[str, Any], height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return normal and result inside the crop as the page draws them, at the size of the crop."""
    with picture(pictures["crop"]) as crop, picture(pictures["patch"]) as patch:
        normal = crop.convert("RGB")
        result = normal.copy()
        left, top, right, bottom = pictures["box"]
        across, down = crop.width / (right - left), crop.height / (bottom - top)
        at = (round((pictures["patchBox"][0] - left) * across), round((pictures["patchBox"][1] - top) * down))
        result.paste(patch.convert("RGB"), at, patch.getchannel("A"))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    return np.asarray(normal, dtype=int), np.asarray(result, dtype=int)


def test_pictures_are_those_of_the_files(run: Callable[..., Path]) -> None:
    out = run()
    page = read_page(out)
    dataset = next(out.glob("dataset/*"))
    for row, pictures in zip(rows(out), page.pictures, strict=True):
        left, top, right, bottom = pictures["box"]
        exact = []
        for name in (row["normal_file_name"], row["file_name"], row["mask_file_name"]):
            with Image.open(dataset / name) as image:
                exact.append(np.asarray(image, dtype=int)[top:bottom, left:right])
        normal, result = composed(pictures, row["height"], row["width"])
        assert np.abs(normal - exact[0]).mean() < 5  # compressed noise; the pictures differ by 20 and more in the mask
        mask = exact[2] > 0
        assert np.abs(result - exact[1])[mask].mean() < 6
        assert (result == normal)[~mask].all(), "outside the mask the result is the photograph, also on the page"
        with picture(pictures["mask"]) as shown:
            size = (right - left, bottom - top)
            np.testing.assert_array_equal(np.asarray(shown.resize(size, Image.Resampling.NEAREST)), mask)
        change = np.abs(exact[0] - exact[1]).max(axis=2)
        assert pictures["peak"] == change.max()
        with picture(pictures["levels"]) as levels:
            steps = np.asarray(levels.convert("L")) // 17
        np.testing.assert_array_equal(steps > 0, change > 0)
        assert steps.max() == 15
        assert pictures["problems"] == []


def test_change_outside_the_mask_is_told_and_shown(run: Callable[..., Path]) -> None:
    out = run(limit=1)
    (row,) = rows(out)
    path = next(out.glob("dataset/*")) / row["file_name"]
    with Image.open(path) as image:
        pixels = np.array(image)
    with Image.open(next(out.glob("dataset/*")) / row["mask_file_name"]) as image:
        mask = np.asarray(image) > 0
    y, x = (int(one[0]) for one in np.nonzero(~mask))
    pixels[y, x] ^= 128
    Image.fromarray(pixels).save(path)
    (pictures,) = read_page(out).pictures
    assert pictures["problems"] == [f"{row['file_name']}: 1 pixels outside the mask differ from the photograph"]


def test_failures_are_listed_and_counted(run: Callable[..., Path], fakes: Fakes, photographs: Path) -> None:
    (photographs / "part_2.png").write_bytes(b"no image")
    fakes["inpainter"].paint = lambda job: job.image.copy() if job.defect.name == "oil stain" else paint(job)
    out = run()
    page = read_page(out)
    counts = read_overview(out).counts
    assert counts.failures["ImageError"] == 1
    assert counts.failures["rejected"] >= 1
    listed = [json.loads(line) for line in (out / "failures.jsonl").read_text("utf-8").splitlines()]
    for failure in listed:
        assert failure["message"] in page.texts
        assert f"{failure['stem']:06d}" in page.texts
    assert len(page.pairs) == 6 - len(listed)
    assert "Nothing failed" not in page.texts
    assert f"{len(listed)} pairs failed" in page.texts
    assert f"{counts.rejects['unchanged']:,}" in page.texts
    assert "looked like the original" in page.texts


def paint(job: InpaintJob) -> np.ndarray:
    image = job.image.copy()
    image[job.region] ^= 64
    return image


def test_held_out_photographs_are_counted_and_are_no_pairs(run: Callable[..., Path]) -> None:
    out = run(holdout_good=0.5)
    counts = read_overview(out).counts
    assert counts.held_out > 0
    assert len(read_page(out).pairs) == counts.pairs == 6 - counts.held_out


def test_first_pairs_only(run: Callable[..., Path]) -> None:
    out = run()
    page = read_page(out, most=2)
    assert len(page.pairs) == 2
    assert "The first 2 of 6 are shown." in page.texts
    assert "are shown." not in read_page(out, most=6).text


def spoil(dataset: Path, row: dict[str, Any], how: str) -> tuple[str, str]:
    """Spoil one file of a pair and return what the page calls it and its name."""
    what = "mask" if how == "no image" else "file" if how == "size" else "normal"
    name = str(row["file_name" if what == "file" else f"{what}_file_name"])
    if how == "missing":
        (dataset / name).unlink()
    elif how == "no image":
        (dataset / name).write_bytes(b"no image")
    elif how == "folder":
        (dataset / name).unlink()
        (dataset / name).mkdir()
    else:
        size, mode = ((9, 9), "RGB") if how == "size" else ((row["width"], row["height"]), "L")
        Image.new(mode, size).save(dataset / name)
    return {"mask": "mask", "file": "patch", "normal": "crop"}[what], name


@pytest.mark.parametrize("how", ["missing", "no image", "folder", "size", "mode"])
def test_a_picture_that_cannot_be_read_is_said_so_in_its_row(run: Callable[..., Path], how: str) -> None:
    out = run()
    missing, name = spoil(next(out.glob("dataset/*")), rows(out)[3], how)
    pictures = read_page(out).pictures
    assert [len(one["problems"]) for one in pictures] == [0, 0, 0, 1, 0, 0]
    assert name in pictures[3]["problems"][0]
    assert pictures[3][missing] is None
    assert (pictures[3]["levels"] is None) == (missing != "mask")
    assert all(one[missing] is not None for one in pictures if one is not pictures[3])


def test_a_row_cannot_bring_in_files_from_elsewhere(run: Callable[..., Path], tmp_path: Path) -> None:
    out = run()
    row = rows(out)[0]
    secret = tmp_path / "secret.png"
    Image.new("RGB", (row["width"], row["height"]), "red").save(secret)
    edit_manifest(out, lambda row: row | {"normal_file_name": "../../../secret.png"})
    (pictures,) = read_page(out, most=1).pictures
    assert pictures["problems"] == ["../../../secret.png: not a file of the data set"]
    assert pictures["whole"] is None
    assert pictures["crop"] is None


def edit_manifest(out: Path, change: Callable[[dict[str, object]], dict[str, object]]) -> None:
    (path,) = (out / "manifest").iterdir()
    entries = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    path.write_text("".join(json.dumps(entry | {"row": change(entry["row"])}) + "\n" for entry in entries), "utf-8")


def test_same_output_gives_same_bytes_wherever_it_lies(run: Callable[..., Path], tmp_path: Path) -> None:
    out = run()
    first = write_report(out).read_bytes()
    assert write_report(out).read_bytes() == first
    moved = shutil.move(out, tmp_path / "moved")
    assert write_report(Path(moved)).read_bytes() == first
    assert str(tmp_path).encode() not in first, "a report is sent around; where it was made is nobody's business"


def test_size_is_bounded_however_large_the_photographs(
    run: Callable[..., Path], photographs: Path, fakes: Fakes
) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (1200, 1600, 3), dtype=np.uint8)  # nothing compresses worse
    Image.fromarray(noise).save(photographs / "part_0.png")
    fakes["inpainter"].paint = paint
    (pictures,) = read_page(run(limit=1)).pictures
    for name, most in (("whole", WHOLE_SIDE), ("crop", CROP_SIDE), ("patch", CROP_SIDE), ("mask", MASK_SIDE)):
        with picture(pictures[name]) as image:
            assert max(image.size) <= most, name
    # A row of a photograph takes some 20 kB; 1,000 rows of the worst kind still make a file that a browser opens.
    assert len(json.dumps(pictures)) < 130_000


def test_few_pairs_are_read_ahead_of_what_is_written(run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    out = run(per_image=5)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    read, lock, began = PictureReader.read, threading.Lock(), [0]

    def counting(reader: PictureReader, row: Any) -> Any:
        with lock:
            began[0] += 1
        return read(reader, row)

    monkeypatch.setattr(PictureReader, "read", counting)
    taken = 0
    for chunk in page_chunks(read_overview(out)):
        taken += chunk.count('class="pair"')
        assert began[0] <= taken + 2 * 2 + 1
    assert taken == began[0] == 30


def test_an_interrupted_report_leaves_the_old_one(run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    out = run()
    before = write_report(out).read_bytes()

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(page_module.PictureReader, "read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_report(out)
    assert (out / "report.html").read_bytes() == before
    assert list((out / ".tmp").rglob("*.part")) == []


def test_a_place_that_cannot_be_written(run: Callable[..., Path]) -> None:
    out = run()
    (out / "report.html").mkdir()
    with pytest.raises(OutputError, match="expected to write"):
        write_report(out)
    assert list((out / ".tmp").rglob("*.part")) == []


def test_name_that_is_no_unicode(run: Callable[..., Path]) -> None:
    out = run()
    edit_manifest(out, lambda row: row | {"source": "part_\udcff.png"})
    assert read_page(out).pairs[0]["source"] == "part_\\udcff.png"


def test_at_least_one_pair_is_asked_for(run: Callable[..., Path]) -> None:
    with pytest.raises(UsageError, match="at least 1 pair, got 0"):
        write_report(run(limit=1), most=0)


def test_no_source_of_the_page_is_longer_than_one_can_read() -> None:
    for path in Path(page_module.__file__).with_name("templates").iterdir():
        assert len(path.read_text("utf-8").splitlines()) < 400, path


def test_report_tells_what_reviewers_decided(run: Callable[..., Path]) -> None:
    out = run()
    layout = read_overview(out).layout
    first, second, third = rows(out)[:3]
    log = DecisionLog(layout)
    log.append(Decision(first["stem"], first["image_sha256"], "drop"))
    log.append(Decision(second["stem"], second["image_sha256"], "keep"))
    log.append(Decision(third["stem"], "0" * 64, "drop"))  # about a picture that has been replaced since
    page = read_page(out)
    assert [pair["verdict"] for pair in page.pairs] == ["drop", "keep", *["undecided"] * 4]
    assert "dropped in review" in page.text
    assert "dropped in review" not in read_page(run(out=out.with_name("fresh"))).text
