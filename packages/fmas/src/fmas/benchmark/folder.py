"""The benchmark's own folder: whose it is, and that nobody else writes it meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from fmas.benchmark.cells import BenchmarkRequest
from fmas.benchmark.layouts import Category
from fmas.errors import OutputError
from fmas.files import AtomicWriter, unwritable
from fmas.identity import differences

__all__ = ["BenchmarkFolder"]

_FORMAT = "fmas-benchmark"


@dataclass(frozen=True, slots=True)
class BenchmarkFolder:
    """The paths of one benchmark.

    ::

        DIR/  benchmark.json  results.json  results.csv  results.md  index.html  .staged/  .tmp/
              <category>/seed-<n>/pairs/  <category>/seed-<n>/<variant>/{model,inspection,log.txt,result.json}

    Attributes:
        out: The folder.
    """

    out: Path

    @property
    def about(self) -> Path:
        """Which benchmark this is."""
        return self.out / "benchmark.json"

    @property
    def staging(self) -> Path:
        """Data sets of another layout, put in order."""
        return self.out / ".staged"

    @property
    def temporary(self) -> Path:
        """Files on their way, and the lock."""
        return self.out / ".tmp"

    @property
    def writer(self) -> AtomicWriter:
        """A writer for files of this folder."""
        return AtomicWriter(self.temporary / "parts")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Create or re-enter the folder and keep every other benchmark out; the system frees the lock in any case.

        Raises:
            OutputError: If it holds something else, cannot be written, or is in use.
        """
        self._refuse_foreign()
        lock = FileLock(self.temporary / "benchmark.lock")
        try:
            self.temporary.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
        except Timeout as error:
            raise OutputError(
                f"expected to be the only one to write {self.out}, but another fmas benchmark is doing it; wait for "
                "it, or choose another --out"
            ) from error
        except OSError as error:
            raise unwritable(self.out, error) from error
        try:
            yield
        finally:
            lock.release()

    def claim(self, request: BenchmarkRequest, categories: Sequence[Category]) -> None:
        """See that what is finished here was made with the same options from the same data, and write these down.

        Raises:
            OutputError: If it was not.
        """
        identity = request.identity()
        digests = {category.name: category.digest() for category in categories}
        known: dict[str, str] = {}
        before = self._read_about()
        if before is not None:
            changed = differences(before["identity"], json.loads(json.dumps(identity)))
            if changed:
                raise OutputError(
                    f"expected {self.out} to hold this benchmark, but it holds another one: {'; '.join(changed)}; "
                    "choose another --out, or the options that benchmark.json there names"
                )
            known = before["categories"]
            other = [name for name, digest in digests.items() if known.get(name, digest) != digest]
            if other:
                raise OutputError(
                    f"expected the images of {other[0]!r} as they were when {self.out} was begun, got others; choose "
                    "another --out"
                )
        content = {"format": _FORMAT, "identity": identity, "categories": {**known, **digests}}
        self.writer.write_text(self.about, json.dumps(content, indent=2, ensure_ascii=False) + "\n")

    def _read_about(self) -> dict[str, Any] | None:
        try:
            content = json.loads(self.about.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise OutputError(
                f"expected {self.about} as fmas benchmark writes it, got {error}; choose another --out"
            ) from error
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise OutputError(
                f"expected {self.about} as fmas benchmark writes it, got another file; choose another --out"
            )
        return content

    def _refuse_foreign(self) -> None:
        if self.out.exists() and not self.out.is_dir():
            raise OutputError(f"expected a folder for --out, got the file {self.out}; choose another --out")
        if self.about.exists() or not self.out.exists():
            return
        foreign = sorted(path.name for path in self.out.iterdir() if path.name not in (".tmp", ".staged", ".DS_Store"))
        if foreign:
            raise OutputError(
                f"expected an empty folder or one of an earlier fmas benchmark for --out, but {self.out} holds "
                f"{foreign[0]!r}; choose another --out"
            )
