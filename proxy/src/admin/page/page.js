// What the sidecar does, as it does it. It is asked once a second while somebody looks; when it does not answer, ever more rarely,
// and when it is back, from wherever it is then: after a restart that is the beginning.

import { around, bytes, el, facts, meter, money, percent, reliability, scatter, seconds, spaced, span, whole } from "./draw.js";
import { tree, way } from "./tree.js";

const EVERY_MS = 1000;
const EVERY_MOST_MS = 15000;
const ROWS = 12;
const ROWS_MOST = 100;
const JOBS_KEPT = 1000;
const QUANTILES = [[0.1, "p10_s"], [0.25, "p25_s"], [0.5, "p50_s"], [0.75, "p75_s"], [0.9, "p90_s"]];
/** What a word for a reason means, where it does not say it itself. */
const REASONS = {
  cheaper: "predicted to be cheaper there", lead_confirmed: "shadow confirmed the choice", switched: "shadow showed it faster elsewhere",
  spill: "home was full", no_model_home: "no model yet: home first", lead_answered: "answered before its shadow", shadow_finished: "shadow finished first",
  window_ended: "shadow’s window ended", explore: "explored on purpose", failover: "the other network failed", lead_failed: "the first network failed",
  guard: "fixed rule, for comparison", fallback: "fixed rule, it is cheaper now", route_off: "route is off", last_hop: "came from a sidecar",
  residency: "may stay nowhere else", health: "the other is ill", capacity: "the other is full", bandwidth: "the link is full", spend: "spending cap reached",
  nothing_eligible: "every network was shut", located: "where its 202 job runs",
};

const at = (id) => document.getElementById(id);
const state = { jobs: [], last: null, instance: null, failures: 0, paused: false, all: false, only: "", home: "", model: null, config: null, arrivals: [], shown: "" };

async function ask(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(10000) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

/** One look, and when the next is due. */
async function look() {
  try {
    const status = await ask("/status");
    if (status.instance !== state.instance) restarted(status.instance);
    const since = state.last ? `&after=${state.last}` : "";
    const fresh = await ask(`/decisions?n=${JOBS_KEPT}${since}`);
    if (fresh.length > 0) {
      state.last = fresh[0].id;
      state.jobs = [...fresh, ...state.jobs].slice(0, JOBS_KEPT);
    }
    await renew(status);
    state.failures = 0;
    show(status);
  } catch (error) {
    state.failures += 1;
    lost(error);
  }
  const wait = Math.min(EVERY_MOST_MS, EVERY_MS * 2 ** Math.max(0, state.failures - 1));
  state.timer = setTimeout(look, document.hidden ? EVERY_MOST_MS : wait);
}

/** Another process answers than before, or the first does. */
function restarted(instance) {
  Object.assign(state, { instance, jobs: [], last: null, model: null, config: null, shown: "" });
}

/** What changes seldom is fetched when it has. */
async function renew(status) {
  if ((status.model?.version ?? 0) !== (state.model?.version ?? 0)) {
    state.model = status.model ? await ask("/model") : null;
    at("tree").replaceChildren(state.model ? tree(state.model) : "");
  }
  showVersions(await ask("/model/versions"));
  const config = await ask("/config");
  const is = JSON.stringify(config);
  if (is !== state.config) {
    state.config = is;
    showConfig(config);
  }
}

function lost(error) {
  const pill = at("state");
  pill.className = "pill bad";
  pill.textContent = state.failures === 1 ? "not answering" : "not answering, still trying";
  pill.title = String(error);
}

function show(status) {
  state.home = status.home;
  const pill = at("state");
  pill.className = `pill ${status.ready ? "good" : "bad"}`;
  pill.textContent = status.ready ? "serving" : "not ready";
  pill.title = "";
  at("version").textContent = status.version;
  at("facts").textContent = `home is ${status.home} · up ${seconds(status.uptime_s)} · ${status.model ? `model ${status.model.version}` : "no model yet"}`;
  const warnings = [
    status.kill_switch ? "The kill switch is thrown: nothing is shadowed and no job is moved (shadow.enabled = false)." : null,
    status.guard.in_force === "rule" ? "The fixed rule places jobs: the policy was dearer. It comes back when it is cheaper." : null,
    status.spend.failing ? `What is spent cannot be written down: ${status.spend.failing}` : null,
  ].filter(Boolean);
  at("alert").hidden = warnings.length === 0;
  at("alert").textContent = warnings.join("\n");
  showTiles(status);
  at("network-cards").replaceChildren(...status.networks.map((network) => card(network, status.home)));
  if (!state.paused) showJobs();
  showQuality();
  showReasons(status);
  showModel(status);
}

const hue = (network) => (network === state.home ? "home" : "away");
const named = (network) => [el("span", { class: `dot ${hue(network)}` }), network];

function showTiles(status) {
  const minute = state.jobs.filter((job) => Date.now() - Date.parse(job.time) < 60000);
  const away = minute.filter((job) => job.target !== status.home).length;
  const scored = state.jobs.map(outcome).filter(Boolean);
  const inside = scored.filter((one) => one.actual >= one.prediction.p10_s && one.actual <= one.prediction.p90_s).length;
  const spent = status.networks.reduce((sum, network) => sum + network.spend.last_hour, 0);
  const tiles = [
    ["Jobs in the last minute", whole(minute.length), minute.length ? `${percent(away / minute.length)} not at home` : "none"],
    ...status.networks.slice(0, 2).map((network) => saved(network)),
    ["Spent in the last hour", money(spent), status.networks.map((n) => `${n.name} ${money(n.spend.last_hour)}`).join(" · ")],
    ["Inside the 80 % interval", percent(inside / scored.length), scored.length ? `of the last ${whole(scored.length)} jobs` : "nothing predicted yet"],
    ["Regret seen", status.regret.paired_jobs ? percent(status.regret.worse / status.regret.paired_jobs) : "–",
      `${whole(status.regret.worse)} of ${whole(status.regret.paired_jobs)} seen on two ran on the dearer, by ${money(status.regret.cost)}`],
  ];
  at("tiles").replaceChildren(...tiles.map(([name, value, note]) => el("div", { class: "tile" }, el("dt", {}, name), el("dd", { class: "value" }, value), el("dd", { class: "note" }, note))));
}

function saved({ name, compared }) {
  const share = compared?.cost_there > 0 ? ` (${percent(compared.saved / compared.cost_there)})` : "";
  const note = compared?.jobs ? `${whole(compared.jobs)} jobs came to ${money(compared.cost)} in money and time; there ${money(compared.cost_there)}${share}` : "nothing to compare yet";
  return [`Saved vs. only ${name}`, compared?.jobs ? money(compared.saved, true) : "–", note];
}

/** What stands between jobs and a network now. */
function gate(network) {
  if (!network.healthy) return ["shut: not healthy", "bad"];
  if (network.spend.left !== null && network.spend.left <= 0) return ["shut: spending cap", "bad"];
  if (network.capacity > 0 && network.in_flight >= network.capacity) return ["full", "bad"];
  return ["open", "good"];
}

function card(network, home) {
  const [word, kind] = gate(network);
  const load = network.capacity ? `${whole(network.in_flight)} of ${whole(network.capacity)} slots` : `${whole(network.in_flight)} in flight, capacity not known`;
  const { shadows, spend } = network;
  const refused = Object.entries(shadows?.refused ?? {}).map(([reason, count]) => `${spaced(reason)} ${whole(count)}`);
  const cap = [spend.per_hour && `${money(spend.per_hour)} an hour`, spend.per_day && `${money(spend.per_day)} a day`].filter(Boolean).join(", ");
  const bounds = shadows && [shadows.per_second !== null && `${shadows.per_second} a second`, shadows.bytes_per_second !== null && `${bytes(shadows.bytes_per_second)}/s`].filter(Boolean).join(", ");
  return el("article", { class: `card ${hue(network.name)}` },
    el("div", { class: "row" }, el("h3", {}, network.name, network.name === home ? " (home)" : ""), el("span", { class: `pill ${kind}` }, word)),
    meter(network.capacity ? network.in_flight / network.capacity : 0, load),
    facts([
      ["Load", `${load}; a job would wait ${seconds(network.waiting_s)}`],
      ["Link", network.name === home ? "this machine" : `${network.rtt_s ? seconds(network.rtt_s) : "–"} round trip${network.link_bytes_per_s ? `, ${bytes(network.link_bytes_per_s)}/s` : ""}`],
      ["Spent", `${money(spend.last_hour)} in an hour, ${money(spend.last_day)} in a day${spend.committed ? `, ${money(spend.committed)} in flight` : ""}${cap ? `; cap ${cap}` : ""}`],
      shadows && ["Shadows", `${whole(shadows.in_flight)} of ${whole(shadows.in_flight_most)} at once${bounds ? ` (${bounds})` : ""}; ${whole(shadows.started)} started, ${whole(shadows.adopted)} adopted`],
      refused.length > 0 && ["Not run", refused.join(", ")],
      ["Endpoints", el("ul", {}, network.endpoints.map((endpoint) => el("li", {}, endpoint.address, el("span", { class: endpoint.healthy ? "good" : "bad" }, endpoint.healthy ? " healthy" : " ill"))))],
    ]));
}

/** A job's prediction for where it ran, and how long it ran. */
function outcome(job) {
  const prediction = job.predictions[job.target];
  return prediction && job.ran_s > 0 ? { prediction, actual: job.ran_s, home: job.target === state.home } : null;
}

const label = (job) => [job.route, job.class].filter(Boolean).join(" / ") || "no route";
const why = (reason) => REASONS[reason] ?? spaced(reason);

function showJobs() {
  const targets = [...new Set(state.jobs.map((job) => job.target))].sort();
  const options = ["", ...targets];
  if (at("only").options.length !== options.length) {
    at("only").replaceChildren(...options.map((name) => el("option", { value: name, selected: name === state.only }, name || "all")));
  }
  const jobs = state.jobs.filter((job) => !state.only || job.target === state.only).slice(0, state.all ? ROWS_MOST : ROWS);
  const shown = jobs.map((job) => job.id).join();
  at("no-jobs").hidden = jobs.length > 0;
  at("more").hidden = state.jobs.length <= ROWS;
  at("jobs-note").textContent = jobs.length ? "as they end, the last one first; choose one to see all of it" : "";
  // Left alone if nothing changed: whoever is reading or on their way through it by keyboard stays there.
  if (shown === state.shown) return;
  state.shown = shown;
  const focused = document.activeElement?.dataset?.job;
  const bounds = around(jobs.flatMap((job) => [job.ran_s, job.predictions[job.target]?.p10_s, job.predictions[job.target]?.p90_s]));
  at("rows").replaceChildren(...jobs.map((job) => row(job, bounds)));
  if (focused) at("rows").querySelector(`[data-job="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

function row(job, bounds) {
  const failed = job.outcome === "answered" ? null : el("span", { class: "bad" }, ` ${spaced(job.outcome)}`);
  return el("tr", {},
    el("td", { title: job.time }, job.time.slice(11, 19)),
    el("td", { class: "wrap" }, el("button", { class: "link", type: "button", "data-job": job.id, on: { click: () => showDetail(job.id) } }, label(job)), failed),
    el("td", {}, job.urgency),
    el("td", {}, named(job.target)),
    el("td", { title: spaced(job.reason) }, why(job.reason), job.shadows.length ? el("span", { class: "quiet" }, ` · shadow on ${job.shadows.join(", ")}`) : null),
    el("td", {}, span(job.predictions[job.target], job.ran_s, bounds, hue(job.target))),
    el("td", { class: "number" }, seconds(job.ran_s)),
    el("td", { class: "number" }, seconds(job.took_s)));
}

function showQuality() {
  const scored = state.jobs.map(outcome).filter(Boolean);
  if (scored.length === 0) return at("calibration").replaceChildren(el("p", { class: "empty" }, "Nothing was predicted yet, or no predicted job has ended."));
  const errors = scored.map(({ prediction, actual }) => Math.abs(Math.log(actual / prediction.mean_s))).sort((a, b) => a - b);
  const typical = Math.exp(errors[Math.floor(errors.length / 2)]);
  const shares = QUANTILES.map(([level, key]) => [level, scored.filter(({ prediction, actual }) => actual <= prediction[key]).length / scored.length]);
  at("calibration").replaceChildren(
    el("p", { class: "quiet" }, `The last ${whole(scored.length)} jobs. Half of them were off by less than a factor of ${typical.toFixed(2)}. On the dashed lines, predictions are right.`),
    el("div", { class: "two" }, scatter(scored.slice(0, 400).map(({ prediction, actual, home }) => ({ predicted: prediction.mean_s, actual, home }))), reliability(shares, scored.length)));
}

function showReasons(status) {
  const counts = Object.entries(status.decisions).sort((a, b) => b[1] - a[1]);
  const all = counts.reduce((sum, [, count]) => sum + count, 0);
  at("reasons").replaceChildren(...(counts.length ? counts.map(([reason, count]) =>
    el("li", { class: "home", title: reason }, el("span", {}, why(reason)), meter(count / counts[0][1], `${whole(count)} jobs`), el("span", { class: "number" }, percent(count / all, 1)))) : [el("li", { class: "quiet" }, "No job yet.")]));
}

function showModel(status) {
  const { model, learning, guard } = status;
  const standing = guard.policy_dearer_by === null ? "too few blocks to say" :
    `${percent(Math.abs(guard.policy_dearer_by), 1)} ${guard.policy_dearer_by > 0 ? "dearer" : "cheaper"} than the fixed rule, give or take ${percent(guard.give_or_take, 1)}`;
  const held = state.model?.calibration;
  const body = model ? facts([
    ["Version", `${model.version}, in force for ${seconds(model.age_s)}; ${model.trusted === model.version ? "trusted" : `on trial, ${model.trusted ? `else back to ${model.trusted}` : "the first"}`}`],
    ["Learned from", `${whole(model.rows)} labels`],
    held && ["Held out", `${whole(held.outcomes)} outcomes, off by a factor of ${Math.exp(held.log_error).toFixed(2)} on average`],
    ["Taken back", `${whole(learning.rollbacks)} times; ${whole(learning.drift_alarms)} drift alarms`],
    ["The policy is", standing],
  ]) : el("p", { class: "empty" }, "There is no model yet: jobs go home, and elsewhere when home is full. One is grown from the first few hundred jobs.");
  at("model-facts").replaceChildren(body);
  at("tree-box").hidden = !model;
}

/** What can be gone back to. Left alone while it stays the same, so that nobody's choice is lost. */
function showVersions({ in_force, kept }) {
  const others = kept.filter((version) => version !== in_force);
  at("back").hidden = others.length === 0;
  const is = others.join();
  if (is === at("back").dataset.versions) return;
  at("back").dataset.versions = is;
  at("version-wanted").replaceChildren(...others.map((version) => el("option", { value: version }, version)));
}

/** The token is kept for this tab alone, and sent with nothing else. */
async function rollBack(event) {
  event.preventDefault();
  const version = at("version-wanted").value;
  const said = at("back-said");
  said.className = "quiet";
  said.textContent = "…";
  try {
    const answer = await fetch("/model/version", { method: "PUT", body: version, headers: { authorization: `Bearer ${at("token").value}` } });
    if (!answer.ok) throw new Error((await answer.json()).detail);
    sessionStorage.setItem("token", at("token").value);
    said.textContent = `Version ${version} is in force.`;
  } catch (error) {
    said.className = "bad";
    said.textContent = error.message;
  }
}

function showConfig({ in_force, refused, listening }) {
  const parts = [];
  if (refused) parts.push(el("p", { class: "alert" }, `What the file says now is refused, and what is below stays in force:\n${refused.shown}`));
  parts.push(facts([
    in_force && ["Read", `${new Date(1000 * in_force.read_at_s).toLocaleString()}${in_force.from === "last_good" ? ", from the last good copy" : ""}`],
    in_force && ["SHA-256", in_force.sha256],
    ["Listening", Object.entries(listening).map(([what, where]) => `${what} ${where}`).join(", ")],
  ]));
  at("config-facts").replaceChildren(...parts);
  at("config-text").textContent = in_force?.text ?? "There is no file.";
}

async function showDetail(id) {
  let job;
  try {
    job = await ask(`/decisions/${id}`);
  } catch {
    job = state.jobs.find((known) => known.id === id);
  }
  if (!job) return;
  at("detail-title").textContent = `${label(job)} on ${job.target}`;
  const networks = [...new Set([...job.eligible, ...Object.keys(job.predictions), ...Object.keys(job.costs), job.target])].sort();
  const lines = networks.map((name) => {
    const prediction = job.predictions[name];
    return el("tr", {},
      el("td", {}, named(name)), el("td", {}, job.eligible.includes(name) ? "open" : "shut"),
      el("td", { class: "number" }, prediction ? seconds(prediction.mean_s) : "–"),
      el("td", { class: "number" }, prediction ? `${seconds(prediction.p10_s)} to ${seconds(prediction.p90_s)}` : "–"),
      el("td", { class: "number" }, name in job.costs ? money(job.costs[name]) : "–"),
      el("td", {}, name === job.target ? `ran ${seconds(job.ran_s)}` : job.progress[name] ? `seen at ${percent(job.progress[name].share)}` : job.shadows.includes(name) ? "shadow" : ""));
  });
  const path = job.tree_path ?? [];
  const inForce = state.model && state.model.version === job.model && path.length > 0;
  at("detail-body").replaceChildren(
    facts([
      ["Why", `${why(job.reason)} (${job.reason})`],
      ["Plan", `${job.plan}, ${why(job.plan_reason)}; level ${job.level}, a shadow worth ${money(job.worth)}; then ${job.action}`],
      ["Outcome", `${spaced(job.outcome)}, status ${job.status || "none"}, took ${seconds(job.took_s)}, its head after ${seconds(job.head_s)}`],
      ["Moved", `${bytes(job.request_bytes)} in, ${bytes(job.response_bytes)} out`],
      ["Urgency", `${job.urgency}; shadowing ${job.mode}`],
      job.possibly_running > 0 && ["Given up", `${job.possibly_running} may still run`],
      ["Arrived", job.time], ["Id", job.id],
    ]),
    el("h3", {}, "What was known of each network"),
    el("table", {}, el("thead", {}, el("tr", {}, [["Network"], ["Gates"], ["Mean", true], ["80 % interval", true], ["Cost", true], ["Here"]].map(([head, number]) => el("th", { scope: "col", class: number ? "number" : null }, head)))), el("tbody", {}, lines)),
    el("h3", {}, inForce ? `Its way through model ${job.model}` : "Its way through the tree"),
    inForce ? tree(state.model, job.route, way(state.model, path)) : el("p", { class: "quiet" }, job.model ? `Model ${job.model} decided, which is not in force any more.` : "There was no model."),
    inForce ? el("ul", { class: "steps" }, path.filter((step) => step.includes("times as long")).map((step) => el("li", {}, step))) : null);
  if (!at("detail").open) at("detail").showModal();
}

at("token").value = sessionStorage.getItem("token") ?? "";
at("back").addEventListener("submit", rollBack);
at("close").addEventListener("click", () => at("detail").close());
at("pause").addEventListener("click", () => {
  state.paused = !state.paused;
  at("pause").setAttribute("aria-pressed", state.paused);
  at("pause").textContent = state.paused ? "Go on" : "Pause";
});
at("more").addEventListener("click", () => {
  state.all = !state.all;
  at("more").setAttribute("aria-expanded", state.all);
  at("more").textContent = state.all ? "Show fewer" : "Show more";
  showJobs();
});
at("only").addEventListener("change", () => {
  state.only = at("only").value;
  showJobs();
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  clearTimeout(state.timer);
  look();
});
look();
