// What pages do where there is a script: keep up to date, open confirmations in place, copy, obey keys. Without it everything
// works by links and forms. Parts of a page that change carry `data-fragment` and an id; they are fetched again as a whole.

const body = document.body;
const root = document.documentElement;
const words = body.dataset;
const byId = (id) => document.getElementById(id);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

/* Choices that last: cookies, so that the server knows them before anything is drawn. */
function keep(name, value) {
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `${name}=${value}; Path=${words.prefix}; Max-Age=31536000; SameSite=Strict${secure}`;
}
const kept = (name) => document.cookie.split("; ").find((one) => one.startsWith(`${name}=`))?.split("=")[1];

/* Light and dark */
function switchTheme() {
  const prefersDark = matchMedia("(prefers-color-scheme: dark)").matches;
  const isDark = root.dataset.theme === "dark" || (root.dataset.theme === "auto" && prefersDark);
  root.dataset.theme = isDark ? "light" : "dark";
  keep("stepwell_theme", root.dataset.theme);
}
byId("theme")?.addEventListener("click", (event) => {
  event.preventDefault();
  switchTheme();
});

/* Times */
const [secondWord, minuteWord, hourWord, dayWord] = words.units.split(" ");
const gap = root.lang === "ja" ? "" : " ";
function span(s) {
  const two = (n, unit, rest, small) => `${n}${unit}${rest ? `${gap}${rest}${small}` : ""}`;
  if (s < 60) return `${s}${secondWord}`;
  if (s < 600) return two(Math.floor(s / 60), minuteWord, s % 60, secondWord);
  if (s < 3600) return `${Math.floor(s / 60)}${minuteWord}`;
  if (s < 86400) return two(Math.floor(s / 3600), hourWord, Math.floor((s % 3600) / 60), minuteWord);
  return two(Math.floor(s / 86400), dayWord, Math.floor((s % 86400) / 3600), hourWord);
}
function tellTimes(within = document) {
  for (const time of all("time[datetime]", within)) {
    const at = Date.parse(time.dateTime);
    if (Number.isNaN(at)) continue;
    const past = Math.trunc((Date.now() - at) / 1000);
    const said = past === 0 ? words.now : (past > 0 ? words.ago : words.ahead).replace("{}", span(Math.abs(past)));
    if (time.textContent !== said) time.textContent = said;
    time.title = `${new Date(at).toLocaleString(root.lang)} (${time.dateTime})`;
  }
}

/* Copying, also where the clipboard is kept from pages, as over plain HTTP */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "unseen";
    (document.querySelector("dialog[open]") ?? body).append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

/* Parts that are fetched again */
let isFetching = false;
let isWanted = false;
async function refresh() {
  if (isFetching) {
    isWanted = true;
    return;
  }
  isFetching = true;
  isWanted = false;
  last = Date.now();
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, credentials: "same-origin" });
    if (answer.redirected && new URL(answer.url).pathname.endsWith("/login")) location.reload();
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (isHeld()) return;
    for (const part of all("[data-fragment]")) {
      const fresh = page.getElementById(part.id);
      if (!fresh) continue;
      // What was opened or closed by hand stays so.
      for (const one of all("details[id]", part)) fresh.querySelector(`#${CSS.escape(one.id)}`)?.toggleAttribute("open", one.open);
      await htmx.swap({ sourceElement: part, target: part, swap: "outerMorph", text: fresh.outerHTML });
    }
    enliven();
    document.dispatchEvent(new CustomEvent("stepwell:refreshed"));
  } catch {
    // The next event, or the next look, tries again.
  } finally {
    isFetching = false;
    if (isWanted) soon();
  }
}
// However fast events come, the page is fetched at most once in a while.
const PAUSE_MS = 1000;
let timer;
let last = 0;
function soon(ms = 250) {
  timer ??= setTimeout(() => {
    timer = undefined;
    if (isOn && !isHeld()) refresh();
  }, Math.max(ms, last + PAUSE_MS - Date.now()));
}

/* Live: events from the server say that there is something new; without them it looks every few seconds. */
const live = byId("live");
const POLL_MS = 5000;
let isOn = live !== null && kept("stepwell_live") !== "off";
let source;
let poll;
const isSelecting = () => document.querySelector("[data-fragment] input:checked") !== null;
// What someone fills in is not taken from under their hands.
const isFilling = () =>
  all("[data-fragment] textarea, [data-fragment] input:not([type=checkbox], [type=hidden])").some(
    (field) => field === document.activeElement || field.value !== field.defaultValue,
  );
const isHeld = () =>
  document.hidden || isSelecting() || isFilling() || document.querySelector("dialog[open]") !== null;
function listen() {
  source?.close();
  clearInterval(poll);
  source = poll = undefined;
  if (!isOn || document.hidden) return;
  const start = () => (poll ??= setInterval(() => !isHeld() && refresh(), POLL_MS));
  if (!words.events || typeof EventSource === "undefined") return start();
  source = new EventSource(words.events);
  for (const name of ["run", "list", "tally", "record"]) {
    source.addEventListener(name, (event) => {
      document.dispatchEvent(new CustomEvent(`stepwell:${name}`, { detail: event }));
      soon();
    });
  }
  source.addEventListener("end", () => {
    source.close();
    soon();
  });
  source.addEventListener("error", () => source.readyState === EventSource.CLOSED && start());
}
function tellLive() {
  if (!live) return;
  const isWaiting = isOn && isSelecting();
  live.hidden = false;
  live.setAttribute("aria-pressed", String(isOn));
  live.classList.toggle("held", isWaiting);
  live.querySelector(".word").textContent = isWaiting ? words.liveHeld : isOn ? words.liveOn : words.liveOff;
}
function switchLive() {
  if (!live) return;
  isOn = !isOn;
  keep("stepwell_live", isOn ? "on" : "off");
  tellLive();
  listen();
  if (isOn) refresh();
}
live?.addEventListener("click", switchLive);
document.addEventListener("visibilitychange", () => {
  listen();
  if (!document.hidden && isOn) soon(50);
});

/* Confirmations: the page that a link leads to, shown in a dialog. */
const dialog = byId("dialog");
async function openHere(link) {
  const answer = await fetch(link.href, { headers: { Accept: "text/html" } });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const content = page.querySelector("main [data-dialog-content]") ?? page.querySelector("main .card");
  if (!content || answer.redirected) {
    location.assign(link.href);
    return;
  }
  byId("dialog-content").replaceChildren(document.adoptNode(content));
  enliven(dialog);
  dialog.showModal();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-copy]");
  if (button) {
    const before = button.textContent;
    copy(button.dataset.copy).then(() => {
      button.textContent = words.copied;
      setTimeout(() => (button.textContent = before), 1500);
    });
  }
  const opener = event.target.closest?.("[data-opens]");
  if (opener) byId(opener.dataset.opens)?.showModal();
  if (event.target.closest?.("dialog [data-close]")) {
    event.preventDefault();
    event.target.closest("dialog").close();
  }
  const link = event.target.closest?.("a[data-dialog]");
  if (link && !event.metaKey && !event.ctrlKey && !event.shiftKey && event.button === 0) {
    event.preventDefault();
    openHere(link).catch(() => location.assign(link.href));
  }
});

/* Selection of rows */
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-select-all]")) {
    for (const box of all("[data-row] input[type=checkbox]")) box.checked = event.target.checked;
  }
  tellSelection();
});
let selected = 0;
function tellSelection() {
  const before = selected;
  const count = (selected = all("[data-row] input:checked").length);
  for (const place of all("[data-selected]")) place.textContent = count;
  for (const part of all("[data-with-selection]")) part.hidden = count === 0;
  for (const part of all("[data-without-selection]")) part.hidden = count !== 0;
  tellLive();
  if (before > 0 && count === 0) soon(800);
}

/* Keys */
let isGoing = false;
function step(by) {
  const rows = all("[data-row]");
  const at = rows.indexOf(document.activeElement?.closest?.("[data-row]"));
  const row = rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(Math.max(at + by, 0), rows.length - 1)];
  row?.querySelector("a")?.focus();
  row?.scrollIntoView({ block: "nearest" });
}
const KEYS = {
  "/": () => byId("q")?.focus(),
  "?": () => byId("keys").showModal(),
  r: switchLive,
  t: switchTheme,
  j: () => step(1),
  k: () => step(-1),
  x: () => document.activeElement?.closest?.("[data-row]")?.querySelector("input[type=checkbox]")?.click(),
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const isTyping = event.target.matches?.("input:not([type=checkbox]), textarea, select");
  if (event.key === "Escape" && isTyping) event.target.blur();
  if (isTyping || document.querySelector("dialog[open]")) return;
  if (isGoing) {
    isGoing = false;
    const link = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
    if (link) {
      event.preventDefault();
      link.click();
    }
    return;
  }
  if (event.key === "g") {
    isGoing = true;
    setTimeout(() => (isGoing = false), 1500);
  } else if (Object.hasOwn(KEYS, event.key)) {
    event.preventDefault();
    KEYS[event.key]();
  }
});

/* What the server leaves hidden because it needs this script */
function enliven(within = document) {
  for (const button of all("[data-copy], [data-opens], [data-select-all]", within)) button.hidden = false;
  tellTimes(within);
  tellSelection();
}
setInterval(() => !document.hidden && tellTimes(), 1000);
// Where the menu scrolls, as on a phone, the page that is looked at is seen in it.
for (const here of all("nav [aria-current], .tabs [aria-current]")) {
  const strip = here.closest("nav, .tabs");
  strip.scrollLeft = here.offsetLeft - strip.offsetLeft - (strip.clientWidth - here.offsetWidth) / 2;
}
enliven();
listen();
/* What one request had no time for, the page asks with the next. */
document.querySelector("form[data-goes-on]")?.requestSubmit();
