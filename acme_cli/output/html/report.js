// The search. The page is whole without it, and none of its text is ever read as HTML.
"use strict";
(() => {
  const box = document.getElementById("search");
  const query = document.getElementById("query");
  const found = document.getElementById("found");
  const cards = [...document.querySelectorAll("article")];
  const count = new Intl.NumberFormat("en");
  const fold = (text) => text.normalize("NFC").toLowerCase();
  let users, products, timer;

  function read() { // once, when the search is first used: a buyer is looked up in each product, not in each card
    users = cards.map((card) => [
      fold(card.querySelector("h3").textContent),
      card.dataset.products.split(" ").filter(Boolean).map((rank) => rank - 1),
    ]);
    products = [...document.querySelectorAll("[popover]")].map((product) =>
      fold(`${product.querySelector(".face").textContent}\n${product.querySelector("pre").textContent}`),
    );
  }

  function search() {
    if (!users) read();
    const wanted = fold(query.value.trim());
    const hits = products.map((text) => text.includes(wanted));
    let shown = 0;
    users.forEach(([name, ranks], index) => {
      const hit = name.includes(wanted) || ranks.some((rank) => hits[rank]);
      cards[index].hidden = !hit;
      shown += hit;
    });
    found.textContent = wanted ? `${count.format(shown)} of ${count.format(cards.length)} users` : "";
  }

  function clear() {
    query.value = "";
    search();
  }

  query.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(search, 150);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && event.target === query) clear();
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target === query) return;
    event.preventDefault();
    query.focus();
    query.select();
  });
  document.addEventListener("click", (event) => { // a link to a card that the search hides
    const link = event.target.closest('a[href^="#u"]');
    if (link && document.getElementById(link.hash.slice(1))?.hidden) clear();
  });
  box.hidden = !cards.length;
})();
