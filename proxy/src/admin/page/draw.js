// Elements and figures. Whatever comes from outside is put in as text, never as markup: names of classes come from requests.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes and children; a string is a child that is text. */
export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same, of a picture. */
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "on") for (const [event, then] of Object.entries(value)) element.addEventListener(event, then);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

/** Names and what they come to, as a list of definitions. */
export function facts(pairs) {
  return el("dl", { class: "facts-list" }, pairs.filter(Boolean).map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

/** A bar that is full to a share. */
export function meter(share, label) {
  const bar = el("i");
  const part = Math.max(0, Math.min(1, share || 0));
  bar.style.width = `${100 * part}%`;
  return el("div", { class: "meter", role: "img", "aria-label": label }, bar);
}

const round = (value, digits) => value.toLocaleString("en", { maximumFractionDigits: digits, minimumFractionDigits: digits });

/** A time in the unit in which it is read best. */
export function seconds(s) {
  if (s === null || s === undefined || !Number.isFinite(s)) return "–";
  if (s === 0) return "0 s";
  if (s < 0.001) return `${round(s * 1e6, 0)} µs`;
  if (s < 0.1) return `${round(s * 1e3, s < 0.01 ? 1 : 0)} ms`;
  if (s < 100) return `${round(s, s < 10 ? 2 : 1)} s`;
  if (s < 5400) return `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s`;
  if (s < 172800) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} days`;
}

/** A number of bytes. */
export function bytes(count) {
  if (count === null || count === undefined || !Number.isFinite(count)) return "–";
  let unit = 0;
  while (count >= 1023.5 && unit < 4) (count /= 1024), (unit += 1);
  return `${round(count, unit === 0 ? 0 : 1)} ${["B", "KiB", "MiB", "GiB", "TiB"][unit]}`;
}

/** Money, or what it is worth, to three digits that mean something; with its sign where that is asked for. */
export function money(amount, signed = false) {
  if (amount === null || amount === undefined || !Number.isFinite(amount)) return "–";
  const size = Math.abs(amount);
  const digits = size === 0 || size >= 1000 ? 0 : size >= 100 ? 1 : size >= 1 ? 2 : size >= 0.01 ? 4 : 6;
  return `${amount < 0 ? "−" : signed && amount > 0 ? "+" : ""}${round(size, digits)}`;
}

/** A whole number. */
export const whole = (count) => (count ?? 0).toLocaleString("en");

/** A share. */
export const percent = (share, digits = 0) => (Number.isFinite(share) ? `${round(100 * share, digits)} %` : "–");

/** A word of the program's, as people write it. */
export const spaced = (word) => String(word).replaceAll("_", " ");

const tick = (s) => (s < 1e-3 ? `${round(s * 1e6, 0)} µs` : s < 1 ? `${round(s * 1e3, 0)} ms` : s < 60 ? `${round(s, 0)} s` : `${round(s / 60, 0)} min`);
const TICKS = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 10, 60, 600, 3600, 36000];

/** Bounds of a logarithmic axis around some times, at least a factor of ten apart. */
export function around(times) {
  const known = times.filter((time) => time > 0);
  if (known.length === 0) return [1e-3, 1];
  let [low, high] = [Math.min(...known) / 1.3, Math.max(...known) * 1.3];
  if (high / low < 10) [low, high] = [low / Math.sqrt((10 * low) / high), high * Math.sqrt((10 * low) / high)];
  return [low, high];
}

/** The interval of 80 %, the mean and the actual time on one line; `bounds` are those of all lines. */
export function span(prediction, actual, bounds, hue) {
  const at = (s) => 4 + 192 * Math.max(0, Math.min(1, Math.log(s / bounds[0]) / Math.log(bounds[1] / bounds[0])));
  const parts = [];
  if (prediction) {
    parts.push(svg("line", { class: "band", x1: at(prediction.p10_s), x2: at(prediction.p90_s), y1: 11, y2: 11 }));
    parts.push(svg("line", { class: "mean", x1: at(prediction.mean_s), x2: at(prediction.mean_s), y1: 4, y2: 18 }));
  }
  const outside = prediction && (actual < prediction.p10_s || actual > prediction.p90_s);
  // A line without length and with round ends stays a dot, however wide the picture is drawn.
  if (actual > 0) parts.push(svg("line", { class: outside ? "out" : "actual", x1: at(actual), x2: at(actual), y1: 11, y2: 11 }));
  const said = prediction ? `predicted ${seconds(prediction.p10_s)} to ${seconds(prediction.p90_s)}` : "nothing predicted";
  const label = actual > 0 ? `${said}, was ${seconds(actual)}` : said;
  return svg("svg", { class: `span ${hue}`, viewBox: "0 0 200 22", preserveAspectRatio: "none", role: "img", "aria-label": label }, svg("title", {}, label), parts);
}

/** Predicted means against actual times, both logarithmic; on the line they are the same. */
export function scatter(points) {
  const bounds = around(points.flatMap((point) => [point.predicted, point.actual]));
  const [left, size] = [52, 270];
  const at = (s) => (size * Math.log(s / bounds[0])) / Math.log(bounds[1] / bounds[0]);
  const inside = TICKS.filter((time) => time >= bounds[0] && time <= bounds[1]);
  const ticks = inside.flatMap((time) => [
    svg("line", { class: "axis", x1: left + at(time), x2: left + at(time), y1: 8, y2: 8 + size }),
    svg("line", { class: "axis", x1: left, x2: left + size, y1: 8 + size - at(time), y2: 8 + size - at(time) }),
    svg("text", { x: left + at(time), y: size + 23, "text-anchor": "middle" }, tick(time)),
    svg("text", { x: left - 5, y: 12 + size - at(time), "text-anchor": "end" }, tick(time)),
  ]);
  const dots = points.map((point) => svg("circle", { class: point.home ? "of-home" : "of-away", cx: left + at(point.predicted), cy: 8 + size - at(point.actual), r: 3 }));
  return svg("svg", { class: "plot", viewBox: `0 0 ${left + size + 12} ${size + 44}`, role: "img", "aria-label": `Predicted and actual times of ${points.length} jobs` },
    ticks, svg("line", { class: "ideal", x1: left, y1: 8 + size, x2: left + size, y2: 8 }), dots,
    svg("text", { x: left + size / 2, y: size + 40, "text-anchor": "middle" }, "predicted →"),
    svg("text", { x: 11, y: 8 + size / 2, "text-anchor": "middle", transform: `rotate(-90 11 ${8 + size / 2})` }, "actual →"));
}

/** How many outcomes fell below each predicted quantile, beside how many should. */
export function reliability(shares, count) {
  const [left, size] = [52, 270];
  const at = (share) => size * share;
  const grid = [0, 0.1, 0.25, 0.5, 0.75, 0.9, 1].flatMap((level) => [
    svg("line", { class: "axis", x1: left + at(level), x2: left + at(level), y1: 8, y2: 8 + size }),
    svg("text", { x: left + at(level), y: size + 23, "text-anchor": "middle" }, `${Math.round(100 * level)}`),
    svg("text", { x: left - 5, y: 12 + size - at(level), "text-anchor": "end" }, `${Math.round(100 * level)}`),
  ]);
  const line = shares.map(([level, share]) => `${left + at(level)},${8 + size - at(share)}`).join(" ");
  const dots = shares.map(([level, share]) => svg("circle", { class: "of-home", cx: left + at(level), cy: 8 + size - at(share), r: 5 }));
  const label = shares.map(([level, share]) => `${percent(share)} below the quantile of ${percent(level)}`).join(", ");
  return svg("svg", { class: "plot home", viewBox: `0 0 ${left + size + 12} ${size + 44}`, role: "img", "aria-label": `Of ${count} jobs: ${label}` },
    grid, svg("line", { class: "ideal", x1: left, y1: 8 + size, x2: left + size, y2: 8 }),
    svg("polyline", { points: line, fill: "none", stroke: "var(--home)", "stroke-width": 2 }), dots,
    svg("text", { x: left + size / 2, y: size + 40, "text-anchor": "middle" }, "should fall below, % →"),
    svg("text", { x: 11, y: 8 + size / 2, "text-anchor": "middle", transform: `rotate(-90 11 ${8 + size / 2})` }, "fell below, % →"));
}
