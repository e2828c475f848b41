from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from fmas.config import ComponentConfig, RunConfig
from fmas.errors import ConfigError
from fmas.output import resolved_yaml
from fmas.settings import Layer, environment_layers, file_layer, flattened, override_layer, resolve

BASE = Layer("command line", {"images": "in", "out": "out"})


def resolved(*layers):
    return resolve([*layers, BASE])


def test_later_layers_win_and_origins_are_told(tmp_path):
    (tmp_path / "fmas.yaml").write_text("seed: 1\nper_image: 3\nregion: {shape: blob, redraws: 7}\n", encoding="utf-8")
    result = resolved(
        file_layer(None, folder=tmp_path),
        *environment_layers({"FMAS_SEED": "2", "FMAS_REGION__SHAPE": "ellipse", "PATH": "x", "FMAS_": "1"}),
        override_layer(["seed=3"]),
    )
    assert (result.config.seed, result.config.per_image) == (3, 3)
    assert (result.config.region.shape, result.config.region.redraws) == ("ellipse", 7)
    assert result.origins["seed"] == "command line"
    assert result.origins["per_image"] == str(tmp_path / "fmas.yaml")
    assert result.origins["region.shape"] == "environment variable FMAS_REGION__SHAPE"
    assert "candidates" not in result.origins


def test_component_options_are_reached_by_dotted_keys():
    result = resolved(override_layer(["llm=openai", "llm.base_url=http://127.0.0.1:1/v1"]))
    assert result.config.llm.name == "openai"
    assert result.config.llm.options == {"base_url": "http://127.0.0.1:1/v1"}
    again = resolved(override_layer(["llm.base_url=http://127.0.0.1:1/v1", "llm=openai"]))
    assert again.config.llm == result.config.llm


def test_another_component_drops_the_options_of_the_one_it_replaces():
    result = resolved(
        Layer("file", {"llm": {"name": "builtin", "defects": "mine.yaml"}}), override_layer(["llm=openai"])
    )
    assert result.config.llm.options == {}
    assert "llm.defects" not in result.origins


def test_same_component_keeps_options_of_earlier_layers():
    layer = Layer("file", {"llm": {"defects": "mine.yaml"}})
    assert resolved(layer, override_layer(["llm=builtin"])).config.llm.options == {"defects": "mine.yaml"}


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (override_layer(["sead=1"]), r"unknown key 'sead': did you mean 'seed'\?.*from command line"),
        (override_layer(["region.shap=blob"]), r"unknown key 'region.shap': did you mean 'shape'\?"),
        (
            next(environment_layers({"FMAS_PER_IMAGES": "2"})),
            r"unknown key 'per_images': did you mean 'per_image'\?.*from environment variable FMAS_PER_IMAGES",
        ),
        (override_layer(["seed=-1"]), "seed: expected greater than or equal to 0, got -1"),
        (override_layer(["region.area=[0.5, 0.1]"]), "LOW <= HIGH"),
        (override_layer(["region.area=[0, 0.1]"]), r"fractions in \(0, 1\]"),
        (override_layer(["region.aspect=[0, 1]"]), r"ratios in \[0.01, 100\]"),
        (override_layer(["select.band=[-1, 1]"]), "distances >= 0"),
        (override_layer(["shard=3/2"]), "shards count from 1"),
        (override_layer(["shard=0/2"]), "shards count from 1"),
        (override_layer(["shard=first"]), "expected I/N"),
        (override_layer(["category=../x"]), "expected a folder name .*try 'x'"),
        (override_layer(["refine.min_changed=0.5"]), "greater than or equal to 0.9"),
        (override_layer(["llm.api_key=sk-1"]), "would put a secret into a file; leave it out and set"),
        (override_layer(["llm.headers={Authorization: Bearer x}"]), r"'headers.Authorization' would put a secret"),
        (override_layer(["llm.aws_secret_access_key=x"]), "would put a secret"),
        (override_layer(["llm.list=[{token: x}]"]), r"'list.0.token' would put a secret"),
        (override_layer(["llm.base_url=http://host/?api_key=x"]), "would put a secret"),
        (override_layer(["select.band=[.nan, .nan]"]), "finite distances"),
        (override_layer(["select.band=[0, .inf]"]), "finite distances"),
        (override_layer(["per_image=yes"]), "per_image: expected a valid integer, got True"),
        (override_layer(["max_pixels=1000000000000000000000"]), "max_pixels"),
        (override_layer(["select=3"]), "select: expected settings by name, got 3"),
        (override_layer(["object=''"]), "object: expected at least 1 character, got ''"),
        (override_layer(["llm.base_url=http://me:pw@host/"]), "would put a secret into a file; leave it out and set"),
    ],
)
def test_what_is_not_allowed_is_said_in_one_line(layer, message):
    with pytest.raises(ConfigError, match=message) as caught:
        resolved(layer)
    assert "\n" not in str(caught.value)


def test_secret_never_reaches_the_message():
    with pytest.raises(ConfigError) as caught:
        resolved(override_layer(["llm.api_key=sk-very-secret"]))
    assert "sk-very-secret" not in str(caught.value)
    assert "set the variable that its SDK reads" in str(caught.value)


@pytest.mark.parametrize("item", ["seed", "=3", ""])
def test_override_needs_key_and_value(item):
    with pytest.raises(ConfigError, match="expected KEY=VALUE"):
        override_layer([item])


@pytest.mark.parametrize("value", ["[1", "2024-13-45", "0x_", "9" * 5000, "[" * 5000])
def test_override_values_are_yaml(value):
    with pytest.raises(ConfigError, match="expected a YAML value for --set"):
        override_layer([f"seed={value}"])


def test_settings_that_hold_themselves(tmp_path):
    path = tmp_path / "fmas.yaml"
    path.write_text("region: &a {shape: *a}", encoding="utf-8")
    with pytest.raises(ConfigError, match="got a loop in"):
        resolved(file_layer(path, folder=tmp_path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1, 2]", "expected a mapping"),
        ("a: [", "expected YAML"),
        ("1: 2", "expected a mapping"),
        (b"\xff\xfe\x00", "YAML"),
    ],
)
def test_bad_files(tmp_path, content, message):
    path = tmp_path / "c.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError, match=message):
        file_layer(path, folder=tmp_path)


def test_named_file_must_exist_but_the_project_file_need_not(tmp_path):
    with pytest.raises(ConfigError, match="expected a readable configuration file"):
        file_layer(tmp_path / "none.yaml", folder=tmp_path)
    assert file_layer(None, folder=tmp_path) is None


def test_pipe_as_configuration_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(ConfigError, match="expected a configuration file, got something else"):
        file_layer(tmp_path / "pipe.yaml", folder=tmp_path)


def test_huge_and_empty_files(tmp_path):
    (tmp_path / "big.yaml").write_text("#" * 1_000_001, encoding="utf-8")
    with pytest.raises(ConfigError, match="expected a configuration below"):
        file_layer(tmp_path / "big.yaml", folder=tmp_path)
    (tmp_path / "empty.yaml").write_text("", encoding="utf-8")
    assert file_layer(tmp_path / "empty.yaml", folder=tmp_path).values == {}


def test_resolved_file_is_read_back_as_the_same_configuration(tmp_path):
    config = resolved(override_layer(["llm.defects=a.yaml", "shard=2/3", "region.shape=stroke"])).config
    path = tmp_path / "config.resolved.yaml"
    path.write_text(resolved_yaml(config), encoding="utf-8")
    assert resolve([file_layer(path, folder=tmp_path)]).config == config


def test_flattened_names_every_leaf():
    keys = [key for key, _ in flattened(resolved().config)]
    assert "region.shape" in keys and "llm.name" in keys and "seed" in keys
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    ("settings", "category"),
    [
        ({"category": "My-Tile.v2"}, "My-Tile.v2"),
        ({"object": "Magnetic Tile"}, "magnetic_tile"),
        ({"images": Path("some/Folder Name")}, "folder_name"),
        ({"images": Path("some/好")}, "category"),
    ],
)
def test_category_comes_from_option_object_or_folder(settings, category):
    config = resolve([BASE, Layer("x", settings)]).config
    assert config.category_name == category


@pytest.mark.parametrize(
    "item",
    [
        "refine.min_noise_floor=3", "refine.min_peak=7", "refine.min_area=0", "refine.attempts=0", "holdout_good=1.0",
        "holdout_good=-0.1", "seed=9223372036854775808", "per_image=0", "candidates=0", "limit=0", "workers=0",
        "max_pixels=0", "write.compress_level=10", "region.placements=0", "region.redraws=-1", "region.min_pixels=0",
        "region.min_overlap=1.1", "crop.context=-1", "crop.min_side=0", "category=.hidden", "category=-x", "object=' '",
        "llm.password=x", "llm.API_KEY=x", "llm.auth-token=x", "llm.client_secret=x",
    ],
)  # fmt: skip
def test_every_bound_is_kept(item):
    """The floor and the peak are promises of DESIGN 4: a setting may tighten them and never loosen them."""
    with pytest.raises(ConfigError):
        resolve([override_layer([item]), BASE])


@pytest.mark.parametrize(
    "item",
    ["refine.min_noise_floor=4", "refine.min_peak=8", "holdout_good=0.999", "seed=9223372036854775807", "category=a"],
)
def test_the_last_allowed_value_is_allowed(item):
    resolve([override_layer([item]), BASE])


@pytest.mark.parametrize(
    "item",
    ["llm.client.api_key=sk-1", "llm.headers.Authorization=Bearer abc", "llm.base_url=http://h/v1?api_key=sk-1"],
)
def test_a_secret_further_down_is_refused_too(item):
    with pytest.raises(ConfigError, match="secret"):
        resolve([override_layer([item]), BASE])


def test_a_component_alone_does_not_quote_a_secret_either():
    with pytest.raises(ValidationError) as caught:
        ComponentConfig.model_validate({"name": "x", "api_key": "sk-very-secret"})
    assert "sk-very-secret" not in str(caught.value)


def test_one_photograph_gives_the_category_its_name_without_the_suffix(tmp_path):
    (tmp_path / "Blue Tile.png").write_bytes(b"")
    assert RunConfig(images=tmp_path / "Blue Tile.png", out=tmp_path / "out").category_name == "blue_tile"


def test_a_file_of_the_largest_size_is_read(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("#" * 1_000_000, encoding="utf-8")
    assert file_layer(path, folder=tmp_path).values == {}


def test_the_builtin_component_named_or_not_is_one_component():
    """Naming the default keeps what an earlier layer said about it."""
    layer = Layer("file", {"segmenter": {"mode": "texture"}})
    assert resolve([layer, override_layer(["segmenter=builtin"]), BASE]).config.segmenter.options == {"mode": "texture"}


def test_a_long_value_is_shortened_in_the_message():
    with pytest.raises(ConfigError) as caught:
        resolve([override_layer([f"seed={'x' * 500}"]), BASE])
    assert "..." in str(caught.value) and len(str(caught.value)) < 250
