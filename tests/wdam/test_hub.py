from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

HUB_IS_THERE = importlib.util.find_spec("huggingface_hub") is not None


def import_error_with_missing(module: str) -> str:
    """Import `wdam.hub` in a fresh interpreter in which `module` cannot be found; return the last line it prints."""
    code = (
        "import sys, types\n"
        f"class Missing:\n"
        f"    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}:\n"
        f"            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        # Stands in for huggingface_hub when that is there but something it needs is not.
        f"if {module!r} != 'huggingface_hub':\n"
        "    class Hub:\n"
        "        def find_spec(self, name, path=None, target=None):\n"
        "            if name == 'huggingface_hub':\n"
        f"                import {module}\n"
        "    sys.meta_path.insert(0, Hub())\n"
        "import wdam\n"
        "try:\n"
        "    import wdam.hub\n"
        "except ModuleNotFoundError as error:\n"
        "    print(error.name, '|', error)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return result.stdout.strip()


def test_names_the_command_when_the_hub_is_missing() -> None:
    assert import_error_with_missing("huggingface_hub") == (
        "huggingface_hub | expected huggingface_hub to be installed, got none; run: pip install 'wdam[hub]'"
    )


def test_does_not_hide_what_else_is_missing() -> None:
    assert import_error_with_missing("a_need_of_it") == "a_need_of_it | No module named 'a_need_of_it'"


@pytest.mark.skipif(not HUB_IS_THERE, reason="needs huggingface_hub: pip install 'wdam[hub]'; nox -s vision has it")
def test_other_wavelets_than_named_ones_are_refused() -> None:
    import pywt

    from wdam.errors import OptionError
    from wdam.hub import WDAMHub

    with pytest.raises(OptionError, match=r"expected the name of a wavelet, got a Wavelet; .* pass a name"):
        WDAMHub(4, wavelet=pywt.Wavelet("db2"))  # type: ignore[arg-type]
