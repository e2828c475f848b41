// From a pair to what can be drawn: bitmaps with the part of the photograph they show, decoded when they are needed
// and let go when they are not. The report has them in the page, the review asks its server for the files.

const MOST_KEPT = 48; // decoded pairs beyond those on screen; some 20 MB
const MOST_AT_A_TIME = 3; // pairs whose files are being read in a review
const WHOLE_SIDE = 512; // pixels of a reduced photograph in a review
const LEVELS = 15;
const EXACT = { colorSpaceConversion: "none" }; // the numbers of the file, whatever profile a screen has

const widthOf = (box) => box[2] - box[0];
const heightOf = (box) => box[3] - box[1];

const decoded = async (text, type) => {
  if (text === null) return null;
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return createImageBitmap(new Blob([bytes], { type }), EXACT);
};

const sheet = (width, height) => Object.assign(document.createElement("canvas"), { width, height });

// One byte for each pixel: its red channel; all our masks and levels are grey.
const values = (bitmap, box = [0, 0, bitmap.width, bitmap.height]) => {
  const [width, height] = [widthOf(box), heightOf(box)];
  const context = sheet(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, -box[0], -box[1]);
  const { data } = context.getImageData(0, 0, width, height);
  return { width, height, at: Uint8Array.from({ length: width * height }, (_, index) => data[4 * index]) };
};

// The border between pixels inside and outside, as lines along pixel edges; straight runs are one line.
const borderOf = ({ width, height, at }) => {
  const path = new Path2D();
  const inside = (x, y) => x >= 0 && y >= 0 && x < width && y < height && at[y * width + x] > 0;
  const along = (lines, length, differs, line) => {
    for (let edge = 0; edge <= lines; edge += 1) {
      for (let start = 0; start < length; start += 1) {
        if (!differs(edge, start)) continue;
        let end = start + 1;
        while (end < length && differs(edge, end)) end += 1;
        line(edge, start, end);
        start = end;
      }
    }
  };
  along(height, width, (y, x) => inside(x, y) !== inside(x, y - 1), (y, from, to) => {
    path.moveTo(from, y);
    path.lineTo(to, y);
  });
  along(width, height, (x, y) => inside(x, y) !== inside(x - 1, y), (x, from, to) => {
    path.moveTo(x, from);
    path.lineTo(x, to);
  });
  return { path, width, height };
};

// Black, violet, orange, white: brightness rises all the way, so that it also reads without colour.
const HEAT = [
  [0, 0, 4], [18, 10, 52], [42, 12, 84], [68, 12, 104], [94, 18, 110], [119, 26, 109], [144, 34, 104], [170, 44, 95],
  [193, 58, 80], [214, 75, 62], [231, 98, 42], [243, 124, 22], [250, 154, 10], [251, 187, 36], [244, 222, 100],
  [255, 255, 235],
];

const heatmap = ({ width, height, at }) => {
  const canvas = sheet(width, height);
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  at.forEach((level, index) => {
    const [red, green, blue] = HEAT[level];
    image.data.set([red, green, blue, 255], 4 * index);
  });
  context.putImageData(image, 0, 0);
  return canvas;
};

const embedded = async (pair) => {
  const held = JSON.parse(byId(`p${pair.stem}`).textContent);
  const [whole, crop, patch, mask, levels] = await Promise.all([
    decoded(held.whole, "image/webp"),
    decoded(held.crop, "image/webp"),
    decoded(held.patch, "image/webp"),
    decoded(held.mask, "image/png"),
    decoded(held.levels, "image/png"),
  ]);
  const steps = levels && values(levels);
  if (steps) steps.at = steps.at.map((value) => Math.round(value / 17));
  return {
    whole,
    crop,
    patch,
    box: held.box,
    patchBox: held.patchBox,
    border: mask && borderOf(values(mask)),
    heat: steps && heatmap(steps),
    peak: held.peak,
    problems: held.problems,
  };
};

const fetched = async (pair, what) => {
  const response = await fetch(`/pictures/${pair.id}/${what}?v=${pair.sha.slice(0, 16)}`);
  if (!response.ok) throw new Error(`${pair[what]}: the server answered ${response.status}`);
  return createImageBitmap(await response.blob(), EXACT);
};

const boundsOf = ({ width, height, at }, left, top) => {
  const found = [Infinity, Infinity, -Infinity, -Infinity];
  for (let index = 0; index < width * height; index += 1) {
    if (at[index] === 0) continue;
    const [x, y] = [index % width, Math.floor(index / width)];
    found[0] = Math.min(found[0], x);
    found[1] = Math.min(found[1], y);
    found[2] = Math.max(found[2], x + 1);
    found[3] = Math.max(found[3], y + 1);
  }
  return found[0] === Infinity ? null : [found[0] + left, found[1] + top, found[2] + left, found[3] + top];
};

// The same surroundings that the report shows.
const surroundings = (focus, width, height) => {
  const side = Math.max(96, Math.round(1.7 * Math.max(widthOf(focus), heightOf(focus))));
  const around = (start, end, limit) => {
    const length = Math.min(side, limit);
    const low = clamp(Math.floor((start + end - length) / 2), 0, limit - length);
    return [low, low + length];
  };
  const [left, right] = around(focus[0], focus[2], width);
  const [top, bottom] = around(focus[1], focus[3], height);
  return [left, top, right, bottom];
};

const differenceOf = (crop, patch) => {
  const pixels = [crop, patch].map((bitmap) => {
    const context = sheet(bitmap.width, bitmap.height).getContext("2d", { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    return context.getImageData(0, 0, bitmap.width, bitmap.height).data;
  });
  const change = new Uint8Array(crop.width * crop.height);
  let peak = 0;
  for (let index = 0; index < change.length; index += 1) {
    for (let channel = 4 * index; channel < 4 * index + 3; channel += 1) {
      change[index] = Math.max(change[index], Math.abs(pixels[0][channel] - pixels[1][channel]));
    }
    peak = Math.max(peak, change[index]);
  }
  const table = Uint8Array.from({ length: 256 }, (_, value) =>
    Math.min(LEVELS, Math.ceil(LEVELS * Math.sqrt(value / Math.max(peak, 1)) - 1e-9)),
  );
  return { heat: heatmap({ width: crop.width, height: crop.height, at: change.map((value) => table[value]) }), peak };
};

const reduced = (bitmap) => {
  const scale = Math.min(1, WHOLE_SIDE / Math.max(bitmap.width, bitmap.height));
  const [resizeWidth, resizeHeight] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * scale)));
  return createImageBitmap(bitmap, { ...EXACT, resizeWidth, resizeHeight, resizeQuality: "medium" });
};

// Few at a time: three decoded files of 16 megapixels take 200 MB. Who asked last is on screen now and comes first.
const inTurn = (() => {
  const waiting = [];
  let running = 0;
  const next = async () => {
    if (running >= MOST_AT_A_TIME || waiting.length === 0) return;
    running += 1;
    await waiting.pop()();
    running -= 1;
    next();
  };
  return (work) =>
    new Promise((resolve, reject) => {
      waiting.push(() => work().then(resolve, reject));
      next();
    });
})();

const served = async (pair) => {
  const problems = [];
  const [normal, result, mask] = await Promise.all(
    ["normal", "result", "mask"].map((what) =>
      fetched(pair, what).catch((error) => {
        problems.push(error instanceof TypeError ? `${pair[what]}: the server does not answer` : error.message);
        return null;
      }),
    ),
  );
  const inside = mask && values(mask, pair.focus);
  const box = surroundings((inside && boundsOf(inside, pair.focus[0], pair.focus[1])) || pair.focus, pair.width, pair.height);
  const part = (bitmap) => bitmap && createImageBitmap(bitmap, box[0], box[1], widthOf(box), heightOf(box), EXACT);
  const [whole, crop, patch] = await Promise.all([normal && reduced(normal), part(normal), part(result)]);
  const { heat, peak } = crop && patch ? differenceOf(crop, patch) : { heat: null, peak: 0 };
  const border = mask && borderOf(values(mask, box));
  for (const bitmap of [normal, result, mask]) bitmap?.close(); // whole photographs are kept for the loupe only
  return { whole, crop, patch, box, patchBox: box, border, heat, peak, problems };
};

const close = (layers) => {
  for (const name of ["whole", "crop", "patch"]) layers[name]?.close();
};

// Who draws a pair takes its layers and gives them back; of those that nobody draws, the latest few are kept.
const pictures = (() => {
  const entries = new Map();

  const trim = () => {
    for (const [stem, entry] of entries) {
      if (entries.size <= MOST_KEPT) return;
      if (entry.users > 0) continue;
      entries.delete(stem);
      entry.layers.then(close, () => {});
    }
  };

  const take = (pair) => {
    const entry = entries.get(pair.stem) ?? { users: 0, layers: reviewing ? inTurn(() => served(pair)) : embedded(pair) };
    entry.users += 1;
    entries.delete(pair.stem); // and in again, as the latest
    entries.set(pair.stem, entry);
    return entry.layers;
  };

  const give = (pair) => {
    const entry = entries.get(pair.stem);
    if (!entry) return;
    entry.users -= 1;
    if (entry.users > 0) return;
    entry.layers.then(
      // What could not be read is asked for again next time.
      (layers) => layers.problems.length > 0 && reviewing && entry.users === 0 && forget(pair.stem, entry),
      () => entry.users === 0 && forget(pair.stem, entry),
    );
    trim();
  };

  const forget = (stem, entry) => {
    if (entries.get(stem) !== entry) return;
    entries.delete(stem);
    entry.layers.then(close, () => {});
  };

  return { take, give };
})();
