// One pair in the list: what it is, and its four panes.

const SETTLE_MILLISECONDS = 60; // a card that only flies by is not worth decoding

const settings = { near: true, outline: false };

const meter = (pair) => {
  const scale = 1.15 * Math.max(pair.score, pair.band[1], 1e-9);
  const at = (value) => (100 * value) / scale;
  return draw(
    "svg",
    { class: "meter", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" },
    draw("rect", { class: "track", y: 2, width: 100, height: 4 }),
    draw("rect", { class: "band", x: at(pair.band[0]), y: 2, width: at(pair.band[1] - pair.band[0]), height: 4 }),
    ...pair.candidates.map(({ score }) => draw("rect", { class: "other", x: Math.min(99.2, at(score)), y: 2, width: 0.8, height: 4 })),
    draw("rect", { class: "mark", x: at(pair.score) - 0.7, width: 1.4, height: 8 }),
  );
};

const fact = (name, ...content) => make("div", {}, make("dt", { text: name }), make("dd", {}, ...content));

const chips = (pair) =>
  make(
    "p",
    { class: "chips" },
    make("span", { class: "chip", text: pair.kind }),
    " ",
    make("span", { class: "chip", text: `severity ${severityText(pair.severity)}` }),
    pair.generation > 0 ? make("span", { class: "chip", text: `refilled ${pair.generation}×` }) : null,
  );

const decisionBadge = (pair) => {
  const unsaved = review.unsaved(pair);
  if (pair.verdict === "undecided" && !unsaved) return null;
  const words = { keep: "✓ kept", drop: "✕ dropped", undecided: "undecided" }[pair.verdict];
  return make("span", { class: `badge ${pair.verdict}${unsaved ? " unsaved" : ""}`, text: `${words}${unsaved ? " · not saved yet" : ""}` });
};

const decisionButtons = (pair) =>
  ["keep", "drop"].map((verdict) =>
    make("button", {
      type: "button",
      class: `decide ${verdict}`,
      "aria-pressed": String(pair.verdict === verdict),
      "data-verdict": verdict,
      "aria-label": `${verdict === "keep" ? "Keep" : "Drop"} ${title(pair)}`,
      text: verdict === "keep" ? "Keep" : "Drop",
      onclick: () => review.decide(pair, verdict),
    }),
  );

const markDecision = (host, pair) => {
  for (const button of host.querySelectorAll(".decide")) button.setAttribute("aria-pressed", String(pair.verdict === button.dataset.verdict));
};

const factsOf = (pair, locator, badges, actions) =>
  make(
    "div",
    { class: "facts" },
    make(
      "div",
      { class: "head" },
      make("div", { class: "names" }, make("h3", { id: `t${pair.id}`, title: pair.name }, make("span", { class: "stem", text: pair.id }), " ", apart(pair.name)), chips(pair), badges),
      locator,
    ),
    make(
      "dl",
      {},
      fact("score", make("span", { class: `score ${pair.position}`, text: scoreText(pair.score) }), ` ${bandText(pair)}`, meter(pair)),
      fact("mask", `${areaText(pair.area)}, ${shareText(pair.share)}`),
      fact("candidates", `${pair.candidates.length}, ${pair.rejections.length === 0 ? NOTHING_REJECTED : `rejected: ${rejectedText(pair)}`}`),
      fact("source", make("span", { class: "path", text: pair.source, title: pair.source })),
    ),
    actions,
  );

const paneFigure = (pair, what) => {
  const canvas = make("canvas", { role: "img", "aria-label": paneLabel(pair, what, null) });
  const caption = make("figcaption", {}, what === "mask" ? make("span", { class: "key mask-key" }) : null, make("span", { text: PANE_NAMES[what] }));
  const missing = make("p", { class: "unavailable", hidden: true });
  return { what, canvas, caption: caption.lastChild, missing, element: make("figure", { class: `pane ${what}` }, caption, canvas, missing) };
};

const showPane = (pane, pair, layers, view, options) => {
  const file = missingFile(pair, layers, pane.what);
  pane.canvas.hidden = file !== null;
  pane.missing.hidden = file === null;
  if (file !== null) {
    pane.missing.textContent = `${file} cannot be shown`;
    return;
  }
  const blinking = pane.what === "result" && blink.running(pair);
  const what = pane.what === "result" ? blink.showing(pair) : pane.what;
  if (pane.what === "result") pane.caption.textContent = blinking ? `${what} ⇄` : "result";
  if (pane.what === "difference") pane.caption.textContent = `difference, to ${layers.peak}`;
  pane.canvas.setAttribute("aria-label", paneLabel(pair, pane.what, layers));
  drawPane(pane.canvas, pair, layers, what, view, options);
};

const makeCard = (pair, mode) => {
  const inRows = mode === "rows";
  const panes = (inRows ? PANES : ["result"]).map((what) => paneFigure(pair, what));
  const locator = make("canvas", { class: "locator", role: "img", "aria-label": "Where on the photograph the region and the part shown are" });
  const badges = make("div", { class: "badges" });
  const open = () => {
    list.go(list.find(pair), { focus: false });
    loupe.open();
  };
  const actions = make(
    "div",
    { class: "actions" },
    ...(reviewing ? decisionButtons(pair) : []),
    make("button", { type: "button", "aria-label": `Zoom and recipe of ${title(pair)}`, onclick: open, text: "Zoom" }),
    make("button", { type: "button", class: "blink", "aria-label": `Blink ${title(pair)}`, "aria-pressed": "false", onclick: () => blink.toggle(pair), text: "Blink" }),
  );
  const article = make("article", { "aria-labelledby": `t${pair.id}`, tabindex: -1, class: inRows ? "pair" : "cell" });
  if (inRows) {
    article.append(factsOf(pair, locator, badges, actions), make("div", { class: "panes" }, ...panes.map((pane) => pane.element)));
  } else {
    const label = make("h3", { id: `t${pair.id}`, title: pair.name }, make("span", { class: "stem", text: pair.id }), " ", apart(pair.name));
    article.append(panes[0].element, make("div", { class: "cell-words" }, label, make("span", { class: `score ${pair.position}`, text: scoreText(pair.score), title: bandText(pair) })), badges);
  }
  const problems = make("ul", { class: "problems", hidden: true });
  if (inRows) article.firstElementChild.insertBefore(problems, actions);
  const element = make("li", {}, article);

  let layers = null;
  let size = null;
  let taken = false;
  let removed = false;
  let finished = () => {};
  const drawn = new Promise((resolve) => (finished = resolve));

  const redraw = () => {
    if (!layers || !size) return;
    const everything = [0, 0, pair.width, pair.height];
    const view = fitted(settings.near ? layers.box : everything, size.side, size.side);
    for (const pane of panes) showPane(pane, pair, layers, view, { width: size.side, height: size.side, outline: settings.outline });
    if (!inRows) return;
    const scale = 84 / Math.max(pair.width, pair.height);
    const [width, height] = [pair.width * scale, pair.height * scale];
    locator.style.width = `${width}px`;
    locator.style.height = `${height}px`;
    drawPane(locator, pair, layers, "result", fitted(everything, width, height), { width, height, region: true });
  };

  const load = async () => {
    taken = true;
    try {
      layers = await pictures.take(pair);
    } catch (error) {
      layers = { problems: [`${pair.id}: ${error.message}`], box: pair.focus, patchBox: pair.focus, peak: 0 };
    }
    if (removed) {
      layers = null;
      return;
    }
    problems.hidden = layers.problems.length === 0;
    problems.replaceChildren(...layers.problems.map((problem) => make("li", { text: problem })));
    article.classList.add("drawn");
    redraw();
    finished();
  };
  const timer = setTimeout(load, SETTLE_MILLISECONDS);

  const card = {
    pair,
    element,
    index: -1,
    drawn: () => drawn,
    place: (index, count, layout, isCurrent) => {
      card.index = index;
      element.setAttribute("aria-posinset", index + 1);
      element.setAttribute("aria-setsize", count);
      element.style.transform = `translate(${layout.x}px, ${layout.y}px)`;
      element.style.width = `${layout.width}px`;
      element.style.height = `${layout.height}px`;
      card.mark(isCurrent);
      if (size?.side !== layout.side) {
        size = { side: layout.side };
        redraw();
      }
    },
    mark: (isCurrent) => {
      article.classList.toggle("current", isCurrent);
      article.tabIndex = isCurrent ? 0 : -1;
      if (isCurrent) article.setAttribute("aria-current", "true");
      else article.removeAttribute("aria-current");
    },
    focus: () => article.focus({ preventScroll: true }),
    flip: () => {
      const running = blink.running(pair);
      actions.querySelector(".blink").setAttribute("aria-pressed", String(running));
      const pane = panes.find(({ what }) => what === "result");
      if (!running && pane.caption.textContent === "result") return;
      redraw();
    },
    redraw,
    refresh: () => {
      badges.replaceChildren(...[decisionBadge(pair)].filter(Boolean));
      markDecision(actions, pair);
    },
    remove: () => {
      removed = true;
      clearTimeout(timer);
      element.remove();
      if (taken) pictures.give(pair);
    },
  };
  element.card = card;
  // Clicking anywhere in a card makes it the current one; its buttons do what they say as well.
  element.addEventListener("pointerdown", (event) => {
    if (card.index !== list.index()) list.go(card.index, { focus: !event.target.closest("button") });
  });
  element.addEventListener("focusin", () => {
    if (card.index !== list.index()) list.go(card.index, { focus: false });
  });
  for (const pane of panes) pane.element.addEventListener("dblclick", open);
  card.refresh();
  return card;
};
