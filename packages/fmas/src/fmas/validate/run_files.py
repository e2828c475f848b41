"""The files that say what the run was: ``run.json``, ``config.resolved.yaml``, ``plan.json``."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from pydantic import ValidationError

from fmas.config import RunConfig
from fmas.errors import PlanError
from fmas.manifest import ManifestEntry
from fmas.options import explain
from fmas.plan import StoredPlan, read_plan
from fmas.validate.problems import ProblemLog
from fmas.validate.reading import UnreadableError, parse_json, read_regular
from fmas.validate.rows import Identity
from fmas.validate.rules import Rule

__all__ = ["RunFile", "Tally", "check_config", "check_counts", "read_run", "read_stored_plan"]

_RERUN = "run the same fmas run again"
# Where the configuration and the identity must say the same; the rest decides who does what, or is a component's.
_SHARED_SETTINGS = (
    "seed",
    "per_image",
    "candidates",
    "holdout_good",
    "max_pixels",
    "region",
    "crop",
    "refine",
    "select",
    "write",
)


@dataclass(frozen=True, slots=True)
class RunFile:
    """``run.json``, as far as it can be relied on.

    Attributes:
        identity: The part that the output is held to.
        stated: The whole identity as it stands there.
        counts: The counts as they stand there, ``None`` if they do not.
    """

    identity: Identity
    stated: Mapping[str, object]
    counts: object


def read_run(out: Path, log: ProblemLog) -> RunFile | None:
    """Return ``run.json``, or ``None`` after reporting why it cannot be relied on."""
    try:
        content = parse_json(read_regular(out / "run.json"))
    except (UnreadableError, ValueError) as error:
        log.add(Rule.RUN_FILE, "run.json", f"expected the run's identity in JSON, got {error}; restore it")
        return None
    stated = content.get("identity") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(stated, dict):
        log.add(Rule.RUN_FILE, "run.json", "expected an object with an identity, got something else; restore it")
        return None
    digest = hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()
    if content.get("digest") != digest:
        log.add(
            Rule.RUN_FILE,
            "run.json",
            f"expected the digest {digest[:12]}… of the identity, got {content.get('digest')!r}: one of both was "
            "changed; restore it",
        )
        return None
    try:
        identity = Identity.model_validate(stated)
    except ValidationError as error:
        log.add(
            Rule.RUN_FILE, "run.json", f"expected a run's identity, got {explain(error, Identity)}; restore the file"
        )
        return None
    return RunFile(identity, stated, content.get("counts"))


def check_config(out: Path, run: RunFile | None, log: ProblemLog) -> None:
    """Check that ``config.resolved.yaml`` can be used, and is the configuration of this run."""
    name = "config.resolved.yaml"
    try:
        content = yaml.safe_load(read_regular(out / name))
        config = RunConfig.model_validate(content)
    except ValidationError as error:
        log.add(Rule.CONFIG, name, f"expected a configuration, got {explain(error, RunConfig)}; restore it")
        return
    except (UnreadableError, yaml.YAMLError, ValueError, RecursionError) as error:
        log.add(Rule.CONFIG, name, f"expected a configuration in YAML, got {error}; restore it")
        return
    if run is None:
        return
    dumped = config.model_dump(mode="json")
    for key in _SHARED_SETTINGS:
        if dumped[key] != run.stated.get(key):
            log.add(
                Rule.CONFIG,
                name,
                f"expected {key} as in run.json, {run.stated.get(key)!r}, got {dumped[key]!r}; restore one of them",
            )


def read_stored_plan(out: Path, run: RunFile | None, log: ProblemLog) -> StoredPlan | None:
    """Return ``plan.json``, or ``None`` after reporting that it is no plan or another run's."""
    path = out / "plan.json"
    try:
        read_regular(path)  # read_plan() expects a file that is there
        plan = read_plan(path)
    except (UnreadableError, PlanError, OSError, RecursionError) as error:
        log.add(Rule.PLAN, "plan.json", f"expected a prompt plan, got {error}; restore it")
        return None
    if run is not None and plan.digest() != run.identity.plan:
        log.add(
            Rule.PLAN,
            "plan.json",
            "expected the plan that run.json names, got another one; restore it, or start anew in another --out",
        )
        return None
    return plan


@dataclass(slots=True)
class Tally:
    """Counts over the manifest lines that count, by the words of ``run.json``."""

    pairs: int = 0
    held_out: int = 0
    failed: int = 0
    defects: Counter[str] = field(default_factory=Counter)
    rejects: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)

    def add(self, entry: ManifestEntry) -> None:
        """Count a line."""
        self.rejects.update(str(item["reason"]) for item in entry.rejections)
        if entry.failure is not None:
            self.failed += 1
            self.failures[entry.failure["reason"]] += 1
        elif entry.row is not None and entry.row.get("defect") == "good":
            self.held_out += 1
        elif entry.row is not None:
            self.pairs += 1
            self.defects[str(entry.row.get("defect"))] += 1


def check_counts(tally: Tally, run: RunFile, log: ProblemLog) -> None:
    """Check that ``run.json`` counts what the manifest lists."""
    wanted: dict[str, object] = {
        "pairs": tally.pairs,
        "held_out": tally.held_out,
        "failed": tally.failed,
        "defects": dict(tally.defects),
        "rejects": dict(tally.rejects),
        "failures": dict(tally.failures),
    }
    if run.counts == wanted:
        return
    stated = run.counts if isinstance(run.counts, dict) else {}
    key = next((key for key, value in wanted.items() if stated.get(key) != value), None)
    found = "none" if not stated else f"{key} {stated.get(key)!r}" if key else "further keys"
    told = f"{key} {wanted[key]!r}" if key else "no others"
    log.add(Rule.COUNTS, "run.json", f"expected counts as in the manifest, {told}, got {found}; {_RERUN}")
