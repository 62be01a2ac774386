// The numbers of the window under the pointer, or under the arrow keys, of a chart over time.
"use strict";
const tip = document.querySelector(".tip");
for (const chart of document.querySelectorAll("svg.timeline")) {
  const data = JSON.parse(chart.parentElement.querySelector("script").textContent);
  const cross = chart.querySelector(".cross");
  const left = +chart.dataset.left, right = +chart.dataset.right, end = +chart.dataset.end;
  const windows = data.start.length;
  let at = 0;
  const place = () => left + (right - left) * (data.start[at] + data.window / 2) / end;
  const show = (x, y) => {
    cross.setAttribute("x1", place());
    cross.setAttribute("x2", place());
    cross.setAttribute("visibility", "visible");
    tip.replaceChildren(table());
    tip.hidden = false;
    const wide = tip.offsetWidth, high = tip.offsetHeight;
    tip.style.left = `${x + 24 + wide < innerWidth ? x + 18 : Math.max(4, x - wide - 18)}px`;
    tip.style.top = `${Math.max(4, Math.min(y + 12, innerHeight - high - 8))}px`;
  };
  const cell = (row, kind, words) => {
    const made = row.appendChild(document.createElement(kind));
    made.textContent = words;
    return made;
  };
  const table = () => {
    const made = document.createElement("table");
    const head = made.insertRow();
    cell(head, "th", `${data.start[at]} s`);
    for (const panel of data.panels) cell(head, "th", panel);
    for (const policy of data.policies) {
      const box = document.getElementById(`policy-${policy.n}`);
      if (box && !box.checked) continue;
      const row = made.insertRow();
      row.className = `s${policy.n}`;
      const key = document.createElement("span");
      key.className = "key";
      cell(row, "td", policy.name).prepend(key);
      for (const values of policy.values) cell(row, "td", values[at] === null ? "-" : values[at].toLocaleString("en"));
    }
    return made;
  };
  const hide = () => {
    tip.hidden = true;
    cross.setAttribute("visibility", "hidden");
  };
  chart.addEventListener("pointermove", (event) => {
    const around = chart.getBoundingClientRect();
    const x = (event.clientX - around.left) * chart.viewBox.baseVal.width / around.width;
    const time = (x - left) / (right - left) * end;
    if (time < 0 || time > end) return hide();
    at = Math.max(0, Math.min(windows - 1, Math.floor((time - data.start[0]) / data.window)));
    show(event.clientX, event.clientY);
  });
  chart.addEventListener("pointerleave", hide);
  chart.addEventListener("blur", hide);
  chart.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    at = Math.max(0, Math.min(windows - 1, at + step));
    const around = chart.getBoundingClientRect();
    show(around.left + place() * around.width / chart.viewBox.baseVal.width, around.top + 20);
  });
}
