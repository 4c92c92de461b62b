// The model's tree, as it stands in its file: questions that open, and the way of one job through them.

import { bytes, el, seconds, whole } from "./draw.js";

/** The places of the nodes that a job met, from what its path says of each question. */
export function way(model, path) {
  const places = [0];
  for (const step of path) {
    const node = model.nodes[places.at(-1)];
    if (node.leaf !== undefined) break;
    const side = step.includes(" ≤ ") ? 0 : step.includes(" > ") ? 1 : null;
    if (side === null) break;
    places.push(node.left + side);
  }
  return places;
}

/** The tree from its root, in which the nodes of `places` are open. What is closed is not built. */
export function tree(model, route, places = []) {
  const extracts = model.extracts?.find((known) => known.route === route)?.names ?? [];
  return el("div", { class: "tree" }, node(model, extracts, new Set(places), 0, ""));
}

function node(model, extracts, open, place, lead) {
  const { leaf, feature, up_to, missing, left } = model.nodes[place];
  const isOnWay = open.has(place);
  if (leaf !== undefined) return el("div", { class: isOnWay ? "leaf way" : "leaf" }, lead, answer(model.leaves[leaf]));
  const [yes, no] = sides(name(feature, extracts), feature, up_to, missing);
  const children = () => [node(model, extracts, open, left, `${yes}: `), node(model, extracts, open, left + 1, `${no}: `)];
  const question = el("details", { class: isOnWay ? "way" : null, open: isOnWay || place === 0 }, el("summary", {}, lead, `${yes}?`));
  if (question.open) question.append(...children());
  else question.addEventListener("toggle", () => question.append(...children()), { once: true });
  return question;
}

function name(feature, extracts) {
  const extracted = /^x_(\d)$/.exec(feature);
  if (extracted && extracts[Number(extracted[1])]) return extracts[Number(extracted[1])];
  return { class: "usual time of its class", body_bytes: "body", input_bytes: "inputs", hour: "hour of the day", urgency: "urgency" }[feature] ?? feature;
}

function sides(name, feature, up_to, missing) {
  if (Math.abs(up_to) > 3e38) {
    const [there, gone] = [`${name} known`, `${name} unknown`];
    return missing === "left" ? [gone, there] : [there, gone];
  }
  const at = feature === "class" ? seconds(Math.exp(up_to)) : feature.endsWith("_bytes") ? bytes(Math.expm1(up_to)) : up_to.toLocaleString("en", { maximumSignificantDigits: 5 });
  const or = (side) => (missing === side ? " or unknown" : "");
  return [`${name} ≤ ${at}${or("left")}`, `${name} > ${at}${or("right")}`];
}

function answer(leaf) {
  const [low, , , , high] = leaf.quantiles_s;
  return `${seconds(leaf.mean_s)} at home (${seconds(low)} to ${seconds(high)}), from ${whole(leaf.labels)} labels`;
}
