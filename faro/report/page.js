"use strict";
(() => {
  const run = JSON.parse(document.getElementById("records").textContent);
  const colours = ["blue", "red", "green", "orange", "purple", "sky", "ink", "quiet"];
  const dashes = ["", "7 5"]; // so that a line on top of another does not hide it
  const shown = (value, digits = 3) => (value === null ? "-" : value.toFixed(digits));
  const make = (tag, parent, text, name) => {
    const element = parent.appendChild(document.createElement(tag));
    if (text !== undefined) element.textContent = text;
    if (name) element.className = name;
    return element;
  };
  const draw = (tag, parent, attributes) => {
    const element = parent.appendChild(document.createElementNS("http://www.w3.org/2000/svg", tag));
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };

  // A round step that cuts the span into at most `count` pieces.
  const roundStep = (span, count) => {
    const raw = span / count, size = 10 ** Math.floor(Math.log10(raw));
    return size * [1, 2, 5, 10].find((times) => times * size >= raw * 0.999);
  };

  const rates = (member) => {
    const box = document.getElementById("rates");
    box.replaceChildren();
    const free = run.members.find((other) => other.bound === null && other.seed === member.seed);
    const all = run.members.flatMap((m) => [...m.rates.dev, ...m.rates.train]).filter((v) => v !== null);
    const note = document.getElementById("rates-note");
    if (!all.length) { note.textContent = "This run recorded no rates."; return; }
    const low = Math.max(0, Math.floor(Math.min(...all) * 20) / 20), high = Math.min(1, Math.ceil(Math.max(...all) * 20) / 20);
    const place = (value) => `${(100 * (value - low)) / (high - low || 1)}%`;
    const head = make("div", box, undefined, "row head");
    // "sex=Male" under the heading "sex" is "Male"; a counterfactual level is written "sex:=Male"
    const starts = new Set(run.cells.map((cell) => cell.split("=")[0]));
    const shared = starts.size === 1 && run.cells[0].includes("=") ? [...starts][0] : null;
    make("span", head, shared === null ? "group" : shared.replace(/:$/, ", set to"));
    const scale = make("span", head, undefined, "track");
    for (const at of [low, (low + high) / 2, high]) make("span", scale, shown(at, 2 + (at * 100 % 1 > 1e-6)));
    const titles = make("span", head, "dev");
    make("span", titles, " / train", "other");
    let block = "";
    run.cells.forEach((cell, index) => {
      const [group, ...rest] = cell.split(" | ");
      if (rest.join(" | ") !== block) make("div", box, block = rest.join(" | "), "block");
      const row = make("div", box, undefined, "row");
      make("span", row, shared === null ? group : group.slice(shared.length + 1));
      const track = make("span", row, undefined, "track");
      const put = (value, name) => { if (value !== null && value !== undefined) make("span", track, undefined, name).style.left = place(value); };
      put(free && free !== member ? free.rates.dev[index] : null, "tick");
      put(member.rates.train[index], "dot hollow");
      put(member.rates.dev[index], "dot");
      const numbers = make("span", row, shown(member.rates.dev[index]));
      make("span", numbers, ` / ${shown(member.rates.train[index])}`, "other");
    });
    note.textContent = `Rate at which alternatives of a group are chosen by the model; the scale runs from ${shown(low, 2)} to `
      + `${shown(high, 2)}. Measured on ${member.n.dev} development and ${member.n.train} training choices.`;
  };

  const chart = (box, title, series, line, base = [0]) => {
    const figure = make("div", box, undefined, "chart");
    make("h4", figure, title);
    const values = series.flatMap((one) => one.values).concat(line ? [line.at] : [], base).filter((v) => v !== null);
    const width = Math.max(320, Math.min(820, box.clientWidth || 820)), height = 190;
    const left = 52, right = 12, top = 8, bottom = 26;
    if (!values.length) { make("p", figure, "No numbers: the member diverged.", "quiet"); return; }
    let low = Math.min(...values), high = Math.max(...values);
    if (high - low < 1e-9) high = low + 1;
    const tick = roundStep(high - low, 4);
    low = Math.floor(low / tick + 1e-9) * tick; high = Math.ceil(high / tick - 1e-9) * tick;
    const last = run.step.length ? run.step[run.step.length - 1] || 1 : 1;
    const x = (step) => left + (step / last) * (width - left - right);
    const y = (value) => height - bottom - ((value - low) / (high - low)) * (height - top - bottom);
    const svg = draw("svg", figure, { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title });
    const digits = Math.max(0, -Math.floor(Math.log10(tick) + 1e-9));
    for (let at = low; at <= high + tick / 2; at += tick) {
      draw("line", svg, { x1: left, x2: width - right, y1: y(at), y2: y(at), stroke: "var(--line)" });
      draw("text", svg, { x: left - 6, y: y(at) + 4, "text-anchor": "end" }).textContent = (Math.abs(at) < tick / 2 ? 0 : at).toFixed(digits);
    }
    const across = roundStep(last, 5);
    for (let at = 0; at <= last + across / 1e6; at += across) {
      const end = at + across / 2 > last;
      draw("text", svg, { x: x(at), y: height - 8, "text-anchor": end ? "end" : "middle" }).textContent = at;
    }
    if (line) draw("line", svg, { x1: left, x2: width - right, y1: y(line.at), y2: y(line.at), stroke: "var(--ink)", "stroke-dasharray": "6 4" });
    series.forEach((one, index) => {
      let path = "", pen = "M";
      one.values.forEach((value, i) => {
        if (value === null) { pen = "M"; return; }
        path += `${pen}${x(run.step[i]).toFixed(1)} ${y(value).toFixed(1)}`; pen = "L";
      });
      draw("path", svg, { d: path || "M0 0", fill: "none", stroke: `var(--${colours[index % 8]})`, "stroke-width": 1.6,
        "stroke-dasharray": dashes[index % 2], "stroke-linejoin": "round" });
    });
    const keys = make("div", figure, undefined, "keys");
    const key = (name, colour, dash) => {
      const one = make("span", keys), mark = make("i", one);
      mark.style.borderColor = `var(--${colour})`; if (dash) mark.style.borderTopStyle = "dashed";
      one.append(name);
    };
    if (series.length > 1 || line) series.forEach((one, index) => key(one.name, colours[index % 8], dashes[index % 2]));
    if (line) key(line.name, "ink", true);
  };

  const traces = (member) => {
    const box = document.getElementById("traces");
    box.replaceChildren();
    const bounded = member.bound !== null;
    if (member.ending) make("p", box, `Training ended ${member.ending}.`, "note");
    chart(box, "Gap on the training sample, by step", member.gap.map((values, i) => ({ name: run.parts[i], values })),
      bounded ? { at: member.bound, name: `bound ${member.bound_text}` } : null);
    chart(box, "Loss", [{ name: "loss", values: member.loss }], null, []);
    if (!bounded) { make("p", box, "An unconstrained member has no violations and no multipliers.", "quiet"); return; }
    const several = (rows) => member.shown.map((label, i) => ({ name: run.labels[label], values: rows[i] }));
    if (!member.shown.length) return;
    chart(box, "Violation, by step (positive: violated)", several(member.violation), { at: 0, name: "at its bound" });
    chart(box, "Multiplier, by step", several(member.multiplier), null);
    chart(box, "Distance from the conditions of a solution, in powers of ten",
      run.residuals.map((name, i) => ({ name, values: member.residuals[i] })), null, []);
  };

  const choose = document.getElementById("choose");
  run.members.forEach((member, index) => {
    make("option", choose, `${member.bound === null ? "unconstrained" : `bound ${member.bound_text}`}, seed ${member.seed}`).value = index;
  });
  const show = () => {
    const member = run.members[choose.value];
    document.getElementById("status").textContent =
      `${member.status} · gap ${shown(member.summary.train_gap)} training, ${shown(member.summary.dev_gap)} development · accuracy ${shown(member.summary.dev_accuracy)}`;
    rates(member);
    traces(member);
  };
  choose.value = run.chosen;
  choose.addEventListener("change", show);
  document.getElementById("member").hidden = false;
  show();
})();
