"""The page of ``fmas report``: it says what the run made, lets no text become markup, asks the network for nothing."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from PIL import Image

from fmas import synthesize
from fmas.errors import OutputError, UsageError
from fmas.report import page as page_module
from fmas.report import read_overview, write_report
from fmas.report.page import page_chunks
from fmas.report.pictures import LONGEST_SIDE
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
VOID = {"meta", "input", "image", "rect", "use"}


class Page(HTMLParser):
    """What a browser would make of the page: elements with their attributes, and the texts between them."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.raw: dict[str, str] = {}
        self.feed(text)
        self.close()
        assert self._open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in ("script", "style"):
            self.raw[self._open[-1]] = self.raw.get(self._open[-1], "") + data
        else:
            self.texts.append(data.strip())

    def all(self, tag: str, class_: str = "") -> list[dict[str, str]]:
        return [
            attributes
            for name, attributes in self.elements
            if name == tag and (not class_ or class_ in attributes.get("class", "").split())
        ]

    @property
    def text(self) -> str:
        return " ".join(self.texts)


def read_page(out: Path, **options: int) -> Page:
    return Page(write_report(out, **options).read_text(encoding="utf-8"))


def picture(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1])))


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
    for text in (HOSTILE_NAME, HOSTILE_PROMPT, HOSTILE_NEGATIVE, HOSTILE_OBJECT, HOSTILE_FILE, "<i>broken<i>.png"):
        assert text in page.texts or any(text in found for found in page.texts), text
    tags = [tag for tag, _ in page.elements]
    assert tags.count("script") == tags.count("style") == tags.count("title") == 1
    assert not {"b", "i", "img", "base", "a", "iframe", "link", "object", "embed"} & set(tags)
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name in ("style", "src")], tag


def test_every_reference_stays_inside_the_page(hostile: Path) -> None:
    page = read_page(hostile)
    ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    references = [(tag, attributes["href"]) for tag, attributes in page.elements if "href" in attributes]
    assert {tag for tag, _ in references} == {"image", "use"}
    for tag, reference in references:
        if tag == "use":
            assert reference[0] == "#"
            assert reference[1:] in ids
        else:
            assert re.match(r"data:image/(webp|png);base64,[A-Za-z0-9+/=]+$", reference)


def test_ids_are_unique_and_labels_lead_somewhere(run: Callable[..., Path]) -> None:
    page = read_page(run())
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    labels = [attributes["aria-labelledby"] for _, attributes in page.elements if "aria-labelledby" in attributes]
    assert labels
    assert set(labels) <= set(ids)
    pictures = page.all("svg", "picture")
    assert len(pictures) == 8 * 6
    assert all(one["role"] == "img" and one["aria-label"] for one in pictures)


def test_page_names_no_address(run: Callable[..., Path]) -> None:
    text = write_report(run()).read_text(encoding="utf-8")
    without_pictures = re.sub(r"data:image/[a-z]+;base64,[A-Za-z0-9+/=]+", "", text)
    assert "http" not in without_pictures.replace("http-equiv", "")
    assert "//" not in re.sub(r"^\s*//.*|; // .*", "", without_pictures, flags=re.MULTILINE)
    assert "url(" not in without_pictures
    assert "@import" not in without_pictures


def test_policy_allows_exactly_our_script_and_styles(hostile: Path) -> None:
    page = read_page(hostile)
    (policy,) = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))

    def hash_of(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    assert rules == {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": hash_of(page.raw["style"]),
        "script-src": hash_of(page.raw["script"]),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert "\r" not in page.raw["script"] + page.raw["style"]  # a parser would change it, and the hash would not match


def nothing_every_third_time(job: InpaintJob) -> np.ndarray:
    return paint(job) if job.seed % 3 else job.image.copy()


def test_one_article_for_every_pair_with_what_the_filter_reads(run: Callable[..., Path], fakes: Fakes) -> None:
    fakes["inpainter"].paint = nothing_every_third_time
    out = run(select={"band": [0.1, 0.25]}, per_image=2)
    articles = read_page(out).all("article", "pair")
    expected = [
        {
            "kind": row["kind"],
            "rejected": str(len(row["rejections"])),
            "band": "below" if row["score"] < 0.1 else "above" if row["score"] > 0.25 else "inside",
        }
        for row in rows(out)
    ]
    found = [{name: article[f"data-{name}"] for name in ("kind", "rejected", "band")} for article in articles]
    assert len(found) == 12
    assert found == expected
    assert {one["kind"] for one in found} == {"crack", "stain"}
    assert {one["rejected"] == "0" for one in found} == {True, False}
    assert {one["band"] for one in found} >= {"above"}


def test_filter_offers_the_kinds_that_are_there_and_is_hidden_without_a_script(run: Callable[..., Path]) -> None:
    page = read_page(run())
    (form,) = page.all("form")
    assert "hidden" in form
    assert [box["value"] for box in page.all("input") if box["name"] == "kind"] == ["crack", "stain"]
    assert not [article for article in page.all("article") if "hidden" in article]


def test_facts_of_a_pair(run: Callable[..., Path]) -> None:
    out = run(seed=5)
    texts = read_page(out, most=1).texts
    row = rows(out)[0]
    share = 100 * row["mask_area"] / (row["width"] * row["height"])
    for expected in (
        row["defect_name"],
        row["kind"],
        row["prompt"],
        row["source"],
        str(row["seed"]),
        f"{row['score']:.3f}",
        f"severity {row['severity']:.2f}",
        f"{row['mask_area']:,} px, {share:.2f} %",
        f"{row['width']} x {row['height']} px, {row['foreground_kind']}",
        f"{row['normal_file_name']} · {row['file_name']} · {row['mask_file_name']}",
        "test part",
        "5",
        "Every defect here is synthetic.",
    ):
        assert expected in texts, expected


def test_pictures_are_those_of_the_files(run: Callable[..., Path]) -> None:
    out = run()
    page = read_page(out, most=1)
    row = rows(out)[0]
    images = {one["id"]: one["href"] for one in page.all("image") if "id" in one}
    dataset = next(out.glob("dataset/*"))
    for key, name in (("n000000", row["normal_file_name"]), ("r000000", row["file_name"])):
        with Image.open(dataset / name) as exact, picture(images[key]) as shown:
            assert shown.size == exact.size
            difference = np.abs(np.asarray(shown.convert("RGB"), dtype=int) - np.asarray(exact, dtype=int))
        assert difference.mean() < 4  # compressed noise; the two pictures themselves differ by 20 and more in the mask
    left, top, right, bottom = row["region_box"]
    box = {"x": left, "y": top, "width": right - left, "height": bottom - top}
    assert {**{key: str(value) for key, value in box.items()}, "class": "region"} in page.all("rect", "region")


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
    assert len(page.all("article")) == 6 - len(listed)
    assert "Nothing failed." not in page.texts
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
    assert len(read_page(out).all("article")) == counts.pairs == 6 - counts.held_out


def test_first_pairs_only(run: Callable[..., Path]) -> None:
    out = run()
    page = read_page(out, most=2)
    assert len(page.all("article")) == 2
    assert "The first 2 of 6 are shown." in page.texts
    assert "are shown" not in read_page(out, most=6).text


def spoil(dataset: Path, row: dict[str, Any], how: str) -> str:
    """Spoil one file of a pair and return its name."""
    name = str(row["mask_file_name" if how == "no image" else "file_name" if how == "size" else "normal_file_name"])
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
    return name


@pytest.mark.parametrize("how", ["missing", "no image", "folder", "size", "mode"])
def test_a_picture_that_cannot_be_read_is_said_so_in_its_row(run: Callable[..., Path], how: str) -> None:
    out = run()
    name = spoil(next(out.glob("dataset/*")), rows(out)[3], how)
    page = read_page(out)
    assert len(page.all("article")) == 6
    assert len(page.all("ul", "problems")) == 1
    assert sum(name in text for text in page.texts) >= 3  # two pictures and the problem
    assert page.texts.count(f"{name} cannot be shown") in (2, 4)


def test_a_row_cannot_bring_in_files_from_elsewhere(run: Callable[..., Path], tmp_path: Path) -> None:
    out = run()
    row = rows(out)[0]
    secret = tmp_path / "secret.png"
    Image.new("RGB", (row["width"], row["height"]), "red").save(secret)
    edit_manifest(out, lambda row: row | {"normal_file_name": "../../../secret.png"})
    page = read_page(out, most=1)
    assert "../../../secret.png: not a file of the data set" in page.texts
    assert not [one for one in page.all("image") if one.get("id") == "n000000"]


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


def test_size_is_bounded_however_large_the_photographs(
    run: Callable[..., Path], photographs: Path, fakes: Fakes
) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (1200, 1600, 3), dtype=np.uint8)  # nothing compresses worse
    Image.fromarray(noise).save(photographs / "part_0.png")
    fakes["inpainter"].paint = paint
    out = run(limit=1)
    page = read_page(out)
    for one in page.all("image"):
        with picture(one["href"]) as image:
            assert max(image.size) <= LONGEST_SIDE
    # 1,000 rows of the worst kind still make a file that a browser opens
    assert sum(len(one["href"]) for one in page.all("image")) < 500_000


def test_pictures_are_read_when_their_row_is_written(run: Callable[..., Path]) -> None:
    out = run()
    chunks = iter(page_chunks(read_overview(out)))
    for chunk in chunks:
        if "</article>" in chunk:
            break
    (next(out.glob("dataset/*")) / rows(out)[5]["normal_file_name"]).unlink()
    assert "train/good/000005.png: missing" in "".join(chunks)


def test_an_interrupted_report_leaves_the_old_one(run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    out = run()
    before = write_report(out).read_bytes()

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(page_module, "pair_pictures", interrupted)
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
    assert "part_\\udcff.png" in read_page(out).texts


def test_at_least_one_pair_is_asked_for(run: Callable[..., Path]) -> None:
    with pytest.raises(UsageError, match="at least 1 pair, got 0"):
        write_report(run(limit=1), most=0)
