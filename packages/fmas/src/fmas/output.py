"""Opening an output folder: is it ours, is it this run's, is nobody else writing this part of it?"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from filelock import FileLock, Timeout

from fmas.config import RunConfig, SelectConfig
from fmas.errors import OutputError
from fmas.files import AtomicWriter, unwritable
from fmas.identity import differences, identity_digest
from fmas.intensity import band_text
from fmas.layout import OutputLayout
from fmas.versions import library_versions

__all__ = ["OpenOutput", "read_run_file", "refuse_foreign_folder", "refuse_other_run", "write_band"]

_LOCK_NAME = re.compile(r"shard-(\d+)-of-(\d+)\.lock")
# What `fmas plan` or a run killed before its run.json may have left, and what a file browser leaves anywhere.
_HARMLESS = {
    "plan.json",
    "cache",
    "usage.jsonl",
    "config.resolved.yaml",
    "decisions.jsonl",
    ".tmp",
    ".DS_Store",
    "Thumbs.db",
    "desktop.ini",
}
_LOCK_SECONDS = 600


@dataclass(frozen=True, slots=True)
class OpenOutput:
    """An output folder that this process may write its shard into.

    Attributes:
        layout: Where things lie.
        temporary: This shard's folder for files on their way.
    """

    layout: OutputLayout
    temporary: Path

    @property
    def writer(self) -> AtomicWriter:
        """A writer for files of this output."""
        return AtomicWriter(self.temporary)

    @classmethod
    @contextmanager
    def open(cls, layout: OutputLayout, shard: tuple[int, int]) -> Iterator[OpenOutput]:
        """Create or re-enter the folder and hold the shard's lock.

        The lock is the operating system's: it is gone when the process is, however it died.

        Raises:
            OutputError: If the folder holds something else, cannot be written, or somebody is writing this part of it.
        """
        refuse_foreign_folder(layout)
        name = f"shard-{shard[0]}-of-{shard[1]}"
        lock = FileLock(layout.temporary / f"{name}.lock")
        try:
            layout.temporary.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
        except Timeout as error:
            raise OutputError(
                f"expected to be the only one to write shard {shard[0]}/{shard[1]} of {layout.out}, but another "
                "fmas run or select is doing it; wait for it, or choose another --shard or --out"
            ) from error
        except OSError as error:
            raise unwritable(layout.out, error) from error
        except NotImplementedError as error:
            raise OutputError(
                f"expected a file system with file locks for {layout.out}, got one without; choose another --out"
            ) from error
        temporary = layout.temporary / name
        try:
            _refuse_other_splits(layout, shard)
            shutil.rmtree(temporary, ignore_errors=True)  # leftovers of a killed run of this shard
            yield cls(layout, temporary)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            lock.release()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the lock for the files that all shards share."""
        lock = FileLock(self.layout.temporary / "derived.lock")
        try:
            lock.acquire(timeout=_LOCK_SECONDS)
        except Timeout as error:
            raise OutputError(
                f"expected to write the summary files of {self.layout.out} within {_LOCK_SECONDS} s, but another "
                "process holds them; run the same command again"
            ) from error
        except OSError as error:
            raise unwritable(self.layout.out, error) from error
        try:
            yield
        finally:
            lock.release()

    def claim(self, config: RunConfig, identity: Mapping[str, object]) -> tuple[str, ...]:
        """Mark the folder as this run's, or see that it already is.

        Returns:
            Notes for the user: which libraries have changed since the folder's last run, because its bytes may depend
            on them.

        Raises:
            OutputError: If it is another run's; the message names what differs.
        """
        with self.exclusive():
            existing = read_run_file(self.layout)
            if existing is not None:
                refuse_other_run(self.layout, existing, identity)
                if not self.layout.config.exists() or _names_other_band(self.layout, config.select.band):
                    self.writer.write_text(self.layout.config, resolved_yaml(config))
                return _changed_libraries(existing)
            content = {"identity": dict(identity), "digest": identity_digest(identity)}
            self.writer.write_text(self.layout.config, resolved_yaml(config))
            self.writer.write_text(self.layout.run, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
            return ()


def read_run_file(layout: OutputLayout) -> dict[str, object] | None:
    """Return the content of ``run.json``, or ``None`` if there is none.

    Raises:
        OutputError: If it is not what a run writes.
    """
    try:
        content = json.loads(layout.run.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise OutputError(f"expected to read {layout.run}, got {error.strerror}; check its permissions") from error
    except ValueError as error:
        raise OutputError(f"expected {layout.run} as fmas writes it, got no JSON; choose another --out") from error
    try:
        if not isinstance(content["identity"], dict):
            raise TypeError("identity is no object")
    except (KeyError, TypeError) as error:
        raise OutputError(f"expected {layout.run} as fmas writes it, got another file; choose another --out") from error
    return dict(content)


def write_band(output: OpenOutput, band: tuple[float, float]) -> None:
    """Make ``run.json`` and then ``config.resolved.yaml`` name another intensity band.

    A process that dies in between leaves the old band in the second file; the next one to open the folder mends it.

    Raises:
        OutputError: If a file cannot be read or written.
    """
    layout = output.layout
    with output.exclusive():
        content = read_run_file(layout)
        if content is None:
            raise OutputError(f"expected {layout.run}, which is gone; restore it from a copy")
        identity = dict(content["identity"]) if isinstance(content["identity"], Mapping) else {}
        if identity.get("select") != {"band": list(band)}:
            identity["select"] = {"band": list(band)}
            content |= {"identity": identity, "digest": identity_digest(identity)}
            output.writer.write_text(layout.run, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        config = _stored_config(layout)
        if config is not None and config.select.band != band:
            config = config.model_copy(update={"select": SelectConfig(band=band)})
            output.writer.write_text(layout.config, resolved_yaml(config))


def _names_other_band(layout: OutputLayout, band: tuple[float, float]) -> bool:
    """Whether a killed ``fmas select`` left the configuration behind; one that cannot be read is not its doing."""
    config = _stored_config(layout)
    return config is not None and config.select.band != band


def _stored_config(layout: OutputLayout) -> RunConfig | None:
    try:
        return RunConfig.model_validate(yaml.safe_load(layout.config.read_bytes()))
    except (OSError, yaml.YAMLError, ValueError, RecursionError):
        return None  # fmas validate says what is wrong with it


def resolved_yaml(config: RunConfig) -> str:
    """Return the configuration after all layers as YAML; holds no secret because none can get into it."""
    dumped = config.model_dump(mode="json")
    return yaml.safe_dump(dumped, sort_keys=False, allow_unicode=True)


def refuse_foreign_folder(layout: OutputLayout) -> None:
    """Refuse a folder that holds something else than a run of ours.

    Raises:
        OutputError: If ``OUT`` is a file, holds foreign files, or cannot be read.
    """
    try:
        if layout.out.exists() and not layout.out.is_dir():
            raise OutputError(f"expected a folder for --out, got the file {layout.out}; choose another --out")
        if layout.run.exists() or not layout.out.exists():
            return
        foreign = sorted(entry.name for entry in layout.out.iterdir() if entry.name not in _HARMLESS)
    except OSError as error:
        raise unwritable(layout.out, error) from error
    if foreign:
        raise OutputError(
            f"expected an empty folder or one of an earlier run for --out, but {layout.out} holds {foreign[0]!r}"
            f"{f' and {len(foreign) - 1} more' if len(foreign) > 1 else ''}; choose another --out"
        )


def _refuse_other_splits(layout: OutputLayout, shard: tuple[int, int]) -> None:
    """Two different ways to split the same run must not write at the same time: they share sources."""
    for path in layout.temporary.glob("shard-*-of-*.lock"):
        match = _LOCK_NAME.fullmatch(path.name)
        if match is None or int(match[2]) == shard[1]:
            continue
        try:
            with FileLock(path).acquire(timeout=0):
                pass
        except Timeout as error:
            raise OutputError(
                f"expected shard {shard[0]}/{shard[1]} to be alone in {layout.out}, but another fmas run is writing "
                f"shard {match[1]}/{match[2]}; use the same N for all shards, or wait for it"
            ) from error


def _changed_libraries(existing: Mapping[str, object]) -> tuple[str, ...]:
    before, now = existing.get("libraries"), library_versions()
    if not isinstance(before, Mapping):  # the first run was killed before it could write them
        return ()
    changed = [
        f"{name} was {before.get(name)}, now {now.get(name)}"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]
    if not changed:
        return ()
    return (f"libraries have changed since the last run into this folder, new images may differ: {'; '.join(changed)}",)


def refuse_other_run(layout: OutputLayout, existing: Mapping[str, object], identity: Mapping[str, object]) -> None:
    """Refuse a folder of a run with other settings.

    Raises:
        OutputError: If the identities differ; the message names what does.
    """
    before = existing["identity"]
    changed = differences(before if isinstance(before, Mapping) else {}, json.loads(json.dumps(identity)))
    if changed and all(line.startswith("select.band was") for line in changed) and layout.candidates.is_dir():
        again = f"fmas select {shlex.quote(str(layout.out))} --intensity {band_text(_band(identity))}"
        raise OutputError(
            f"expected {layout.out} to hold this run, but it holds one of another intensity: {changed[0]}; to choose "
            f"again from its candidates: {again}; or choose another --out"
        )
    if changed:
        raise OutputError(
            f"expected {layout.out} to hold this run, but it holds another one: {'; '.join(changed)}; "
            "choose another --out, or use the settings of config.resolved.yaml there"
        )


def _band(identity: Mapping[str, object]) -> tuple[float, float]:
    select = identity["select"]
    low, high = select["band"] if isinstance(select, Mapping) else (0.0, 0.0)
    return float(low), float(high)
