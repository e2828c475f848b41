// The pairs as the page holds them: plain objects with a few words worked out.

const facts = JSON.parse(byId("page").textContent);
const reviewing = facts.review !== null;

const NOTHING_REJECTED = "nothing rejected";

const described = (row, index) => {
  const [low, high] = row.band;
  const reasons = new Map();
  for (const { reason } of row.rejections) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  return {
    ...row,
    index,
    position: row.score < low ? "below" : row.score > high ? "above" : "inside",
    share: (100 * row.area) / (row.width * row.height),
    reasons,
    verdict: row.verdict ?? "undecided",
    searched: `${row.id} ${row.name} ${row.kind} ${row.source} ${row.prompt}`.toLowerCase(),
  };
};

const readPairs = () =>
  Array.from(document.querySelectorAll("script.pair"), (element, index) =>
    described(JSON.parse(element.textContent), index),
  );

const pairs = readPairs();

// 0.2 and 0.20001 are to look different only when they differ for the eye.
const scoreText = (score) => score.toFixed(3);
const severityText = (severity) => severity.toFixed(2);
const areaText = (area) => `${counted(Math.round(area))} px`;
const shareText = (share) => (share < 0.01 ? "< 0.01 %" : `${share.toFixed(2)} %`);

const bandText = (pair) => `${pair.position} ${+pair.band[0].toFixed(4)} to ${+pair.band[1].toFixed(4)}`;

const rejectedText = (pair) =>
  [...pair.reasons].map(([reason, number]) => `${number} ${reason}`).join(", ") || NOTHING_REJECTED;

const title = (pair) => `${pair.id} ${pair.name}`;

// Where the run was started; how many photographs have to be gone through until this pair is made.
const remakeCommand = (pair) => {
  const command = pair.generation > 0 ? facts.commands.refilled : facts.commands.first;
  return command
    .replace("{limit}", String(Math.floor(pair.stem / facts.perImage) + 1))
    .replace("{rounds}", [...Array(pair.generation + 1).keys()].join(" "));
};
