// The facets: each shows how one property is distributed and lets one choose part of it. Pale bars are all pairs, full
// bars those that fit the filters at the moment.

const BINS = 30;
const CHART = { width: 240, height: 46 };

const binned = (numbers, edges) => {
  const counts = new Array(edges.length - 1).fill(0);
  for (const number of numbers) counts[binOf(number, edges)] += 1;
  return counts;
};

// Bins hold their lower edge; the last one holds its upper edge too.
const binOf = (number, edges) => {
  let [low, high] = [0, edges.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (number >= edges[middle]) low = middle;
    else high = middle;
  }
  return low;
};

const evenEdges = (low, high, logarithmic) => {
  if (low === high) [low, high] = logarithmic ? [low / 2, high * 2] : [low - 0.05, high + 0.05];
  const [from, to] = logarithmic ? [Math.log(low), Math.log(high)] : [low, high];
  const edges = Array.from({ length: BINS + 1 }, (_, index) => from + ((to - from) * index) / BINS);
  const exact = logarithmic ? edges.map(Math.exp) : edges;
  exact[0] = low; // rounding must not lose the smallest and the largest
  exact[BINS] = high;
  return exact;
};

const median = (numbers) => {
  const sorted = Float64Array.from(numbers).sort();
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

const bar = (x, width, height) =>
  draw("rect", { x: x.toFixed(2), width: width.toFixed(2), y: (CHART.height - height).toFixed(2), height: height.toFixed(2) });

const tallness = (count, most) => (count === 0 ? 0 : Math.max(1.5, (count / most) * (CHART.height - 2)));

// A histogram with a slider for each end.
const rangeFacet = ({ key, name, of, text, logarithmic = false, band = null, changed }) => {
  const numbers = pairs.map(of);
  const spread = [...numbers, ...(band ?? [])];
  const edges = evenEdges(
    spread.reduce((one, other) => Math.min(one, other)),
    spread.reduce((one, other) => Math.max(one, other)),
    logarithmic,
  );
  const total = binned(numbers, edges);
  const most = Math.max(...total);
  const step = CHART.width / BINS;
  const at = (number) => {
    const [low, high, value] = [edges[0], edges[BINS], number].map(logarithmic ? Math.log : Number);
    return (CHART.width * (value - low)) / (high - low);
  };
  let chosen = [0, BINS];

  const bars = (counts) => counts.map((count, index) => bar(index * step + 0.5, step - 1, tallness(count, most)));
  const shown = draw("g", { class: "shown" });
  const outside = draw("g", { class: "outside" });
  const chart = draw(
    "svg",
    { viewBox: `0 0 ${CHART.width} ${CHART.height}`, preserveAspectRatio: "none", class: "histogram", role: "img" },
    band ? draw("rect", { class: "band", x: at(band[0]), width: Math.max(1, at(band[1]) - at(band[0])), height: CHART.height }) : "",
    draw("g", { class: "all" }, ...bars(total)),
    shown,
    outside,
  );
  chart.setAttribute(
    "aria-label",
    `${name}: ${text(Math.min(...numbers))} to ${text(Math.max(...numbers))}, median ${text(median(numbers))}` +
      (band ? `; the band is ${text(band[0])} to ${text(band[1])}` : ""),
  );
  const words = make("p", { class: "range-words" });
  const sliders = ["least", "most"].map((which, end) =>
    make("input", {
      type: "range", min: 0, max: BINS, step: 1, value: chosen[end], "aria-label": `${name}, ${which} shown`, name: `${key}-${which}`,
      oninput: (event) => move(end, Number(event.target.value)),
    }),
  );
  const move = (end, bin) => {
    chosen[end] = end === 0 ? Math.min(bin, chosen[1] - 1) : Math.max(bin, chosen[0] + 1);
    refresh();
    changed();
  };
  const refresh = () => {
    sliders.forEach((slider, end) => {
      slider.value = chosen[end];
      slider.setAttribute("aria-valuetext", text(edges[chosen[end]]));
    });
    const whole = chosen[0] === 0 && chosen[1] === BINS;
    words.textContent = `${text(edges[chosen[0]])} to ${text(edges[chosen[1]])}${whole ? `, median ${text(median(numbers))}` : ""}`;
    const [left, right] = chosen.map((bin) => bin * step);
    outside.replaceChildren(
      draw("rect", { width: left, height: CHART.height }),
      draw("rect", { x: right, width: CHART.width - right, height: CHART.height }),
    );
  };
  refresh();
  return {
    key,
    element: make("fieldset", { class: "facet" }, make("legend", { text: name }), chart, make("div", { class: "sliders" }, ...sliders), words),
    fits: (pair) => {
      const value = of(pair);
      const low = chosen[0] === 0 || value >= edges[chosen[0]];
      return low && (chosen[1] === BINS || value < edges[chosen[1]]);
    },
    show: (fitting) => shown.replaceChildren(...bars(binned(fitting.map(of), edges))),
    write: () => (chosen[0] === 0 && chosen[1] === BINS ? null : chosen.join("-")),
    read: (written) => {
      const [low, high] = (written ?? "").split("-").map(Number);
      const valid = Number.isInteger(low) && Number.isInteger(high) && low >= 0 && low < high && high <= BINS;
      chosen = valid ? [low, high] : [0, BINS];
      refresh();
    },
  };
};

// A list of values with a bar each; none ticked means that every value will do.
const choiceFacet = ({ key, name, of, values, describe = () => "", changed, live = false }) => {
  const boxes = new Map();
  const rows = values.map((value) => {
    const box = make("input", { type: "checkbox", name: key, value, onchange: changed });
    const fill = draw("rect", { class: "shown", height: 4 });
    const all = draw("rect", { class: "all", height: 4 });
    const number = make("span", { class: "number" });
    boxes.set(value, { box, fill, all, number });
    const words = describe(value);
    return make(
      "label",
      { class: "value" },
      box,
      make("span", { class: "value-name" }, value, words ? make("small", { text: ` ${words}` }) : ""),
      number,
      draw("svg", { class: "value-bar", viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" }, all, fill),
    );
  });
  const count = (some) => {
    const counts = new Map(values.map((value) => [value, 0]));
    for (const pair of some) for (const value of of(pair)) counts.set(value, (counts.get(value) ?? 0) + 1);
    return counts;
  };
  let total = count(pairs);
  let ticked = new Set();
  return {
    key,
    element: make("fieldset", { class: "facet" }, make("legend", { text: name }), ...rows),
    fits: (pair) => ticked.size === 0 || of(pair).some((value) => ticked.has(value)),
    prepare: () => {
      ticked = new Set(values.filter((value) => boxes.get(value).box.checked));
    },
    show: (fitting) => {
      if (live) total = count(pairs);
      const counts = count(fitting);
      const most = Math.max(1, ...total.values());
      for (const [value, { fill, all, number }] of boxes) {
        all.setAttribute("width", ((100 * total.get(value)) / most).toFixed(2));
        fill.setAttribute("width", ((100 * counts.get(value)) / most).toFixed(2));
        number.textContent =
          counts.get(value) === total.get(value) ? counted(total.get(value)) : `${counted(counts.get(value))} of ${counted(total.get(value))}`;
      }
    },
    write: () => {
      const names = values.filter((value) => boxes.get(value).box.checked);
      return names.length === 0 ? null : names.join(",");
    },
    read: (written) => {
      const names = new Set((written ?? "").split(","));
      for (const [value, { box }] of boxes) box.checked = names.has(value);
    },
  };
};
