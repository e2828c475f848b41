// The list: only the pairs on screen and a few around them are elements; all rows of a layout are equally high, so that
// the place of any pair is known without making those before it.

const OVERSCAN = 500; // CSS pixels above and below the window
const GAP = 12;

const list = (() => {
  const host = byId("list");
  const bar = byId("bar");
  const mounted = new Map(); // stem -> card
  let shown = [];
  let current = 0;
  let mode = "rows";
  let layout = { columns: 1, width: 0, height: 1, side: 1 };
  let frame = 0;

  const measured = () => {
    const width = host.clientWidth;
    if (mode === "sheet") {
      const columns = Math.max(2, Math.floor((width + GAP) / (168 + GAP)));
      const cell = Math.floor((width - GAP * (columns - 1)) / columns);
      return { columns, width: cell, side: cell, height: cell + 46, narrow: false };
    }
    if (width < 760) {
      const side = Math.floor((width - 24 - 8) / 2);
      return { columns: 1, width, side, height: 2 * (side + 26) + 290, narrow: true };
    }
    const side = Math.min(360, Math.floor((width - 264 - 32 - 4 * 12) / 4));
    return { columns: 1, width, side, height: Math.max(side + 26, 274) + 32, narrow: false };
  };

  const position = (index) => ({
    x: (index % layout.columns) * (layout.width + GAP),
    y: Math.floor(index / layout.columns) * (layout.height + GAP),
  });

  const relayout = () => {
    layout = measured();
    host.style.setProperty("--side", `${layout.side}px`);
    host.classList.toggle("narrow", layout.narrow);
    host.classList.toggle("sheet", mode === "sheet");
    const lines = Math.ceil(shown.length / layout.columns);
    host.style.height = `${Math.max(0, lines * (layout.height + GAP) - GAP)}px`;
  };

  const range = () => {
    const top = -host.getBoundingClientRect().top;
    const line = layout.height + GAP;
    const first = Math.max(0, Math.floor((top - OVERSCAN) / line)) * layout.columns;
    const last = Math.ceil((top + window.innerHeight + OVERSCAN) / line) * layout.columns;
    return [first, Math.min(shown.length, last)];
  };

  const drop = (stem) => {
    mounted.get(stem).remove();
    mounted.delete(stem);
  };

  const put = (card, index) => {
    const { x, y } = position(index);
    card.place(index, shown.length, { x, y, ...layout }, index === current);
  };

  // Elements stand in the order of the pairs, whichever came first: tab and screen reader follow it.
  const render = () => {
    frame = 0;
    const [first, last] = range();
    const wanted = new Set(shown.slice(first, last).map((pair) => pair.stem));
    const focused = document.activeElement?.closest?.("#list > li")?.card;
    for (const [stem, card] of mounted) {
      if (wanted.has(stem)) continue;
      if (card === focused && shown[card.index] === card.pair) continue; // who works with it must not lose it
      drop(stem);
    }
    let next = host.firstElementChild;
    for (let index = first; index < last; index += 1) {
      const pair = shown[index];
      let card = mounted.get(pair.stem);
      if (!card) {
        card = makeCard(pair, mode);
        mounted.set(pair.stem, card);
        while (next && next.card.index < index) next = next.nextElementSibling;
        host.insertBefore(card.element, next);
      }
      put(card, index);
      next = card.element.nextElementSibling;
    }
  };

  const schedule = () => {
    frame ||= requestAnimationFrame(render);
  };

  const clear = () => {
    for (const stem of [...mounted.keys()]) drop(stem);
  };

  const reveal = (index) => {
    const { y } = position(index);
    const top = host.getBoundingClientRect().top + y;
    const above = bar.getBoundingClientRect().height + 8;
    if (top < above) window.scrollBy({ top: top - above, behavior: "instant" });
    else if (top + layout.height > window.innerHeight - 8) {
      window.scrollBy({ top: Math.min(top - above, top + layout.height - window.innerHeight + 8), behavior: "instant" });
    }
  };

  const go = (index, { focus = true } = {}) => {
    if (shown.length === 0) return;
    const before = shown[current];
    current = clamp(index, 0, shown.length - 1);
    if (before !== shown[current]) blink.stop();
    reveal(current);
    render();
    for (const card of mounted.values()) card.mark(card.index === current);
    address.write({ pair: shown[current].id });
    if (focus) mounted.get(shown[current].stem)?.focus();
  };

  const set = (fitting) => {
    const before = shown[current];
    const focused = host.contains(document.activeElement);
    clear();
    shown = fitting;
    current = Math.max(0, shown.indexOf(before));
    relayout();
    // A list that got shorter may end above the window.
    const top = host.getBoundingClientRect().top;
    const above = bar.getBoundingClientRect().height + 8;
    if (top < above && host.getBoundingClientRect().bottom < window.innerHeight) window.scrollBy({ top: top - above, behavior: "instant" });
    render();
    if (focused && shown.length > 0) go(current);
  };

  const layOut = (wanted) => {
    mode = wanted;
    clear();
    relayout();
    reveal(current);
    render();
  };

  // All cards at once, for paper; at most so many.
  const mountAll = (most) => {
    for (let index = 0; index < Math.min(most, shown.length); index += 1) {
      const pair = shown[index];
      if (!mounted.has(pair.stem)) mounted.set(pair.stem, makeCard(pair, mode));
      put(mounted.get(pair.stem), index);
      host.append(mounted.get(pair.stem).element);
    }
    return Promise.all([...mounted.values()].map((card) => card.drawn()));
  };

  window.addEventListener("scroll", schedule, { passive: true });
  new ResizeObserver(() => {
    if (measured().width === layout.width && measured().height === layout.height) return;
    relayout();
    for (const card of mounted.values()) put(card, card.index);
    schedule();
  }).observe(host);
  window.addEventListener("resize", schedule);
  blink.onFlip(() => mounted.forEach((card) => card.flip()));

  return {
    set,
    go,
    layOut,
    render,
    mountAll,
    current: () => shown[current] ?? null,
    index: () => current,
    step: () => layout.columns,
    find: (pair) => shown.indexOf(pair),
    at: (index) => shown[index] ?? null,
    size: () => shown.length,
    redraw: () => mounted.forEach((card) => card.redraw()),
    refresh: (pair) => mounted.get(pair.stem)?.refresh(),
  };
})();
