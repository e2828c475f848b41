"""No secret gets into a benchmark's files, and a damaged cell is an error, no traceback."""

from __future__ import annotations

import pytest

from fmas.benchmark.cells import BenchmarkRequest
from fmas.benchmark.finished import load_sampled, read_result
from fmas.errors import OutputError, UsageError


@pytest.mark.parametrize("setting", ["llm.api_key=sk-12345678", "llm.base_url=https://me:pw@host/v1"])
def test_a_secret_is_refused_and_not_repeated(tmp_path, setting):
    with pytest.raises(UsageError, match="without secrets") as caught:
        BenchmarkRequest(tmp_path, tmp_path / "out", (), settings=(setting,))
    assert setting.partition("=")[2] not in str(caught.value)


def test_truncated_replicates_are_an_error(tmp_path):
    path = tmp_path / "replicates.npz"
    path.write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(OutputError, match="expected measures"):
        load_sampled(path)


@pytest.mark.parametrize("content", ["[]", "{}", '{"seconds": {}}', "cut o"])
def test_a_damaged_result_is_an_error(tmp_path, content):
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(OutputError, match=r"expected a.* result in .*delete the folder"):
        read_result(tmp_path)
