// New alerts are announced and shown when asked for, so that nothing moves under somebody who reads.
const news = document.querySelector("#news");
const button = document.querySelector("#show-news");
const arrived = new Set();
document.addEventListener("feed:change", ({ detail }) => {
  document.querySelector("#waiting").textContent = detail.waiting.toLocaleString("en");
  for (const id of detail.arrived) if (!document.querySelector(`tr[data-id="${CSS.escape(id)}"]`)) arrived.add(id);
  if (arrived.size) {
    button.textContent = arrived.size === 1 ? "1 new alert: show it" : `${arrived.size} new alerts: show them`;
    news.hidden = false;
  }
});
button?.addEventListener("click", () => location.reload());
