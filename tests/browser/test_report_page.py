"""The page of ``fmas report`` in a real Chromium: pictures, filters, keys, zoom, blink, themes, thousands of rows."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fmas.decisions import Decision, DecisionLog
from fmas.layout import OutputLayout
from fmas.report import write_report
from fmas.report.pictures import PairPictures, PictureReader
from fmas.report.rows import PairRow

Open = Callable[..., Any]
Make = Callable[..., Path]

HOSTILE = """</script><script>document.title='broken'</script><img src=x onerror="document.title='broken'">"""


@pytest.fixture(scope="session")
def report(make_output: Make) -> Path:
    """A report of twelve pairs and two failures."""
    return write_report(make_output(12, failures=2))


@pytest.fixture
def page(report: Path, open_report: Open) -> Any:
    return open_report(report)


def shown(page: Any) -> list[str]:
    """Return the numbers of the pairs on screen, in order."""
    return [text.strip() for text in page.locator("#list > li .stem").all_inner_texts()]


def until(page: Any, expression: str, argument: object = None) -> None:
    """Wait until a function of the page's is true; Playwright's own way is one that the page's policy forbids."""
    deadline = time.monotonic() + 20
    while not page.evaluate(expression, argument):
        assert time.monotonic() < deadline, f"never true: {expression} {argument or ''}"
        page.wait_for_timeout(20)


def fitting(page: Any, words: str) -> None:
    until(page, "words => document.getElementById('showing').textContent === words", words)


def magnification(page: Any) -> int:
    until(page, "() => parseInt(document.querySelector('.scale').textContent) > 0")
    return int(page.locator(".scale").inner_text().split()[0])


def current(page: Any) -> str:
    return page.locator("#list [aria-current=true] .stem").inner_text().strip()


def drawn(page: Any) -> None:
    """Wait until every card on screen has its pictures."""
    until(page, "() => [...document.querySelectorAll('#list article')].every(one => one.classList.contains('drawn'))")


def pixels(page: Any, selector: str) -> list[list[int]]:
    """Return the 500 most frequent colours of a canvas, most frequent first."""
    return page.eval_on_selector(
        selector,
        """canvas => {
            const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            const counts = new Map();
            for (let at = 0; at < data.length; at += 4) {
                const key = data.slice(at, at + 4).join();
                counts.set(key, (counts.get(key) ?? 0) + 1);
            }
            const sorted = [...counts].sort((one, other) => other[1] - one[1]).slice(0, 500);
            return sorted.map(([key]) => key.split(',').map(Number));
        }""",
    )


def test_each_pair_shows_four_pictures_with_something_in_them(page: Any) -> None:
    drawn(page)
    first = "#list > li:first-child"
    captions = page.locator(f"{first} figcaption").all_inner_texts()
    assert captions[:3] == ["normal", "result", "mask outline"]
    assert re.fullmatch(r"difference, to \d+", captions[3])
    normal, result, mask, difference = (
        pixels(page, f"{first} .{what} canvas") for what in ("normal", "result", "mask", "difference")
    )
    assert len(normal) > 50
    assert [colour for colour in result if colour[:3] not in [one[:3] for one in normal]]
    assert any(colour[0] > 200 and colour[1] < 90 and 90 < colour[2] < 200 for colour in mask), "the outline"
    assert difference[0] == [0, 0, 4, 255], "black where nothing changed"
    assert any(sum(colour[:3]) > 600 for colour in difference)
    for name in page.eval_on_selector_all(f"{first} canvas", "all => all.map(one => one.getAttribute('aria-label'))"):
        assert name


def test_outside_the_mask_the_result_is_the_photograph(page: Any) -> None:
    drawn(page)
    differing = page.evaluate(
        """() => {
            const [one, other] = ['normal', 'result'].map(what => {
                const canvas = document.querySelector(`#list > li:first-child .${what} canvas`);
                return canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            });
            const box = [Infinity, Infinity, -1, -1];
            let count = 0;
            for (let at = 0; at < one.data.length; at += 4) {
                if ([0, 1, 2].every(channel => one.data[at + channel] === other.data[at + channel])) continue;
                const [x, y] = [(at / 4) % one.width, Math.floor(at / 4 / one.width)];
                box[0] = Math.min(box[0], x); box[1] = Math.min(box[1], y);
                box[2] = Math.max(box[2], x); box[3] = Math.max(box[3], y);
                count += 1;
            }
            return { share: count / (one.width * one.height), box, width: one.width };
        }"""
    )
    # The mask is 20 x 20 of 96 x 96 pixels, less a hole.
    assert 0.03 < differing["share"] < 0.05
    scale = differing["width"] / 96
    left, top, right, bottom = differing["box"]
    assert right - left < 22 * scale
    assert bottom - top < 22 * scale


def test_filters_by_kind_band_and_reason_and_reset(page: Any) -> None:
    fitting(page, "12 of 12 pairs")
    page.get_by_label(re.compile("^crack")).check()
    fitting(page, "3 of 12 pairs")
    assert shown(page) == ["000000", "000004", "000008"]
    page.get_by_label(re.compile("^dent")).check()
    fitting(page, "6 of 12 pairs")
    page.get_by_label(re.compile("^nothing rejected")).check()
    fitting(page, "2 of 12 pairs")  # every third has none
    page.get_by_role("button", name="Reset", exact=True).click()
    fitting(page, "12 of 12 pairs")
    page.get_by_label(re.compile("^below")).check()
    fitting(page, "12 of 12 pairs")  # scores 0.1 to 0.133, the band begins at 0.16
    page.get_by_label(re.compile("^below")).uncheck()
    page.get_by_label(re.compile("^inside")).check()
    fitting(page, "0 of 12 pairs")
    page.get_by_role("button", name="Reset them").click()
    fitting(page, "12 of 12 pairs")


def test_filters_by_score_and_severity_with_the_keyboard(page: Any) -> None:
    fitting(page, "12 of 12 pairs")
    page.get_by_label("Severity, least shown").focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    fitting(page, "8 of 12 pairs")
    expected = [f"{stem:06d}" for stem in range(12) if 0.2 + 0.1 * (stem % 7) >= 0.4 - 1e-9]
    page.evaluate("scrollTo(0, 0)")
    assert set(shown(page)) <= set(expected)
    assert page.get_by_label("Severity, least shown").get_attribute("aria-valuetext") == "0.40"


def test_finds_and_sorts(page: Any) -> None:
    page.get_by_label("Find").fill("dent 00005")
    fitting(page, "1 of 12 pairs")
    assert shown(page) == ["000005"]
    page.get_by_label("Find").fill("")
    fitting(page, "12 of 12 pairs")
    page.get_by_label("Sort").select_option(label="score, strongest first")
    until(page, "() => document.querySelector('#list .stem').textContent === '000011'")


def test_reload_and_a_copied_address_keep_filters(page: Any, report: Path, open_report: Open) -> None:
    page.get_by_label(re.compile("^stain")).check()
    page.get_by_label("Find").fill("line 1/part")
    fitting(page, "1 of 12 pairs")
    page.reload()
    fitting(page, "1 of 12 pairs")
    assert page.get_by_label(re.compile("^stain")).is_checked()
    assert page.get_by_label("Find").input_value() == "line 1/part"
    other = open_report(report, fragment=page.url.split("#")[1])
    fitting(other, "1 of 12 pairs")


def test_keys_go_through_the_pairs(page: Any) -> None:
    assert current(page) == "000000"
    for key, expected in (
        ("j", "000001"),
        ("ArrowDown", "000002"),
        ("ArrowRight", "000003"),
        ("k", "000002"),
        ("ArrowUp", "000001"),
        ("End", "000011"),
        ("j", "000011"),
        ("Home", "000000"),
        ("k", "000000"),
    ):
        page.keyboard.press(key)
        assert current(page) == expected, key
        box = page.locator("#list [aria-current=true]").bounding_box()
        assert 0 <= box["y"] < 1000 - 200, key
        assert page.evaluate("document.activeElement === document.querySelector('#list [aria-current=true]')")


def test_typing_into_a_field_presses_no_key(page: Any) -> None:
    page.keyboard.press("/")
    page.keyboard.type("zbj?")
    assert page.get_by_label("Find").input_value() == "zbj?"
    assert not page.locator("dialog[open]").count()
    page.get_by_label("Find").fill("")
    page.get_by_role("button", name="Keys").click()
    page.get_by_label("Single keys are on").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("z")
    assert not page.locator("dialog[open]").count()
    page.keyboard.press("ArrowDown")
    assert current(page) == "000001"


def test_zoom_shows_the_recipe_and_magnifies(page: Any) -> None:
    page.keyboard.press("j")
    page.keyboard.press("z")
    loupe = page.locator("#loupe[open]")
    loupe.wait_for()
    text = loupe.inner_text()
    for words in (
        "000001 dent no. 1",
        "a photograph with a dent",
        "text, watermark",
        "9007199254740993",
        "inpainter: builtin 1",
        "0.30, planned 0.50",
        "1 ✓ kept",
        "0.103",
        "below 0.16 to 0.32",
        "too_small",
        "dataset/part/test/dent/000001.png",
        "fmas run 'photographs of '\"'\"'parts'\"'\"'' --config out/config.resolved.yaml --out out-again --limit 1",
    ):
        assert words in text, words
    drawn(page)
    before = magnification(page)
    first = pixels(page, "#loupe .normal canvas")
    page.keyboard.press("+")
    until(page, "before => parseInt(document.querySelector('.scale').textContent) > before", before)
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("w")
    until(page, "before => parseInt(document.querySelector('.scale').textContent) < before", before)
    assert pixels(page, "#loupe .normal canvas") != first
    page.get_by_role("button", name="Two panes").click()
    assert page.locator("#loupe .pane").count() == 2
    page.keyboard.press("j")
    assert "000002" in loupe.locator("h2").inner_text()
    page.keyboard.press("z")
    assert not page.locator("dialog[open]").count()
    assert current(page) == "000002"
    assert page.evaluate("document.activeElement.getAttribute('aria-current')") == "true"


def test_blink_starts_when_asked_and_never_flashes_faster_than_three_times_a_second(page: Any) -> None:
    drawn(page)
    page.evaluate(
        """() => {
            window.changes = [];
            const caption = document.querySelector('#list > li:first-child .result figcaption');
            const note = () => window.changes.push([performance.now(), caption.textContent]);
            new MutationObserver(note).observe(caption, { childList: true, characterData: true, subtree: true });
        }"""
    )
    page.wait_for_timeout(700)
    assert page.evaluate("window.changes") == []
    page.keyboard.press(" ")
    page.wait_for_timeout(2300)
    for _ in range(3):
        page.keyboard.press("b")  # as fast as a test can; all but the first are too soon
    page.wait_for_timeout(900)
    changes = page.evaluate("window.changes")
    words = [text for _, text in changes]
    assert words[:4] == ["normal ⇄", "result ⇄", "normal ⇄", "result ⇄"]
    assert words[-1] == "result"
    times = [at for at, _ in changes[:-1]]
    assert all(later - earlier > 1000 / 6 for earlier, later in itertools.pairwise(times))
    assert page.locator("#said").inner_text().strip() == "Blinking stopped"


def test_under_reduced_motion_each_press_changes_once(report: Path, open_report: Open) -> None:
    page = open_report(report, reduced_motion="reduce")
    drawn(page)
    caption = page.locator("#list > li:first-child .result figcaption")
    page.keyboard.press("b")
    assert caption.inner_text() == "normal ⇄"
    page.wait_for_timeout(1300)
    assert caption.inner_text() == "normal ⇄"
    page.keyboard.press("b")
    assert caption.inner_text() == "result ⇄"


def test_sheet_shows_one_picture_of_each(page: Any) -> None:
    page.keyboard.press("g")
    drawn(page)
    assert page.locator("#list canvas").count() == 12
    page.keyboard.press("ArrowDown")
    assert int(current(page)) >= 4
    page.reload()
    page.wait_for_selector("#list.sheet")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_theme_follows_the_system_until_chosen(report: Path, open_report: Open, scheme: str) -> None:
    page = open_report(report, color_scheme=scheme)

    def lightness() -> float:
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(int(number) for number in re.findall(r"\d+", colour)[:3]) / 3

    assert (lightness() > 200) == (scheme == "light")
    page.get_by_role("button", name="Theme: system").click()
    assert lightness() > 200
    page.get_by_role("button", name="Theme: light").click()
    assert lightness() < 60
    page.reload()
    assert lightness() < 60


INK_ON_GROUND = (
    ("--ink", "--page"), ("--ink", "--card"), ("--ink", "--wash"), ("--ink", "--raised"), ("--soft", "--page"),
    ("--soft", "--card"), ("--accent", "--card"), ("--accent", "--wash"), ("--on-accent", "--accent"),
    ("--alarm", "--card"), ("--alarm", "--alarm-wash"), ("--keep", "--keep-wash"), ("--warn", "--warn-wash"),
    ("--card", "--keep"), ("--card", "--alarm"),
)  # fmt: skip


def luminance(colour: list[float]) -> float:
    """Return the relative luminance of WCAG 2 of an sRGB colour, 0..255 each."""
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in (c / 255 for c in colour)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast(report: Path, open_report: Open, scheme: str) -> None:
    page = open_report(report, color_scheme=scheme)
    colours = page.evaluate(
        """names => {
            const probe = document.body.appendChild(document.createElement('i'));
            return Object.fromEntries(names.map(name => {
                probe.style.color = `var(${name})`;
                return [name, getComputedStyle(probe).color.match(/[0-9.]+/g).slice(0, 3).map(Number)];
            }));
        }""",
        sorted({name for pair in INK_ON_GROUND for name in pair}),
    )
    for ink, ground in INK_ON_GROUND:
        lighter, darker = sorted((luminance(colours[ink]), luminance(colours[ground])), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, f"{ink} on {ground}"


def test_narrow_windows_need_no_sideways_scrolling(report: Path, open_report: Open) -> None:
    for width in (360, 768, 1100):
        page = open_report(report, viewport={"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, width
        if width < 1000:
            assert not page.locator("#filters").is_visible()
            page.get_by_role("button", name="Filters").click()
            page.get_by_label(re.compile("^crack")).check()
            fitting(page, "3 of 12 pairs")


def test_every_control_has_a_name_and_the_tab_key_reaches_them_in_order(page: Any) -> None:
    nameless = page.evaluate(
        """() => {
            const asked = 'button, input, select, a, summary, canvas, svg, [tabindex], section, aside';
            const name = one => one.getAttribute('aria-label') || one.textContent.trim()
                || one.labels?.[0]?.textContent.trim()
                || document.getElementById(one.getAttribute('aria-labelledby'))?.textContent.trim();
            return [...document.querySelectorAll(asked)]
                .filter(one => one.checkVisibility() && !one.closest('[aria-hidden]') && !name(one))
                .map(one => one.outerHTML.slice(0, 90));
        }"""
    )
    assert nameless == []
    ids = page.eval_on_selector_all("[id]", "all => all.map(one => one.id)")
    assert len(ids) == len(set(ids))
    assert page.locator("header, main, aside, section").count() >= 4
    seen = []
    for _ in range(40):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate(
                """() => {
                    const one = document.activeElement;
                    const ring = getComputedStyle(one).outlineStyle !== 'none' || one.matches('input[type=range]');
                    return [one.id || one.name || one.tagName, ring, one === document.body];
                }"""
            )
        )
    order = [name for name, _, _ in seen]
    assert order[0] == "A", "the way to the pairs comes first"
    assert all(ring for _, ring, at_end in seen if not at_end), seen
    wanted = ["theme", "keys", "reset", "kind", "score-least", "severity-most", "find", "sort", "rows", "ARTICLE"]
    places = [order.index(name) for name in wanted]
    assert places == sorted(places)
    # Only the current pair takes part in the tab order.
    assert page.locator("#list article[tabindex='0']").count() == 1


def test_failures_and_rejections_are_told(page: Any) -> None:
    failed = page.locator("#failed")
    assert "2 pairs failed" in failed.inner_text()
    assert "all candidates of 12 failed" in failed.inner_text()
    card = page.locator("#list > li").nth(1).inner_text()
    assert "rejected: 1 too_small" in card
    assert "below 0.16 to 0.32" in card
    page.get_by_text("How to read this page").click()
    assert page.get_by_text("A surface that was painted anew counts as changed").is_visible()


def test_hostile_text_is_text(make_output: Make, open_report: Open) -> None:
    hostile = {
        "source": HOSTILE,
        "prompt": HOSTILE,
        "negative_prompt": HOSTILE,
        "defect_name": HOSTILE,
        "kind": HOSTILE,
        "region_shape": HOSTILE,
    }
    page = open_report(write_report(make_output(3, change=lambda stem, row: hostile, object_=HOSTILE)))
    page.keyboard.press("z")
    page.wait_for_selector("#loupe[open]")
    assert HOSTILE in page.locator(".recipe").inner_text()
    assert page.title() == f"{HOSTILE}: synthetic defects"
    assert page.locator("img").count() == 0
    assert page.locator("script:not([type='application/json'])").count() == 1


def test_long_prompt_does_not_push_the_recipe_away_and_text_from_right_to_left_stays_where_it_is(
    make_output: Make, open_report: Open
) -> None:
    prompt = "a deep scratch across the part, " * 125
    name = "\u202edent"  # claims to run from right to left, and never says until where
    page = open_report(write_report(make_output(1, change=lambda stem, row: {"prompt": prompt, "defect_name": name})))
    page.keyboard.press("z")
    page.wait_for_selector("#loupe[open]")
    passage = page.locator(".recipe .passage")
    assert passage.text_content() == prompt
    assert passage.evaluate("one => one.clientHeight < 260 && one.scrollHeight > one.clientHeight")
    assert passage.get_attribute("tabindex") == "0"
    order = page.evaluate(
        """() => {
            const names = [...document.querySelectorAll('.recipe dt')];
            const fact = names.find(one => one.textContent === 'defect').nextSibling;
            const range = document.createRange();
            range.selectNodeContents(fact.lastChild);
            return [fact.firstChild.getBoundingClientRect().right, range.getBoundingClientRect().left];
        }"""
    )
    assert order[0] <= order[1] + 1, "the kind stands behind the name"


def test_missing_and_broken_files_are_said_in_their_pair(make_output: Make, open_report: Open) -> None:
    def change(stem: int, row: dict[str, Any]) -> dict[str, Any]:
        return {"file_name": "test/crack/gone.png"} if stem == 0 else {}

    page = open_report(write_report(make_output(2, change=change)))
    drawn(page)
    first = page.locator("#list > li").first
    assert first.locator(".problems").inner_text() == "test/crack/gone.png: missing"
    assert first.locator(".result .unavailable").inner_text() == "test/crack/gone.png cannot be shown"
    assert first.locator(".difference .unavailable").is_visible()
    assert first.locator(".normal canvas").is_visible()
    assert not page.locator("#list > li").nth(1).locator(".problems").is_visible()


@pytest.mark.parametrize("width", [390, 1021, 1300])
def test_everything_of_a_row_that_says_a_lot_can_be_seen_and_pressed(
    make_output: Make, open_report: Open, width: int
) -> None:
    crowded = {
        "defect_name": "a scratch from the gripper, " * 4,
        "kind": "contamination",
        "generation": 2,
        "rejections": [
            {"candidate": number, "attempt": 0, "seed": 7, "reason": reason}
            for number, reason in enumerate(("unchanged", "too_small", "black", "off_object", "untrue_mask"))
        ],
        "source": "line 1/" + "part" * 40 + ".png",
        "mask_file_name": "ground_truth/crack/" + "gone" * 20 + ".png",
        "file_name": "test/crack/" + "gone" * 20 + ".png",
    }
    out = make_output(3, change=lambda stem, row: crowded)
    DecisionLog(OutputLayout(out, "part")).append(Decision(0, f"{0:064x}", "drop"))
    page = open_report(write_report(out), viewport={"width": width, "height": 900})
    drawn(page)
    hidden = page.evaluate(
        """() => [...document.querySelectorAll('#list > li:first-child :is(button, .badge, .problems, h3, .locator)')]
            .filter(one => {
                scrollTo(0, 0);
                const { left, top, right, bottom } = one.getBoundingClientRect();
                return [[left + 4, top + 4], [right - 4, bottom - 4], [(left + right) / 2, (top + bottom) / 2]]
                    .some(([x, y]) => {
                        scrollTo(0, 0);
                        if (y > innerHeight) scrollTo(0, y - innerHeight / 2);
                        const seen = document.elementFromPoint(x, y - scrollY);
                        return !one.contains(seen);
                    });
            })
            .map(one => one.textContent || one.className)"""
    )
    assert hidden == []


def test_five_thousand_pairs_stay_fluid(make_output: Make, open_report: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    read = PictureReader.read
    made: dict[str, PairPictures] = {}  # the pairs share a few files; reading them 5,000 times is not what is measured

    def read_once(reader: PictureReader, row: PairRow) -> PairPictures:
        return made.setdefault(row.file_name, made.get(row.file_name) or read(reader, row))

    monkeypatch.setattr(PictureReader, "read", read_once)
    page = open_report(write_report(make_output(5000)))
    fitting(page, "5,000 of 5,000 pairs")
    assert page.locator("#list > li").count() < 30
    # Scrolling to any place draws it; while doing so no task of the page blocks for long.
    slowest = page.evaluate(
        """async () => {
            const longest = [];
            const note = list => longest.push(...list.getEntries().map(one => one.duration));
            new PerformanceObserver(note).observe({ entryTypes: ['longtask'] });
            const height = document.documentElement.scrollHeight;
            for (let step = 1; step <= 30; step += 1) {
                scrollTo(0, height * step / 31);
                await new Promise(requestAnimationFrame);
                await new Promise(resolve => setTimeout(resolve, 30));
            }
            return Math.max(0, ...longest);
        }"""
    )
    assert slowest < 1000
    drawn(page)
    assert page.locator("#list > li").count() < 40
    page.keyboard.press("End")
    assert current(page) == "004999"
    drawn(page)
    took = page.evaluate(
        """async () => {
            const times = [];
            for (const name of ['crack', 'dent', 'stain', 'scratch', 'crack']) {
                const start = performance.now();
                document.querySelector(`input[name=kind][value=${name}]`).click();
                await new Promise(requestAnimationFrame);
                await new Promise(requestAnimationFrame);
                times.push(performance.now() - start);
            }
            return Math.max(...times);
        }"""
    )
    assert took < 1500
    fitting(page, "3,750 of 5,000 pairs")
