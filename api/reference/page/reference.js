// Search over the routes, and a button beside each example that copies it. Without this file the page reads all the same.
const search = document.querySelector("#search");
const none = document.querySelector("#none");
const sections = [...document.querySelectorAll("main section")];
const words = new Map(sections.map((section) => [section, section.textContent.toLowerCase()]));

function show() {
  const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const section of sections) {
    section.hidden = !wanted.every((word) => words.get(section).includes(word));
    shown += section.hidden ? 0 : 1;
  }
  for (const group of document.querySelectorAll(".group")) {
    group.hidden = ![...group.querySelectorAll("section")].some((section) => !section.hidden);
  }
  none.hidden = shown > 0;
}

search.closest("form").hidden = false;
search.addEventListener("input", show);
search.closest("form").addEventListener("submit", (event) => event.preventDefault());
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== search) {
    event.preventDefault();
    search.focus();
  }
});
for (const block of document.querySelectorAll("pre")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(block.textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  block.before(button);
}
show();
