"use strict";
for (const figure of document.querySelectorAll(".chart")) {
  const plot = figure.querySelector(".plot"), svg = plot.querySelector("svg"), tip = plot.querySelector(".tip");
  const rule = svg.querySelector(".rule"), groups = [...svg.querySelectorAll(".series")];
  const series = JSON.parse(plot.querySelector("script").textContent);
  const [width, height] = [svg.viewBox.baseVal.width, svg.viewBox.baseVal.height];

  [...figure.querySelectorAll(".legend button")].forEach((button, i) => button.addEventListener("click", () => {
    const off = groups[i].classList.toggle("off");
    button.setAttribute("aria-pressed", String(!off));
  }));

  const nearest = (points, x) => points.reduce((a, b) => (Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a));
  const line = (left, right, row) => {
    for (const text of [left, right]) {
      row.append(Object.assign(document.createElement("span"), { textContent: text }));
    }
    return row;
  };
  const hide = () => { tip.hidden = true; rule.setAttribute("d", ""); };
  const show = (event) => {
    const box = svg.getBoundingClientRect(), x = ((event.clientX - box.left) / box.width) * width;
    const shown = series.map((s, i) => ({ label: s.label, i, point: nearest(s.points, x) }))
      .filter((s) => !groups[s.i].classList.contains("off"));
    if (!shown.length) return hide();
    const at = nearest(shown.map((s) => s.point), x);
    rule.setAttribute("d", `M${at[0]} 12V${height - 34}`);
    tip.replaceChildren(line(`${at[2].toLocaleString("en")} images`, "", document.createElement("div")));
    // A run has nothing to say before its first point and after its last.
    const inside = ({ i }) => x > series[i].points[0][0] - 12 && x < series[i].points.at(-1)[0] + 12;
    for (const { label, i, point } of shown.filter(inside)) {
      const value = point[3] === null ? "not finite" : point[3].toLocaleString("en", { maximumSignificantDigits: 5 });
      const where = point[2] === at[2] ? "" : `, at ${point[2].toLocaleString("en")}`;
      const row = line(label + where, value, document.createElement("div"));
      row.firstChild.prepend(figure.querySelectorAll(".legend .swatch")[i].cloneNode(true));
      tip.append(row);
    }
    tip.hidden = false;
    const pixel = (at[0] / width) * box.width, room = box.width - tip.offsetWidth;
    const wanted = at[0] < width / 2 ? pixel + 10 : pixel - 10 - tip.offsetWidth;
    tip.style.left = `${Math.max(0, Math.min(room, wanted))}px`;
  };
  svg.addEventListener("pointermove", show);
  svg.addEventListener("pointerdown", show);
  svg.addEventListener("pointerleave", hide);
}
