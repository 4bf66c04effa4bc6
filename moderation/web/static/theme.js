// Before anything is drawn: the looks somebody chose in this browser, otherwise the system's.
(() => {
  try {
    const chosen = localStorage.getItem("feed-theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch {
    // Storage is switched off: the system's looks it is.
  }
})();
