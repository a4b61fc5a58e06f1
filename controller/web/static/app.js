// What the pages need besides htmx: live updates, dialogs, selection, times, the timeline's keys. No page has a script
// of its own: elements say by data attributes what they want.
"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const one = (selector, root = document) => root.querySelector(selector);
  // What is being typed stays, whatever the server says meanwhile. (Of a link that has the focus it would keep the text.)
  Object.defineProperty(Idiomorph.defaults, "ignoreActiveValue", {
    enumerable: true, get: () => document.activeElement?.matches("input, textarea, select") ?? false,
  });

  // What a part of the page asked for by itself stays in it.
  Idiomorph.defaults.callbacks.beforeNodeMorphed = (old) => !(old.dataset && "keep" in old.dataset);

  // A button that was made into another one must not go on asking for what it asked for before: htmx looks only at
  // those that ask for something.
  Idiomorph.defaults.callbacks.afterNodeMorphed = (old) => {
    if (old["htmx-internal-data"] && !old.matches("[hx-get], [hx-post]")) htmx.process(old);
  };

  // What somebody opened stays open.
  Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) => !(name === "open" && node.matches("details"));

  const pad = (number) => String(number).padStart(2, "0");

  // --- times: the browser's own zone; what lasts is counted on

  function clock(date) {
    return `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
  }
  function day(date) {
    return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
  }
  function shown(iso, short) {
    const date = new Date(iso);
    return short || day(date) === day(new Date()) ? clock(date) : `${day(date)} ${clock(date)}`;
  }
  function lasted(seconds) {
    if (seconds < 10) return `${Math.max(seconds, 0).toFixed(1)} s`;
    const whole = Math.round(seconds);
    for (const [unit, size, smaller, part] of [["d", 86400, "h", 3600], ["h", 3600, "min", 60], ["min", 60, "s", 1]])
      if (whole >= size) return `${Math.floor(whole / size)} ${unit} ${Math.floor((whole % size) / part)} ${smaller}`;
    return `${whole} s`;
  }
  function write(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }
  function tellTimes(root = document) {
    for (const element of all("time[datetime]", root)) write(element, shown(element.dateTime, "short" in element.dataset));
  }
  function countOn() {
    for (const element of all("[data-since]")) write(element, lasted((Date.now() - new Date(element.dataset.since)) / 1000));
  }
  setInterval(countOn, 1000);

  // --- live updates: the server says that something changed, each live part asks for itself

  let source = null;
  let changes = 0;
  let refreshing = false;

  function refresh() {
    htmx.trigger(document.body, "changed");
  }
  function listen() {
    const address = document.body.dataset.events;
    if (!address || source || document.hidden) return;
    source = new EventSource(address);
    source.addEventListener("changed", refresh);
    source.onopen = () => { one("#connection").hidden = true; };
    source.onerror = () => {
      one("#connection").hidden = false;
      if (source.readyState === EventSource.CLOSED) { source = null; setTimeout(listen, 3000); }
    };
  }
  function hush() {
    if (source) source.close();
    source = null;
  }
  // A browser has few connections to one host: pages that nobody sees leave theirs.
  document.addEventListener("visibilitychange", () => (document.hidden ? hush() : listen()));
  addEventListener("pagehide", hush);
  addEventListener("pageshow", listen);

  // Draws the live part as the server sees it now, at the address that the page has now.
  async function redraw(part) {
    const address = location.pathname + location.search;
    const response = await fetch(address, { headers: { "HX-Request": "true" } });
    if (response.headers.has("HX-Redirect")) { location.assign(response.headers.get("HX-Redirect")); return; }
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html").getElementById(part.id);
    if (address !== location.pathname + location.search) { changes += 1; return; }
    if (!fresh) return;
    Idiomorph.morph(part, fresh.childNodes, { morphStyle: "innerHTML" });
    htmx.process(part);
    goOver(document);
  }
  document.body.addEventListener("changed", async () => {
    changes += 1;
    if (refreshing) return;
    refreshing = true;
    try {
      for (let seen = -1; seen !== changes;) {
        seen = changes;
        await Promise.all(all("[data-live]").map(redraw));
      }
    } catch (_) { one("#connection").hidden = false; } finally { refreshing = false; }
  });
  // What somebody clicked may have been drawn by the server before the newest change.
  const asked = new WeakMap();
  document.body.addEventListener("htmx:beforeRequest", (event) => asked.set(event.detail.xhr, changes));
  document.body.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target.matches("[data-live]") && asked.get(event.detail.xhr) !== changes) refresh();
  });

  // --- dialogs

  let opener = null;

  function open(dialog, button) {
    opener = button;
    for (const target of all("[data-clear]", dialog)) clear(target);
    const field = one("[data-filled]", dialog);
    if (field && button.dataset.fill) field.value = button.dataset.fill;
    dialog.showModal();
    htmx.trigger(document.body, "opened");
    if (field) { field.focus(); field.select(); if (field.value) htmx.trigger(field, "filled"); }
  }
  function clear(form) {
    one(form.dataset.clear).replaceChildren();
  }
  document.addEventListener("close", (event) => {
    // The button may have been drawn anew meanwhile.
    if (opener) (opener.isConnected ? opener : one(`[data-dialog="${event.target.id}"]`))?.focus();
    opener = null;
  }, true);

  // htmx asks before what has hx-confirm; our own dialog asks the person.
  document.body.addEventListener("htmx:confirm", (event) => {
    if (!event.detail.question) return;
    event.preventDefault();
    const dialog = one("#confirm");
    write(one("[data-question]", dialog), event.detail.question);
    dialog.returnValue = "";
    opener = event.detail.elt;
    dialog.addEventListener("close", () => { if (dialog.returnValue === "yes") event.detail.issueRequest(true); }, { once: true });
    dialog.showModal();
  });

  // --- selection of executions: kept here, so that neither an update nor another page loses it

  const selected = new Set();

  function tellSelection() {
    for (const box of all("[data-select]")) box.checked = selected.has(box.dataset.select);
    const boxes = all("[data-select]");
    const whole = one("[data-select-all]");
    if (whole) {
      const count = boxes.filter((box) => box.checked).length;
      whole.checked = count > 0 && count === boxes.length;
      whole.indeterminate = count > 0 && count < boxes.length;
    }
    const bar = one("[data-bulk]");
    if (bar) { bar.hidden = !selected.size; write(one("[data-selected-count]"), selected.size.toLocaleString("en")); }
  }
  document.addEventListener("change", (event) => {
    const box = event.target;
    if (box.matches("[data-select]")) selected[box.checked ? "add" : "delete"](box.dataset.select);
    else if (box.matches("[data-select-all]"))
      for (const each of all("[data-select]")) selected[box.checked ? "add" : "delete"](each.dataset.select);
    else return;
    tellSelection();
  });
  document.body.addEventListener("unselect", () => { selected.clear(); tellSelection(); });

  function openBulk(button) {
    const dialog = one("#bulk-dialog");
    const action = button.dataset.bulkAction;
    one("[name=action]", dialog).value = action;
    one("[name=force]", dialog).checked = false;
    for (const element of all("[data-bulk-words]", dialog)) element.hidden = element.dataset.bulkWords !== action;
    write(one("h2", dialog), `${button.textContent.trim()} ${selected.size.toLocaleString("en")} execution${selected.size === 1 ? "" : "s"}?`);
    one("[name=ids]", dialog).value = [...selected].join(" ");
    open(dialog, button);
  }

  // --- clicks, by data attribute

  const clicks = {
    "[data-dialog]": (button) => open(one(`#${button.dataset.dialog}`), button),
    "[data-close]": (button) => button.closest("dialog").close(),
    "[data-remove]": (button) => button.closest(button.dataset.remove).remove(),
    "[data-bulk-action]": openBulk,
    "[data-select-matching]": async (button) => {
      const response = await fetch(button.dataset.selectMatching, { headers: { "HX-Request": "true" } });
      if (!response.ok) { one("#connection").hidden = false; return; }
      for (const id of await response.json()) selected.add(id);
      tellSelection();
    },
    "[data-copy]": async (button) => {
      await navigator.clipboard?.writeText(one(button.dataset.copy).textContent.trim());
      button.lastChild.textContent = "Copied";
    },
    "[data-unselect]": () => htmx.trigger(document.body, "unselect"),
    "[data-theme-toggle]": () => {
      const root = document.documentElement;
      const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = dark ? "light" : "dark";
      try { localStorage.setItem("theme", root.dataset.theme); } catch (_) { /* storage may be forbidden */ }
    },
  };
  document.addEventListener("click", (event) => {
    for (const [selector, act] of Object.entries(clicks)) {
      const element = event.target.closest(selector);
      if (element) { act(element); return; }
    }
    const link = event.target.closest("[data-set-field]");
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      const form = one("#filter");
      form.elements[link.dataset.setField].value = link.dataset.value;
      form.requestSubmit();
    }
  });

  // --- keys

  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input, textarea, select, [contenteditable]");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !one("dialog[open]")) {
      const search = one("#q");
      if (search) { event.preventDefault(); search.focus(); search.select(); }
    }
    const dot = event.target.closest?.("[data-dots] a");
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key];
    if (dot && step) {
      event.preventDefault();
      const dots = all("a", dot.closest("[data-dots]"));
      const to = dots[Math.min(Math.max(dots.indexOf(dot) + step, 0), dots.length - 1)];
      dot.setAttribute("tabindex", "-1");
      to.setAttribute("tabindex", "0");
      to.focus();
    }
  });

  // --- the card beside a dot of the timeline, or an action that can't be taken, under the pointer or with the focus

  function ofDot(data) {
    const lines = [
      `${data.number}${data.name ? ` “${data.name}”` : ""}`,
      [data.call, data.place].filter(Boolean).join(" · "),
      `${shown(data.time)} · ${data.size} · frozen ${data.frozen}`,
    ];
    if (Number(data.count) > 1) lines.push(`stands for ${data.count} savepoints`);
    return lines.map((text, at) => {
      const line = document.createElement(at ? "div" : "strong");
      line.textContent = text;
      return line;
    });
  }
  function tell(element) {
    const tip = one("#tip");
    if (!tip) return;
    if (!element) { tip.hidden = true; return; }
    tip.replaceChildren(...(element.dataset.why ? [`Not now: ${element.dataset.why}`] : ofDot(element.dataset)));
    tip.hidden = false;
    const at = element.getBoundingClientRect();
    const left = Math.min(Math.max(at.left + at.width / 2 - tip.offsetWidth / 2, 8), innerWidth - tip.offsetWidth - 8);
    const top = at.top - tip.offsetHeight - 6 > 0 ? at.top - tip.offsetHeight - 6 : at.bottom + 6;
    tip.style.left = `${left}px`;
    tip.style.top = `${top}px`;
  }
  const told = (event) => event.target.closest?.("[data-dots] a, [data-why]") ?? null;
  for (const kind of ["mouseover", "focusin", "click"]) document.addEventListener(kind, (event) => tell(told(event)));
  document.addEventListener("keyup", (event) => { if (event.key === "Escape") tell(null); });
  document.addEventListener("scroll", () => tell(null), true);

  // --- what is found in a log stands in its place

  document.addEventListener("input", (event) => {
    if (!event.target.matches("[data-finds]")) return;
    const finds = Boolean(event.target.value);
    one("#log-found").hidden = !finds;
    one("#log").hidden = finds;
    if (!finds) toEnds();
  });

  // --- logs stay at their end, unless somebody scrolled up

  const following = new WeakMap();
  document.addEventListener("scroll", (event) => {
    const log = event.target;
    if (log.matches?.("[data-log]")) following.set(log, log.scrollHeight - log.scrollTop - log.clientHeight < 24);
  }, true);
  function toEnds(root = document) {
    for (const log of all("[data-log]")) if (following.get(log) !== false) log.scrollTop = log.scrollHeight;
    for (const box of all("[data-scroll-end]", root)) if (!box.dataset.scrolled) {
      box.dataset.scrolled = "1";
      box.scrollLeft = box.scrollWidth;
    }
  }

  function toMark() {
    const mark = one(".code .chosen") ?? one(".code .present");
    const box = mark?.closest(".code-box");
    if (box) box.scrollTop = mark.offsetTop - box.clientHeight / 2;
  }

  // --- forms

  document.body.addEventListener("htmx:afterRequest", (event) => {
    const form = event.detail.elt;
    if (!event.detail.successful || !form.matches?.("form[data-close-on-success]")) return;
    form.closest("dialog").close();
    form.reset();
    for (const preview of all(".preview", form)) preview.replaceChildren();
  });
  document.body.addEventListener("htmx:beforeRequest", (event) => {
    if (event.detail.elt.matches?.("form[data-clear]")) clear(event.detail.elt);
  });
  document.body.addEventListener("htmx:afterOnLoad", () => { one("#connection").hidden = true; });
  document.body.addEventListener("htmx:sendError", () => { one("#connection").hidden = false; });
  document.addEventListener("change", async (event) => {
    const input = event.target;
    if (input.matches("[data-into]") && input.files.length) {
      one(input.dataset.into).value = await input.files[0].text();
      one(input.dataset.nameInto).value = input.files[0].name;
    }
    if (input.matches("[data-new] [name=flow]")) one("[data-script]").hidden = Boolean(input.value);
  });
  document.addEventListener("input", (event) => {
    const field = event.target;
    if (!field.matches("[data-json]")) return;
    let words = "";
    try { if (field.value.trim()) JSON.parse(field.value); } catch (error) { words = error.message; }
    field.setCustomValidity(words);
    field.setAttribute("aria-invalid", String(Boolean(words)));
  });

  for (const input of all("[data-remember]")) {
    const key = `remember-${input.dataset.remember}`;
    try {
      if (!input.value) input.value = localStorage.getItem(key) ?? "";
      input.addEventListener("change", () => localStorage.setItem(key, input.value));
    } catch (_) { /* storage may be forbidden */ }
  }

  // On a phone the pages stand in a row that is wider than the screen.
  const present = one(".side nav [aria-current]");
  const side = present?.closest(".side");
  if (side && side.scrollWidth > side.clientWidth)
    side.scrollLeft = present.offsetLeft + present.offsetWidth / 2 - side.clientWidth / 2;

  // --- after each change of the page

  function goOver(root) {
    tellTimes(root);
    countOn();
    tellSelection();
    toEnds(root);
    const toasts = all("[data-toast]");
    for (const toast of toasts) if (!toast.dataset.seen && !toast.matches(".refused")) {
      toast.dataset.seen = "1";
      setTimeout(() => toast.remove(), 7000);
    }
  }
  document.body.addEventListener("htmx:afterSwap", () => goOver(document));
  goOver(document);
  toMark();
  listen();
})();
