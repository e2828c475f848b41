"""What can be said on the command line, and what is refused before anything is read."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from fmas_evaluate import __version__
from fmas_evaluate.files import printable

__all__ = ["PLOT_SUFFIXES", "PROTOCOL_NAMES", "Options", "parse"]

PLOT_SUFFIXES: Final = (".pdf", ".png", ".svg")
PROTOCOL_NAMES: Final = ("mvtec_ad", "mvtec_ad2", "mvtec_3d_sampled", "rd4ad", "visa")
"""Those of ``fmas_evaluate.protocols``, which help need not import."""

_DESCRIPTION: Final = """\
Measure score maps against defect masks: image and pixel AUROC, average
precision, F1-max and PRO, exactly, one image at a time.

  maps/<dir>/<stem>.tiff   belongs to   truth/<dir>/<stem>_mask.png
                                 or to   truth/<dir>/<stem>.png

A folder named good needs no mask; any other missing mask, and any mask without
a map, is an error, and all of them are listed. MVTec's folders test and
ground_truth are understood, and folders of categories above <dir>. TRUTH may
also be VisA's split table (CSV). Maps and masks: TIFF, PNG with 8 or 16 bits,
NPY, NPZ; larger scores are more anomalous.
"""

_EPILOG: Final = """\
examples:
  fmas-evaluate --maps out/maps --truth mvtec/bottle/ground_truth
  fmas-evaluate --maps mine/maps --truth truth --compare theirs/maps \\
                --html report.html
  fmas-evaluate --maps maps --truth mvtec --per-class --markdown - > table.md

exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted
"""


class Options(argparse.Namespace):
    """The command line, checked.

    Attributes:
        maps: Folder of score maps.
        truth: Folder of masks, or VisA's table.
        scores: Table of image scores; ``None``: the one beside ``maps`` if it is there.
        images: Folder of the photographs, for the HTML page.
        compare: Folder of another method's score maps.
        compare_scores: Its table of image scores, as ``scores``.
        max_fpr: Limits of PRO, each in ``(0, 1]``; the first is the one called ``aupro``.
        mask_threshold: Mask values above it mark defects; ``None``: masks have two values.
        protocol: Published protocol to follow as well.
        per_class: Whether to give a row per category or kind of defect.
        bootstrap: Replicates for the intervals; 0 for none.
        confidence: Of these intervals, in ``(0, 1)``.
        seed: Of the bootstrap.
        mode: How to count.
        bins: Of the histogram, a power of two.
        threads: To sort with; ``None``: one per processor.
        json: Whether to print JSON.
        csv: Where to write CSV; ``-`` for standard output.
        markdown: Where to write Markdown.
        latex: Where to write LaTeX.
        html: Where to write the page.
        plot: Where to write the figure.
        worst: How many of the worst images the page shows, of each kind.
        quiet: Whether to leave the progress bar away.
    """

    maps: Path
    truth: Path
    scores: Path | None
    images: Path | None
    compare: Path | None
    compare_scores: Path | None
    max_fpr: Sequence[float]
    mask_threshold: float | None
    protocol: str | None
    per_class: bool
    bootstrap: int
    confidence: float
    seed: int
    mode: Literal["exact", "histogram"]
    bins: int
    threads: int | None
    json: bool
    csv: str | None
    markdown: str | None
    latex: str | None
    html: str | None
    plot: str | None
    worst: int
    quiet: bool


def parse(arguments: Sequence[str] | None, *, program: str) -> Options:
    """Return the options, or leave with ``SystemExit``: 0 after ``--help``, 2 for wrong usage.

    Args:
        arguments: Without the program's name; ``None`` for the process's own.
        program: What the help calls the command.
    """
    parser = _parser(program)
    options = parser.parse_args(arguments, namespace=Options())
    shared = [name for name in ("csv", "markdown", "latex", "html") if getattr(options, name) == "-"]
    shared += ["json"] if options.json else []
    if len(shared) > 1:
        given = " and ".join(f"--{name}" for name in shared)
        parser.error(f"expected one result on standard output, got {given}; write the others to files")
    if len(set(options.max_fpr)) < len(options.max_fpr):
        parser.error(f"expected different limits in --max-fpr, got {options.max_fpr}; name each once")
    if options.compare_scores is not None and options.compare is None:
        parser.error("expected --compare DIR beside --compare-scores, got none; name the other method's maps")
    if options.mode == "histogram" and (options.bootstrap or options.compare is not None or options.protocol):
        parser.error(
            "expected --mode exact for --bootstrap, --compare and --protocol, got histogram; leave one of them away"
        )
    return options


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description=_DESCRIPTION,
        epilog=_EPILOG.replace("fmas-evaluate", program),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # a script must not break because an option was added
    )
    parser.add_argument("--version", action="version", version=__version__)
    _add_inputs(parser.add_argument_group("what to evaluate"))
    _add_measures(parser.add_argument_group("how to measure"))
    _add_results(parser.add_argument_group("where results go (- is standard output; the default is a table there)"))
    return parser


def _add_inputs(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--maps", type=_folder, required=True, metavar="DIR", help="score maps")
    group.add_argument(
        "--truth", type=_existing, required=True, metavar="PATH", help="defect masks, or VisA's table (CSV)"
    )
    group.add_argument(
        "--scores",
        type=_file,
        metavar="FILE",
        help="image scores, CSV with the columns path,score (default: DIR/../scores.csv if it is there, else each "
        "map's maximum)",
    )
    group.add_argument(
        "--images", type=_folder, metavar="DIR", help="photographs for --html, in folders like the maps'"
    )
    group.add_argument(
        "--compare", type=_folder, metavar="OTHER_MAPS", help="another method's maps of the same images: paired test"
    )
    group.add_argument("--compare-scores", type=_file, metavar="FILE", help="its image scores")
    group.add_argument(
        "--mask-threshold",
        type=_finite,
        metavar="T",
        help="mask values above T mark defects; without it masks hold 0 and 1 or 0 and 255 (default with VisA: 0)",
    )


def _add_measures(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--max-fpr",
        type=_fraction,
        nargs="+",
        default=(0.3, 0.05),
        metavar="L",
        help="limits of PRO; the first is the one called aupro (default: 0.3 0.05)",
    )
    group.add_argument("--per-class", action="store_true", help="a row per category, or per kind of defect, and means")
    group.add_argument(
        "--bootstrap",
        type=_count,
        default=0,
        metavar="N",
        help="intervals from N resamples of the images; --compare draws 1000 if this is left out",
    )
    group.add_argument(
        "--confidence", type=_share, default=0.95, metavar="C", help="of these intervals (default: 0.95)"
    )
    group.add_argument("--seed", type=_count, default=0, metavar="N", help="of the resampling (default: 0)")
    group.add_argument(
        "--protocol",
        choices=PROTOCOL_NAMES,
        metavar="NAME",
        help=f"compute it as published code does, too, and show the gap: {', '.join(PROTOCOL_NAMES)}",
    )
    group.add_argument(
        "--mode",
        choices=("exact", "histogram"),
        default="exact",
        help="exact reads the maps twice; histogram once, in fixed memory, with certified bounds (default: exact)",
    )
    group.add_argument(
        "--bins", type=_bins, default=2**20, metavar="N", help="of the histogram, a power of two (default: 1048576)"
    )
    group.add_argument("--threads", type=_positive, metavar="N", help="to sort with (default: one per processor)")


def _add_results(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--json", action="store_true", help="print JSON instead of the table")
    for name, title in (("csv", "CSV"), ("markdown", "a Markdown table"), ("latex", "a LaTeX table")):
        group.add_argument(f"--{name}", type=_target, metavar="FILE", help=f"write {title}")
    group.add_argument(
        "--html", type=_target, metavar="FILE", help="write one self-contained page with curves and the worst images"
    )
    group.add_argument("--plot", type=_figure, metavar="FILE", help="draw ROC, PR and PRO (.png, .svg or .pdf)")
    group.add_argument(
        "--worst", type=_count, default=6, metavar="N", help="worst misses and false alarms on the page (default: 6)"
    )
    group.add_argument("-q", "--quiet", action="store_true", help="no progress bar")


def _refused(expected: str, got: str, advice: str) -> argparse.ArgumentTypeError:
    return argparse.ArgumentTypeError(f"expected {expected}, got {printable(got) or 'nothing'}; {advice}")


def _existing(text: str) -> Path:
    if not text.strip():
        raise _refused("a path", text, "is a shell variable unset?")
    if "\0" in text or not Path(text).exists():
        raise _refused("a file or folder that exists", text, "check the path")
    return Path(text)


def _folder(text: str) -> Path:
    path = _existing(text)
    if not path.is_dir():
        raise _refused("a folder", text, "check the path")
    return path


def _file(text: str) -> Path:
    path = _existing(text)
    if path.is_dir():
        raise _refused("a file", text, "name the table, e.g. scores.csv")
    return path


def _target(text: str) -> str:
    if text == "-":
        return text
    path = Path(text)
    if not text.strip() or "\0" in text or path.is_dir():
        raise _refused("a file to write", text, "name a file")
    if not path.resolve().parent.is_dir():
        raise _refused("a file in a folder that exists", text, "make the folder first")
    return text


def _figure(text: str) -> str:
    if Path(_target(text)).suffix.lower() not in PLOT_SUFFIXES:
        raise _refused(f"a name ending in {', '.join(PLOT_SUFFIXES)}", text, "name the file so")
    return text


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _finite(text: str) -> float:
    if not math.isfinite(_number(text)):
        raise _refused("a number", text, "give it in the masks' unit, e.g. 127")
    return _number(text)


def _fraction(text: str) -> float:
    if not 0 < _number(text) <= 1:
        raise _refused("a false-positive rate in (0, 1]", text, "give a fraction, e.g. 0.3")
    return _number(text)


def _share(text: str) -> float:
    if not 0 < _number(text) < 1:
        raise _refused("a fraction in (0, 1)", text, "e.g. 0.95")
    return _number(text)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise _refused("a whole number", text, "give 0 or more")
    return int(text)


def _bins(text: str) -> int:
    count = _count(text)
    if count & (count - 1) or not 2**10 <= count <= 2**24:
        raise _refused("a power of two from 1024 to 16777216", text, "give e.g. 1048576")
    return count


def _positive(text: str) -> int:
    if _count(text) < 1:
        raise _refused("a whole number", text, "give 1 or more")
    return int(text)
