// Switches the page between Chinese and English; the address keeps the choice: #search-2&lang=en
(() => {
  "use strict";
  const page = document.documentElement;
  const button = document.getElementById("language");
  const parts = () => location.hash.slice(1).split("&");
  const target = () => parts().find((part) => part && !part.startsWith("lang="));
  // of those that there are, the one that the address says, else the first that the browser wants
  const wanted = [...navigator.languages].map((tag) => tag.slice(0, 2).toLowerCase());
  const usual = wanted.find((tag) => tag === "zh" || tag === "en") || "zh";
  const asked = () => ["zh", "en"].find((tag) => parts().includes("lang=" + tag)) || usual;

  function speak(language) {
    page.dataset.language = language;
    page.lang = language === "en" ? "en" : "zh-CN";
    for (const element of document.querySelectorAll("[data-attribute]")) {
      const words = element.dataset[language];
      if (element.dataset.attribute === "text") element.textContent = words;
      else element.setAttribute(element.dataset.attribute, words);
    }
  }

  function remember(language) {
    location.replace("#" + [target(), "lang=" + language].filter(Boolean).join("&"));
  }

  button.hidden = false;
  button.addEventListener("click", () => {
    speak(page.dataset.language === "en" ? "zh" : "en");
    remember(page.dataset.language);
  });
  addEventListener("hashchange", () => {
    const chosen = parts().some((part) => part.startsWith("lang="));
    if (chosen) speak(asked());
    else if (page.dataset.language === "en") remember("en");
  });
  speak(asked());
  const start = target() && document.getElementById(target());
  if (start) start.scrollIntoView();
})();
