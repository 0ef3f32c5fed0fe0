// Uploads dropped images one after another and tells of each until its verdict is there.
const zone = document.querySelector("form[data-drop]");
const list = document.querySelector(".drops");
const template = document.getElementById("dropped");
const waiting = { queued: "Queued", dispatched: "Handed to a worker", leased: "Being scanned", completed: "Scanned" };
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

function send(file, csrf, told) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", zone.action);
    request.setRequestHeader("X-Requested-With", "assay");
    request.setRequestHeader("X-Assay-Csrf", csrf);
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => event.lengthComputable && told(event.loaded / event.total));
    request.addEventListener("load", () =>
      request.status === 202 ? resolve(request.response) : reject(new Error(request.response?.detail ?? `Error ${request.status}`)));
    request.addEventListener("error", () => reject(new Error("Assay does not answer. Try again.")));
    const form = new FormData();
    form.append("file", file);
    request.send(form);
  });
}

async function follow(accepted, row) {
  for (let look = 0; look < 600; look += 1) {
    const answer = await fetch(`/console/progress?id=${encodeURIComponent(accepted.id)}`, { headers: { "X-Requested-With": "assay" } });
    if (answer.ok) {
      const told = await answer.json();
      if (told.ended) { row.end(told); return; }
      row.say(waiting[told.state] ?? "Waiting");
    }
    await pause(500);
  }
  row.say("Still waiting; its page tells more.");
}

function rowFor(file) {
  const part = template.content.cloneNode(true);
  const row = part.querySelector(".dropped");
  const image = row.querySelector("img");
  image.src = URL.createObjectURL(file);
  row.querySelector(".card-id bdi").textContent = file.name;
  const state = row.querySelector(".drop-state"), bar = row.querySelector("progress"), go = row.querySelector("a");
  bar.setAttribute("aria-label", `Upload of ${file.name}`);
  list.prepend(part);
  const pill = (kind, words) => {
    const shown = document.createElement("span"), dot = document.createElement("span");
    shown.className = `pill ${kind}`;
    dot.className = "dot";
    shown.append(dot, words);
    return shown;
  };
  return {
    say(text) { if (state.textContent !== text) state.textContent = text; },
    progress(share) { bar.value = share; },
    accepted(told) { bar.remove(); row.classList.add("busy"); go.href = told.page; go.hidden = false; },
    end(told) {
      row.classList.remove("busy");
      if (told.verdict) state.replaceChildren(pill(told.verdict, told.words), told.probability ? ` ${told.probability}` : "");
      else state.replaceChildren(pill("dead", told.state === "dead" ? "Given up" : "Rejected"), ` ${told.reason ?? ""}`);
    },
    fail(text) { bar.remove(); row.classList.remove("busy"); state.replaceChildren(pill("dead", "Not taken"), ` ${text}`); },
  };
}

async function take(files) {
  const rows = [...files].map((file) => [file, rowFor(file)]);
  for (const [file, row] of rows) {
    row.say("Uploading");
    try {
      const accepted = await send(file, zone.dataset.csrf, row.progress);
      row.accepted(accepted);
      follow(accepted, row);
    } catch (error) { row.fail(error.message); }
  }
}

if (zone) {
  const input = zone.querySelector("input[type=file]");
  input.addEventListener("change", () => { take(input.files); input.value = ""; });
  zone.addEventListener("submit", (event) => event.preventDefault());
  for (const name of ["dragover", "dragenter"]) {
    document.addEventListener(name, (event) => { event.preventDefault(); zone.classList.add("over"); });
  }
  document.addEventListener("dragleave", (event) => event.relatedTarget === null && zone.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    if (event.dataTransfer.files.length) take(event.dataTransfer.files);
  });
}
