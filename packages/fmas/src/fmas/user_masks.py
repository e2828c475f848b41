"""Where the user allows defects: the masks behind ``--region-mask`` (only here) and ``--avoid`` (never here)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal, Self, TypeAlias

import cv2
import numpy as np

from fmas.config import RegionConfig
from fmas.errors import ImageError, UsageError
from fmas.images import pixel_sha256, read_image
from fmas.sources import Source, scan_sources
from fmas.types import BoolMask

__all__ = ["UserMasks"]

_Setting: TypeAlias = Literal["mask", "avoid"]

_HALF = 128  # grey levels from here on are white; masks are often drawn with soft edges
_MOST_COLOUR = 32  # grey levels between channels; more than JPEG adds to a grey picture
_KEPT_SIZES = 4


@dataclass(frozen=True, slots=True, eq=False)
class _Folder:
    """Masks by the relative path of their photograph, without its suffix."""

    path: Path
    files: Mapping[str, Path]


@dataclass(frozen=True, eq=False)
class UserMasks:
    """The masks of a run; picklable, so that every worker has those whose digest the run's identity holds.

    Attributes:
        only: White where a defect may be, of any size; or a folder's; ``None`` for everywhere.
        never: White where none may be, alike.
        digests: ``mask`` and ``avoid`` -> SHA-256, of those that are given.
        notes: Things worth knowing that stop nothing.
        max_pixels: Larger masks of a folder are refused before they are decoded.
    """

    only: BoolMask | _Folder | None = None
    never: BoolMask | _Folder | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    max_pixels: int = 178_956_970
    _by_size: dict[tuple[int, int], BoolMask] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, config: RegionConfig, sources: Sequence[Source], *, max_pixels: int) -> Self:
        """Read single masks, and list folders of them.

        Raises:
            UsageError: If a path leads nowhere, a mask cannot be read or leaves no place, a folder has no mask for
                any photograph, or two for one, or a mask is listed as a photograph itself.
        """
        given = {
            setting: _read_setting(setting, path, sources, max_pixels)
            for setting, path in (("mask", config.mask), ("avoid", config.avoid))
            if path is not None
        }
        only, never = (given[setting].content if setting in given else None for setting in ("mask", "avoid"))
        if (
            isinstance(only, np.ndarray)
            and isinstance(never, np.ndarray)
            and only.shape == never.shape
            and not (only & ~never).any()
        ):
            raise UsageError(
                f"expected some place that region.mask {config.mask} allows and region.avoid {config.avoid} does "
                "not exclude, got none; mend one of them"
            )
        return cls(
            only,
            never,
            digests={setting: one.digest for setting, one in given.items()},
            notes=tuple(one.note for one in given.values() if one.note),
            max_pixels=max_pixels,
        )

    def __bool__(self) -> bool:
        """Whether there are any."""
        return self.only is not None or self.never is not None

    def __getstate__(self) -> dict[str, object]:
        """Leave the resized copies behind."""
        return {**self.__dict__, "_by_size": {}}

    def allowed(self, source: Source, shape: tuple[int, int]) -> BoolMask | None:
        """Return where in a photograph a defect may be.

        Args:
            source: The photograph.
            shape: Its height and width, upright.

        Returns:
            ``(H, W)`` bool, read-only; may be all ``False``. ``None`` for everywhere.

        Raises:
            ImageError: If its mask is missing, cannot be read, or is of another shape.
        """
        if not self:
            return None
        shared = not isinstance(self.only, _Folder) and not isinstance(self.never, _Folder)
        if shared and shape in self._by_size:
            return self._by_size[shape]
        allowed = np.ones(shape, dtype=np.bool_)
        only = self._mask("mask", self.only, source, shape)
        if only is not None:
            allowed &= only
        never = self._mask("avoid", self.never, source, shape)
        if never is not None:
            allowed &= ~never
        allowed.flags.writeable = False
        if shared:
            if len(self._by_size) >= _KEPT_SIZES:
                self._by_size.clear()
            self._by_size[shape] = allowed
        return allowed

    def _mask(
        self, setting: _Setting, given: BoolMask | _Folder | None, source: Source, shape: tuple[int, int]
    ) -> BoolMask | None:
        if given is None:
            return None
        if isinstance(given, _Folder):
            path = given.files.get(_key(source.relative))
            if path is None:
                if setting == "avoid":
                    return None
                raise ImageError(
                    f"expected a mask for {source.relative!r} in region.mask {given.path}, got none; add "
                    f"{_key(source.relative)}.png there, or leave the photograph out"
                )
            given = _read(path, max_pixels=self.max_pixels)[0]
        return _fitted(given, shape, f"region.{setting}")


@dataclass(frozen=True, slots=True, eq=False)
class _Given:
    """What one setting names: pixels or a folder, their digest, and a note for the user or nothing."""

    content: BoolMask | _Folder
    digest: str
    note: str = ""


def _read_setting(setting: str, path: Path, sources: Sequence[Source], max_pixels: int) -> _Given:
    """Read a single mask, or list a folder of them."""
    if path.is_dir():
        folder, digest = _list_folder(setting, path, sources)
        without, note = len(sources) - len(folder.files), ""
        if without:
            fate = "will fail" if setting == "mask" else "have nothing to avoid"
            note = f"region.{setting} {path} has no mask for {without} of {len(sources)} photographs, which {fate}"
        return _Given(folder, digest, note)
    _refuse_among_photographs(setting, [path], sources)
    try:
        mask, brightest = _read(path, max_pixels=max_pixels)
    except ImageError as error:
        raise UsageError(f"{error} (region.{setting})") from error
    if setting == "mask" and not mask.any():
        hint = "got a black one" if brightest == 0 else f"got one whose brightest grey level is {brightest}"
        raise UsageError(
            f"expected white (255) where a defect may be in region.mask {path}, {hint}; mark the place in white on "
            "black"
        )
    if setting == "avoid" and mask.all():
        raise UsageError(
            f"expected black (0) where a defect may be in region.avoid {path}, got a white mask; mark only what to "
            "avoid"
        )
    return _Given(mask, pixel_sha256(mask))


def _list_folder(setting: str, path: Path, sources: Sequence[Source]) -> tuple[_Folder, str]:
    """Find each photograph's mask, and return them with a SHA-256 over their paths and bytes."""
    wanted = {_key(source.relative) for source in sources}
    files: dict[str, Path] = {}
    for found in scan_sources(path).sources:
        key = _key(found.relative)
        if key not in wanted:
            continue
        if key in files:
            raise UsageError(
                f"expected one mask for each photograph in region.{setting} {path}, got {files[key].name!r} and "
                f"{found.path.name!r}; remove one"
            )
        files[key] = found.path
    if not files:
        raise UsageError(
            f"expected masks named like their photographs in region.{setting} {path}, got none for "
            f"{sources[0].relative!r} or any other; name them by the photograph's relative path, such as "
            f"{_key(sources[0].relative)}.png"
        )
    _refuse_among_photographs(setting, list(files.values()), sources)
    digest = hashlib.sha256()
    for key, file in sorted(files.items()):
        try:
            content = hashlib.sha256(file.read_bytes()).hexdigest()
        except OSError:
            content = "unreadable"  # its photograph fails alone
        digest.update(f"{key}\0{content}\0".encode())
    return _Folder(path, files), digest.hexdigest()


def _refuse_among_photographs(setting: str, masks: Sequence[Path], sources: Sequence[Source]) -> None:
    photographs = {source.path.resolve(): source.relative for source in sources}
    for mask in masks:
        if mask.resolve() in photographs:
            raise UsageError(
                f"expected region.{setting} outside the folder of photographs, got {photographs[mask.resolve()]!r}, "
                "which would be taken for a photograph of a good part; move it elsewhere"
            )


def _key(relative: str) -> str:
    return PurePosixPath(relative).with_suffix("").as_posix()


def _read(path: Path, *, max_pixels: int) -> tuple[BoolMask, int]:
    """Return a mask, ``(h, w)`` bool, and the brightest grey level of its file.

    Raises:
        ImageError: If it cannot be read, or has colours.
    """
    pixels, _ = read_image(path, max_pixels=max_pixels, min_side=1)
    low, high = pixels.min(axis=2), pixels.max(axis=2)
    if int((high - low).max()) > _MOST_COLOUR:
        raise ImageError(f"expected a grey mask, got one with colours in {str(path)!r}; save it as white on black")
    return high >= _HALF, int(high.max())


def _is_scaled(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    """Whether one scale takes both sides of ``large`` to those of ``small``, which were rounded."""
    scales = [((side - 0.5) / whole, (side + 0.5) / whole) for side, whole in zip(small, large, strict=True)]
    return max(low for low, _ in scales) <= min(high for _, high in scales)


def _fitted(mask: BoolMask, shape: tuple[int, int], what: str) -> BoolMask:
    """Return a mask in a photograph's size.

    Raises:
        ImageError: If it has another aspect ratio.
    """
    if mask.shape == shape:
        return mask
    (own_height, own_width), (height, width) = mask.shape, shape
    if not _is_scaled(mask.shape, shape) and not _is_scaled(shape, mask.shape):
        turned = " (is it turned? photographs are turned upright first)" if mask.shape == shape[::-1] else ""
        raise ImageError(
            f"expected {what} of the photograph's size {width} x {height} or of its aspect ratio, got "
            f"{own_width} x {own_height}{turned}; redraw it on the photograph, or give a folder with one mask for each"
        )
    resized = cv2.resize(mask.view(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(resized, dtype=np.uint8).view(np.bool_)
