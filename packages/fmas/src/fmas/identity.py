"""What makes two runs the same run: every setting that can change a byte of the data set, and nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

from fmas import __version__
from fmas.components import RunComponents
from fmas.config import RunConfig
from fmas.plan import StoredPlan
from fmas.sources import Source, source_list_digest
from fmas.user_masks import UserMasks

__all__ = ["differences", "identity_digest", "run_identity"]


def run_identity(
    config: RunConfig,
    components: RunComponents,
    plan: StoredPlan,
    sources: Sequence[Source],
    masks: UserMasks | None = None,
) -> dict[str, object]:
    """Return the run's identity as JSON values.

    Workers, shard and limit are left out: they decide who does what and when, not what comes out. The LLM counts
    through its stored plan, the user's masks count through their pixels.
    """
    fingerprints = components.fingerprints()
    digests = masks.digests if masks is not None else {}
    return {
        "fmas_version": __version__,
        "category": config.category_name,
        "object": config.object_name,
        "seed": config.seed,
        "per_image": config.per_image,
        "candidates": config.candidates,
        "holdout_good": config.holdout_good,
        "controls": config.controls,
        "balance": config.balance,
        "max_pixels": config.max_pixels,
        **{
            kind: {"name": print_.name, "version": print_.version, "config": dict(print_.config)}
            for kind, print_ in fingerprints.items()
        },
        "region": config.region.identity(),
        "region_mask": digests.get("mask"),
        "region_avoid": digests.get("avoid"),
        "crop": config.crop.model_dump(mode="json"),
        "paint": config.paint.model_dump(mode="json"),
        "refine": config.refine.model_dump(mode="json"),
        "select": config.select.model_dump(mode="json"),
        "write": config.write.identity(),
        "plan": plan.digest(),
        "sources": source_list_digest(sources),
    }


_UNREADABLE = {  # digests say nothing to anybody
    "plan": "the plan has changed",
    "sources": "the list of photographs has changed",
    "region_mask": "the region mask has changed",
    "region_avoid": "the mask of what to avoid has changed",
}


def identity_digest(identity: Mapping[str, object]) -> str:
    """Return the SHA-256 of an identity."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def differences(old: Mapping[str, object], new: Mapping[str, object]) -> list[str]:
    """Name what differs, for a message: ``seed was 0, now 1``."""
    lines = []
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += [f"{key}.{line}" for line in differences(before, after)]
        elif key in _UNREADABLE:
            lines.append(_UNREADABLE[key])
        else:
            lines.append(f"{key} was {before}, now {after}")
    return lines
