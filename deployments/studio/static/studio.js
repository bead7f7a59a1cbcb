// Searches without leaving the page: fetches the same page for another question, swaps its parts.
(() => {
  "use strict";
  const page = document.documentElement;
  const form = document.getElementById("ask");
  const said = (name) => document.getElementById("says").content.querySelector(`[data-says="${name}"]`);
  const inWords = (name) => {
    const words = said(name);
    return (words.querySelector(`[lang="${page.lang}"]`) || words).textContent;
  };
  let running = null;

  // both languages are in the page: attributes follow, the stylesheet does the rest
  function speak(root = document) {
    for (const element of root.querySelectorAll("[data-attribute]")) {
      const words = element.dataset[page.dataset.language];
      if (element.dataset.attribute === "text") element.textContent = words;
      else element.setAttribute(element.dataset.attribute, words);
    }
  }
  speak();
  if (!form) return;
  page.dataset.scripts = "";

  const results = document.getElementById("results");
  const chosen = document.getElementById("chosen");
  const status = document.getElementById("status");
  const field = (name) => form.elements.namedItem(name);

  function question() {
    const values = new URLSearchParams();
    for (const [name, value] of new FormData(form)) {
      if (typeof value === "string" && value.trim()) values.set(name, value);
    }
    tell(values);
    return values;
  }
  // whoever chose a language keeps it; the others have their browser's
  let chosenLanguage = new URL(location.href).searchParams.has("lang");
  function tell(values) {
    if (chosenLanguage) values.set("lang", page.dataset.language);
    else values.delete("lang");
  }
  const asks = (values) => ["text", "image", "picture", "like"].some((name) => values.has(name));

  function fill(address) {
    const values = new URL(address, location.href).searchParams;
    for (const name of ["text", "image", "filter"]) field(name).value = values.get(name) || "";
    for (const name of ["alpha", "topk"]) {
      field(name).value = values.get(name) || field(name).dataset.usual;
    }
    field("alike").checked = values.has("alike");
    for (const name of ["fusion", "beside"]) field(name).value = values.get(name) || "";
    describeAlpha();
  }

  function show(html, stay) {
    const next = new DOMParser().parseFromString(html, "text/html");
    const found = next.getElementById("results");
    if (!found) {
      location.reload();
      return;
    }
    results.replaceChildren(...found.childNodes);
    const using = next.getElementById("chosen");
    if (using) chosen.replaceChildren(...using.childNodes);
    speak(results);
    showThumbs();
    const line = results.querySelector("#count, .problem, .empty");
    status.textContent = line ? line.innerText : "";
    if (!stay) comeIntoView();
  }

  // on a phone the form fills the screen: what was found must not stay below it
  function comeIntoView() {
    if (results.getBoundingClientRect().top > innerHeight * 0.7) {
      scrollTo({ top: results.offsetTop - 12 });
    }
  }

  async function load(address, request = {}, stay = false) {
    if (running) running.abort();
    const mine = (running = new AbortController());
    results.setAttribute("aria-busy", "true");
    status.textContent = inWords("searching");
    try {
      const answer = await fetch(address, {
        ...request,
        headers: { Accept: "text/html", ...request.headers },
        signal: mine.signal,
      });
      const body = await answer.text();
      if (mine.signal.aborted) return null;
      if (answer.ok && request.method === "POST") return JSON.parse(body);
      show(body, stay);
    } catch (error) {
      if (mine.signal.aborted) return null;
      results.replaceChildren(said("offline").cloneNode(true));
    } finally {
      if (running === mine) results.removeAttribute("aria-busy");
    }
    return null;
  }

  async function go(address, remember = true) {
    if (remember) history.pushState(null, "", address);
    await load(address);
  }

  function search() {
    const values = question();
    if (asks(values)) go("?" + values);
  }

  // while words are typed: what is there is shown, and whoever types goes on typing
  let typing = 0;
  function searchSoon() {
    clearTimeout(typing);
    typing = setTimeout(() => {
      const values = question();
      if (!values.has("text")) return;
      history.replaceState(null, "", "?" + values);
      load("?" + values, {}, true);
    }, 350);
  }

  async function upload(file) {
    if (!file) return;
    const type = file.type || "application/octet-stream";
    const kept = await load("api/pictures", {
      method: "POST",
      body: file,
      headers: { "Content-Type": type },
    });
    if (!kept) return;
    const values = question();
    for (const other of ["image", "like"]) values.delete(other);
    values.set("picture", kept.picture);
    field("image").value = "";
    document.dispatchEvent(new CustomEvent("muge-uploaded", { detail: { name: kept.picture, file } }));
    await go("?" + values);
  }
  document.addEventListener("muge-picture", (event) => upload(event.detail));

  function describeAlpha() {
    const dense = Math.round(100 * field("alpha").value);
    for (const part of document.querySelectorAll("#alpha-says .t")) {
      const words = said("alpha").querySelector(`[lang="${part.lang}"]`).textContent;
      part.textContent = words.replace("{dense}", dense).replace("{sparse}", 100 - dense);
      const language = part.lang === "en" ? "en" : "zh";
      field("alpha").dataset[language] = part.textContent;
    }
    field("alpha").setAttribute("aria-valuetext", field("alpha").dataset[page.dataset.language]);
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(typing);
    search();
  });
  field("alpha").addEventListener("input", describeAlpha);
  field("text").addEventListener("input", (event) => {
    if (event.isComposing) clearTimeout(typing); // pinyin that is not chosen yet
    else searchSoon();
  });
  field("text").addEventListener("compositionend", searchSoon);
  for (const name of ["alpha", "topk", "alike", "fusion", "beside"]) field(name).addEventListener("change", search);
  chosen.addEventListener("change", search);
  field("image").addEventListener("input", () => chosen.replaceChildren());
  for (const element of document.querySelectorAll(".upload")) element.hidden = false;
  document.getElementById("file").addEventListener("change", (event) => {
    upload(event.target.files[0]);
    event.target.value = "";
  });

  addEventListener("paste", (event) => {
    const file = [...event.clipboardData.files].find((item) => item.type.startsWith("image/"));
    if (file) {
      event.preventDefault();
      upload(file);
    }
  });
  const carries = (event) =>
    ["Files", "text/uri-list"].some((kind) => event.dataTransfer.types.includes(kind));
  addEventListener("dragover", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dropping");
  });
  addEventListener("drop", (event) => {
    document.body.classList.remove("dropping");
    if (!carries(event)) return;
    event.preventDefault();
    const address = event.dataTransfer.getData("text/uri-list").split("\n")[0].trim();
    if (event.dataTransfer.files.length) upload(event.dataTransfer.files[0]);
    else if (/^https?:/.test(address)) {
      chosen.replaceChildren();
      field("image").value = address;
      search();
    }
  });

  document.addEventListener("click", async (event) => {
    const link = event.target.closest("a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    if (link.id === "language") {
      event.preventDefault();
      switchLanguage();
    } else if (link.id === "link" && navigator.clipboard) {
      event.preventDefault();
      await navigator.clipboard.writeText(new URL(location.href).href);
      status.textContent = inWords("copied");
      link.replaceChildren(...said("copied").cloneNode(true).childNodes);
    } else if (link.id === "more") {
      event.preventDefault();
      await showMore(link);
    } else if (link.matches(".zoom")) {
      event.preventDefault();
      enlarge(link.closest(".hit"));
    } else if (link.matches(".go-on, .like")) {
      event.preventDefault();
      const address = spoken(link.getAttribute("href"));
      fill(address);
      await go(address);
      if (link.matches(".like")) scrollTo({ top: results.offsetTop - 12 });
    }
  });

  function spoken(address) {
    const values = new URL(address, location.href).searchParams;
    tell(values);
    return "?" + values;
  }

  function switchLanguage() {
    const english = page.dataset.language !== "en";
    chosenLanguage = true;
    page.dataset.language = english ? "en" : "zh";
    page.lang = english ? "en" : "zh-CN";
    speak();
    describeAlpha();
    history.replaceState(null, "", spoken(location.href));
  }

  // behind what is there, and never twice
  async function showMore(link) {
    link.setAttribute("aria-busy", "true");
    let next;
    try {
      const answer = await fetch(link.href, { headers: { Accept: "text/html" } });
      next = new DOMParser().parseFromString(await answer.text(), "text/html");
    } catch (error) {
      link.removeAttribute("aria-busy");
      results.append(said("offline").cloneNode(true));
      return;
    }
    if (!link.isConnected) return; // another search meanwhile
    const list = [...results.querySelectorAll("ol.hits")].pop();
    const known = new Set([...list.children].map((hit) => hit.dataset.id));
    const fresh = [...next.querySelectorAll("ol.hits > li")].filter((hit) => !known.has(hit.dataset.id));
    list.append(...fresh);
    const more = next.getElementById("more");
    if (more) link.closest("p").replaceWith(more.closest("p"));
    else link.closest("p").remove();
    const trouble = next.querySelector("#results .problem");
    if (trouble) results.append(trouble);
    speak(results);
    showThumbs();
    status.textContent = inWords("more").replace("{count}", list.children.length);
    const first = fresh.length && fresh[0].querySelector("a");
    if (first) first.focus({ preventScroll: true });
  }

  const light = document.getElementById("light");
  let shownHit = null;

  function enlarge(hit) {
    const link = hit.querySelector(".zoom");
    const [image, caption] = light.querySelectorAll("img, figcaption");
    const small = link.querySelector("img");
    shownHit = hit;
    image.src = small.src; // until the large one is there
    image.alt = small.alt;
    const large = new Image();
    large.onload = () => {
      if (shownHit === hit) image.src = large.src;
    };
    large.src = link.href;
    const parts = [...hit.children].filter((part) => !part.matches(".frame, details, .further, .like"));
    caption.replaceChildren(...parts.map((part) => part.cloneNode(true)));
    for (const button of light.querySelectorAll("[data-step]")) {
      button.disabled = !neighbour(Number(button.dataset.step));
    }
    if (!light.open) light.showModal();
  }

  function neighbour(step) {
    const hits = [...results.querySelectorAll(".hit")].filter((hit) => hit.querySelector(".zoom"));
    return hits[hits.indexOf(shownHit) + step];
  }

  function stepTo(step) {
    const hit = neighbour(step);
    if (hit) enlarge(hit);
  }

  light.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button && button.dataset.step) stepTo(Number(button.dataset.step));
    else if (button || event.target === light) light.close();
  });
  light.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) stepTo(step);
  });
  light.addEventListener("close", () => {
    const link = shownHit && shownHit.querySelector(".zoom");
    if (link) link.focus();
  });
  let touched = null;
  light.addEventListener("touchstart", (event) => {
    touched = event.touches.length === 1 ? event.touches[0].clientX : null;
  }, { passive: true });
  light.addEventListener("touchend", (event) => {
    const moved = touched === null ? 0 : event.changedTouches[0].clientX - touched;
    if (Math.abs(moved) > 50) stepTo(moved < 0 ? 1 : -1);
  });

  // thumbs: the browser keeps which it pressed, and a number of its own that only the server sees
  const KEPT = 2000;
  const aside = {}; // where the browser keeps nothing
  function recall(name) {
    try {
      return localStorage.getItem(name);
    } catch (error) {
      return aside[name] || null;
    }
  }
  function keep(name, value) {
    aside[name] = value;
    try {
      localStorage.setItem(name, value);
    } catch (error) {
      // private windows and full ones
    }
  }
  function browserNumber() {
    let number = recall("muge-user");
    if (!/^[0-9a-f]{32}$/.test(number || "")) {
      const bytes = crypto.getRandomValues(new Uint8Array(16));
      number = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
      keep("muge-user", number);
    }
    return number;
  }
  function pressed() {
    try {
      return new Map(JSON.parse(recall("muge-thumbs") || "[]"));
    } catch (error) {
      return new Map();
    }
  }
  const judgedSection = () => document.getElementById("judged");
  const thumbOf = (hit) => {
    const { kept, query } = judgedSection().dataset;
    return [kept, query, hit.dataset.id].join("\n");
  };

  function setThumb(hit, grade) {
    for (const button of hit.querySelectorAll(".thumb")) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.grade) === grade));
    }
  }
  const underWay = new Map(); // what is sent and not answered yet
  function showThumbs() {
    if (!judgedSection()) return;
    const known = pressed();
    for (const hit of results.querySelectorAll(".hit")) {
      const name = thumbOf(hit);
      const last = underWay.get(name);
      setThumb(hit, last ? last.grade : known.get(name) || 0);
    }
  }

  let sending = Promise.resolve(); // one after the other: the last that was pressed counts
  function judge(button) {
    const hit = button.closest(".hit");
    const grade = button.getAttribute("aria-pressed") === "true" ? 0 : Number(button.dataset.grade);
    const { query, with: shownBy } = judgedSection().dataset;
    const name = thumbOf(hit);
    const said = {
      ...JSON.parse(shownBy),
      query,
      id: hit.dataset.id,
      grade,
      rank: Number(hit.dataset.rank),
      user: browserNumber(),
    };
    underWay.set(name, said);
    setThumb(hit, grade);
    sending = sending.then(() => sendThumb(name, said));
  }
  async function sendThumb(name, said) {
    let problem = "offline";
    try {
      const answer = await fetch("api/judgements", {
        method: "POST",
        headers: { "Content-Type": "application/json", Accept: "application/json" },
        body: JSON.stringify(said),
        keepalive: true,
      });
      problem = answer.ok ? "" : (await answer.json()).error.code;
    } catch (error) {
      // the server or the network is away
    }
    if (underWay.get(name) === said) underWay.delete(name);
    if (!problem) {
      const known = pressed();
      known.delete(name);
      if (said.grade) known.set(name, said.grade);
      keep("muge-thumbs", JSON.stringify([...known].slice(-KEPT)));
    }
    showThumbs();
    tellThumb(problem, said);
  }
  const trouble = document.getElementById("judge-says");
  function tellThumb(problem, said_) {
    const words = problem && said(`judge_${problem}`) ? `judge_${problem}` : problem ? "judge_failed" : `judge_${said_.grade}`;
    const sentence = inWords(words).replace("{id}", said_.id);
    trouble.className = problem ? "toast" : "unseen";
    trouble.textContent = problem ? sentence : "";
    if (!problem) status.textContent = sentence;
  }
  results.addEventListener("click", (event) => {
    const button = event.target.closest(".thumb");
    if (button) judge(button);
  });
  trouble.addEventListener("click", () => {
    trouble.className = "unseen";
  });
  showThumbs();

  addEventListener("popstate", () => {
    fill(location.href);
    go(location.href, false);
  });
  describeAlpha();
  if (asks(question())) comeIntoView();
})();
