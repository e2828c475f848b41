"""What a row must say, given its manifest line, the run's identity and the plan; no file is opened."""

from __future__ import annotations

from collections.abc import Iterator

from fmas.manifest import ManifestEntry
from fmas.plan import StoredPlan
from fmas.seeds import SampleSeeds, first_attempt
from fmas.validate.choice_rules import broken_choice_rules
from fmas.validate.rows import AttemptRow, ControlRow, HeldOutRow, Identity, PairRow
from fmas.validate.rules import Rule
from fmas.validate.wording import differing_values

__all__ = ["broken_row_rules"]

_LEAST_NOISE_FLOOR = 4
_LEAST_HIGH = 8


def broken_row_rules(
    row: PairRow | HeldOutRow | ControlRow,
    entry: ManifestEntry,
    category: str,
    identity: Identity | None,
    plan: StoredPlan | None,
) -> Iterator[tuple[Rule, str]]:
    """Yield every rule that a row breaks.

    Args:
        row: A well-formed row.
        entry: The manifest line that holds it.
        category: The category's folder name.
        identity: The run's identity, if it is known.
        plan: The run's plan, if it is known.

    Yields:
        Rule and message.
    """
    yield from _line_rules(row, entry, category)
    if identity is not None:
        yield from _run_rules(row, identity)
        yield from _holdout_rules(row, identity)
    if isinstance(row, ControlRow) and identity is not None:
        yield from _control_rules(row, identity)
    if isinstance(row, PairRow):
        yield from _threshold_rules(row, identity)
        yield from _candidate_rules(row, identity)
        yield from broken_choice_rules(row, identity)
        if identity is not None:
            yield from _seed_rules(row, identity)
        if plan is not None:
            yield from _plan_rules(row, plan)


def _line_rules(
    row: PairRow | HeldOutRow | ControlRow, entry: ManifestEntry, category: str
) -> Iterator[tuple[Rule, str]]:
    if isinstance(row, PairRow) and row.generation != entry.generation:
        yield Rule.ROW_FIELDS, f"expected generation {entry.generation} as in its line, got {row.generation} in its row"
    stated = (row.stem, row.source, row.category)
    wanted = (entry.stem, entry.source, category)
    if stated != wanted:
        yield Rule.ROW_FIELDS, f"expected stem, source and category {wanted}, got {stated} in its row"
    if not isinstance(row, HeldOutRow):
        stated_rejections = (entry.row or {}).get("rejections")
        differing = differing_values({"rejections": list(entry.rejections)}, {"rejections": stated_rejections})
        if differing is not None:
            yield Rule.ROW_FIELDS, f"expected {differing[0]} in the row as in its line, got {differing[1]}"
        left, top, right, bottom = row.region_box
        if not (left < right <= row.width and top < bottom <= row.height):
            yield Rule.ROW_FIELDS, f"expected a region_box inside the image, got {row.region_box}"
        if max(row.region_area, row.foreground_area) > row.width * row.height:
            yield Rule.ROW_FIELDS, "expected areas of at most the image's, got larger ones"


def _run_rules(row: PairRow | HeldOutRow | ControlRow, identity: Identity) -> Iterator[tuple[Rule, str]]:
    pairs: list[tuple[str, object, object]] = [
        ("object", row.object, identity.object),
        ("fmas_version", row.fmas_version, identity.fmas_version),
    ]
    if not isinstance(row, HeldOutRow):
        for kind in ("segmenter", "inpainter", "selector"):
            component = getattr(identity, kind)
            stated = row.components.get(kind, {})
            pairs.append((kind, (stated.get("name"), stated.get("version")), (component.name, component.version)))
    for what, stated_value, wanted in pairs:
        if stated_value != wanted:
            yield (
                Rule.PROVENANCE,
                f"expected the {what} {wanted!r} of run.json, got {stated_value!r} in its row",
            )


def _holdout_rules(row: PairRow | HeldOutRow | ControlRow, identity: Identity) -> Iterator[tuple[Rule, str]]:
    chance = SampleSeeds(identity.seed, identity.category, row.source, 0).fraction("holdout")
    held_out = chance < identity.holdout_good
    if held_out != isinstance(row, HeldOutRow):
        wanted, found = ("a held-out photograph", "a pair") if held_out else ("a pair", "a held-out photograph")
        yield (
            Rule.HOLDOUT,
            f"expected {wanted} of {row.source!r} (seed {identity.seed}, holdout_good {identity.holdout_good:g}), "
            f"got {found}",
        )


def _control_rules(row: ControlRow, identity: Identity) -> Iterator[tuple[Rule, str]]:
    seeds = SampleSeeds(identity.seed, identity.category, row.source, 0)
    if seeds.fraction("control") >= identity.controls:
        chosen = f"seed {identity.seed}, controls {identity.controls:g}"
        yield Rule.CONTROL, f"expected no control of {row.source!r} ({chosen}), got one"
    shape = int(seeds.generator("control").integers(identity.candidates))
    wanted = (shape, seeds.candidate(row.candidate, row.attempt))
    if (row.candidate, row.seed) != wanted:
        yield Rule.SEED, f"expected candidate and seed {wanted} for the control, got {(row.candidate, row.seed)}"


def _threshold_rules(row: PairRow, identity: Identity | None) -> Iterator[tuple[Rule, str]]:
    floor = identity.refine.min_noise_floor if identity is not None else _LEAST_NOISE_FLOOR
    least_high = max(2 * row.noise_floor, identity.refine.min_peak if identity is not None else _LEAST_HIGH)
    if row.noise_floor < floor or row.high_threshold < least_high:
        yield (
            Rule.THRESHOLDS,
            f"expected noise_floor >= {floor} and high_threshold >= {least_high}, got {row.noise_floor} and "
            f"{row.high_threshold}",
        )


def _candidate_rules(row: PairRow, identity: Identity | None) -> Iterator[tuple[Rule, str]]:
    accepted = [item.candidate for item in row.candidates]
    if len(set(accepted)) != len(accepted):
        yield Rule.CANDIDATES, f"expected each candidate once, got {accepted}"
    # What was accepted at attempt n was rejected at every attempt before; what never was, at every attempt. A picture
    # made in the place of a dropped one counts on from its generation's first.
    first = first_attempt(row.generation)
    tried = sorted((item.candidate, item.attempt) for item in _attempts(row))
    counted: dict[int, int] = {}
    for candidate, attempt in tried:
        if attempt != counted.get(candidate, first):
            yield (
                Rule.CANDIDATES,
                f"expected the attempts of candidate {candidate} to count from {first}, got {attempt}",
            )
            return
        counted[candidate] = attempt + 1
    painted = max(counted.values()) - first
    if identity is not None and (max(counted) >= identity.candidates or painted > identity.attempts):
        yield (
            Rule.CANDIDATES,
            f"expected at most {identity.candidates} candidates and {identity.attempts} attempts, "
            f"got {max(counted) + 1} and {painted}",
        )


def _attempts(row: PairRow) -> list[AttemptRow]:
    """Return everything that was painted for a row, accepted or not."""
    return [*row.candidates, *row.rejections]


def _seed_rules(row: PairRow, identity: Identity) -> Iterator[tuple[Rule, str]]:
    seeds = SampleSeeds(identity.seed, identity.category, row.source, row.pair)
    for item in _attempts(row):
        wanted = seeds.candidate(item.candidate, item.attempt)
        if item.seed != wanted:
            yield (
                Rule.SEED,
                f"expected seed {wanted} for candidate {item.candidate}, attempt {item.attempt} of pair {row.pair} of "
                f"{row.source!r}, got {item.seed}",
            )
            return


def _plan_rules(row: PairRow, plan: StoredPlan) -> Iterator[tuple[Rule, str]]:
    """A row's folder tells which defect it is; then everything else about the defect must be that one's."""
    known = dict(zip(plan.slugs, plan.defects, strict=True))
    defect = known.get(row.defect)
    if defect is None:
        yield Rule.PLANNED_DEFECT, f"expected one of {', '.join(known)}, got {row.defect!r}"
        return
    wanted = (defect.name, defect.kind.value, defect.severity, defect.prompt, defect.negative_prompt)
    stated = (row.defect_name, row.kind, row.planned_severity, row.prompt, row.negative_prompt)
    if wanted != stated:
        differing = next((one, other) for one, other in zip(wanted, stated, strict=True) if one != other)
        yield (
            Rule.PLANNED_DEFECT,
            f"expected {differing[0]!r} as plan.json says for {row.defect}, got {differing[1]!r}",
        )
