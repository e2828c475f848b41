"""Compiled kernels on disk, with a compiler that only counts."""

from __future__ import annotations

import errno
import multiprocessing
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wdam.kernels import cache as cache_module
from wdam.kernels.cache import Binary, KernelCache, default_directory
from wdam.kernels.compile import Kernel, build, cache_key, source_text

KERNEL = Kernel("wdam_pool.cu", "wdam::pool_finish<float>")
KEY = "0" * 64


@dataclass
class Counting:
    """A compiler that answers with what it was asked."""

    version: str = "1"
    asked: list[str] = field(default_factory=list)

    def compile(self, source: str, kernel: Kernel, architecture: str) -> Binary:
        self.asked.append(architecture)
        return Binary(f"symbol of {kernel.expression}", f"\n\0code for {architecture}".encode() * 50)


def test_a_kernel_is_compiled_once(tmp_path):
    compiler, cache = Counting(), KernelCache(tmp_path / "new" / "folder")
    first = build(KERNEL, "sm_90", compiler, cache)
    assert build(KERNEL, "sm_90", compiler, cache) == first == Counting().compile("", KERNEL, "sm_90")
    assert compiler.asked == ["sm_90"]
    build(KERNEL, "sm_80", compiler, cache)
    compiler.version = "2"
    build(KERNEL, "sm_90", compiler, cache)
    assert compiler.asked == ["sm_90", "sm_80", "sm_90"]
    assert len(list((tmp_path / "new" / "folder").iterdir())) == 3


def test_the_key_depends_on_everything_that_machine_code_does():
    base = ("source", KERNEL, "sm_90", "nvrtc 13")
    others = [
        ("sourcf", KERNEL, "sm_90", "nvrtc 13"),
        ("source", Kernel(KERNEL.source, "wdam::pool_finish<double>"), "sm_90", "nvrtc 13"),
        ("source", KERNEL, "sm_80", "nvrtc 13"),
        ("source", KERNEL, "sm_90", "nvrtc 12"),
        ("sources", KERNEL, "m_90", "nvrtc 13"),
    ]
    assert len({cache_key(*parts) for parts in (base, *others)}) == 6
    assert cache_key(*base) == cache_key(*base)


@given(symbol=st.text(st.characters(codec="ascii", exclude_characters="\n"), min_size=1), code=st.binary())
def test_what_is_stored_comes_back(tmp_path_factory, symbol, code):
    cache = KernelCache(tmp_path_factory.mktemp("cache"))
    assert cache.store(KEY, Binary(symbol, code))
    assert cache.load(KEY) == Binary(symbol, code)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "text", "folder"])
def test_a_damaged_file_is_compiled_again(tmp_path, damage):
    compiler, cache = Counting(), KernelCache(tmp_path)
    whole = build(KERNEL, "sm_90", compiler, cache)
    [path] = tmp_path.iterdir()
    content = path.read_bytes()
    if damage == "folder":
        path.unlink()
        path.mkdir()
    else:
        flipped = bytearray(content)
        flipped[-7] ^= 1
        broken = {"truncated": content[:-1], "flipped": bytes(flipped), "empty": b"", "text": b"a\nb\nc\nd"}
        path.write_bytes(broken[damage])
    assert build(KERNEL, "sm_90", compiler, cache) == whole
    assert compiler.asked == ["sm_90"] * 2
    if damage != "folder":  # which cannot be replaced: it costs compiling every time, no more
        assert path.read_bytes() == content
        assert build(KERNEL, "sm_90", compiler, cache) == whole and len(compiler.asked) == 2


def test_every_truncation_is_noticed(tmp_path):
    cache = KernelCache(tmp_path)
    cache.store(KEY, Binary("name", b"code\ncode"))
    [path] = tmp_path.iterdir()
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        assert cache.load(KEY) is None


def test_without_a_folder_it_compiles_every_time(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    for cache in (KernelCache(None), KernelCache(blocked / "below")):
        compiler = Counting()
        assert build(KERNEL, "sm_90", compiler, cache) == build(KERNEL, "sm_90", compiler, cache)
        assert len(compiler.asked) == 2
        assert not cache.store(KEY, Binary("a", b"b"))


@pytest.mark.skipif(os.name == "nt" or os.getuid() == 0, reason="permissions do not bind this user")
def test_a_read_only_folder_only_costs_time(tmp_path):
    tmp_path.chmod(0o500)
    try:
        assert not KernelCache(tmp_path).store(KEY, Binary("a", b"b"))
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("failing", ["mkstemp", "fdopen"])
def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch, failing):
    def full(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    owner = cache_module.tempfile if failing == "mkstemp" else cache_module.os
    with monkeypatch.context() as patch:
        patch.setattr(owner, failing, full)
        compiler = Counting()
        build(KERNEL, "sm_90", compiler, KernelCache(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_files_used_longest_ago_are_deleted(tmp_path):
    cache = KernelCache(tmp_path, max_bytes=3500)
    for number in range(3):
        cache.store(str(number), Binary("s", bytes(1000)))
        os.utime(tmp_path / f"{number}.cubin", (number, number))
    assert cache.load("0") is not None  # makes it the newest
    cache.store("3", Binary("s", bytes(1000)))
    assert [cache.load(str(number)) is not None for number in range(4)] == [True, False, True, True]


def _work(folder: Path, seconds: float, results) -> None:
    cache, until, wrong, compiled = KernelCache(folder, max_bytes=9000), time.monotonic() + seconds, 0, 0
    number = 0
    while time.monotonic() < until:
        number += 1
        architecture = f"sm_{number % 7}"
        compiler = Counting()
        binary = build(KERNEL, architecture, compiler, cache)
        compiled += len(compiler.asked)
        wrong += binary != Counting().compile("", KERNEL, architecture)
    results.put((number, compiled, wrong))


def test_many_processes_share_a_folder(tmp_path):
    """Four processes store, load and trim at the same time: each always gets the right kernel."""
    context = multiprocessing.get_context("fork" if os.name != "nt" else "spawn")
    results = context.Queue()
    processes = [context.Process(target=_work, args=(tmp_path, 1.0, results)) for _ in range(4)]
    for process in processes:
        process.start()
    outcomes = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert all(process.exitcode == 0 for process in processes)
    assert all(number > 0 and wrong == 0 for number, _, wrong in outcomes), outcomes
    assert not list(tmp_path.glob("*.tmp"))


def test_the_platform_and_the_environment_choose_the_folder():
    home = Path.home()
    assert default_directory({}, "linux") == home / ".cache" / "wdam" / "kernels"
    assert default_directory({"XDG_CACHE_HOME": "/x"}, "linux") == Path("/x/wdam/kernels")
    assert default_directory({}, "darwin") == home / "Library" / "Caches" / "wdam" / "kernels"
    assert default_directory({"LOCALAPPDATA": "C:/l"}, "win32") == Path("C:/l/wdam/kernels")
    assert default_directory({}, "win32") == home / "AppData" / "Local" / "wdam" / "kernels"
    assert default_directory({"WDAM_CACHE_DIR": "/mine", "XDG_CACHE_HOME": "/x"}, "linux") == Path("/mine")
    assert default_directory({"WDAM_CACHE_DIR": ""}, "linux") is None


def test_without_a_home_there_is_no_cache(monkeypatch):
    def none() -> Path:
        raise RuntimeError("could not determine home directory")

    monkeypatch.setattr(Path, "home", none)
    assert default_directory({}, "linux") is None


def test_a_source_is_one_text_without_includes():
    for name in ("wdam_pool.cu", "wdam_reweight.cu", "wdam_backward.cu", "wdam_mlp.cu", "haar.cu", "filterbank.cu"):
        text = source_text(name)
        assert "#include" not in text and text.count("struct Patch") == 1
