// Runs before the page is drawn, so that it never flashes in the other colours.
document.documentElement.classList.add("js");
try {
  const kept = localStorage.getItem("assay-theme");
  if (kept === "dark" || kept === "light") document.documentElement.dataset.theme = kept;
} catch { /* storage may be forbidden; then the system's colours hold */ }
