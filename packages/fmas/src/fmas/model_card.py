"""The model card: what a model is, what it learnt from, what its threshold means and what it must not be used for.

Every number in it is one of ``model.json``. Nothing is claimed about real defects, because none were seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fmas.calibration import Calibration
from fmas.model_about import ModelAbout

__all__ = ["model_card"]


def model_card(about: ModelAbout, calibration: Calibration) -> str:
    """Return the card in Markdown."""
    data = about.data
    return _CARD.format(
        category=about.category,
        object=_line(about.object_name) or about.category,
        detector=about.detector,
        version=about.detector_version or "unknown",
        fmas=about.versions.get("fmas", "unknown"),
        source=_source(about),
        pairs=data.get("pairs"),
        photographs=data.get("photographs"),
        controls=_controls(data.get("controls")),
        validation_pairs=data.get("validation_pairs"),
        validation_photographs=data.get("validation_photographs"),
        defects=_table(("defect", "pairs"), _mapping(data.get("defects"))),
        components=_components(_mapping(data.get("components"))),
        holdout=_holdout(data.get("holdout_compared")),
        options=_table(("option", "value"), _options(about)) or "The detector has no options.\n",
        training=_training(about.training),
        calibration=_calibration(calibration),
        found=_found(_mapping(about.training.get("found"))),
        versions=_table(("library", "version"), about.versions),
    )


def _source(about: ModelAbout) -> str:
    if not about.source:
        return ""
    difference = about.source.get("largest_difference")
    return (
        f"\nExported as {about.source.get('format')} from a model of the detector `{about.source.get('detector')}` "
        f"(digest `{about.source.get('digest')}`). Largest difference of a map on test patterns, "
        f"relative to the largest value: {'not measured' if difference is None else _number(difference)}.\n"
    )


def _options(about: ModelAbout) -> Mapping[str, object]:
    """Return all options with their values where they are known, else those that were given."""
    return _mapping(_mapping(about.request.get("detector")).get("config")) or about.options


def _controls(number: object) -> str:
    return f" and {number} negative controls (intact surface with the inpainter's traces)" if number else ""


def _holdout(compared: object) -> str:
    if not compared:
        return (
            "No folder of test pictures was named (`--holdout`), so nothing was checked: whether a test picture was "
            "trained on is for you to know."
        )
    return (
        f"{compared} held-out pictures were compared with all training pictures, by their pixels: none was trained on. "
        "A resized, cropped or recompressed copy would not have been noticed."
    )


def _components(components: Mapping[str, object]) -> str:
    lines = [
        f"- {kind}: `{one.get('name')}` {one.get('version')}"
        for kind, one in sorted(components.items())
        if isinstance(one, Mapping)
    ]
    return "\n".join(lines) or "The rows of the data set do not say."


def _training(training: Mapping[str, object]) -> str:
    plain = {key: value for key, value in training.items() if not isinstance(value, Mapping | list)}
    parts = [_table(("", "value"), plain)]
    measures = _mapping(training.get("validation"))
    if measures:
        parts += [
            "Measured on the validation pairs, which are synthetic, to decide when to stop:\n",
            _table(("measure", "value"), measures),
        ]
    return "\n".join(part for part in parts if part) or "The detector says nothing about its training.\n"


def _calibration(calibration: Calibration) -> str:
    reached = (
        f"If good parts to come look as these do, at most {calibration.expected_rate:.3g} of them score above it."
        if calibration.is_reached
        else f"That is **too few** for the requested rate, which takes {calibration.fewest}: the largest score is the "
        f"threshold, and up to {calibration.expected_rate:.3g} of good parts may score above it."
    )
    return (
        f"Threshold {calibration.threshold:.6g}: scores above it are called anomalous. It was set for a false-alarm "
        f"rate of {calibration.false_alarms:g} from {calibration.count} good photographs that nothing was learnt from. "
        f"{reached}\n\nThe same photographs decided when the training stopped, so expect a little more false alarms "
        "than that, and more again under another light, camera or batch: then calibrate anew, which means to train "
        "again with such photographs.\n\n" + _table(("quantile", "score of good photographs"), calibration.quantiles())
    )


def _found(found: Mapping[str, object]) -> str:
    rows = {
        name: f"{counts[0]} of {counts[1]}"
        for name, counts in found.items()
        if isinstance(counts, list) and len(counts) == 2
    }
    return _table(("synthetic defect", "above the threshold"), rows) or "Not measured.\n"


def _table(head: tuple[str, str], rows: Mapping[str, object]) -> str:
    if not rows:
        return ""
    lines = [f"| {head[0]} | {head[1]} |", "|---|---|"]
    lines += [f"| `{_line(key)}` | {_number(value)} |" for key, value in rows.items()]
    return "\n".join(lines) + "\n"


def _number(value: object) -> str:
    """Return a value for a table cell."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return _joined(f"{key}: {_number(one)}" for key, one in value.items())
    if isinstance(value, list | tuple):
        return _joined(map(_number, value))
    return "none" if value is None else _line(str(value))


def _joined(parts: Iterable[str]) -> str:
    return ", ".join(parts)


def _line(text: str) -> str:
    """Return a text that cannot break a table or a heading."""
    return " ".join(text.split()).replace("|", "\\|").replace("`", "'")


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


_CARD = """\
# Defect detector: {category}

An inspector for one product ({object}), trained by `fmas train` on **synthetic** defects. Given a photograph it returns
an anomaly map, a score and a verdict. Detector `{detector}`, version {version}; fmas {fmas}.
{source}
## Use

```
fmas inspect MODEL PHOTOGRAPHS --out DIR
```

Meant for photographs of the same product, taken as those it learnt from: the same camera, distance, light and
background. Measure it on real defects of yours before you rely on it (`fmas evaluate`): it has seen none. Not meant for
other products, for safety decisions without a human, or for anything about people.

## Learnt from

{pairs} pairs of {photographs} photographs of good parts{controls}; for validation {validation_pairs} pairs of
{validation_photographs} further photographs, of which nothing was learnt. Each pair is a photograph, the same with one
synthetic defect, and the mask of what changed. Both together:

{defects}
The pairs were made by:

{components}

{holdout}

## Training

{training}
With these options:

{options}
## Threshold

{calibration}
Held-out **synthetic** defects that this threshold finds. It says nothing about real ones:

{found}
## Limits

- What the synthetic defects do not resemble may be missed. The plan of the data set says which were imagined.
- A part that looks unlike all photographs of good parts (another batch, dirt, a reflection) may be called anomalous.
- A score has no unit and does not compare between models; compare verdicts, or ranks among the scores above.

## Licence

fmas claims no rights in this model. What binds you are the rights in the photographs, the terms of the components that
made the pairs (above), and, where the detector started from pretrained weights, the licence of those.

## Made with

{versions}"""
