// How a pair was made: everything one needs to understand it and to make it again.

const LONGEST_PASSAGE = 700; // characters that are shown in full

const scoreAxis = (pair) => {
  const scores = pair.candidates.map(({ score }) => score);
  const most = 1.1 * Math.max(...scores, pair.score, pair.band[1], 1e-9);
  const at = (value) => 4 + (292 * value) / most;
  const ticks = [0, pair.band[0], pair.band[1]];
  return draw(
    "svg",
    {
      class: "axis",
      viewBox: "0 0 300 40",
      role: "img",
      "aria-label": `Scores of the accepted candidates: ${scores.map(scoreText).join(", ")}; the band is ${scoreText(pair.band[0])} to ${scoreText(pair.band[1])}`,
    },
    draw("rect", { class: "band", x: at(pair.band[0]), y: 6, width: at(pair.band[1]) - at(pair.band[0]), height: 16 }),
    draw("line", { class: "rule", x1: 4, x2: 296, y1: 22, y2: 22 }),
    ...ticks.map((value) => draw("text", { x: at(value), y: 36, "text-anchor": value === 0 ? "start" : "middle", text: String(+value.toFixed(3)) })),
    ...pair.candidates.map(({ candidate, score }) =>
      draw("circle", { class: candidate === pair.candidate ? "kept" : "other", cx: at(score), cy: 14, r: candidate === pair.candidate ? 6 : 4 }),
    ),
  );
};

const table = (caption, heads, rows) =>
  make(
    "table",
    {},
    make("caption", { text: caption }),
    make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col", text: head })))),
    make("tbody", {}, ...rows.map((cells) => make("tr", {}, ...cells.map((cell, index) => make(index === 0 ? "th" : "td", index === 0 ? { scope: "row", text: cell } : { text: cell }))))),
  );

const candidatesTable = (pair) => {
  const varied = pair.candidates.some(({ severity }) => severity !== null);
  const middle = (pair.band[0] + pair.band[1]) / 2;
  return table(
    "Accepted candidates",
    ["candidate", ...(varied ? ["severity"] : []), "score", "off the middle", "attempt", "seed"],
    pair.candidates.map((one) => [
      `${one.candidate}${one.candidate === pair.candidate ? " ✓ kept" : ""}`,
      ...(varied ? [one.severity === null ? "" : severityText(one.severity)] : []),
      scoreText(one.score),
      scoreText(Math.abs(one.score - middle)),
      String(one.attempt),
      one.seed,
    ]),
  );
};

const rejectionsTable = (pair) =>
  table(
    "Rejected candidates",
    ["candidate", "attempt", "reason", "seed"],
    pair.rejections.map((one) => [String(one.candidate), String(one.attempt), `${one.reason}${facts.reasons[one.reason] ? `: ${facts.reasons[one.reason]}` : ""}`, one.seed]),
  );

const copyable = (text, name) => {
  const code = make("code", { text, tabindex: 0 });
  const button = make("button", {
    type: "button",
    "aria-label": `Copy ${name}`,
    text: "Copy",
    onclick: async () => {
      try {
        await navigator.clipboard.writeText(text);
        say("Copied");
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code); // where pages may not write to the clipboard one key does it
        say("Selected; copy it with your keyboard");
        button.textContent = "Selected";
      }
      setTimeout(() => (button.textContent = "Copy"), 2000);
    },
  });
  return make("div", { class: "command" }, code, button);
};

// What a model wrote may go on for pages; it scrolls by itself rather than push all that follows away.
const passage = (text, name) =>
  text.length <= LONGEST_PASSAGE ? text : make("div", { class: "scroll passage", tabindex: 0, role: "region", "aria-label": name, text });

const severityWords = (pair) => {
  const planned = pair.planned !== null && severityText(pair.planned) !== severityText(pair.severity);
  return `${severityText(pair.severity)}${planned ? `, planned ${severityText(pair.planned)}` : ""}`;
};

const recipeOf = (pair) => {
  const [left, top, right, bottom] = pair.region;
  const dataset = facts.dataset;
  return [
    make("h3", { text: "Recipe" }),
    make(
      "dl",
      {},
      fact("prompt", passage(pair.prompt, "Prompt")),
      pair.negative ? fact("negative prompt", passage(pair.negative, "Negative prompt")) : "",
      fact("defect", apart(pair.name), `, kind ${pair.kind}`),
      fact("severity", severityWords(pair)),
      fact("made by", ...Object.entries(pair.components).map(([kind, name]) => make("span", { class: "component", text: `${kind}: ${name}` }))),
      fact("seed", pair.seed),
      ...(pair.generation > 0 ? [fact("refilled", `${plural(pair.generation, "earlier image")} of this place dropped in review`)] : []),
    ),
    make("h3", { text: "Choice" }),
    make("p", {}, make("span", { class: `score ${pair.position}`, text: `score ${scoreText(pair.score)}` }), ` is ${bandText(pair)}, the band that was aimed at.`),
    scoreAxis(pair),
    make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Accepted candidates" }, candidatesTable(pair)),
    pair.rejections.length > 0
      ? make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Rejected candidates" }, rejectionsTable(pair))
      : make("p", { text: "No candidate was rejected." }),
    make("h3", { text: "Place and mask" }),
    make(
      "dl",
      {},
      fact("photograph", apart(pair.source), `, ${pair.width} × ${pair.height} px, ${pair.foreground} (confidence ${pair.confidence.toFixed(2)})`),
      fact("region", `${pair.shape}, ${right - left} × ${bottom - top} px at ${left}, ${top}`),
      fact("mask", `${areaText(pair.area)}, ${shareText(pair.share)} of the picture`),
      fact("thresholds", `a pixel counts as changed from ${pair.floor + 1} grey levels on, a mask needs one above ${pair.high}`),
      fact("files", ...[pair.normal, pair.result, pair.mask].map((name) => make("span", { class: "component path", text: `${dataset}/${name}` }))),
    ),
    make("h3", { text: "Make it again" }),
    make("p", { text: "Where the run was started; the same seed gives the same bytes, whatever else is made on the way." }),
    copyable(remakeCommand(pair), "the command"),
  ].filter((element) => element !== "");
};
