"""Words and numbers for an intensity, and where they are understood."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from fmas.builtin.selector import BuiltinSelector
from fmas.config import PaintConfig, RunConfig, SelectConfig
from fmas.intensity import DEFAULT_INTENSITY, INTENSITIES, WORDS_MEAN, band_text, parse_intensity

distances = st.floats(0, 5).map(lambda value: round(value, 4))


@given(distances, distances)
def test_a_band_in_numbers_is_that_band(one, other):
    low, high = sorted((one, other))
    assert parse_intensity(f" {low} : {high} ") == (low, high)


def test_words_stand_for_bands_that_follow_each_other():
    assert list(INTENSITIES) == ["subtle", "medium", "strong"]
    bands = [parse_intensity(word) for word in INTENSITIES]
    assert all(low < high for low, high in bands)
    assert [band[1] for band in bands[:-1]] == [band[0] for band in bands[1:]]
    assert SelectConfig().band == INTENSITIES[DEFAULT_INTENSITY]


def test_words_were_measured_with_this_selector():
    fingerprint = BuiltinSelector().fingerprint()
    assert (fingerprint.name, fingerprint.version) == WORDS_MEAN


@pytest.mark.parametrize(
    "text", ["", "hard", "Medium", "0.1", "0.1-0.3", "0.1:", ":", "-1:2", "nan:1", "1:inf", "1e-1:1"]
)
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match=r"expected subtle, medium, strong or LO:HI such as 0\.1:0\.25 for the intens"):
        parse_intensity(text)


@pytest.mark.parametrize(
    ("band", "message"),
    [
        ("0.3:0.1", "expected the band as LOW, HIGH with LOW <= HIGH, got 0.3, 0.1; swap them"),
        ((0.3, 0.1), "expected the band as LOW, HIGH"),
        ((-0.1, 0.1), "expected finite distances >= 0"),
        ((0.0, float("inf")), "expected finite distances >= 0"),
        ("hard", "expected subtle, medium, strong or LO:HI"),
    ],
)
def test_a_wrong_band_is_refused_by_the_configuration(band, message):
    with pytest.raises(ValidationError, match=message):
        SelectConfig(band=band)


@pytest.mark.parametrize(
    ("band", "wanted"), [("strong", INTENSITIES["strong"]), ("0:0.5", (0, 0.5)), ([0.1, 0.2], (0.1, 0.2))]
)
def test_the_configuration_takes_words_and_numbers(band, wanted):
    assert RunConfig.model_validate({"images": "a", "out": "b", "select": {"band": band}}).select.band == wanted


@pytest.mark.parametrize("selector", ["lpips", {"name": "lpips"}])
def test_words_are_the_built_in_selectors(selector):
    settings = {"images": "a", "out": "b", "selector": selector}
    with pytest.raises(
        ValidationError, match="expected LO:HI as the intensity with the selector 'lpips', got 'strong'"
    ):
        RunConfig.model_validate(settings | {"select": {"band": "strong"}})
    assert RunConfig.model_validate(settings | {"select": {"band": "0.2:0.4"}}).select.band == (0.2, 0.4)


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 12))
def test_severities_spread_around_the_planned_one(planned, spread, candidates):
    paint = PaintConfig(severity_spread=spread)
    severities = [paint.severity(planned, candidate, candidates) for candidate in range(candidates)]
    assert severities == sorted(severities)
    assert all(0 <= severity <= 1 for severity in severities)
    assert severities[0] == pytest.approx(planned * (1 - spread) if candidates > 1 else planned, abs=1e-6)
    assert severities[-1] == pytest.approx(min(planned * (1 + spread), 1) if candidates > 1 else planned, abs=1e-6)
    if candidates % 2:
        assert severities[candidates // 2] == pytest.approx(planned, abs=1e-6)


def test_known_severities():
    assert [PaintConfig().severity(0.5, candidate, 4) for candidate in range(4)] == [0.2, 0.4, 0.6, 0.8]
    assert PaintConfig(severity_spread=0).severity(0.5, 3, 4) == 0.5


@given(st.tuples(*[st.floats(0, 1e6, allow_subnormal=False)] * 2).map(lambda bounds: tuple(sorted(bounds))))
@example((0.3, 0.5))
@example((0.12345678, 1e-05 + 1))
@example((1e-07, 2.0))
def test_a_band_is_written_as_it_can_be_given(band):
    assert parse_intensity(band_text(band)) == band


def test_a_band_is_written_as_short_as_it_can_be():
    assert [band_text(band) for band in ((0.0, 1.0), (0.1, 0.25), (1e-05, 100.0))] == ["0:1", "0.1:0.25", "0.00001:100"]
