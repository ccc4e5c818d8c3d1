"use strict";
(() => {
  const page = JSON.parse(document.getElementById("records").textContent);
  const byId = (id) => document.getElementById(id);
  const colours = ["blue", "red", "green", "orange", "purple", "sky", "ink", "quiet"];
  const dashes = ["", "7 5"]; // so that a line on top of another does not hide it
  const counted = (count) => count.toLocaleString("en");
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

  const rates = (run, member) => {
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
      + `${shown(high, 2)}. Measured on ${counted(member.n.dev)} development and ${counted(member.n.train)} training choices.`;
  };

  const chart = (run, box, title, series, line, base = [0]) => {
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

  const traces = (run, member) => {
    const box = document.getElementById("traces");
    box.replaceChildren();
    const bounded = member.trained_at !== null;
    if (member.ending) make("p", box, `Training ended ${member.ending}.`, "note");
    chart(run, box, "Gap on the training sample, by step", member.gap.map((values, i) => ({ name: run.parts[i], values })),
      bounded ? { at: member.trained_at, name: `bound ${member.trained_at_text}` } : null);
    chart(run, box, "Loss", [{ name: "loss", values: member.loss }], null, []);
    if (!bounded) { make("p", box, "An unconstrained member has no violations and no multipliers.", "quiet"); return; }
    const several = (rows) => member.shown.map((label, i) => ({ name: run.labels[label], values: rows[i] }));
    if (!member.shown.length) return;
    chart(run, box, "Violation, by step (positive: violated)", several(member.violation), { at: 0, name: "at its bound" });
    chart(run, box, "Multiplier, by step", several(member.multiplier), null);
    chart(run, box, "Distance from the conditions of a solution, in powers of ten",
      run.residuals.map((name, i) => ({ name, values: member.residuals[i] })), null, []);
  };

  const terms = (list, pairs) => {
    list.replaceChildren();
    for (const [name, value] of pairs) { make("dt", list, name); make("dd", list, value); }
  };

  // Every member of every run has an option; its value is the place among all of them.
  const choose = byId("choose");
  const all = page.runs.flatMap((run, place) => run.members.map((member, row) => ({ run, place, member, row })));
  const placeOf = (run, row) => all.findIndex((one) => one.place === run && one.row === row);
  const hash = (one) => `#point${page.runs.length > 1 ? one.place : ""}-${one.member.blanks.model}`;
  page.runs.forEach((run, place) => {
    const group = page.runs.length > 1 ? make("optgroup", choose) : choose;
    if (group !== choose) group.label = run.name;
    run.members.forEach((member, row) => { make("option", group, member.name).value = placeOf(place, row); });
  });

  const figures = (run, member) => {
    const box = byId("figures"), table = make("table", box), head = make("tr", make("thead", table)), body = make("tbody", table);
    for (const name of ["", ...run.columns]) make("th", head, name).scope = "col";
    for (const [name, ...values] of member.figures) {
      const row = make("tr", body);
      make("td", row, name);
      for (const value of values) make("td", row, value);
    }
    box.replaceChildren(table);
    box.className = "scroll";
  };

  const coefficients = (run, member) => {
    const found = member.coefficients;
    byId("weights").hidden = !found;
    if (!found) return;
    const table = make("table", byId("coefficients")), head = make("tr", make("thead", table)), body = make("tbody", table);
    for (const name of ["feature", "standardised", "per unit"]) make("th", head, name).scope = "col";
    for (const [name, ...numbers] of found.listed) {
      const row = make("tr", body), first = make("td", row);
      name.split(/(?<==)/).forEach((piece, i) => { if (i) make("wbr", first); first.append(piece); }); // breaks after "="
      for (const number of numbers) make("td", row, number);
    }
    byId("coefficients").replaceChildren(table);
    byId("weights-note").textContent = run.weights + (found.more ? ` ${counted(found.more)} more are smaller.` : "");
  };

  const copy = (pre, button) => {
    getSelection().selectAllChildren(pre); // at hand where the clipboard is not
    button.textContent = document.execCommand("copy") ? "Copied" : "Selected"; // works in a file, asks for nothing
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  };

  const commands = (run, member) => {
    byId("commands").replaceChildren();
    for (const { title, note, text, verdict } of run.commands) {
      if (verdict !== null && verdict !== member.certified) continue;
      const box = make("div", byId("commands"), undefined, "command");
      make("h4", box, title);
      const fill = (words) => words.replace(/\0(\w+)\0/g, (_, name) => member.blanks[name]);
      make("p", box, fill(note), "quiet");
      const pre = make("pre", box, fill(text));
      const button = make("button", box, "Copy");
      button.type = "button";
      button.setAttribute("aria-label", `Copy: ${title}`);
      button.addEventListener("click", () => copy(pre, button));
    }
  };

  const spots = [...document.querySelectorAll(".plot")].map((plot) => {
    const given = page.panels[plot.dataset.panel], svg = plot.querySelector("svg"), tip = plot.querySelector(".tip");
    const links = [...plot.querySelectorAll(".point")];
    return { plot, svg, tip, links, given };
  });

  const show = (announce) => {
    const one = all[choose.value], { run, member } = one;
    const title = run.name ? `${run.name}: ${member.name}` : member.name;
    terms(byId("said"), run.name ? [["run", run.name], ...member.said] : member.said);
    figures(run, member);
    rates(run, member);
    coefficients(run, member);
    commands(run, member);
    for (const which of document.querySelectorAll(".which")) which.textContent = `: ${title}`;
    traces(run, member);
    for (const { links, given } of spots) {
      links.forEach((link, i) => {
        const chosen = given[i].run === one.place && given[i].rows.includes(one.row);
        link.classList.toggle("chosen", chosen);
        link.setAttribute("aria-pressed", chosen);
        if (chosen) links.forEach((other) => { other.setAttribute("tabindex", other === link ? 0 : -1); });
      });
    }
    document.querySelectorAll("tr[data-row]").forEach((row) => {
      row.classList.toggle("chosen", Number(row.dataset.run) === one.place && Number(row.dataset.row) === one.row);
    });
    if (!announce) return;
    byId("announced").textContent = `Chosen: ${title}`;
    try { history.replaceState(null, "", hash(one)); } catch { /* a page inside another page has no address */ }
  };
  const choosing = (run, row) => { choose.value = placeOf(run, row); show(true); };

  for (const { plot, svg, tip, links, given } of spots) {
    const say = (i) => {
      const spot = given[i];
      tip.replaceChildren();
      const several = page.runs.length > 1 && page.runs[spot.run];
      make("strong", tip, several ? `${several.name}: ${spot.title}` : spot.title);
      terms(make("dl", tip), spot.facts);
      const seeds = spot.rows.length;
      if (seeds > 1) make("p", tip, `means over ${seeds} seeds (smallest-largest)`);
      tip.hidden = false;
      links.forEach((link, other) => link.classList.toggle("near", other === i));
      // beside the point, on the side that has room
      const frame = plot.getBoundingClientRect(), scale = frame.width / svg.viewBox.baseVal.width;
      const x = spot.x * scale, y = spot.y * scale, wide = tip.offsetWidth, high = tip.offsetHeight;
      tip.style.left = `${Math.max(0, Math.min(frame.width - wide, x + 16 + wide > frame.width ? x - 16 - wide : x + 16))}px`;
      tip.style.top = `${x + 16 + wide > frame.width && x - 16 - wide < 0 ? y + 16 : Math.max(0, y - high / 2)}px`;
    };
    const hide = () => { tip.hidden = true; links.forEach((link) => link.classList.remove("near")); };
    const nearest = (event) => {
      const frame = svg.getBoundingClientRect(), scale = frame.width / svg.viewBox.baseVal.width;
      const far = given.map(({ x, y }) => Math.hypot(frame.left + x * scale - event.clientX, frame.top + y * scale - event.clientY));
      const i = far.indexOf(Math.min(...far));
      return far[i] < 28 ? i : -1;
    };
    const pick = (i) => {
      const { run, rows } = given[i];
      const feasible = rows.find((row) => page.runs[run].members[row].said[0][1].startsWith("FEASIBLE"));
      if (rows.length) choosing(run, feasible ?? rows[0]);
    };
    svg.addEventListener("pointermove", (event) => {
      const i = nearest(event);
      svg.style.cursor = i < 0 ? "" : "pointer";
      if (i < 0) hide(); else say(i);
    });
    svg.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") hide(); });
    svg.addEventListener("click", (event) => {
      event.preventDefault(); // the links are for readers without scripts
      const i = event.detail ? nearest(event) : links.indexOf(event.target.closest(".point"));
      if (i < 0) { hide(); return; }
      say(i);
      pick(i);
    });
    links.forEach((link, i) => {
      link.querySelector("title").remove();
      link.setAttribute("role", "button");
      link.setAttribute("tabindex", i ? -1 : 0);
      link.addEventListener("focus", () => { if (link.matches(":focus-visible")) say(i); });
      link.addEventListener("blur", hide);
      link.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
        const to = step ? i + step : { Home: 0, End: links.length - 1 }[event.key];
        if (links[to]) { links.forEach((other) => other.setAttribute("tabindex", -1)); links[to].setAttribute("tabindex", 0); links[to].focus(); }
        else if (event.key === " " || event.key === "Enter") pick(i);
        else if (event.key === "Escape") hide();
        else return;
        event.preventDefault();
      });
    });
  }

  document.querySelectorAll("tr[data-row]").forEach((row) => {
    const cell = row.cells[0], button = document.createElement("button"), { run, row: member } = row.dataset;
    button.type = "button";
    button.textContent = cell.textContent;
    button.setAttribute("aria-label", `Show ${page.runs.length > 1 ? `${page.runs[run].name}, ` : ""}${page.runs[run].members[member].name}`);
    cell.replaceChildren(button);
    button.addEventListener("click", () => { choosing(Number(run), Number(member)); byId("member").scrollIntoView(); });
  });

  choose.addEventListener("change", () => show(true));
  for (const element of [byId("member"), byId("training"), ...document.querySelectorAll(".hint")]) element.hidden = false;
  const asked = all.findIndex((one) => hash(one) === decodeURIComponent(location.hash));
  choose.value = asked >= 0 ? asked : placeOf(0, page.runs[0].chosen);
  show(false);
})();
