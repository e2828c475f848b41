"""Who may open an output folder, and what one process sees of the other."""

from __future__ import annotations

import pytest
from filelock import FileLock

from fmas.components import RunComponents
from fmas.derive import write_derived_files
from fmas.errors import FmasError, OutputError
from fmas.layout import OutputLayout
from fmas.output import OpenOutput
from fmas.planning import obtain_plan


@pytest.fixture
def layout(tmp_path):
    return OutputLayout(tmp_path / "out", "tile")


def test_one_shard_twice_is_refused(layout):
    with (
        OpenOutput.open(layout, (1, 2)),
        pytest.raises(OutputError, match="the only one to write shard 1/2"),
        OpenOutput.open(layout, (1, 2)),
    ):
        pass


@pytest.mark.parametrize("other", [(1, 2), (2, 2), (3, 4)])
def test_two_splits_at_once_are_refused(layout, other):
    with (
        OpenOutput.open(layout, (1, 1)),
        pytest.raises(OutputError, match="another fmas run is writing shard 1/1"),
        OpenOutput.open(layout, other),
    ):
        pass


def test_shards_of_one_split_work_side_by_side(layout):
    with OpenOutput.open(layout, (1, 2)) as one, OpenOutput.open(layout, (2, 2)) as other:
        assert one.temporary != other.temporary


def test_a_lock_file_without_a_process_stops_nobody(layout):
    with OpenOutput.open(layout, (1, 1)):
        pass
    with OpenOutput.open(layout, (1, 2)):
        pass


def test_leftovers_of_a_killed_run_are_gone_before_it_starts(layout):
    half = layout.temporary / "shard-1-of-1/99-0.part"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    with OpenOutput.open(layout, (1, 1)):
        assert not half.exists()


@pytest.mark.parametrize("name", ["plan.json", ".DS_Store", "Thumbs.db", "desktop.ini"])
def test_what_a_file_browser_leaves_is_no_foreign_file(layout, name):
    layout.out.mkdir()
    (layout.out / name).write_bytes(b"x")
    with OpenOutput.open(layout, (1, 1)):
        pass


def test_file_system_without_locks_is_one_clear_error(layout, monkeypatch):
    def acquire(self, **options):
        raise NotImplementedError

    monkeypatch.setattr(FileLock, "acquire", acquire)
    with (
        pytest.raises(OutputError, match="expected a file system with file locks"),
        OpenOutput.open(layout, (1, 1)),
    ):
        pass


@pytest.fixture
def held(layout, monkeypatch):
    """Hold the lock of the files that all shards share, and let nobody wait for it."""
    monkeypatch.setattr("fmas.output._LOCK_SECONDS", 0)
    with OpenOutput.open(layout, (1, 2)) as other, other.exclusive():
        yield


def test_the_shared_files_are_written_by_one_at_a_time(layout, held):
    with (
        OpenOutput.open(layout, (2, 2)) as output,
        pytest.raises(OutputError, match="another process holds them"),
        output.exclusive(),
    ):
        pass


def test_a_run_is_claimed_under_the_lock(layout, held, make_config):
    with OpenOutput.open(layout, (2, 2)) as output, pytest.raises(OutputError, match="another process holds them"):
        output.claim(make_config(), {"seed": 0})
    assert not layout.run.exists()


def test_the_summary_files_are_derived_under_the_lock(layout, held):
    with OpenOutput.open(layout, (2, 2)) as output, pytest.raises(OutputError, match="another process holds them"):
        write_derived_files(output)


def test_the_plan_is_asked_for_under_the_lock(layout, held, fakes, make_registry, make_config):
    """Two shards that start together must not both ask."""
    config = make_config()
    components = RunComponents.from_config(config, make_registry(fakes))
    with OpenOutput.open(layout, (2, 2)) as output, pytest.raises(OutputError, match="another process holds them"):
        obtain_plan(config, components, output, ())
    assert fakes["llm"].asked == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "seed was 0, now 1"),
        ({"candidates": 3}, "candidates was 2, now 3"),
        ({"region": {"shape": "blob"}}, "region.shape was rectangle, now blob"),
        ({"per_image": 2}, "per_image was 1, now 2"),
        ({"category": "other"}, "category was test_part, now other"),
    ],
)
def test_output_of_another_configuration_is_refused(run, change, message, tree):
    out, _ = run()
    before = tree(out)
    with pytest.raises(OutputError, match=message):
        run(**change)
    assert tree(out) == before


def test_foreign_folder_is_refused(run, tmp_path):
    out = tmp_path / "holiday"
    out.mkdir()
    (out / "photo.jpg").write_bytes(b"x")
    with pytest.raises(OutputError, match=r"holds 'photo\.jpg'; choose another --out"):
        run(out=out)
    assert [path.name for path in out.iterdir()] == ["photo.jpg"]


def test_file_as_output_is_refused(run, tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(OutputError, match="expected a folder for --out, got the file"):
        run(out=tmp_path / "file")


def test_damaged_run_file_is_refused(run):
    out, _ = run()
    (out / "run.json").write_text("{}", encoding="utf-8")
    with pytest.raises(OutputError, match=r"expected .*run\.json as fmas writes it"):
        run()


def test_lost_configuration_file_is_written_again(run):
    out, _ = run()
    content = (out / "config.resolved.yaml").read_bytes()
    (out / "config.resolved.yaml").unlink()
    run()
    assert (out / "config.resolved.yaml").read_bytes() == content


def test_two_runs_at_once_are_refused(run, fakes):
    """Replaces the test of that name: its assertions were raised inside the executor, which files them as failures."""
    refused = []

    def run_inside(job):
        for settings in ({}, {"shard": "1/2"}):
            try:
                run(limit=1, **settings)
            except OutputError as error:
                refused.append(str(error))
        raise RuntimeError("seen enough")

    fakes["inpainter"].paint = run_inside
    run(limit=1, candidates=1)
    assert "another fmas run or select is doing it" in refused[0]
    assert "another fmas run is writing shard 1/1" in refused[1]


@pytest.mark.parametrize("name", ["plan.json", "run.json", "manifest/shard-1-of-1.jsonl"])
def test_a_record_that_cannot_be_read_is_one_clear_error(run, name, tmp_path):
    out, _ = run(limit=1)
    (out / name).unlink()
    (out / name).mkdir()
    with pytest.raises(FmasError, match="expected"):
        run()
