// Says when the alert one reads has been revised.
const article = document.querySelector("[data-alert]");
document.addEventListener("feed:change", ({ detail }) => {
  if (detail.changed.includes(article.dataset.alert)) document.querySelector("#revised").hidden = false;
});
