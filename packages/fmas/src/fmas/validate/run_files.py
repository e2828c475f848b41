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
from fmas.errors import OutputError, PlanError
from fmas.layout import OutputLayout
from fmas.manifest import ManifestEntry
from fmas.options import explain
from fmas.plan import StoredPlan, read_plan
from fmas.usage import read_usage
from fmas.validate.problems import ProblemLog
from fmas.validate.reading import UnreadableError, parse_json, read_regular, without_advice
from fmas.validate.remedies import CONTINUE_NO_MORE, RERUN, REWRITE, REWRITE_BROKEN
from fmas.validate.rows import Identity
from fmas.validate.rules import Rule
from fmas.validate.wording import differing_values

__all__ = ["RunFile", "Tally", "check_config", "check_counts", "check_usage", "read_run", "read_stored_plan"]

# Where the configuration and the identity must say the same; the rest decides who does what, or is a component's.
_SHARED_SETTINGS = (
    "seed",
    "per_image",
    "candidates",
    "holdout_good",
    "controls",
    "max_pixels",
    "balance",
    "region",
    "crop",
    "paint",
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
        usage: What services were asked, as it stands there.
    """

    identity: Identity
    stated: Mapping[str, object]
    counts: object
    usage: object = None


def read_run(out: Path, log: ProblemLog) -> RunFile | None:
    """Return ``run.json``, or ``None`` after reporting why it cannot be relied on."""
    try:
        return _parsed_run(read_regular(out / "run.json"))
    except UnreadableError as error:
        log.add_unreadable(Rule.RUN_FILE, "run.json", "the run's identity", error, CONTINUE_NO_MORE)
    except ValueError as error:
        log.add(Rule.RUN_FILE, "run.json", f"expected {error}", CONTINUE_NO_MORE)
    log.block("run.json")
    return None


def _parsed_run(text: bytes) -> RunFile:
    """Return the content of ``run.json``.

    Raises:
        ValueError: What was expected and what is there.
    """
    try:
        content = parse_json(text)
    except ValueError as error:
        raise ValueError(f"the run's identity in JSON, got {error}") from error
    stated = content.get("identity") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(stated, dict):
        raise ValueError("an object with an identity, got something else")
    digest = hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()
    if content.get("digest") != digest:
        raise ValueError(
            f"the digest {digest[:12]}… of the identity, got {content.get('digest')!r}: one of both was changed"
        )
    try:
        identity = Identity.model_validate(stated)
    except ValidationError as error:
        raise ValueError(f"a run's identity, got {explain(error, Identity)}") from error
    return RunFile(identity, stated, content.get("counts"), content.get("usage"))


def check_config(out: Path, run: RunFile | None, log: ProblemLog) -> None:
    """Check that ``config.resolved.yaml`` can be used, and is the configuration of this run."""
    name = "config.resolved.yaml"
    try:
        content = yaml.safe_load(read_regular(out / name))
        config = RunConfig.model_validate(content)
    except UnreadableError as error:
        log.add_unreadable(Rule.CONFIG, name, "a configuration", error, REWRITE)
        return
    except ValidationError as error:
        log.add(Rule.CONFIG, name, f"expected a configuration, got {explain(error, RunConfig)}", REWRITE_BROKEN)
        return
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        log.add(Rule.CONFIG, name, f"expected a configuration in YAML, got {error}", REWRITE_BROKEN)
        return
    if run is None:
        return
    dumped = config.model_dump(mode="json") | {"region": config.region.identity(), "write": config.write.identity()}
    for key in _SHARED_SETTINGS:
        if dumped[key] != run.stated.get(key):
            message = f"expected {key} as in run.json, {run.stated.get(key)!r}, got {dumped[key]!r}"
            log.add(Rule.CONFIG, name, message, REWRITE_BROKEN)


def read_stored_plan(out: Path, run: RunFile | None, log: ProblemLog) -> StoredPlan | None:
    """Return ``plan.json``, or ``None`` after reporting that it is no plan or another run's."""
    path = out / "plan.json"
    try:
        read_regular(path)  # tells more about a file that cannot be read than read_plan() does
        plan = read_plan(path)
    except UnreadableError as error:
        log.add_unreadable(Rule.PLAN, "plan.json", "a prompt plan", error, CONTINUE_NO_MORE)
    except PlanError as error:
        log.add(Rule.PLAN, "plan.json", without_advice(error).replace(f" in {path}", ""), CONTINUE_NO_MORE)
    else:
        if run is None or plan.digest() == run.identity.plan:
            return plan
        message = "expected the plan that run.json names, got another one"
        log.add(Rule.PLAN, "plan.json", message, CONTINUE_NO_MORE)
    log.block("plan.json")
    return None


def check_usage(out: Path, run: RunFile, log: ProblemLog) -> None:
    """Check that ``run.json`` says what services were asked as ``usage.jsonl`` does."""
    try:
        wanted = read_usage(OutputLayout(out, run.identity.category))
    except OutputError as error:
        log.add(Rule.USAGE, "usage.jsonl", without_advice(error), RERUN)
        return
    stated = run.usage if isinstance(run.usage, dict) else {}
    if stated != wanted:
        log.add(Rule.USAGE, "run.json", f"expected the usage of usage.jsonl, {wanted}, got {stated}", RERUN)


@dataclass(slots=True)
class Tally:
    """Counts over the manifest lines that count, by the words of ``run.json``."""

    pairs: int = 0
    held_out: int = 0
    controls: int = 0
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
        elif entry.row is not None and entry.row.get("control"):
            self.controls += 1
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
        "controls": tally.controls,
        "failed": tally.failed,
        "defects": dict(tally.defects),
        "rejects": dict(tally.rejects),
        "failures": dict(tally.failures),
    }
    if not isinstance(run.counts, dict):
        log.add(Rule.COUNTS, "run.json", "expected counts, got none", RERUN)
        return
    differing = differing_values(wanted, run.counts, show=log.shown)
    if differing is not None:
        message = f"expected counts as in the manifest, {differing[0]}, got {differing[1]}"
        log.add(Rule.COUNTS, "run.json", message, RERUN)
