"""Components are created where they are used, and say who they are."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from fmas.components import ComponentHandle, RunComponents
from fmas.config import ComponentConfig
from fmas.errors import ComponentError, FmasError, UsageError
from fmas.plan import StoredPlan
from fmas.types import Defect, Fingerprint


@pytest.mark.parametrize("bad", [{"path": Path("x")}, {"nan": float("nan")}, {1: {2}}])
def test_fingerprint_must_be_json(run, fakes, monkeypatch, bad):
    monkeypatch.setattr(type(fakes["selector"]), "fingerprint", lambda self: Fingerprint("fake", "1", bad))
    with pytest.raises(ComponentError, match="expected JSON values in the fingerprint of the selector 'fake'"):
        run()
    monkeypatch.setattr(type(fakes["selector"]), "fingerprint", lambda self: {"name": "fake"})
    with pytest.raises(ComponentError, match="expected a Fingerprint from the selector 'fake', got dict"):
        run()


def test_a_component_is_created_once_and_again_after_its_release(fakes, make_registry):
    created = []

    class Counting:
        def __getitem__(self, kind):
            created.append(kind)
            return type(fakes["segmenter"])()

    handle = ComponentHandle("segmenter", ComponentConfig(name="fake"), make_registry(Counting()))
    first = handle.get()
    assert handle.get() is first
    handle.release()
    assert handle.get() is not first
    assert created == ["segmenter", "segmenter"]


def test_a_handle_travels_as_name_and_options_alone(fakes, make_registry):
    """A worker creates its own component; the one of this process may hold what cannot be sent."""
    fakes["segmenter"].connection = lambda: None  # cannot be pickled
    handle = ComponentHandle("segmenter", ComponentConfig(name="fake"), make_registry(fakes))
    handle.get()
    sent = pickle.loads(pickle.dumps(handle))  # noqa: S301 - our own bytes
    with pytest.raises(FmasError, match="'fake'"):
        sent.get()  # its registry is that of the installed plugins, where there is no such name


@pytest.mark.parametrize("kind", ["llm", "segmenter", "inpainter", "selector"])
def test_an_unknown_name_is_refused_at_once(fakes, make_registry, make_config, kind):
    with pytest.raises(UsageError, match=rf"{kind}.*'fakke'"):
        RunComponents.from_config(make_config(**{kind: {"name": "fakke"}}), make_registry(fakes))


def test_provenance_names_the_author_of_the_plan_not_the_llm_of_this_run(fakes, make_registry, make_config):
    components = RunComponents.from_config(make_config(), make_registry(fakes))
    author = Fingerprint("somebody", "3", {"model": "m"})
    provenance = components.provenance(StoredPlan("part", author, (Defect(name="d", prompt="p"),)))
    assert list(provenance) == ["inpainter", "llm", "segmenter", "selector"]
    assert provenance["llm"] == {"name": "somebody", "version": "3", "digest": author.digest()[:16]}
