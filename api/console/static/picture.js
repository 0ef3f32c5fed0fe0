// Lays a heatmap over the picture, as strong and as wide as chosen, and frames the crops that a detector looked at;
// works again after the live part was replaced.
function show() {
  const chosen = document.querySelector("input[name=heatmap]:checked")?.value ?? "";
  const opacity = document.querySelector("input[name=opacity]")?.value ?? 85;
  const split = document.querySelector("input[name=split]")?.value ?? 100;
  for (const over of document.querySelectorAll("img[data-heatmap]")) {
    over.hidden = over.dataset.heatmap !== chosen;
    over.style.opacity = opacity / 100;
    over.style.clipPath = `inset(0 ${100 - split}% 0 0)`;
  }
  const framed = document.querySelector("input[name=crops]:checked")?.value ?? "";
  for (const part of document.querySelectorAll("[data-crops]")) {
    part.hidden = part.dataset.crops !== framed;
    // Drawn when somebody looks; most never do.
    if (!part.hidden && part.dataset.at && !part.src) part.src = part.dataset.at;
  }
}
document.addEventListener("input", (event) => event.target.closest(".controls") && show());
// The live part is replaced when something changed, and comes as the server made it.
new MutationObserver(show).observe(document.querySelector(".live") ?? document.body, { childList: true, subtree: true });
show();
