// The review desk: claims images, shows one, loads the next ones meanwhile, and sends decisions one step late so that
// Z can take the last one back before it is served.
const at = (id) => document.getElementById(id);
const desk = at("desk");
const { order, source, csrf } = desk.dataset;
const HOLD_MS = 6000; // how long the last decision can be taken back
let items = []; // claimed; the first is on screen
let past = []; // decided or put aside, newest last
let pending = null; // {item, act, reason, also, timer}
const gone = new Set(); // what this page decided; the server offers it again until the decision has reached it
let heat = 0;
let framed = 0;
let leaving = false; // to sign in again; later requests must not replace what the first one kept

async function post(path, fields, keepalive = false) {
  const body = new URLSearchParams([["csrf", csrf], ...fields]);
  const answer = await fetch(`/console/review/${path}`, {
    method: "POST", body, keepalive, headers: { "X-Requested-With": "assay", "X-Assay-Csrf": csrf },
  });
  if (answer.status === 401) {
    if (!leaving) { leaving = true; keep(fields, path); location.reload(); }
    return null;
  }
  const reply = await answer.json();
  if (!answer.ok) throw new Error(reply.detail || "The server refused.");
  return reply;
}

// Who is signed out in the middle loses nothing: what was decided and typed is there after signing in again.
const KEPT = "assay-review-kept";
function keep(fields, path) {
  const decision = path === "decide" ? fields : pending && decisionOf(pending);
  pending = null;
  try { sessionStorage.setItem(KEPT, JSON.stringify({ decision, typed: at("typed").value })); } catch { /* full or forbidden */ }
}
async function restore() {
  let kept = null;
  try {
    kept = JSON.parse(sessionStorage.getItem(KEPT));
    sessionStorage.removeItem(KEPT);
  } catch { /* nothing was kept */ }
  if (!kept) return;
  at("typed").value = kept.typed;
  if (!kept.decision) return;
  const image = Number(kept.decision.find(([name]) => name === "image_pk")[1]);
  gone.add(image);
  try {
    await post("next", [["order", order], ["source", source]]); // the claim may have run out meanwhile
    await post("decide", kept.decision);
  } catch (error) { gone.delete(image); trouble(error.message); }
}

// What others wrote may turn text around; it ends with this element.
const isolate = (text) => Object.assign(document.createElement("bdi"), { textContent: text });

function trouble(...parts) {
  at("trouble").hidden = !parts.length;
  at("trouble").replaceChildren(...parts);
}

function figures(reply) {
  for (const [name, value] of Object.entries(reply)) {
    const cell = document.querySelector(`[data-figure="${name}"]`);
    if (name === "own" && at("goal")) at("goal").value = value;
    if (cell) cell.textContent = value.toLocaleString("en").replaceAll(",", "\u202f");
  }
}

async function fill() {
  try {
    const reply = await post("next", [
      ["order", order], ["source", source], ...items.map((item) => ["known", item.image_pk]),
    ]);
    if (!reply) return;
    figures(reply.figures);
    const known = new Set(items.map((item) => item.image_pk));
    for (const item of reply.items) {
      if (gone.has(item.image_pk) || known.has(item.image_pk)) continue;
      items.push(item);
      preload(item);
    }
  } catch (error) { trouble(error.message); }
  if (!shown || !items.includes(shown)) show();
}

function preload(item) {
  item.image = new Image();
  item.image.src = item.picture;
  for (const one of item.heatmaps) new Image().src = one.at;
}

let shown = null;
function show() {
  const item = items[0] ?? null;
  shown = item;
  desk.hidden = !item;
  at("empty").hidden = Boolean(item);
  at("loading").hidden = true;
  at("undo").disabled = !pending && !past.length;
  if (!item) return;
  heat = framed = 0;
  setZoom(false);
  at("frame").classList.remove("broken");
  at("picture").dataset.instead = item.thumbnail;
  at("picture").src = item.picture;
  at("picture").alt = `The image ${item.image_id}`;
  at("over").hidden = at("legend").hidden = at("framed").hidden = at("over-words").hidden = true;
  at("heat").disabled = !item.heatmaps.length;
  at("heat").setAttribute("aria-pressed", "false");
  if (item.flagged) nextHeatmap(); // what was flagged shows where, without being asked
  at("crops").disabled = !item.crops.length;
  at("crops").setAttribute("aria-pressed", "false");
  at("page").replaceChildren(isolate(item.image_id));
  at("page").href = item.page;
  at("probability").textContent = item.probability;
  at("chance").hidden = !/\d/.test(item.probability); // people's verdicts have none, and the audit slice shows none
  at("standing").textContent = item.standing;
  at("facts").replaceChildren(isolate(item.source), item.size ? ` · ${item.size}` : "");
  at("detectors").replaceChildren(...item.detectors.map(([name, value]) => row(name, value)));
  at("words").replaceChildren(...item.words.map(([who, what, why]) => row([isolate(who), ": ", isolate(why)], what)));
  at("appeal").hidden = !item.appeal;
  at("appeal-reason").textContent = item.appeal?.reason ?? "What was said is forgotten by now.";
  at("appeal-due").textContent = item.appeal ? `An appeal against “${item.appeal.against}”, due ${item.appeal.due}` : "";
  presets(item.reasons);
  besides(-1);
  at("compare").disabled = !item.near.length;
  at("alike").href = item.alike;
  at("near").hidden = !item.near.length;
  at("near-list").replaceChildren(...item.near.map(alike));
  at("announce").textContent = item.image_id + (item.probability && `, probability ${item.probability}`);
}

// Sources may have reasons of their own.
let offered = [...document.querySelectorAll("input[name=reason]")].map((input) => input.value);
function presets(reasons) {
  if (JSON.stringify(reasons) === JSON.stringify(offered)) return;
  offered = reasons;
  at("presets").replaceChildren(...reasons.map((reason, number) => {
    const label = document.createElement("label");
    const [input, text, key] = [document.createElement("input"), document.createElement("span"), document.createElement("kbd")];
    input.type = "radio";
    input.name = "reason";
    input.value = reason;
    key.textContent = number + 1;
    text.append(key, " ", isolate(reason));
    label.append(input, text);
    return label;
  }));
}

// Side by side with a look-alike: C shows the next one, and nothing after the last.
let beside = -1;
function besides(number) {
  const one = items[0]?.near[number];
  beside = one ? number : -1;
  at("beside").hidden = !one;
  at("stage").classList.toggle("two", Boolean(one));
  at("compare").setAttribute("aria-pressed", String(Boolean(one)));
  if (!one) return;
  at("twin").dataset.instead = one.thumbnail;
  at("twin").src = one.picture;
  at("twin").alt = `${one.image_id}, ${one.distance}`;
}

async function standing() {
  try {
    const answer = await fetch("/console/review/standing", { headers: { "X-Requested-With": "assay" } });
    if (!answer.ok) return;
    for (const [name, value] of Object.entries(await answer.json())) document.querySelector(`[data-standing="${name}"]`).textContent = value;
  } catch { /* figures of the side; the desk goes on */ }
}

function row(name, value) {
  const line = document.createElement("li");
  const [left, right] = [document.createElement("span"), document.createElement("span")];
  left.append(...[name].flat());
  right.textContent = value;
  right.className = "number";
  line.append(left, right);
  return line;
}

function alike(one) {
  const line = document.createElement("li");
  const label = document.createElement("label");
  const thumb = document.createElement("span");
  thumb.className = "thumb";
  const image = document.createElement("img");
  image.dataset.thumbnail = "";
  image.src = one.thumbnail;
  image.alt = "";
  image.loading = "lazy";
  thumb.append(image);
  const check = document.createElement("span");
  check.className = "check";
  const box = document.createElement("input");
  box.type = "checkbox";
  box.name = "also";
  box.value = one.image_id;
  check.append(box, document.createTextNode(one.distance));
  label.append(thumb, check);
  line.append(label);
  return line;
}

const chosen = () => document.querySelector("input[name=reason]:checked");
// A reason that nobody chose must not stand on a decision.
const reason = () => at("typed").value.trim() || chosen()?.value || at("presets").dataset.none;

const decisionOf = ({ item, act, why, also }) => [
  ["image_pk", item.image_pk], ["image_id", item.image_id], ["act", act], ["reason", why], ["order", order],
  ["source", source], ["appeal", item.appeal?.id ?? ""], ...also.map((id) => ["also", id]),
];

async function flush(keepalive = false) {
  if (!pending) return;
  const { item, act, why, also, timer } = pending;
  clearTimeout(timer);
  pending = null;
  past.push({ item, act });
  if (past.length > 50) past.shift();
  try {
    const reply = await post("decide", decisionOf({ item, act, why, also }), keepalive);
    if (reply) figures(reply.figures);
  } catch (error) {
    gone.delete(item.image_pk);
    trouble(isolate(item.image_id), `: ${error.message}`);
  }
}

async function decide(act) {
  const item = items[0];
  if (!item) return;
  trouble();
  const also = [...document.querySelectorAll("input[name=also]:checked")].map((box) => box.value);
  const why = reason();
  const sent = flush();
  items.shift();
  gone.add(item.image_pk);
  pending = { item, act, why, also, timer: setTimeout(() => flush().then(fill), HOLD_MS) };
  at("typed").value = "";
  if (chosen()) chosen().checked = false;
  show();
  await sent;
  if (items.length < 2) await fill();
}

function bringBack(item) {
  gone.delete(item.image_pk);
  items.unshift(item);
}

async function undo() {
  if (pending) {
    clearTimeout(pending.timer);
    bringBack(pending.item);
    pending = null;
    show();
    return;
  }
  const last = past.pop();
  if (!last) return;
  if (last.act === "skip" || last.act === "cannot_tell") {
    await post("decide", [["image_pk", last.item.image_pk], ["image_id", last.item.image_id], ["act", "undo"]]);
    bringBack(last.item);
    show();
  } else {
    // It is served already: history keeps it, and a new label on the image's own page supersedes it.
    location.assign(last.item.page);
  }
}

function turn(by) { // J puts the first behind the others, K brings the last one back
  if (items.length < 2) return;
  if (by > 0) items.push(items.shift()); else items.unshift(items.pop());
  show();
}

function nextHeatmap() {
  const item = items[0];
  if (!item?.heatmaps.length) return;
  heat = (heat + 1) % (item.heatmaps.length + 1);
  const one = item.heatmaps[heat - 1];
  at("over").hidden = at("legend").hidden = !one;
  if (one) {
    at("over").src = one.at;
    at("over").alt = `Heatmap of ${one.name}`;
    at("legend-name").textContent = one.name;
  }
  at("heat").setAttribute("aria-pressed", String(Boolean(one)));
}

function nextCrops() {
  const item = items[0];
  if (!item?.crops.length) return;
  framed = (framed + 1) % (item.crops.length + 1);
  const one = item.crops[framed - 1];
  at("framed").hidden = at("over-words").hidden = !one;
  if (one) {
    at("framed").src = one.at;
    at("framed").alt = `Crops that ${one.name} looked at`;
    at("over-words").textContent = `${one.name} looked at ${one.words}.`;
  }
  at("crops").setAttribute("aria-pressed", String(Boolean(one)));
}

function toggle(button, name) {
  const on = at("stage").classList.toggle(name);
  button.setAttribute("aria-pressed", String(on));
  try { localStorage.setItem(`assay-${name}`, on ? "1" : ""); } catch { /* forbidden: for this page alone */ }
}
for (const [id, name] of [["blur", "blurred"], ["grey", "greyed"]]) {
  let on = false;
  try { on = localStorage.getItem(`assay-${name}`) === "1"; } catch { /* as above */ }
  if (on) toggle(at(id), name);
}

function setZoom(on) {
  at("stage").classList.toggle("zoomed", on);
  at("zoom").setAttribute("aria-pressed", String(on));
}
for (const frame of [at("frame"), at("beside")]) frame.addEventListener("pointermove", (event) => {
  const box = frame.getBoundingClientRect();
  const where = `${(100 * (event.clientX - box.left)) / box.width}% ${(100 * (event.clientY - box.top)) / box.height}%`;
  for (const image of document.querySelectorAll("#stage .frame img")) image.style.transformOrigin = where;
});

const KEYS = {
  a: () => decide("ai_generated"), n: () => decide("not_ai_generated"), u: () => decide("cannot_tell"),
  s: () => decide("skip"), z: undo, j: () => turn(1), k: () => turn(-1), h: nextHeatmap, f: nextCrops,
  b: () => toggle(at("blur"), "blurred"), g: () => toggle(at("grey"), "greyed"),
  c: () => besides(beside + 1), "+": () => setZoom(!at("stage").classList.contains("zoomed")), "?": () => at("help").showModal(),
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || at("help").open) return;
  if (event.target.matches("select, textarea, input:not([type=radio], [type=checkbox])")) return;
  if (/^[1-9]$/.test(event.key)) {
    const preset = document.querySelectorAll("input[name=reason]")[Number(event.key) - 1];
    if (preset) { preset.checked = true; at("typed").value = ""; }
    return;
  }
  const act = KEYS[event.key.toLowerCase()];
  if (act) { event.preventDefault(); act(); }
});
for (const button of document.querySelectorAll("[data-act]")) button.addEventListener("click", () => decide(button.dataset.act));
at("heat").addEventListener("click", nextHeatmap);
at("crops").addEventListener("click", nextCrops);
at("blur").addEventListener("click", () => KEYS.b());
at("grey").addEventListener("click", () => KEYS.g());
at("compare").addEventListener("click", KEYS.c);
at("zoom").addEventListener("click", () => KEYS["+"]());
at("undo").addEventListener("click", undo);
at("help-open").addEventListener("click", () => KEYS["?"]());
addEventListener("pagehide", () => { flush(true); });
// Claims last five minutes; those on screen are renewed while somebody looks.
setInterval(() => { if (!document.hidden && items.length) fill(); }, 120_000);
restore().then(() => fill()).then(standing);
setInterval(standing, 120_000);
