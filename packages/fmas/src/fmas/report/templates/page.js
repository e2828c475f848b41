// Keys, buttons of the page, and the start.

const KEYS = [
  ["j  ↓  →", "next pair"],
  ["k  ↑  ←", "previous pair"],
  ["Space  b", "blink normal and result, or stop"],
  ["z  Enter", "zoom: one pair large, with its recipe; again to close"],
  ["m", "mask outline on the result, on or off"],
  ["w", "the defect, or the whole picture"],
  ["g", "rows, or a sheet of all results"],
  ["/", "find"],
  ["Home  End", "first pair, last pair"],
  ["+  −  0", "in zoom: larger, smaller, all"],
  ["Shift + arrows", "in zoom: move the picture; or drag it"],
  ...(reviewing
    ? [
        ["a", "keep (accept), and on to the next; again: undecided"],
        ["x", "drop, and on to the next; again: undecided"],
        ["u", "undo the last decision"],
      ]
    : []),
  ["?", "these keys"],
  ["Esc", "close"],
];

const THEMES = ["system", "light", "dark"];

const theme = {
  now: () => (THEMES.includes(recall("fmas-theme")) ? recall("fmas-theme") : "system"),
  set: (wanted) => {
    remember("fmas-theme", wanted === "system" ? null : wanted);
    if (wanted === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = wanted;
    byId("theme").textContent = `Theme: ${wanted}`;
    list.redraw();
    loupe.repaint();
  },
};

const keysAreOn = () => recall("fmas-keys") !== "off";

const buildHelp = () => {
  const dialog = byId("help");
  const on = make("input", { type: "checkbox", onchange: () => remember("fmas-keys", on.checked ? null : "off") });
  on.checked = keysAreOn();
  dialog.append(
    make("h2", { id: "help-title", text: "Keys" }),
    make("dl", {}, ...KEYS.map(([keys, what]) => make("div", {}, make("dt", {}, ...keys.split("  ").map((key) => make("kbd", { text: key }))), make("dd", { text: what })))),
    make("label", {}, on, " Single keys are on"),
    make("button", { type: "button", text: "Close", onclick: () => dialog.close() }),
  );
};

const pressed = (id, on) => byId(id).setAttribute("aria-pressed", String(on));

const layOut = (mode) => {
  list.layOut(mode);
  pressed("rows", mode === "rows");
  pressed("sheet", mode === "sheet");
  address.write({ layout: mode === "rows" ? null : mode });
};

const look = (near) => {
  settings.near = near;
  pressed("near", near);
  pressed("far", !near);
  list.redraw();
  if (loupe.isOpen()) loupe.look(near);
};

const step = (by) => (loupe.isOpen() ? loupe.move(by) : list.go(list.index() + by));

const decideAndGoOn = (verdict) => {
  const pair = list.current();
  if (!reviewing || !pair) return;
  review.decide(pair, verdict);
  if (pair.verdict !== "undecided" && list.index() + 1 < list.size()) step(1);
};

const undo = () => {
  const pair = review.undo();
  const index = pair ? list.find(pair) : -1;
  if (index < 0) return;
  list.go(index, { focus: !loupe.isOpen() });
  if (loupe.isOpen()) loupe.open();
};

const sheetLine = () => (loupe.isOpen() ? 1 : list.step());

const ACTIONS = {
  j: () => step(1),
  k: () => step(-1),
  ArrowDown: () => step(sheetLine()),
  ArrowUp: () => step(-sheetLine()),
  ArrowRight: () => step(1),
  ArrowLeft: () => step(-1),
  Home: () => list.go(0),
  End: () => list.go(list.size() - 1),
  " ": () => list.current() && blink.toggle(list.current()),
  b: () => list.current() && blink.toggle(list.current()),
  z: () => (loupe.isOpen() ? loupe.close() : loupe.open()),
  Enter: () => (loupe.isOpen() ? null : loupe.open()),
  m: () => loupe.outline(),
  w: () => look(!settings.near),
  g: () => loupe.isOpen() || layOut(byId("rows").getAttribute("aria-pressed") === "true" ? "sheet" : "rows"),
  "/": () => byId("find").focus(),
  "?": () => byId("help").showModal(),
  a: () => decideAndGoOn("keep"),
  x: () => decideAndGoOn("drop"),
  u: undo,
  "+": () => loupe.zoom(STEP),
  "=": () => loupe.zoom(STEP),
  "-": () => loupe.zoom(1 / STEP),
  0: () => loupe.look(settings.near),
};

const PANS = { ArrowDown: [0, -40], ArrowUp: [0, 40], ArrowRight: [-40, 0], ArrowLeft: [40, 0] };

const ONCE = new Set([" ", "b", "z", "a", "x", "u", "m", "w", "g", "Enter"]); // held down they would run away

const onKey = (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (byId("help").open) return;
  const { target, key } = event;
  if (target.closest("select, textarea, input:not([type=checkbox])")) return;
  const ownKeys = target.closest("button, summary, input, a"); // these have keys of their own
  if (ownKeys && (key === " " || key === "Enter")) return;
  const scrolls = target.closest(".scroll, .recipe, .filters") && /^Arrow|^Home|^End/.test(key);
  if (scrolls) return;
  if (event.shiftKey && PANS[key] && loupe.isOpen()) {
    event.preventDefault();
    loupe.pan(...PANS[key]);
    return;
  }
  const character = key.length === 1;
  if (character && key !== " " && !keysAreOn()) return;
  if ("+=-0".includes(key) && !loupe.isOpen()) return;
  const action = Object.hasOwn(ACTIONS, key) ? ACTIONS[key] : null;
  if (!action) return;
  event.preventDefault();
  if (event.repeat && ONCE.has(key)) return;
  action();
};

const MOST_PRINTED = 200;

const print = async () => {
  byId("print").disabled = true;
  byId("print").textContent = "Drawing …";
  await list.mountAll(MOST_PRINTED);
  document.body.classList.add("printing");
  window.print();
  document.body.classList.remove("printing");
  byId("print").disabled = false;
  byId("print").textContent = "Print";
  list.render();
};

const toggleFilters = () => {
  const open = document.body.classList.toggle("filters-open");
  byId("filters-toggle").setAttribute("aria-expanded", String(open));
  if (open) byId("filters").querySelector("button, input").focus();
};

const start = () => {
  for (const id of ["tools", "filters", "bar"]) byId(id).hidden = false;
  byId("reading").hidden = true;
  buildHelp();
  theme.set(theme.now());
  byId("theme").addEventListener("click", () => theme.set(THEMES[(THEMES.indexOf(theme.now()) + 1) % THEMES.length]));
  byId("keys").addEventListener("click", () => byId("help").showModal());
  byId("print").addEventListener("click", print);
  byId("rows").addEventListener("click", () => layOut("rows"));
  byId("sheet").addEventListener("click", () => layOut("sheet"));
  byId("near").addEventListener("click", () => look(true));
  byId("far").addEventListener("click", () => look(false));
  byId("filters-toggle").addEventListener("click", toggleFilters);
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    byId("pairs").focus();
    byId("pairs").scrollIntoView();
  });
  document.addEventListener("keydown", onKey);
  filters.onChange((fitting) => {
    byId("showing").textContent = `${counted(fitting.length)} of ${plural(pairs.length, "pair")}`;
    byId("nothing").hidden = fitting.length > 0;
    const active = filters.active();
    byId("filters-toggle").textContent = active ? `Filters (${active})` : "Filters";
    list.set(fitting);
  });
  const held = address.read();
  filters.restore();
  filters.apply();
  if (held.get("layout") === "sheet") layOut("sheet");
  const index = pairs.findIndex((pair) => pair.id === held.get("pair"));
  if (index >= 0 && list.find(pairs[index]) >= 0) list.go(list.find(pairs[index]), { focus: false });
  window.addEventListener("hashchange", () => {
    filters.restore();
    filters.apply();
  });
  review.start();
};

start();
