"""The whole run, with components that are simple enough to know the answer."""

from __future__ import annotations

import json

from fmas.pipeline import synthesize


def test_run(fakes, make_registry, make_config):
    summary = synthesize(make_config(), registry=make_registry(fakes))
    print(json.dumps(summary.to_json(), indent=1))
    assert summary.exit_code == 0
