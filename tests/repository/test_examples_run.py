"""The examples in docstrings and in the libraries' READMEs run, and print what they say they print."""

from __future__ import annotations

import contextlib
import doctest
import importlib
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WITH_EXAMPLES = sorted(
    path for path in ROOT.glob("packages/*/src/**/*.py") if ">>> " in path.read_text(encoding="utf-8")
)
READMES = sorted(ROOT / "packages" / folder / "README.md" for folder in ("evaluate", "wdam"))


NEEDED_EXTRAS = {"torchmetrics_wrapper": "torchmetrics"}  # which the default suite does not install


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=relative)
def test_docstrings(path: Path) -> None:
    if path.stem in NEEDED_EXTRAS:
        pytest.importorskip(NEEDED_EXTRAS[path.stem])
    parts = path.relative_to(ROOT).with_suffix("").parts[3:]  # below packages/<folder>/src
    module = importlib.import_module(".".join(part for part in parts if part != "__init__"))
    results = doctest.testmod(module, optionflags=doctest.IGNORE_EXCEPTION_DETAIL)
    assert results.attempted > 0, "the example is in no docstring that doctest reaches"
    assert results.failed == 0


@pytest.mark.parametrize("path", READMES, ids=relative)
def test_readme_prints_what_it_says(path: Path) -> None:
    fenced = r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```)?"
    blocks = re.findall(fenced, path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert blocks
    for block, output in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block, str(path), "exec"), {})  # noqa: S102 (our own README)
        if output:
            assert printed.getvalue() == output
            continue
        claimed = re.findall(r"^print\(.*\)  # (.*)$", block, flags=re.MULTILINE)
        assert len(claimed) == len(printed.getvalue().splitlines())
        for claim, line in zip(claimed, printed.getvalue().splitlines(), strict=True):
            # A remark may follow the value: `# 0.75: three of four pairs`.
            assert claim == line or claim.startswith(line + ":")
