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

async function post(path, fields, keepalive = false) {
  const body = new URLSearchParams([["csrf", csrf], ...fields]);
  const answer = await fetch(`/console/review/${path}`, {
    method: "POST", body, keepalive, headers: { "X-Requested-With": "assay", "X-Assay-Csrf": csrf },
  });
  if (answer.status === 401) { location.reload(); return null; }
  const reply = await answer.json();
  if (!answer.ok) throw new Error(reply.detail || "The server refused.");
  return reply;
}

function trouble(text) {
  at("trouble").hidden = !text;
  at("trouble").textContent = text || "";
}

function figures(reply) {
  for (const [name, value] of Object.entries(reply)) {
    const cell = document.querySelector(`[data-figure="${name}"]`);
    if (cell) cell.textContent = value.toLocaleString("en").replaceAll(",", "\u202f");
  }
}

async function fill() {
  try {
    const reply = await post("next", [["order", order], ["source", source]]);
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
  at("undo").disabled = !pending && !past.length;
  if (!item) return;
  heat = 0;
  setZoom(false);
  at("picture").src = item.picture;
  at("picture").alt = `The image ${item.image_id}`;
  at("over").hidden = true;
  at("heat").disabled = !item.heatmaps.length;
  at("heat").setAttribute("aria-pressed", "false");
  at("page").textContent = item.image_id;
  at("page").href = item.page;
  at("probability").textContent = item.probability;
  at("standing").textContent = item.standing;
  at("facts").textContent = [item.source, item.size].filter(Boolean).join(" · ");
  at("detectors").replaceChildren(...item.detectors.map(([name, value]) => row(name, value)));
  at("near").hidden = !item.near.length;
  at("near-list").replaceChildren(...item.near.map(alike));
  at("announce").textContent = `${item.image_id}, probability ${item.probability}`;
}

function row(name, value) {
  const line = document.createElement("li");
  const [left, right] = [document.createElement("span"), document.createElement("span")];
  left.textContent = name;
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
  image.src = one.picture;
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

const reason = () => at("typed").value.trim() || document.querySelector("input[name=reason]:checked")?.value || "";

async function flush(keepalive = false) {
  if (!pending) return;
  const { item, act, why, also, timer } = pending;
  clearTimeout(timer);
  pending = null;
  past.push({ item, act });
  if (past.length > 50) past.shift();
  try {
    const reply = await post("decide", [
      ["image_pk", item.image_pk], ["image_id", item.image_id], ["act", act], ["reason", why],
      ...also.map((id) => ["also", id]),
    ], keepalive);
    if (reply) figures(reply.figures);
  } catch (error) {
    gone.delete(item.image_pk);
    trouble(`${item.image_id}: ${error.message}`);
  }
}

async function decide(act) {
  const item = items[0];
  if (!item) return;
  const label = act === "ai_generated" || act === "not_ai_generated";
  if (label && !reason()) { trouble("Choose a reason with 1 to 9, or type one."); return; }
  trouble("");
  const also = [...document.querySelectorAll("input[name=also]:checked")].map((box) => box.value);
  const why = reason();
  const sent = flush();
  items.shift();
  gone.add(item.image_pk);
  pending = { item, act, why, also, timer: setTimeout(() => flush().then(fill), HOLD_MS) };
  at("typed").value = "";
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
  at("over").hidden = !one;
  if (one) { at("over").src = one.at; at("over").alt = `Heatmap of ${one.name}`; }
  at("heat").setAttribute("aria-pressed", String(Boolean(one)));
}

function toggle(button, name) {
  const on = at("frame").classList.toggle(name);
  button.setAttribute("aria-pressed", String(on));
  try { localStorage.setItem(`assay-${name}`, on ? "1" : ""); } catch { /* forbidden: for this page alone */ }
}
for (const [id, name] of [["blur", "blurred"], ["grey", "greyed"]]) {
  let on = false;
  try { on = localStorage.getItem(`assay-${name}`) === "1"; } catch { /* as above */ }
  if (on) toggle(at(id), name);
}

function setZoom(on) {
  at("frame").classList.toggle("zoomed", on);
  at("zoom").setAttribute("aria-pressed", String(on));
}
at("frame").addEventListener("pointermove", (event) => {
  const box = at("frame").getBoundingClientRect();
  const where = `${(100 * (event.clientX - box.left)) / box.width}% ${(100 * (event.clientY - box.top)) / box.height}%`;
  for (const image of at("frame").children) image.style.transformOrigin = where;
});

const KEYS = {
  a: () => decide("ai_generated"), n: () => decide("not_ai_generated"), u: () => decide("cannot_tell"),
  s: () => decide("skip"), z: undo, j: () => turn(1), k: () => turn(-1), h: nextHeatmap,
  b: () => toggle(at("blur"), "blurred"), g: () => toggle(at("grey"), "greyed"),
  "+": () => setZoom(!at("frame").classList.contains("zoomed")), "?": () => at("help").showModal(),
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
at("blur").addEventListener("click", () => KEYS.b());
at("grey").addEventListener("click", () => KEYS.g());
at("zoom").addEventListener("click", () => KEYS["+"]());
at("undo").addEventListener("click", undo);
at("help-open").addEventListener("click", () => KEYS["?"]());
addEventListener("pagehide", () => { flush(true); });
// Claims last five minutes; those on screen are renewed while somebody looks.
setInterval(() => { if (!document.hidden && items.length) fill(); }, 120_000);
fill();
