"use strict";
const tip = document.getElementById("tip");
document.addEventListener("pointermove", (event) => {
  const over = event.target.closest("[data-tip]");
  tip.style.visibility = over ? "visible" : "hidden";
  if (!over) return;
  tip.textContent = over.dataset.tip;
  const box = tip.getBoundingClientRect();
  tip.style.left = Math.max(4, Math.min(event.clientX + 14, innerWidth - box.width - 8)) + "px";
  tip.style.top = (event.clientY + 18 + box.height > innerHeight ? event.clientY - box.height - 10 : event.clientY + 18) + "px";
});
