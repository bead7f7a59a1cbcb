// A part of the query picture, drawn with the pointer or the arrow keys, becomes the query picture.
(() => {
  "use strict";
  const dialog = document.getElementById("crop");
  if (!dialog) return;
  const results = document.getElementById("results");
  const area = dialog.querySelector(".crop-area");
  const frame = dialog.querySelector(".crop-frame");
  const canvas = dialog.querySelector("canvas");
  const SHOWN = 1024, SENT = 1600, LEAST = 0.05, STEP = 0.02, KEPT = 8;
  const files = new Map(); // by the name that the server gave them: the page has a small one only
  let picture = null;
  let box = { x: 0, y: 0, w: 1, h: 1 };
  let from = null;

  document.addEventListener("muge-uploaded", (event) => {
    files.set(event.detail.name, event.detail.file);
    if (files.size > KEPT) files.delete(files.keys().next().value);
  });

  const between = (value, low, high) => Math.min(Math.max(value, low), high);

  function place(next) {
    const w = between(next.w, LEAST, 1);
    const h = between(next.h, LEAST, 1);
    box = { w, h, x: between(next.x, 0, 1 - w), y: between(next.y, 0, 1 - h) };
    frame.style.left = `${100 * box.x}%`;
    frame.style.top = `${100 * box.y}%`;
    frame.style.width = `${100 * box.w}%`;
    frame.style.height = `${100 * box.h}%`;
  }

  async function open() {
    const shown = results.querySelector(".query-picture");
    if (!shown) return;
    const file = files.get(new URL(location.href).searchParams.get("picture"));
    try {
      picture = await createImageBitmap(file || shown);
    } catch (error) {
      picture = await createImageBitmap(shown); // a kind that this browser cannot read
    }
    const scale = Math.min(1, SHOWN / Math.max(picture.width, picture.height));
    canvas.width = Math.max(1, Math.round(picture.width * scale));
    canvas.height = Math.max(1, Math.round(picture.height * scale));
    canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
    place({ x: 0, y: 0, w: 1, h: 1 });
    dialog.showModal();
    frame.focus();
  }

  function search() {
    const [left, top] = [box.x * picture.width, box.y * picture.height];
    const [wide, high] = [box.w * picture.width, box.h * picture.height];
    const scale = Math.min(1, SENT / Math.max(wide, high));
    const part = document.createElement("canvas");
    part.width = Math.max(1, Math.round(wide * scale));
    part.height = Math.max(1, Math.round(high * scale));
    part.getContext("2d").drawImage(picture, left, top, wide, high, 0, 0, part.width, part.height);
    part.toBlob((blob) => {
      dialog.close();
      const file = new File([blob], "part.png", { type: "image/png" });
      document.dispatchEvent(new CustomEvent("muge-picture", { detail: file }));
    }, "image/png");
  }

  function at(event) {
    const edges = area.getBoundingClientRect();
    return {
      x: between((event.clientX - edges.left) / edges.width, 0, 1),
      y: between((event.clientY - edges.top) / edges.height, 0, 1),
    };
  }
  area.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    area.setPointerCapture(event.pointerId);
    from = at(event);
  });
  area.addEventListener("pointermove", (event) => {
    if (!from) return;
    const to = at(event);
    place({
      x: Math.min(from.x, to.x),
      y: Math.min(from.y, to.y),
      w: Math.abs(from.x - to.x),
      h: Math.abs(from.y - to.y),
    });
  });
  for (const end of ["pointerup", "pointercancel"]) {
    area.addEventListener(end, () => {
      from = null;
    });
  }
  frame.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!way) return;
    event.preventDefault();
    const [x, y] = way.map((step) => step * STEP);
    if (event.shiftKey) place({ ...box, w: between(box.w + x, LEAST, 1 - box.x), h: between(box.h + y, LEAST, 1 - box.y) });
    else place({ ...box, x: box.x + x, y: box.y + y });
  });

  document.addEventListener("click", (event) => {
    if (event.target.closest("#crop-open")) open();
    else if (event.target.closest("#crop-search")) search();
    else if (event.target.closest("#crop-close") || event.target === dialog) dialog.close();
  });
})();
