// Lays a heatmap over the picture; works again after the page's live part was replaced.
function show() {
  const chosen = document.querySelector("input[name=heatmap]:checked")?.value ?? "";
  const opacity = document.querySelector("input[name=opacity]")?.value ?? 85;
  for (const over of document.querySelectorAll("img[data-heatmap]")) {
    over.hidden = over.dataset.heatmap !== chosen;
    over.style.opacity = opacity / 100;
  }
}
document.addEventListener("input", (event) => event.target.closest(".controls") && show());
show();
