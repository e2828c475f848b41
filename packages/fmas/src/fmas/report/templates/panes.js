// Drawing one pane: the photograph, what lies on it, and the lines, in pixels of the photograph.

const PANES = ["normal", "result", "mask", "difference"];

const PANE_NAMES = { normal: "normal", result: "result", mask: "mask outline", difference: "difference" };

const paneLabel = (pair, what, layers) => {
  const words = {
    normal: `The good part, ${pair.source}`,
    result: `The part with a synthetic defect: ${pair.name}`,
    mask: `The defect with its mask outlined: ${areaText(pair.area)}, ${shareText(pair.share)} of the picture`,
    difference: `How much each pixel changed${layers ? `, up to ${layers.peak} of 255 grey levels` : ""}`,
  };
  return words[what];
};

const missingFile = (pair, layers, what) => {
  if (what === "normal" && !layers.crop) return pair.normal;
  if (what === "result" && !layers.patch) return pair.result;
  if (what === "mask" && !layers.border) return pair.mask;
  if (what === "difference" && !layers.heat) return layers.crop ? pair.result : pair.normal;
  return null;
};

// What part of the photograph a pane of this many CSS pixels shows: all of `box`, in the middle.
const fitted = (box, width, height) => {
  const scale = Math.min(width / widthOf(box), height / heightOf(box));
  return {
    scale,
    left: (box[0] + box[2]) / 2 - width / scale / 2,
    top: (box[1] + box[3]) / 2 - height / scale / 2,
  };
};

const colours = () => {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(name).trim();
  return { mask: read("--mask"), region: read("--region"), halo: read("--halo"), well: read("--well-ink") };
};

const sized = (canvas, width, height) => {
  const ratio = Math.min(window.devicePixelRatio || 1, 2);
  const [across, down] = [Math.max(1, Math.round(width * ratio)), Math.max(1, Math.round(height * ratio))];
  if (canvas.width !== across || canvas.height !== down) Object.assign(canvas, { width: across, height: down });
  return ratio;
};

const place = (context, image, box) => {
  if (!image) return;
  const reducedBy = widthOf(box) / image.width;
  const drawn = context.getTransform().a * reducedBy; // device pixels of one picture pixel
  // Where one sees single pixels they are to be those of the file, not what smoothing makes of them.
  context.imageSmoothingEnabled = reducedBy > 1.01 || drawn < 2.5;
  context.imageSmoothingQuality = "high";
  context.drawImage(image, box[0], box[1], widthOf(box), heightOf(box));
};

const stroke = (context, path, scale, colour, width, dash = []) => {
  context.strokeStyle = colour;
  context.lineWidth = width / scale;
  context.setLineDash(dash.map((length) => length / scale));
  context.stroke(path);
};

const drawBorder = (context, layers, ratio, view, { mask, halo }) => {
  const { path, width, height } = layers.border;
  const [across, down] = [widthOf(layers.box) / width, heightOf(layers.box) / height];
  context.save();
  context.translate(layers.box[0], layers.box[1]);
  context.scale(across, down);
  context.lineJoin = "round";
  context.lineCap = "round";
  const scale = view.scale * across;
  stroke(context, path, scale, halo, 3.25);
  stroke(context, path, scale, mask, 1.5);
  context.restore();
};

const drawRegion = (context, pair, view, { region, halo }) => {
  const path = new Path2D();
  const [left, top, right, bottom] = pair.region;
  path.rect(left, top, right - left, bottom - top);
  stroke(context, path, view.scale, halo, 3);
  stroke(context, path, view.scale, region, 1.5, [6, 4]);
};

// `full` has the whole files at native size, if they have been read.
const drawPane = (canvas, pair, layers, what, view, { width, height, full = null, region = false, outline = false }) => {
  const ratio = sized(canvas, width, height);
  const context = canvas.getContext("2d");
  const palette = colours();
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  const scale = view.scale * ratio;
  context.setTransform(scale, 0, 0, scale, -view.left * scale, -view.top * scale);
  const everything = [0, 0, pair.width, pair.height];
  if (what === "difference") {
    context.fillStyle = `rgb(${HEAT[0].join(" ")})`;
    context.fillRect(...everything);
    place(context, layers.heat, layers.box);
  } else {
    const changed = what !== "normal";
    const file = full && (changed ? full.result : full.normal);
    if (file) {
      place(context, file, everything);
    } else {
      place(context, layers.whole, everything);
      place(context, layers.crop, layers.box);
      if (changed) place(context, layers.patch, layers.patchBox);
    }
  }
  context.save();
  if (region || what === "mask") drawRegion(context, pair, view, palette);
  if ((outline || what === "mask") && layers.border) drawBorder(context, layers, ratio, view, palette);
  context.restore();
};
