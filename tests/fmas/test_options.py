"""Options of components, and what is said about wrong ones."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator

from fmas.errors import ConfigError
from fmas.options import parse_options


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    width: int = 1


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")

    model: str = "m"
    share: float = Field(default=0.5, le=1)
    inner: Inner = Inner()
    many: tuple[Inner, ...] = ()

    @field_validator("model")
    @classmethod
    def _known(cls, value: str) -> str:
        if value == "secret":
            raise ValueError("expected another model")
        return value


def test_right_options_become_the_model():
    assert parse_options(Options, {"share": 0.25, "inner": {"width": 3}}, section="llm") == Options(
        share=0.25, inner=Inner(width=3)
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modle": "x"}, "unknown key 'llm.modle': did you mean 'model'?"),
        ({"inner": {"wdth": 1}}, "unknown key 'llm.inner.wdth': did you mean 'width'?"),
        ({"many": [{"wdth": 1}]}, "unknown key 'llm.many.0.wdth': did you mean 'width'?"),
        ({"share": 2}, "llm.share: expected less than or equal to 1, got 2"),
        ({"model": "secret"}, "llm.model: expected another model"),
        ({"share": 2, "model": 1}, "; "),
    ],
    ids=["key", "inner", "in-a-list", "value", "own-words", "two"],
)
def test_wrong_options_are_one_line_that_names_the_key(options, message):
    with pytest.raises(ConfigError) as caught:
        parse_options(Options, options, section="llm")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_our_own_refusal_does_not_quote_the_value():
    """The value may be a secret, and the validator that refuses it knows."""
    with pytest.raises(ConfigError) as caught:
        parse_options(Options, {"model": "secret"}, section="llm")
    assert "secret" not in str(caught.value)
