// What every page has: colours, menu, times, broken pictures, filters that send themselves, and parts that stay live.
const root = document.documentElement;
const dark = () =>
  root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;

for (const button of document.querySelectorAll("button.theme")) {
  const show = () => button.setAttribute("aria-pressed", String(dark()));
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    try { localStorage.setItem("assay-theme", root.dataset.theme); } catch { /* forbidden: for this page alone */ }
    show();
    document.dispatchEvent(new Event("assay:theme"));
  });
  show();
}

const menu = document.querySelector("button.menu");
const setMenu = (open) => {
  menu.setAttribute("aria-expanded", String(open));
  document.body.classList.toggle("menu-open", open);
};
menu?.addEventListener("click", () => setMenu(menu.getAttribute("aria-expanded") !== "true"));
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && menu?.getAttribute("aria-expanded") === "true") {
    setMenu(false);
    menu.focus();
  }
});

const steps = [[86400, "d"], [3600, "h"], [60, "min"]];
function ago(time) {
  const seconds = Math.max(0, (Date.now() - Date.parse(time.dateTime)) / 1000);
  const step = steps.find(([size]) => seconds >= size);
  return step ? `${Math.floor(seconds / step[0])}\u00a0${step[1]} ago` : "just now";
}
function tellTimes() {
  for (const time of document.querySelectorAll("time[data-ago]")) {
    const text = ago(time);
    if (time.textContent !== text) time.textContent = text;
    if (!time.title) time.title = new Date(time.dateTime).toLocaleString();
  }
}
tellTimes();
setInterval(tellTimes, 15000);

// A thumbnail that is being made is asked for again; a picture that the browser cannot show (HEIC, TIFF, AVIF in an old
// one) gives way to its thumbnail. What cannot be shown at all is said in its frame.
const WAITS = [400, 800, 1500, 3000, 6000];
function askAgain(image) {
  const tries = Number(image.dataset.tries ?? 0);
  if (tries >= WAITS.length) return false;
  image.dataset.tries = tries + 1;
  const address = new URL(image.src);
  address.searchParams.set("try", tries + 1);
  setTimeout(() => { image.src = address.href; }, WAITS[tries]);
  return true;
}
function broken(image) {
  if (image.classList.contains("over")) {  // the picture below it is sound
    image.hidden = true;
  } else if (image.dataset.instead) {
    image.dataset.thumbnail = "";
    image.dataset.tries = 0;
    image.src = image.dataset.instead;
    delete image.dataset.instead;
  } else if (image.dataset.thumbnail !== undefined && askAgain(image)) {
    image.closest(".thumb")?.classList.add("coming");
  } else {
    image.closest(".thumb, .frame")?.classList.add("broken");
  }
}
document.addEventListener("load", (event) => {
  if (event.target instanceof HTMLImageElement) event.target.closest(".thumb")?.classList.remove("coming");
}, true);
document.addEventListener("error", (event) => event.target instanceof HTMLImageElement && broken(event.target), true);
for (const image of document.images) if (image.complete && image.currentSrc && !image.naturalWidth) broken(image);

for (const form of document.querySelectorAll("form[data-submits]")) {
  form.addEventListener("change", (event) => event.target instanceof HTMLSelectElement && form.requestSubmit());
  form.addEventListener("submit", () => {
    for (const field of form.elements) if (field.name && !field.value) field.disabled = true;
  });
}
// Coming back through history brings the form back as it was left: with its empty fields off.
addEventListener("pageshow", () => {
  for (const field of document.querySelectorAll("form[data-submits] :disabled")) field.disabled = false;
});

// Ticks all boxes of a name, or none where all are ticked.
for (const button of document.querySelectorAll("[data-ticks]")) button.addEventListener("click", () => {
  const boxes = [...document.querySelectorAll(`input[type=checkbox][name="${button.dataset.ticks}"]`)];
  const all = boxes.every((box) => box.checked);
  for (const box of boxes) box.checked = !all;
});

const announcer = document.getElementById("announce");
// Replaces what changed alone, as the server sent it: what runs here changes times, and pictures should not flicker.
function update(region, html) {
  const fresh = [...new DOMParser().parseFromString(html, "text/html").body.children];
  const sent = fresh.map((part) => part.outerHTML);
  const shown = [...region.children];
  const known = region.sent?.length === sent.length ? region.sent : [];
  if (shown.length !== fresh.length) region.replaceChildren(...fresh);
  else fresh.forEach((part, at) => {
    if (known[at] !== sent[at] && !shown[at].contains(document.activeElement)) shown[at].replaceWith(part);
  });
  region.sent = sent;
  tellTimes();
}

function announce(region) {
  const text = [...region.querySelectorAll("[data-announce]")].map((part) => part.dataset.announce).join(". ");
  const key = [...region.querySelectorAll("[data-newest]")].map((part) => part.dataset.newest).join() + text;
  if (region.announced !== undefined && region.announced !== key) announcer.textContent = text;
  region.announced = key;
}

async function keepLive(region) {
  announce(region);
  const every = 1000 * Number(region.dataset.every);
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, every));
    if (document.hidden) continue;
    try {
      const answer = await fetch(region.dataset.live, { headers: { "X-Requested-With": "assay" } });
      if (answer.status === 401) { location.reload(); return; }
      region.classList.toggle("stale", !answer.ok);
      if (!answer.ok) continue;
      update(region, await answer.text());
      announce(region);
      if (region.querySelector("[data-done]")) {
        if (region.dataset.then === "reload") location.reload(); // what came of it is on the page, made anew
        return;
      }
    } catch { region.classList.add("stale"); }
  }
}
for (const region of document.querySelectorAll("[data-live]")) keepLive(region);
