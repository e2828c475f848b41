import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest

from fmas import testing
from fmas.plugins import load_plugins
from fmas.specs import ComponentSpec, LLMSpec
from fmas.testing import (
    ConformanceError,
    check_detector,
    check_fingerprint,
    check_inpainter,
    check_llm,
    check_plugin,
    check_segmenter,
    check_selector,
    check_spec,
)
from fmas.types import Defect, DefectKind, Fingerprint, Foreground, PlanRequest, PromptPlan

# Toys that keep the contract; each test below breaks one clause of it. -----------------------------------------------


class Toy:
    def fingerprint(self):
        return Fingerprint("toy", "1", {"strength": 0.5, "sizes": [1, 2], "model": None})


class ToyLLM(Toy):
    def plan(self, request):
        return PromptPlan(defects=(Defect(name="scratch", prompt=f"a scratch on {request.object}"),))


class ToySegmenter(Toy):
    def segment(self, image):
        mask = image.mean(axis=2) < 170
        if mask.all() or not mask.any():
            return Foreground(np.ones_like(mask), "texture", 0.5)
        return Foreground(mask, "object", 1.0)


class ToyInpainter(Toy):
    multiple = 1
    working_size = None

    def inpaint(self, jobs):
        return [self.paint(job) for job in jobs]

    def paint(self, job):
        painted = job.image.copy()
        shade = np.random.default_rng(job.seed).integers(0, 60, size=job.image.shape, dtype=np.uint8)
        painted[job.region] = shade[job.region]
        return painted


class ToySelector(Toy):
    def score(self, original, candidate, mask):
        difference = np.abs(original.astype(float) - candidate)
        return float(difference[mask].mean())


class ToyDetector(Toy):
    mean = None

    def fit(self, pairs):
        self.mean = float(np.mean([pair.normal.mean() for pair in pairs]))

    def score(self, images):
        for image in images:
            anomaly_map = np.abs(image.mean(axis=2) - self.mean).astype(np.float32)
            yield anomaly_map, float(anomaly_map.max())

    def save(self, directory):
        (directory / "mean.json").write_text(json.dumps(self.mean))

    def load(self, directory):
        self.mean = json.loads((directory / "mean.json").read_text())


def variant(base, **members):
    return type(f"Broken{base.__name__}", (base,), members)()


def breach(check, *arguments, **options):
    """Return what a check complains about; every message has its three parts."""
    with pytest.raises(ConformanceError) as caught:
        check(*arguments, **options)
    message = str(caught.value)
    assert message.startswith("expected ")
    assert ", got " in message
    assert ";" in message
    return message


def test_public_names():
    assert testing.__all__ == sorted(testing.__all__)
    assert all(hasattr(testing, name) for name in testing.__all__)
    assert issubclass(ConformanceError, AssertionError)


@pytest.mark.parametrize(
    ("check", "toy"),
    [
        (check_fingerprint, Toy),
        (check_llm, ToyLLM),
        (check_segmenter, ToySegmenter),
        (check_inpainter, ToyInpainter),
        (check_selector, ToySelector),
    ],
)
def test_toys_pass(check, toy):
    check(toy())


def test_toy_detector_passes(tmp_path):
    check_detector(ToyDetector(), tmp_path)


@pytest.mark.parametrize("check", [check_llm, check_segmenter, check_inpainter, check_selector])
def test_missing_methods_are_named(check):
    assert "a Toy without" in breach(check, Toy())


def test_missing_methods_of_a_detector_are_named(tmp_path):
    assert "without fit, load, save, score" in breach(check_detector, Toy(), tmp_path)


# Fingerprint ----------------------------------------------------------------------------------------------------------


def printed(value):
    return variant(Toy, fingerprint=lambda self: value)


@pytest.mark.parametrize("value", ["toy", ("toy", "1"), None])
def test_fingerprint_of_another_type(value):
    assert "fmas.types.Fingerprint" in breach(check_fingerprint, printed(value))


@pytest.mark.parametrize(("name", "version", "field"), [("", "1", "name"), (3, "1", "name"), ("toy", " ", "version")])
def test_fingerprint_without_a_name_or_version(name, version, field):
    assert f"fingerprint's {field}" in breach(check_fingerprint, printed(Fingerprint(name, version)))


@pytest.mark.parametrize("value", [{1, 2}, float("nan"), float("inf"), np.float32(1), object(), (1, 2), {1: 2}])
def test_fingerprint_with_what_json_cannot_hold(value):
    assert "JSON" in breach(check_fingerprint, printed(Fingerprint("toy", "1", {"option": value})))


def test_fingerprint_that_changes():
    component = variant(Toy, fingerprint=lambda self: Fingerprint("toy", "1", {"at": id(object()), "n": next(numbers)}))
    numbers = iter(range(9))
    assert "at every call" in breach(check_fingerprint, component)


@pytest.mark.parametrize("variable", ["OPENAI_API_KEY", "XYZ_API_KEY", "HF_TOKEN", "DB_PASSWORD"])
def test_fingerprint_with_the_value_of_a_secret_variable(variable, monkeypatch):
    monkeypatch.setenv(variable, "geheim-123")
    config = {"client": [{"headers": "Bearer geheim-123"}]}
    message = breach(check_fingerprint, printed(Fingerprint("toy", "1", config)))
    assert variable in message
    assert "config.client.headers" in message
    assert "geheim" not in message


def test_fingerprint_with_a_secret_as_version(monkeypatch):
    monkeypatch.setenv("XYZ_API_KEY", "geheim-123")
    assert "XYZ_API_KEY" in breach(check_fingerprint, printed(Fingerprint("toy", "geheim-123")))


def test_short_values_of_variables_are_no_secrets(monkeypatch):
    monkeypatch.setenv("XYZ_API_KEY", "toy")
    check_fingerprint(Toy())


@pytest.mark.parametrize(
    "config",
    [
        {"api_key": "anything"},
        {"login": {"password": "anything"}},
        {"headers": ["x", "Bearer sk-abcdefghijklmnop1234"]},
        {"hub": "hf_abcdefghijklmnop1234"},
    ],
)
def test_fingerprint_with_what_looks_like_a_secret(config):
    message = breach(check_fingerprint, printed(Fingerprint("toy", "1", config)))
    assert "looks like one" in message
    assert "anything" not in message
    assert "abcdefgh" not in message


@pytest.mark.parametrize("config", [{"api_key": None}, {"api_key": ""}, {"max_tokens": "77"}, {"model": "sk-short"}])
def test_fingerprint_without_a_secret_passes(config):
    check_fingerprint(printed(Fingerprint("toy", "1", config)))


def with_a_changing_fingerprint(base, method):
    """Return a component whose fingerprint tells that ``method`` was called."""

    def called(self, *arguments):
        self.calls = getattr(self, "calls", 0) + 1
        return getattr(base, method)(self, *arguments)

    def fingerprint(self):
        return Fingerprint("toy", "1", {"calls": getattr(self, "calls", 0)})

    return variant(base, **{method: called, "fingerprint": fingerprint})


@pytest.mark.parametrize(
    ("check", "base", "method"),
    [
        (check_llm, ToyLLM, "plan"),
        (check_segmenter, ToySegmenter, "segment"),
        (check_inpainter, ToyInpainter, "inpaint"),
        (check_selector, ToySelector, "score"),
    ],
)
def test_fingerprint_that_use_changes(check, base, method):
    assert "the same fingerprint after" in breach(check, with_a_changing_fingerprint(base, method))


@pytest.mark.parametrize(("method", "word"), [("fit", "fitting"), ("load", "loading")])
def test_fingerprint_that_fitting_or_loading_changes(method, word, tmp_path):
    component = with_a_changing_fingerprint(ToyDetector, method)
    assert f"the same fingerprint after {word}" in breach(check_detector, component, tmp_path)


# LLM ------------------------------------------------------------------------------------------------------------------


def planning(plan):
    return variant(ToyLLM, plan=lambda self, request: plan)


def test_llm_that_returns_another_type():
    assert "fmas.types.PromptPlan" in breach(check_llm, planning([{"name": "x"}]))


GOOD = {"name": "x", "prompt": "y", "negative_prompt": "", "kind": DefectKind.DENT, "severity": 0.5}


@pytest.mark.parametrize(
    ("defects", "place"),
    [
        ((), "defects"),
        ((Defect.model_construct(**{**GOOD, "prompt": ""}),), "defects.0.prompt"),
        ((Defect.model_construct(**{**GOOD, "prompt": "  "}),), "defects.0.prompt"),
        ((Defect.model_construct(**{**GOOD, "name": ""}),), "defects.0.name"),
        ((Defect.model_construct(**{**GOOD, "kind": "wormhole"}),), "defects.0.kind"),
        ((Defect.model_construct(**{**GOOD, "severity": 1.5}),), "defects.0.severity"),
        ((Defect.model_construct(**{**GOOD, "severity": float("nan")}),), "defects.0.severity"),
    ],
)
def test_llm_whose_plan_was_not_validated(defects, place):
    assert place in breach(check_llm, planning(PromptPlan.model_construct(defects=defects)))


def test_llm_that_writes_into_the_reference():
    def plan(self, request):
        if request.reference is not None:
            request.reference[:] = 0
        return ToyLLM.plan(self, request)

    assert "reference photograph" in breach(check_llm, variant(ToyLLM, plan=plan))


def test_llm_is_asked_what_the_caller_wants():
    asked = []

    def plan(self, request):
        asked.append(request.object)
        return ToyLLM.plan(self, request)

    check_llm(variant(ToyLLM, plan=plan), requests=[PlanRequest("screw")])
    assert asked == ["screw"]


# Segmenter ------------------------------------------------------------------------------------------------------------


def segmenting(change):
    return variant(ToySegmenter, segment=lambda self, image: change(ToySegmenter.segment(self, image), image))


def replaced(**fields):
    return lambda found, image: dataclasses.replace(found, **fields)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda found, image: found.mask, "fmas.types.Foreground"),
        (lambda found, image: dataclasses.replace(found, mask=found.mask.astype(np.uint8)), "got uint8 (61, 47)"),
        (lambda found, image: dataclasses.replace(found, mask=found.mask.T), "got bool (47, 61)"),
        (lambda found, image: dataclasses.replace(found, mask=found.mask[:60, :46]), "got bool (60, 46)"),
        (lambda found, image: dataclasses.replace(found, mask=found.mask.tolist()), "got a list"),
        (lambda found, image: dataclasses.replace(found, mask=np.zeros_like(found.mask)), "at least one pixel"),
        (replaced(kind="thing"), "object or texture"),
        (replaced(kind="texture"), "True everywhere"),
        (replaced(confidence=1.01), "confidence"),
        (replaced(confidence=-0.1), "confidence"),
        (replaced(confidence=float("nan")), "confidence"),
        (replaced(confidence=np.float32(0.5)), "float32"),
        (replaced(confidence=1), "(int)"),
    ],
)
def test_segmenter_that_breaks_a_clause(change, words):
    assert words in breach(check_segmenter, segmenting(change))


def test_segmenter_that_fails_on_flat_pictures_only():
    component = variant(ToySegmenter, segment=lambda self, image: Foreground(image.mean(axis=2) < 100, "object", 1.0))
    assert "got an empty one" in breach(check_segmenter, component)


def test_segmenter_that_writes_into_the_picture():
    def change(found, image):
        image[0, 0] = 0
        return found

    assert "changed values" in breach(check_segmenter, segmenting(change))


def test_segmenter_that_is_not_deterministic():
    generator = np.random.default_rng(0)
    component = segmenting(lambda found, image: dataclasses.replace(found, confidence=float(generator.random())))
    assert "at every call" in breach(check_segmenter, component)


class BatchToySegmenter(ToySegmenter):
    batch_size = 3

    def segment_many(self, images):
        return [self.segment(image) for image in images]


def test_segmenter_that_takes_several_at_once():
    check_segmenter(BatchToySegmenter())


def inverted(self, images):
    return [dataclasses.replace(one, mask=~one.mask | (one.kind == "texture")) for one in map(self.segment, images)]


def from_the_left(self, images):
    images[0][0, 0] = 0
    return [self.segment(image) for image in images]


@pytest.mark.parametrize(
    ("member", "words"),
    [
        ({"batch_size": 0}, "at least 1 as batch_size"),
        ({"batch_size": "3"}, "at least 1 as batch_size"),
        ({"segment_many": lambda self, images: [self.segment(images[0])]}, "one foreground per picture, 6"),
        ({"segment_many": lambda self, images: [self.segment(image) for image in images[::-1]]}, "in a batch"),
        ({"segment_many": inverted}, "the same foreground of a disc in a batch as alone"),
        ({"segment_many": from_the_left}, "changed values"),
    ],
)
def test_segmenter_whose_batches_break_a_clause(member, words):
    assert words in breach(check_segmenter, variant(BatchToySegmenter, **member))


def test_segmenter_whose_batches_differ_in_the_last_bits():
    def flip_one(self, images):
        found = [self.segment(image) for image in images]
        found[0].mask[30, 20] ^= True
        return found

    component = variant(BatchToySegmenter, segment_many=flip_one)
    assert "in a batch as alone" in breach(check_segmenter, component)
    check_segmenter(component, tolerance=0.001)


# Inpainter ------------------------------------------------------------------------------------------------------------


def painting(inpaint, **members):
    return variant(ToyInpainter, inpaint=inpaint, **members)


@pytest.mark.parametrize("multiple", [8, 16])
@pytest.mark.parametrize("working_size", [None, 64, 100])
def test_inpainter_gets_the_sizes_it_asks_for(multiple, working_size):
    seen = set()

    def paint(self, job):
        seen.add(job.image.shape[:2])
        assert job.region.any()
        return ToyInpainter.paint(self, job)

    check_inpainter(variant(ToyInpainter, paint=paint, multiple=multiple, working_size=working_size))
    assert all(height % multiple == 0 and width % multiple == 0 for height, width in seen)
    if working_size is not None:
        assert {max(shape) for shape in seen} == {-(-working_size // multiple) * multiple}


def test_inpainter_sees_every_kind_and_odd_sizes():
    kinds, sizes = set(), set()

    def paint(self, job):
        kinds.add(job.defect.kind)
        sizes.update(job.image.shape[:2])
        return ToyInpainter.paint(self, job)

    check_inpainter(variant(ToyInpainter, paint=paint))
    assert kinds == set(DefectKind)
    assert any(size % 2 for size in sizes)


def test_inpainter_gets_the_kinds_the_caller_wants():
    kinds, batches = set(), []

    def inpaint(self, jobs):
        kinds.update(job.defect.kind for job in jobs)
        batches.append(len(jobs))
        return ToyInpainter.inpaint(self, jobs)

    check_inpainter(painting(inpaint), kinds=[DefectKind.HOLE, DefectKind.OTHER])
    assert kinds == {DefectKind.HOLE, DefectKind.OTHER}
    assert max(batches) == 4


@pytest.mark.parametrize("multiple", [0, -8, 8.0, True, None])
def test_inpainter_with_a_wrong_multiple(multiple):
    assert "as multiple" in breach(check_inpainter, variant(ToyInpainter, multiple=multiple))


@pytest.mark.parametrize("working_size", [0, 7, 512.0, "512"])
def test_inpainter_with_a_wrong_working_size(working_size):
    component = variant(ToyInpainter, multiple=8, working_size=working_size)
    assert "as working_size" in breach(check_inpainter, component)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda image: image[:-1], "got uint8 (58, 83, 3)"),
        (lambda image: image[..., 0], "got uint8 (59, 83)"),
        (lambda image: image.transpose(1, 0, 2), "got uint8 (83, 59, 3)"),
        (lambda image: image / np.float32(255), "got float32"),
        (lambda image: image.astype(np.int64), "got int64"),
        (lambda image: image.tolist(), "got a list"),
    ],
)
def test_inpainter_that_returns_something_else(change, words):
    component = variant(ToyInpainter, paint=lambda self, job: change(ToyInpainter.paint(self, job)))
    assert words in breach(check_inpainter, component)


def test_inpainter_that_drops_a_job():
    component = painting(lambda self, jobs: [self.paint(job) for job in jobs[1:]])
    assert "one crop per job" in breach(check_inpainter, component)


def swapping(first, second):
    """Return an inpainter that swaps two results of every batch that is large enough."""

    def inpaint(self, jobs):
        painted = [self.paint(job) for job in jobs]
        if len(jobs) > max(first, second):
            painted[first], painted[second] = painted[second], painted[first]
        return painted

    return painting(inpaint)


def test_inpainter_that_mixes_up_crops_of_different_sizes():
    assert "crop of the" in breach(check_inpainter, swapping(1, 2))


def test_inpainter_that_mixes_up_crops_of_one_size():
    assert "the order of the batch" in breach(check_inpainter, swapping(0, 1))


@pytest.mark.parametrize("field", ["image", "region", "foreground"])
def test_inpainter_that_writes_into_its_job(field):
    def paint(self, job):
        painted = ToyInpainter.paint(self, job)
        getattr(job, field)[0] ^= True
        return painted

    assert f"job.{field}" in breach(check_inpainter, variant(ToyInpainter, paint=paint))


def test_inpainter_that_is_not_deterministic():
    generator = np.random.default_rng(0)

    def paint(self, job):
        return generator.integers(0, 255, size=job.image.shape, dtype=np.uint8)

    assert "at every call" in breach(check_inpainter, variant(ToyInpainter, paint=paint))


def shared_generator(self, jobs):
    """One generator per batch, the classic mistake: repeatable, but a job depends on its neighbours."""
    generator = np.random.default_rng(jobs[0].seed)
    return [generator.integers(0, 255, size=job.image.shape, dtype=np.uint8) for job in jobs]


def test_inpainter_with_one_generator_per_batch():
    assert "order of the batch" in breach(check_inpainter, painting(shared_generator))


def test_inpainter_that_depends_on_the_batch_size():
    def inpaint(self, jobs):
        return [np.clip(self.paint(job), min(len(jobs), 3), 255).astype(np.uint8) for job in jobs]

    component = painting(inpaint)
    assert "alone" in breach(check_inpainter, component)
    assert "2 grey levels" in breach(check_inpainter, component, tolerance=1)
    check_inpainter(component, tolerance=2)


def test_inpainter_that_never_paints():
    component = variant(ToyInpainter, paint=lambda self, job: job.image.copy())
    assert "every crop unchanged" in breach(check_inpainter, component, seeds_differ=False)


def test_inpainter_that_ignores_the_seed():
    def paint(self, job):
        painted = job.image.copy()
        painted[job.region] = 0
        return painted

    component = variant(ToyInpainter, paint=paint)
    assert "another seed" in breach(check_inpainter, component)
    check_inpainter(component, seeds_differ=False)


def test_inpainter_may_paint_outside_the_region():
    def paint(self, job):
        return np.random.default_rng(job.seed).integers(0, 255, size=job.image.shape, dtype=np.uint8)

    check_inpainter(variant(ToyInpainter, paint=paint))


def test_inpainter_may_reuse_its_buffer():
    class Reusing(ToyInpainter):
        def inpaint(self, jobs):
            if not hasattr(self, "buffers"):
                self.buffers = {}
            results = []
            for index, job in enumerate(jobs):
                buffer = self.buffers.setdefault((index, job.image.shape), np.empty_like(job.image))
                buffer[:] = self.paint(job)
                results.append(buffer)
            return tuple(results)

    check_inpainter(Reusing())


# Selector -------------------------------------------------------------------------------------------------------------


def scoring(score):
    return variant(ToySelector, score=score)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda score: 255.0 - score, "0 for two equal pictures"),
        (lambda score: -score, "the score for"),
        (np.float32, "float32"),
        (int, "(int)"),
        (lambda score: score or float("nan"), "the score for"),
        (lambda score: float("inf") if score else 0.0, "the score for"),
        (lambda score: 1.0 if score else 0.0, "larger score for a stronger change"),
        (lambda score: min(score, 5.0), "larger score for a stronger change"),
        (lambda score: 0.0, "larger score for a stronger change"),
    ],
)
def test_selector_that_breaks_a_clause(change, words):
    component = scoring(lambda self, *arguments: change(ToySelector.score(self, *arguments)))
    assert words in breach(check_selector, component)


def test_selector_that_breaks_on_tiny_masks():
    def score(self, original, candidate, mask):
        return ToySelector.score(self, original[::8, ::8], candidate[::8, ::8], mask[::8, ::8])

    with np.errstate(all="ignore"), pytest.warns(RuntimeWarning, match="empty slice"):
        assert "one pixel" in breach(check_selector, scoring(score))


@pytest.mark.parametrize(("index", "name"), [(0, "original"), (1, "candidate"), (2, "mask")])
def test_selector_that_writes_into_its_input(index, name):
    def score(self, *arguments):
        result = ToySelector.score(self, *arguments)
        arguments[index][0] ^= True
        return result

    assert f"the {name} to be left alone" in breach(check_selector, scoring(score))


def test_selector_that_is_not_deterministic():
    generator = np.random.default_rng(0)

    def score(self, *arguments):
        return ToySelector.score(self, *arguments) * (1 + float(generator.random()))

    assert "at every call" in breach(check_selector, scoring(score))


def test_selector_that_looks_at_the_whole_picture():
    def score(self, original, candidate, mask):
        return float(np.abs(original.astype(float) - candidate).mean())

    assert "60 pixels away" in breach(check_selector, scoring(score))


def test_selector_may_round():
    component = scoring(lambda self, *arguments: ToySelector.score(self, *arguments) + 1e-4)
    assert "two equal" in breach(check_selector, component)
    check_selector(component, zero=1e-3)


# Detector -------------------------------------------------------------------------------------------------------------


def detector_scoring(change):
    """Return a detector whose results ``change(list of (map, score))`` has gone through."""

    def score(self, images):
        yield from change(list(ToyDetector.score(self, images)))

    return variant(ToyDetector, score=score)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda results: results[:-1], "one result per picture"),
        (lambda results: results[::-1], "the anomaly map"),
        (lambda results: [(one.astype(float), score) for one, score in results], "got float64"),
        (lambda results: [(one[None], score) for one, score in results], "got float32 (1, 64, 64)"),
        (lambda results: [(one[:32, :32], score) for one, score in results], "got float32 (32, 32)"),
        (lambda results: [(one * np.float32("nan"), score) for one, score in results], "finite anomaly maps"),
        (lambda results: [(one, float("inf")) for one, score in results], "image score"),
        (lambda results: [(one, np.float32(score)) for one, score in results], "image score"),
    ],
)
def test_detector_that_breaks_a_clause(change, words, tmp_path):
    assert words in breach(check_detector, detector_scoring(change), tmp_path)


def test_detector_that_returns_a_list(tmp_path):
    component = variant(ToyDetector, score=lambda self, images: list(ToyDetector.score(self, images)))
    assert "an iterator" in breach(check_detector, component, tmp_path)


def test_detector_that_is_not_deterministic(tmp_path):
    generator = np.random.default_rng(0)
    component = detector_scoring(lambda results: [(one, score + float(generator.random())) for one, score in results])
    assert "at every call" in breach(check_detector, component, tmp_path)


def test_detector_that_normalises_over_the_batch(tmp_path):
    def change(results):
        return [(one, score + results[0][1]) for one, score in results]

    assert "the order" in breach(check_detector, detector_scoring(change), tmp_path)


def test_detector_that_needs_a_list_of_pairs(tmp_path):
    def fit(self, pairs):
        self.size = len(pairs)

    with pytest.raises(TypeError, match="has no len"):
        check_detector(variant(ToyDetector, fit=fit), tmp_path)


@pytest.mark.parametrize(("field", "what"), [("normal", "a normal"), ("synthetic", "a synthetic"), ("mask", "a mask")])
def test_detector_that_writes_into_a_pair(field, what, tmp_path):
    def fit(self, pairs):
        pairs = list(pairs)
        ToyDetector.fit(self, pairs)
        getattr(pairs[0], field)[0] ^= True

    assert what in breach(check_detector, variant(ToyDetector, fit=fit), tmp_path)


def test_detector_that_writes_into_a_picture(tmp_path):
    def score(self, images):
        for image in images:
            yield from ToyDetector.score(self, [image.copy()])
            image[0, 0] ^= 1

    assert "a picture to score" in breach(check_detector, variant(ToyDetector, score=score), tmp_path)


def test_detector_that_saves_nothing(tmp_path):
    assert "files in the folder" in breach(
        check_detector, variant(ToyDetector, save=lambda self, directory: None), tmp_path
    )


def test_detector_that_forgets_what_it_learnt(tmp_path):
    def load(self, directory):
        self.mean = 0.0

    assert "after save() and load()" in breach(check_detector, variant(ToyDetector, load=load), tmp_path)


def test_detector_is_loaded_into_a_fresh_one(tmp_path):
    """A load that does nothing would pass on the detector that was fitted."""
    component = variant(ToyDetector, load=lambda self, directory: None)
    with pytest.raises(TypeError):  # nothing was learnt there
        check_detector(component, tmp_path)
    (tmp_path / "again").mkdir()
    created = []

    def fresh():
        created.append(ToyDetector())
        return created[-1]

    check_detector(ToyDetector(), tmp_path / "again", fresh=fresh)
    assert [one.mean is not None for one in created] == [True]


# Specs and plugins ----------------------------------------------------------------------------------------------------


def spec(**fields):
    return LLMSpec(**{"name": "toy", "summary": "A toy.", "create": ToyLLM, **fields})


def test_spec_passes():
    check_spec(spec(create=lambda options: ToyLLM()))
    check_spec(spec(create=lambda options, *, extra=1: ToyLLM(), requires=("a.b", "c"), install="pip install c"))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": "Toy"}, "a name of"),
        ({"name": None}, "a name of"),
        ({"summary": " "}, "a summary of one line"),
        ({"summary": "two\nlines"}, "a summary of one line"),
        ({"requires": "sdk", "install": "pip install sdk"}, "a tuple of import names"),
        ({"requires": ("my-sdk",), "install": "pip install my-sdk"}, "a tuple of import names"),
        ({"requires": ("sdk",)}, "an install command"),
        ({"install": "pip install sdk"}, "an install command"),
        ({"create": None}, "called with the options alone"),
        ({"create": lambda: None}, "called with the options alone"),
        ({"create": lambda options, key: None}, "called with the options alone"),
    ],
)
def test_spec_that_breaks_a_clause(fields, words):
    assert words in breach(check_spec, spec(**{"create": lambda options: ToyLLM(), **fields}))


@pytest.mark.parametrize("value", [SimpleNamespace(name="x"), ComponentSpec(name="x", summary="s", create=dict)])
def test_spec_of_no_kind(value):
    assert "a spec of one kind" in breach(check_spec, value)


HEADER = "from fmas import hookimpl\nfrom fmas.specs import LLMSpec\n"
HOOK = "@hookimpl\ndef fmas_register_llms():\n    return [LLMSpec(name='toy', summary='{summary}', create=dict)]\n"


@pytest.fixture
def written_module(tmp_path, monkeypatch):
    """Write a module, import it, and forget it afterwards."""
    import importlib
    import sys

    monkeypatch.syspath_prepend(tmp_path)
    name = f"module_of_{tmp_path.name.replace('-', '_')}"

    def write(text):
        (tmp_path / f"{name}.py").write_text(text)
        return importlib.import_module(name)

    yield write
    sys.modules.pop(name, None)


def test_light_plugin_with_a_described_component_passes(written_module):
    check_plugin(written_module("import json, xml.dom\n" + HEADER + HOOK.format(summary="s")))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HOOK.replace("llms", "lms").format(summary="s"), "did you mean 'fmas_register_llms'"),
        (HOOK.format(summary=""), "a summary of one line"),
        ("@hookimpl\ndef fmas_register_commands(app):\n    app.callback()(print)\n", "callback"),
        ("import numpy\n" + HOOK.format(summary="s"), "got numpy as well"),
        ("import fmas.types\n" + HOOK.format(summary="s"), "numpy"),
        ("import typer\n" + HOOK.format(summary="s"), "typer"),
        ("import pytest\n" + HOOK.format(summary="s"), "pytest"),
        ("", "at least one hook"),
        ("@hookimpl\ndef fmas_register_llms():\n    raise OSError('no disk')\n", "OSError: no disk"),
    ],
)
def test_plugin_that_breaks_a_clause(text, words, written_module):
    assert words in breach(check_plugin, written_module(HEADER + text))


def test_plugin_that_needs_what_the_test_did(written_module, monkeypatch):
    monkeypatch.setattr("builtins.prepared_by_the_test", 1, raising=False)
    made = written_module(HEADER + "prepared_by_the_test\n" + HOOK.format(summary="s"))
    assert "in a fresh interpreter, got NameError" in breach(check_plugin, made)


# Our own components keep the contract that we ask of others -----------------------------------------------------------


def test_built_in_plugin():
    import fmas.builtin.plugin

    check_plugin(fmas.builtin.plugin)


@pytest.mark.parametrize(
    ("kind", "check"),
    [("llm", check_llm), ("segmenter", check_segmenter), ("inpainter", check_inpainter), ("selector", check_selector)],
)
def test_built_in_components(kind, check):
    registry = load_plugins()
    names = [one.spec.name for one in registry.components(kind) if one.origin.entry_point == "builtin"]
    assert names, registry.failures
    for name in names:
        component = registry.create(kind, name, {})
        check(component)
        assert component.fingerprint().name == name
