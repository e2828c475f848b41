"""``fmas plan``: ask the LLM once, show what it answered, keep it for the run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fmas.cli.options import (
    ConfigOption,
    DefectsOption,
    JsonOption,
    LLMOption,
    ObjectOption,
    SetOption,
    given_path,
    resolve_settings,
)
from fmas.cli.outcome import reported_errors

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("plan")(plan)


def plan(
    out: Annotated[
        Path, typer.Option("--out", metavar="OUT", parser=given_path, help="The output folder of the run to come.")
    ],
    object_: ObjectOption = None,
    images: Annotated[
        Path | None, typer.Option("--images", metavar="IMAGES", help="Photographs, of which the llm may be shown one.")
    ] = None,
    llm: LLMOption = None,
    defects: DefectsOption = None,
    config: ConfigOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask the llm what can go wrong with the product, and store the answer in OUT/plan.json.

    A stored plan is shown and kept. Before the run it may be edited; afterwards it stays. An answer that was paid for
    is kept in OUT/cache by what was asked, too: to ask the same again, delete both.
    """
    with reported_errors():
        from fmas.errors import UsageError
        from fmas.layout import OutputLayout
        from fmas.planning import store_plan
        from fmas.usage import read_usage, usage_words

        given: dict[str, object] = {"images": images or Path(), "out": out, "object": object_, "llm": llm}
        resolved = resolve_settings(given, settings=settings, config=config, defects=defects)
        if resolved.config.object is None:
            raise UsageError("expected --object TEXT, got nothing to plan for; for example --object 'magnetic tile'")
        stored = store_plan(resolved.config, with_reference=images is not None)
        usage = read_usage(OutputLayout(out, ""))
        if usage:
            typer.echo(f"used so far for this folder: {usage_words(usage)}", err=True)
        if as_json:
            typer.echo(stored.to_json(), nl=False)
            return
        for name, defect in zip(stored.slugs, stored.defects, strict=True):
            place = "" if defect.placement == "auto" else f", {defect.placement}"
            typer.echo(f"{name}  ({defect.kind.value}, severity {defect.severity:g}{place}): {defect.prompt}")
        typer.echo(f"stored in {out / 'plan.json'}", err=True)
