// Which pairs are shown and in which order; kept in the address, so that a reload or a copied link shows the same.

const ORDERS = {
  number: { words: "number", of: (pair) => pair.stem },
  score: { words: "score, weakest first", of: (pair) => pair.score },
  "-score": { words: "score, strongest first", of: (pair) => -pair.score },
  severity: { words: "severity, least first", of: (pair) => pair.severity },
  "-severity": { words: "severity, greatest first", of: (pair) => -pair.severity },
  area: { words: "mask, smallest first", of: (pair) => pair.area },
  "-area": { words: "mask, largest first", of: (pair) => -pair.area },
  "-rejected": { words: "most rejected first", of: (pair) => -pair.rejections.length },
};

const VERDICTS = ["undecided", "keep", "drop"];

const sharedBand = () => {
  const [low, high] = pairs[0].band;
  return pairs.every(({ band }) => band[0] === low && band[1] === high) ? [low, high] : null;
};

const sortedValues = (of) => [...new Set(pairs.flatMap(of))].sort();

const filters = (() => {
  const form = byId("form");
  const find = byId("find");
  const sort = byId("sort");
  const listeners = [];
  let fitting = pairs;
  let waiting = 0;

  // While a slider is being dragged there may be more changes than frames.
  const changed = () => {
    waiting ||= requestAnimationFrame(() => {
      waiting = 0;
      apply();
    });
  };

  const facets = [
    ...(reviewing || pairs.some((pair) => pair.verdict !== "undecided")
      ? [choiceFacet({ key: "decision", name: "Decision", of: (pair) => [pair.verdict], values: VERDICTS, changed, live: true })]
      : []),
    choiceFacet({ key: "kind", name: "Kind", of: (pair) => [pair.kind], values: sortedValues((pair) => pair.kind), changed }),
    rangeFacet({ key: "score", name: "Score", of: (pair) => pair.score, text: scoreText, band: sharedBand(), changed }),
    choiceFacet({ key: "band", name: "Score and band", of: (pair) => [pair.position], values: ["below", "inside", "above"], changed }),
    rangeFacet({ key: "severity", name: "Severity", of: (pair) => pair.severity, text: severityText, changed }),
    rangeFacet({ key: "area", name: "Mask area", of: (pair) => Math.max(1, pair.area), text: areaText, logarithmic: true, changed }),
    choiceFacet({
      key: "rejected",
      name: "Rejected candidates",
      of: (pair) => (pair.reasons.size > 0 ? [...pair.reasons.keys()] : [NOTHING_REJECTED]),
      values: sortedValues((pair) => (pair.reasons.size > 0 ? [...pair.reasons.keys()] : [NOTHING_REJECTED])),
      describe: (reason) => facts.reasons[reason] ?? "",
      changed,
    }),
  ];
  byId("facets").append(...facets.map((facet) => facet.element));
  sort.append(...Object.entries(ORDERS).map(([value, { words }]) => make("option", { value, text: words })));

  const apply = () => {
    for (const facet of facets) facet.prepare?.();
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    const order = ORDERS[sort.value].of;
    fitting = pairs
      .filter((pair) => facets.every((facet) => facet.fits(pair)) && words.every((word) => pair.searched.includes(word)))
      .sort((one, other) => order(one) - order(other) || one.stem - other.stem);
    for (const facet of facets) facet.show(fitting);
    address.write({
      ...Object.fromEntries(facets.map((facet) => [facet.key, facet.write()])),
      find: find.value || null,
      sort: sort.value === "number" ? null : sort.value,
    });
    for (const listener of listeners) listener(fitting);
  };

  const restore = () => {
    const held = address.read();
    for (const facet of facets) facet.read(held.get(facet.key));
    find.value = held.get("find") ?? "";
    sort.value = Object.hasOwn(ORDERS, held.get("sort") ?? "") ? held.get("sort") : "number";
  };

  const reset = () => {
    for (const facet of facets) facet.read(null);
    find.value = "";
    apply();
    say(`Filters reset, ${plural(fitting.length, "pair")} shown`);
  };

  find.addEventListener("input", changed);
  sort.addEventListener("change", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    reset();
  });
  byId("nothing-reset").addEventListener("click", reset);

  return {
    apply,
    restore,
    reset,
    // The bars and numbers anew, without moving what is on screen: a decision must not make a pair vanish under the eyes.
    recount: () => facets.forEach((facet) => facet.show(fitting)),
    onChange: (listener) => listeners.push(listener),
    active: () => facets.filter((facet) => facet.write() !== null).length + (find.value ? 1 : 0),
  };
})();
