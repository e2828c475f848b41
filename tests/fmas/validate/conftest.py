"""A finished output that can be damaged, for the tests of ``fmas validate``."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from fmas.errors import ImageError
from fmas.images import decode_png, encode_png, pixel_sha256
from fmas.pipeline import synthesize
from fmas.validate import validate_output


class Forgery:
    """A finished output that can be damaged, and whose damage can be covered up by making every record match it."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.category = "test_part"
        self.dataset = out / "dataset" / self.category
        self.manifest = out / "manifest" / "shard-1-of-1.jsonl"
        self.lines = [json.loads(line) for line in self.manifest.read_text().splitlines()]

    @property
    def pairs(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["row"] is not None and line["row"]["defect"] != "good"]

    @property
    def held_out(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["row"] is not None and line["row"]["defect"] == "good"]

    def name(self, kind: str, number: int = 0) -> str:
        """Return a file's name: kind is image, mask, twin or held_out."""
        if kind == "held_out":
            return self.held_out[number]["row"]["file_name"]
        field = {"image": "file_name", "mask": "mask_file_name", "twin": "normal_file_name"}[kind]
        return self.pairs[number]["row"][field]

    def path(self, kind: str, number: int = 0) -> Path:
        return self.dataset / self.name(kind, number)

    def pixels(self, kind: str, number: int = 0) -> np.ndarray:
        path = self.path(kind, number)
        return decode_png(path.read_bytes(), what=str(path))[0]

    def paint(self, kind: str, pixels: np.ndarray, number: int = 0) -> None:
        """Replace a file's pixels and keep its text."""
        path = self.path(kind, number)
        texts = decode_png(path.read_bytes(), what=str(path))[2]
        path.write_bytes(encode_png(pixels, text=texts))

    def anywhere(self, number: int = 0) -> None:
        """Let the row's region be the whole image, so that a mask may lie anywhere."""
        row = self.pairs[number]["row"]
        row |= {"region_box": [0, 0, row["width"], row["height"]], "region_area": row["width"] * row["height"]}

    def seal(self, *, pixel_hashes: bool = True, text: bool = True) -> None:
        """Cover up: recompute hashes, areas, texts, manifest and metadata from what the files hold now."""
        for line in self.lines:
            row = line["row"]
            if row is None:
                continue
            if pixel_hashes:
                self._recompute(row)
            self._keep_chosen(line)
            if text:
                self._embed(row)
            for name in line["files"]:
                if (self.dataset / name).is_file():
                    content = (self.dataset / name).read_bytes()
                    line["files"][name] = hashlib.sha256(content).hexdigest()
                    line["sizes"][name] = len(content)
        self.write_lines()
        rows = [line["row"] for line in sorted(self.lines, key=lambda line: line["stem"]) if line["row"] is not None]
        (self.dataset / "metadata.jsonl").write_text("".join(row_text(row) + "\n" for row in rows))
        card = self.dataset / "README.md"
        digest = hashlib.sha256((self.dataset / "metadata.jsonl").read_bytes()).hexdigest()
        card.write_text(re.sub(r"(sha256 of metadata\.jsonl: )[0-9a-f]{64}", rf"\g<1>{digest}", card.read_text()))

    def write_lines(self) -> None:
        self.manifest.write_text("".join(json.dumps(line) + "\n" for line in self.lines))

    def _recompute(self, row: dict[str, Any]) -> None:
        fields = {"image_sha256": "file_name", "mask_sha256": "mask_file_name", "normal_sha256": "normal_file_name"}
        for field, name in fields.items():
            if field not in row or not (self.dataset / str(row[name])).is_file():
                continue
            try:
                pixels, _, _ = decode_png((self.dataset / row[name]).read_bytes(), what=name)
            except ImageError:
                continue
            if field == "mask_sha256":
                row["mask_area"] = int(np.count_nonzero(pixels))
                pixels = pixels != 0
            row[field] = pixel_sha256(pixels)

    def _keep_chosen(self, line: dict[str, Any]) -> None:
        """Let the list of candidates and the kept file of the chosen one say what row and files say."""
        row = line["row"]
        chosen = [item for item in row.get("candidates", ()) if item["candidate"] == row["candidate"]]
        name = f"candidates/{line['stem']:06d}/{row.get('candidate')}.png"
        for item in chosen:
            item |= {"mask_area": row["mask_area"], "noise_floor": row["noise_floor"], "high": row["high_threshold"]}
        try:
            mask = decode_png((self.dataset / row["mask_file_name"]).read_bytes(), what=name)[0]
            image = decode_png((self.dataset / row["file_name"]).read_bytes(), what=name)[0]
        except (TypeError, OSError, ImageError):
            return
        if not chosen or name not in line["candidates"] or image.shape[:2] != mask.shape or not mask.any():
            return
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        left, top, right, bottom = (int(edge) for edge in (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
        chosen[0]["box"] = [left, top, right, bottom]
        inside = np.s_[top:bottom, left:right]
        alpha = np.where(mask[inside] != 0, 255, 0).astype(np.uint8)
        content = encode_png(np.dstack([np.atleast_3d(image)[inside], alpha])[..., -4:])
        (self.out / name).write_bytes(content)
        line["candidates"][name] = hashlib.sha256(content).hexdigest()

    def _embed(self, row: Mapping[str, Any]) -> None:
        path = self.dataset / row["file_name"]
        if not path.is_file():
            return
        content = path.read_bytes()
        try:
            pixels, _, texts = decode_png(content, what=str(path))
        except ImageError:
            return
        if content[24:26] == b"\x08\x02" and texts != {"fmas": row_text(row)}:
            path.write_bytes(encode_png(pixels, text={"fmas": row_text(row)}))

    def edit_json(self, name: str, change: Callable[[Any], object]) -> None:
        path = self.out / name
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    def edit_identity(self, **changes: object) -> None:
        """Change the run's identity and its digest."""

        def change(content: dict[str, Any]) -> None:
            content["identity"] |= changes
            canonical = json.dumps(content["identity"], sort_keys=True)
            content["digest"] = hashlib.sha256(canonical.encode()).hexdigest()

        self.edit_json("run.json", change)

    def edit_config(self, **changes: object) -> None:
        path = self.out / "config.resolved.yaml"
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))

    def edit_metadata(self, change: Callable[[list[str]], list[str]]) -> None:
        path = self.dataset / "metadata.jsonl"
        path.write_text("".join(change(path.read_text().splitlines(keepends=True))))

    def insert_chunk(self, kind: str, name: bytes, content: bytes) -> None:
        """Insert a PNG chunk behind IHDR."""
        chunk = struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        png = self.path(kind).read_bytes()
        self.path(kind).write_bytes(png[:33] + chunk + png[33:])

    def broken(self) -> set[str]:
        """Return the rules that a validation finds broken."""
        return {str(problem.rule) for problem in validate_output(self.out).problems}

    def told(self, rule: str) -> list[str]:
        """Return the problems of one rule as they are printed."""
        return [str(problem) for problem in validate_output(self.out).problems if problem.rule == rule]

    def expect(self, damage: Callable[[Forgery], object], rules: set[str]) -> None:
        """Damage the output; see that these rules are found broken and no others, in messages of three parts."""
        damage(self)
        problems = validate_output(self.out).problems
        assert {str(problem.rule) for problem in problems} == rules, [str(problem) for problem in problems]
        for problem in problems:
            assert problem.message.startswith("expected ")
            assert ", got " in problem.message
            assert "; " in problem.message
            assert str(problem).isprintable()
            assert str(problem) == f"{problem.path}: {problem.message} [{problem.rule}]"


def row_text(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, sort_keys=True)


@pytest.fixture(scope="session")
def workshop(tmp_path_factory):
    """Return the folder where the finished output is kept for all these tests."""
    return tmp_path_factory.mktemp("workshop") / "out"


@pytest.fixture
def finished(workshop, fakes, make_registry, make_config):
    """Return an output with two pairs per photograph and held-out good photographs; not to be changed."""
    if not workshop.exists():
        synthesize(make_config(out=workshop, per_image=2, holdout_good=0.4, seed=1), registry=make_registry(fakes))
    return workshop


@pytest.fixture
def forgery(finished, tmp_path):
    return Forgery(Path(shutil.copytree(finished, tmp_path / "copy")))


@pytest.fixture
def forgery_of():
    """Return the class, for outputs that a test makes itself."""
    return Forgery
