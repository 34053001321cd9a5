// The few things that a page cannot do by HTML alone. Every page works without this file.
(() => {
  "use strict";
  const root = document.documentElement;
  const year = 60 * 60 * 24 * 365;
  const readCookie = (name) => document.cookie.split("; ").find((one) => one.startsWith(`${name}=`))?.split("=")[1];
  const writeCookie = (name, value) => {
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `${name}=${value}; path=/; max-age=${year}; SameSite=Lax${secure}`;
  };

  // Dark or light: the person's choice, else the system's. Runs before the body is painted.
  const system = matchMedia("(prefers-color-scheme: dark)");
  const applyTheme = () => {
    root.dataset.bsTheme = readCookie("theme") ?? (system.matches ? "dark" : "light");
  };
  applyTheme();
  system.addEventListener("change", applyTheme);

  // The server renders times in the zone of this cookie from the next page on.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const zoneIsNew = zone && readCookie("timezone") !== zone;
  if (zoneIsNew) writeCookie("timezone", zone);

  const pad = (number) => String(number).padStart(2, "0");
  const localTimes = (element) => {
    if (!zoneIsNew) return;
    for (const time of element.querySelectorAll("time[data-moment]")) {
      const at = new Date(time.dateTime);
      time.textContent =
        `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())} ` +
        `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
    }
  };

  // What needs this file is hidden until it is there. Morphing keeps what was shown.
  const reveal = (element) => element.querySelectorAll("[data-needs-js]").forEach((one) => { one.hidden = false; });

  document.addEventListener("click", async (event) => {
    if (event.target.closest("[data-theme-toggle]")) {
      writeCookie("theme", root.dataset.bsTheme === "dark" ? "light" : "dark");
      applyTheme();
      return;
    }
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const source = document.getElementById(button.dataset.copy);
    const label = button.querySelector("[data-label]");
    try {
      await navigator.clipboard.writeText(source.textContent.trim());
      label.textContent = button.dataset.copied;
    } catch {
      // No clipboard on a page without TLS: select it, so that one key copies it.
      getSelection().selectAllChildren(source);
      label.textContent = button.dataset.selected;
    }
  });

  // A countdown goes on between the server's answers, and while the panel is away: each answer sets it anew.
  const countDown = (clock) => {
    if (clock.dataset.countdown !== clock.told) {
      clock.told = clock.dataset.countdown;
      clock.endsAt = performance.now() + 1000 * Number(clock.told);
    }
    const left = String(Math.max(0, Math.ceil((clock.endsAt - performance.now()) / 1000)));
    if (clock.textContent !== left) clock.textContent = left;
  };
  setInterval(() => document.querySelectorAll("[data-countdown]").forEach(countDown), 200);

  const start = (element) => { localTimes(element); reveal(element); };
  document.addEventListener("DOMContentLoaded", () => {
    if (window.Idiomorph) {
      // When a part is replaced, what was typed meanwhile stays, and what was opened or revealed stays so.
      const typed = ["value", "checked", "selected"];
      Idiomorph.defaults.ignoreActiveValue = true;
      Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, element) =>
        !(name === "open" && element.tagName === "DETAILS") &&
        !(name === "hidden" && "needsJs" in element.dataset) &&
        !(typed.includes(name) && element.closest("form[hx-post]"));
    }
    start(document.body);
    const offline = document.getElementById("offline");
    const showOffline = (away) => { if (offline) offline.hidden = !away; };
    document.body.addEventListener("htmx:load", (event) => start(event.detail.elt.parentElement ?? document.body));
    document.body.addEventListener("htmx:sendError", () => showOffline(true));
    document.body.addEventListener("htmx:responseError", (event) => showOffline(event.detail.xhr.status >= 500));
    document.body.addEventListener("htmx:afterRequest", (event) => { if (event.detail.successful) showOffline(false); });
  });
})();
