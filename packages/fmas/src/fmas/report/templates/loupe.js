// One pair, large: its panes move and zoom together, the recipe stands beside them.

const LAYOUTS = { four: PANES, two: ["normal", "result"], one: ["result"] };
const STEP = 1.25;

const loupe = (() => {
  const dialog = byId("loupe");
  const heading = make("h2", { id: "loupe-title", tabindex: -1, autofocus: true });
  const where = make("p", { class: "where" });
  const badge = make("span", {});
  const deciding = make("span", { class: "deciding" });
  const stage = make("div", { class: "stage" });
  const problems = make("ul", { class: "problems", hidden: true });
  const recipe = make("aside", { class: "recipe", "aria-label": "Recipe", tabindex: 0 });
  const scaleWords = make("output", { class: "scale", "aria-label": "Magnification" });
  let pair = null;
  let layers = null;
  let full = null;
  let view = null;
  let layout = "four";
  let panes = [];
  let frame = 0;

  const button = (text, label, onclick, more = {}) => make("button", { type: "button", "aria-label": label, onclick, text, ...more });
  const layoutButtons = Object.keys(LAYOUTS).map((name) =>
    button(name, `${name === "one" ? "One pane" : `${name[0].toUpperCase()}${name.slice(1)} panes`}`, () => arrange(name), { "data-layout": name }),
  );
  const outlineButton = button("Outline", "Mask outline on the result", () => commands.outline(), { class: "outline-toggle" });
  const blinkButton = button("Blink", "Blink normal and result", () => blink.toggle(pair), { class: "blink" });

  dialog.append(
    make(
      "header",
      {},
      make("div", { class: "names" }, heading, where, badge),
      deciding,
      make(
        "div",
        { class: "controls", role: "group", "aria-label": "View" },
        make("div", { class: "choice", role: "group", "aria-label": "Panes" }, ...layoutButtons),
        make("div", { class: "choice", role: "group", "aria-label": "Magnification" },
          button("−", "Zoom out", () => zoom(1 / STEP)),
          scaleWords,
          button("+", "Zoom in", () => zoom(STEP)),
          button("Defect", "Show the defect", () => look(true)),
          button("Whole", "Show the whole photograph", () => look(false)),
        ),
        outlineButton,
        blinkButton,
        make("div", { class: "choice", role: "group", "aria-label": "Pair" },
          button("‹", "Previous pair", () => move(-1)),
          button("›", "Next pair", () => move(1)),
        ),
        button("Close", "Close", () => shut(), { class: "close" }),
      ),
    ),
    make("div", { class: "body" }, make("div", { class: "left" }, problems, stage), recipe),
  );

  const paneSize = () => {
    const canvas = panes.find((pane) => !pane.canvas.hidden)?.canvas ?? panes[0].canvas;
    return { width: canvas.parentElement.clientWidth, height: Math.max(40, canvas.parentElement.clientHeight - 26) };
  };

  const paint = () => {
    frame = 0;
    if (!layers || !dialog.open) return;
    const { width, height } = paneSize();
    if (!view) view = fitted(settings.near ? layers.box : [0, 0, pair.width, pair.height], width, height);
    for (const pane of panes) {
      showPane(pane, pair, layers, view, { width, height, full, outline: settings.outline });
      pane.canvas.style.width = `${width}px`;
      pane.canvas.style.height = `${height}px`;
    }
    scaleWords.textContent = `${Math.round(view.scale * 100)} %`;
    outlineButton.setAttribute("aria-pressed", String(settings.outline));
    blinkButton.setAttribute("aria-pressed", String(blink.running(pair)));
  };
  const repaint = () => {
    frame ||= requestAnimationFrame(paint);
  };

  const arrange = (wanted) => {
    layout = wanted;
    panes = LAYOUTS[layout].map((what) => paneFigure(pair, what));
    stage.className = `stage ${layout}`;
    stage.replaceChildren(...panes.map((pane) => pane.element));
    for (const one of layoutButtons) one.setAttribute("aria-pressed", String(one.dataset.layout === layout));
    view = null;
    repaint();
  };

  const look = (near) => {
    settings.near = near;
    view = null;
    repaint();
  };

  // About a point in the pane, its middle by default.
  const zoom = (factor, x = paneSize().width / 2, y = paneSize().height / 2) => {
    if (!view) return;
    const { width, height } = paneSize();
    const least = Math.min(1, 0.5 * Math.min(width / pair.width, height / pair.height));
    const scale = clamp(view.scale * factor, least, 64);
    view = { scale, left: view.left + x / view.scale - x / scale, top: view.top + y / view.scale - y / scale };
    repaint();
  };

  const pan = (x, y) => {
    if (!view) return;
    view = { ...view, left: view.left - x / view.scale, top: view.top - y / view.scale };
    repaint();
  };

  const letGo = () => {
    if (pair) pictures.give(pair);
    full?.normal?.close();
    full?.result?.close();
    full = null;
    layers = null;
  };

  const show = async (wanted) => {
    letGo();
    pair = wanted;
    view = null;
    heading.replaceChildren(make("span", { class: "stem", text: pair.id }), " ", apart(pair.name));
    where.textContent = `${list.index() + 1} of ${counted(list.size())}`;
    recipe.replaceChildren(chips(pair), ...recipeOf(pair));
    recipe.scrollTop = 0;
    refresh();
    arrange(layout);
    const loaded = await pictures.take(wanted).catch((error) => ({ problems: [error.message], box: wanted.focus, patchBox: wanted.focus, peak: 0 }));
    if (pair !== wanted) return;
    layers = loaded;
    problems.hidden = layers.problems.length === 0;
    problems.replaceChildren(...layers.problems.map((problem) => make("li", { text: problem })));
    paint();
    if (!reviewing) return;
    const [normal, result] = await Promise.all(["normal", "result"].map((what) => fetched(wanted, what).catch(() => null)));
    if (pair !== wanted || !dialog.open) {
      normal?.close();
      result?.close();
      return;
    }
    full = { normal, result };
    repaint();
  };

  const refresh = () => {
    if (!pair) return;
    badge.replaceChildren(...[decisionBadge(pair)].filter(Boolean));
    // The buttons stay while their pair does: one of them may have the focus.
    if (deciding.dataset.stem !== String(pair.stem)) deciding.replaceChildren(...(reviewing ? decisionButtons(pair) : []));
    deciding.dataset.stem = pair.stem;
    markDecision(deciding, pair);
  };

  const move = (by) => {
    const index = list.index() + by;
    if (index < 0 || index >= list.size()) return say(by < 0 ? "This is the first pair" : "This is the last pair");
    list.go(index, { focus: false });
    show(list.current());
    say(`${title(list.current())}, ${list.index() + 1} of ${counted(list.size())}`);
  };

  const open = () => {
    if (!list.current()) return;
    if (!dialog.open) dialog.showModal();
    show(list.current());
  };

  // A closing dialog gives the focus back to where it came from, which need not be the pair one has gone to.
  const shut = () => {
    const index = list.index();
    dialog.close();
    list.go(index);
  };

  dialog.addEventListener("cancel", (event) => {
    event.preventDefault();
    shut();
  });
  dialog.addEventListener("close", () => {
    blink.stop();
    letGo();
    pair = null;
  });
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    const canvas = event.target.closest(".pane")?.querySelector("canvas");
    if (!canvas) return;
    const { left, top } = canvas.getBoundingClientRect();
    zoom(STEP ** (-Math.sign(event.deltaY) * Math.min(1, Math.abs(event.deltaY) / 60)), event.clientX - left, event.clientY - top);
  }, { passive: false });
  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    stage.setPointerCapture(event.pointerId);
    stage.classList.add("held");
  });
  stage.addEventListener("pointermove", (event) => {
    if (stage.hasPointerCapture(event.pointerId)) pan(event.movementX, event.movementY);
  });
  stage.addEventListener("lostpointercapture", () => stage.classList.remove("held"));
  new ResizeObserver(() => {
    view = null;
    repaint();
  }).observe(stage);
  blink.onFlip(repaint);

  const commands = {
    outline: () => {
      settings.outline = !settings.outline;
      list.redraw();
      repaint();
      say(settings.outline ? "Mask outline on the result" : "Result without outline");
    },
  };

  return {
    open,
    move,
    zoom,
    pan,
    look,
    refresh,
    repaint,
    close: shut,
    isOpen: () => dialog.open,
    pair: () => pair,
    outline: commands.outline,
  };
})();
