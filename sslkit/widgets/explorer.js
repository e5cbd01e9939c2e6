// The embedding explorer: a map of pictures that can be asked. One module, two faces: `render` is what anywidget calls in
// a notebook; in a page, every <script type="application/json" data-explorer> becomes one. The only state is the model's:
// controls set it, and its changes are what is drawn. Text from the data is only ever put in as text.

const VIRIDIS = ["#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"];
const UNKNOWN = 65535;
const MARKS = "●▲■◆"; // the mark changes from the eleventh class on, as in sslkit.plots
const TRAVEL = 600; // milliseconds from one map to another
const HELP = "Drag to move, Ctrl and wheel to zoom, click to select, Shift to add, Shift and drag to draw a lasso. " +
  "Keyboard: arrows go from picture to picture, Enter selects, Escape clears, + and - zoom, 0 shows all.";

/** An element; children that are strings become text, never HTML. */
function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(key, value);
    else if (value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  if (attributes["data-control"]) node.setAttribute("data-lm-suppress-shortcuts", "true"); // else Jupyter takes its keys
  node.append(...children);
  return node;
}

/** Bytes as they arrive, from the kernel as a view, in a page as base64, as numbers. */
function numbers(value, Type) {
  if (typeof value === "string") {
    const text = atob(value);
    value = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) value[i] = text.charCodeAt(i);
  }
  if (!ArrayBuffer.isView(value)) return new Type(value ?? 0);
  return new Type(value.buffer.slice(value.byteOffset, value.byteOffset + value.byteLength));
}

const each = (all, act) => Object.fromEntries(Object.entries(all).map(([name, one]) => [name, act(one)]));
const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
const mix = (a, b, share) => a.map((v, i) => Math.round(v + (b[i] - v) * share));
const pixel = ([r, g, b]) => (0xff000000 | (b << 16) | (g << 8) | r) >>> 0;
const css = (c) => `rgb(${c.join(" ")})`;
const plural = (n) => `${n.toLocaleString("en")} picture${n === 1 ? "" : "s"}`;
const short = (text) => (text.length > 80 ? text.slice(0, 79) + "…" : text);

const SCALE = Array.from({ length: 256 }, (_, j) => {
  const at = (j / 255) * (VIRIDIS.length - 1), i = Math.min(VIRIDIS.length - 2, Math.floor(at));
  return mix(rgb(VIRIDIS[i]), rgb(VIRIDIS[i + 1]), at - i);
});

/** What a colouring says of a point: the name of its class, a number, or nothing. */
function valueOf({ kind, values, names, low, high }, i) {
  if (values[i] === UNKNOWN) return "";
  return kind === "class" ? names[values[i]] : low + (values[i] / 65534) * (high - low);
}

/** How far a pixel is outside a mark: disc, triangle, square, diamond. */
function outside(x, y, r, mark) {
  if (mark === 1) return Math.max(y - 0.6 * r, 0.87 * Math.abs(x) - 0.5 * y - 0.6 * r);
  if (mark === 2) return Math.max(Math.abs(x), Math.abs(y)) - 0.85 * r;
  if (mark === 3) return (Math.abs(x) + Math.abs(y)) * 0.71 - 0.85 * r;
  return Math.hypot(x, y) - r;
}

/** A mark as pixels: where they lie and how much of each is covered (0 to 256), for 16 places of its middle in a pixel. */
function stamp(radius, mark, width) {
  const reach = Math.ceil(radius + 1);
  const places = Array.from({ length: 16 }, (_, place) => {
    const offsets = [], covers = [];
    for (let y = -reach; y <= reach; y++) for (let x = -reach; x <= reach; x++) {
      const cover = Math.min(1, 0.5 - outside(x - (place % 4) / 4, y - (place >> 2) / 4, radius, mark));
      if (cover > 0.03) offsets.push(y * width + x), covers.push(Math.round(256 * cover));
    }
    return [Int32Array.from(offsets), Int32Array.from(covers)];
  });
  return { reach, places };
}

/** The model of a page without a kernel: the same four methods. */
class Local {
  constructor(values) { this.values = values; this.listeners = {}; }
  get(name) { return this.values[name]; }
  set(name, value) {
    if (this.values[name] === value) return;
    this.values[name] = value;
    for (const listener of this.listeners[`change:${name}`] ?? []) listener();
  }
  on(event, listener) { (this.listeners[event] ??= []).push(listener); }
  off() {} save_changes() {}
}

class Explorer {
  constructor(el, model) {
    Object.assign(this, { model, id: `sslkit-${Math.random().toString(36).slice(2)}`, view: { zoom: 1, x: 0.5, y: 0.5 }, hidden: new Set() });
    Object.assign(this, model.get("basis"), { shown: [], stamps: {}, tint: [], selected: [] }); // n, steps, look, sheet
    for (const name of ["at", "from"]) this[name] = new Float32Array(2 * this.n); // where points are, and came from
    for (const name of ["isSelected", "visible", "mark"]) this[name] = new Uint8Array(this.n);
    this.ink = new Uint32Array(this.n);
    const mixed = (i) => Math.imul(i + 1, 2654435761) >>> 0; // drawn in turn, the last class would cover the others
    this.order = Uint32Array.from({ length: this.n }, (_, i) => i).sort((i, j) => mixed(i) - mixed(j));
    this.build(el);
    for (const part of ["Layouts", "Colours", "Neighbours", "Selection"]) this[`read${part}`]();
    this.listen();
    this.go(false);
    if (this.sheet.side) {
      createImageBitmap(new Blob([numbers(this.sheet.data, Uint8Array)], { type: this.sheet.type })).then((bitmap) => {
        Object.assign(this, { bitmap }).root.dataset.ready = "yes";
        this.choosePictures();
        this.showSelection();
      });
    }
  }

  // ---- what stands on the page

  build(el) {
    const button = (control, text, name, click, more = {}) =>
      h("button", { type: "button", "data-control": control, "aria-label": name, title: name, click, ...more }, text);
    const toggle = (control, text, name, pressed) => button(control, text, name, (event) => {
      this.press(event.currentTarget, event.currentTarget.getAttribute("aria-pressed") === "false");
      this.choosePictures();
    }, { "aria-pressed": `${pressed}` });
    const choice = (control, name) => h("select", { "data-control": control, change: (e) => this.set(name, e.target.value) });
    this.layoutChoice = choice("layout", "map");
    this.colourChoice = choice("colour", "colour");
    this.search = h("input", { type: "search", "data-control": "search", placeholder: "search a label", maxlength: 200,
      "aria-label": "Select by label", input: () => this.find(this.search.value) });
    this.lassoButton = toggle("lasso", "Lasso", "Draw a lasso around pictures", false);
    this.pictureButton = toggle("pictures", "Pictures", "Show pictures on the map", this.n < 12000);
    this.pictureButton.hidden = !this.sheet.side;
    this.canvas = h("canvas", { tabindex: 0, role: "application", "data-control": "map", "aria-describedby": `${this.id}-help`,
      "aria-label": `Map of ${plural(this.n)}` });
    this.card = h("div", { class: "card", hidden: true });
    this.stage = h("div", { class: "stage" }, this.canvas, this.card, h("div", { class: "zoom" },
      button("zoom-in", "+", "Zoom in", () => this.zoom(1.5)), button("zoom-out", "−", "Zoom out", () => this.zoom(1 / 1.5)),
      button("reset", "⤢", "Show the whole map", () => this.reset())));
    this.play = button("play", "▶ Play", "Play the training", () => this.playing(!this.timer), { "aria-pressed": "false" });
    this.slider = h("input", { type: "range", min: 0, max: 0, step: 1, "data-control": "epoch", "aria-label": "Moment of the training",
      input: () => { this.playing(false); this.set("epoch", Number(this.slider.value)); } });
    [this.measures, this.work, this.moment] = ["measures", "work", "moment"].map((name) => h("span", { class: name }));
    this.time = h("div", { class: "time" }, this.play, this.slider, this.moment);
    this.said = h("p", { role: "status" });
    this.legend = h("div", { class: "legend", role: "group", "aria-label": "Legend: press a class to hide or show it" });
    this.title = h("h4", {}, "Selection");
    this.counts = h("ul", { class: "counts" });
    this.grid = h("canvas", { class: "grid", role: "img", "aria-label": "Pictures of the selection", hidden: true });
    this.clear = button("clear", "Clear", "Clear the selection", () => this.select([]));
    this.csv = button("save-csv", "CSV", "Save the selection as CSV", () => this.saveTable());
    const page = button("save-page", "Page", "Save all as one offline page", () => this.model.send({ what: "page" }));
    page.hidden = !this.model.send;
    this.root = h("div", { class: "sslkit-explorer", role: "group", "aria-label": "Embedding explorer" },
      h("div", { class: "bar" }, h("label", {}, "Map ", this.layoutChoice), h("label", {}, "Colour ", this.colourChoice),
        this.search, this.lassoButton, this.pictureButton,
        h("span", { class: "save" }, "Save ", button("save-png", "PNG", "Save the map as a picture", () =>
          this.canvas.toBlob((blob) => this.download("map.png", blob))), this.csv, page)),
      h("div", { class: "body" },
        h("div", { class: "main" }, this.stage, this.time, h("p", { class: "below" }, this.measures, this.work),
          h("p", { class: "help", id: `${this.id}-help` }, HELP)),
        h("div", { class: "side" }, this.legend, h("div", { class: "head" }, this.title, this.clear), this.said, this.counts, this.grid)));
    el.append(this.root);
    this.context = this.canvas.getContext("2d");
  }

  press(button, pressed) { button.setAttribute("aria-pressed", `${pressed}`); }
  isPressed(button) { return button.getAttribute("aria-pressed") === "true"; }

  listen() {
    const redraw = { layouts: () => this.readLayouts(), map: () => this.go(), epoch: () => this.go(), colours: () => this.readColours(),
      colour: () => this.changeColour(), neighbours: () => this.readNeighbours(), selected_bytes: () => this.readSelection(),
      hovered: () => this.showCard(), picture: () => this.showLarge(), status: () => this.work.replaceChildren(this.model.get("status")) };
    const heard = Object.entries(redraw).map(([name, act]) => [`change:${name}`, act]);
    heard.push(["msg:custom", ({ name }, [data]) => this.download(name, new Blob([data], { type: "text/html" }))]);
    for (const pair of heard) this.model.on(...pair);
    this.work.replaceChildren(this.model.get("status") ?? "");
    const on = (type, act, options) => this.canvas.addEventListener(type, act, options);
    on("pointerdown", (e) => this.down(e));
    on("pointermove", (e) => this.move(e));
    on("pointerup", (e) => this.up(e));
    on("pointercancel", () => { this.drag = this.path = null; this.ask(); });
    on("pointerleave", () => this.drag || this.set("hovered", -1));
    on("keydown", (e) => this.key(e));
    on("wheel", (e) => {
      if (!e.ctrlKey && document.activeElement !== this.canvas) return; // the page scrolls over a map that is not in use
      e.preventDefault();
      this.zoom(Math.exp(-e.deltaY / 400), ...this.place(e));
    }, { passive: false });
    this.resize = new ResizeObserver(() => this.fit());
    this.resize.observe(this.stage);
    this.theme = new MutationObserver(() => [0, 300, 1500].map((wait) => setTimeout(() => this.ask(), wait)));
    this.theme.observe(document.body, { attributes: true });
    (this.scheme = matchMedia("(prefers-color-scheme: dark)")).onchange = () => this.ask();
    this.forget = () => {
      for (const pair of heard) this.model.off(...pair);
      for (const observer of [this.resize, this.theme]) observer.disconnect();
      this.playing(false);
    };
  }

  set(name, value) {
    if (this.model.get(name) === value) return;
    this.model.set(name, value);
    this.model.save_changes();
  }

  // ---- what the model says

  options(select, names, chosen) {
    if (select.options.length !== names.length) select.replaceChildren(...names.map((name) => h("option", { value: name }, short(name))));
    select.value = chosen;
  }

  readLayouts() {
    this.layouts = each(this.model.get("layouts"), (one) => ({ ...one, xy: numbers(one.xy, Uint16Array) }));
    this.box ??= this.layout.box;
    this.showMap();
  }

  get layout() { return this.layouts[this.model.get("map")] ?? Object.values(this.layouts)[0]; }
  get epoch() { return Math.min(this.model.get("epoch"), this.layout.epochs - 1); }

  showMap() {
    const name = this.model.get("map"), { epochs, measures } = this.layout, last = this.epoch === epochs - 1;
    this.options(this.layoutChoice, Object.keys(this.layouts), name);
    this.time.hidden = epochs < 2;
    Object.assign(this.slider, { max: epochs - 1, value: this.epoch }); // in this order
    const moment = `step ${this.steps[this.epoch]?.toLocaleString("en")}`;
    this.moment.replaceChildren(epochs > 1 ? moment : "");
    this.slider.setAttribute("aria-valuetext", moment);
    const said = Object.entries(measures).map(([key, value]) => `${key} ${value.toFixed(2)}`).join(", ");
    this.measures.replaceChildren(last ? said : "");
    Object.assign(this.root.dataset, { epoch: this.epoch, layout: name });
  }

  /** Move every point from where it is now to where the model says: whatever came before, this is where it ends. */
  go(smooth = true) {
    this.showMap();
    this.from.set(this.at);
    this.boxFrom = this.box;
    this.goal = this.layout.xy.subarray(2 * this.n * this.epoch, 2 * this.n * (this.epoch + 1));
    this.travel = smooth && !matchMedia("(prefers-reduced-motion: reduce)").matches ? TRAVEL : 0;
    this.started = null;
    this.root.dataset.state = "moving";
    if (this.model.get("colour") === "trustworthiness") this.recolour();
    this.ask();
  }

  readColours() {
    const { colours, trust } = this.model.get("colours"), read = (one) => ({ ...one, values: numbers(one.values, Uint16Array) });
    Object.assign(this, { colours: each(colours, read), trust: each(trust, read) });
    this.search.hidden = !(this.names = this.colours.label?.names ?? []).length;
    const names = Object.keys(this.colours).concat(Object.keys(this.trust).length ? "trustworthiness" : []);
    this.options(this.colourChoice, names, this.model.get("colour")), this.changeColour(false);
    this.colourChoice.parentElement.style.display = names.length ? "" : "none"; // nothing is known: nothing to choose
  }

  get colour() {
    const name = this.model.get("colour");
    return name === "trustworthiness" ? this.trust[this.model.get("map")] : this.colours[name];
  }

  changeColour(other = true) {
    if (other) this.hidden.clear();
    this.colourChoice.value = this.model.get("colour");
    this.showLegend();
    this.recolour();
    this.ask();
  }

  readNeighbours() {
    const { k, index } = this.model.get("neighbours");
    this.near = { k, index: numbers(index, Uint32Array) };
    this.showCard();
  }

  readSelection() {
    this.selected = numbers(this.model.get("selected_bytes"), Int32Array);
    this.isSelected.fill(0);
    for (const i of this.selected) this.isSelected[i] = 1;
    this.root.dataset.selected = this.selected.length;
    this.recolour();
    this.showSelection();
    this.ask();
  }

  select(ids, add = false) {
    if (add) ids = [...new Set([...this.selected, ...ids])];
    this.model.set("selected_bytes", new DataView(Int32Array.from(ids).sort().buffer));
    this.model.save_changes();
  }

  labelOf(i) { return this.colours.label ? valueOf(this.colours.label, i) : ""; }

  // ---- colours

  recolour() {
    const seen = getComputedStyle(this.root).backgroundColor, paper = (seen.match(/[\d.]+/g) ?? [255, 255, 255]).slice(0, 3).map(Number);
    Object.assign(this, { seen, paper, dark: 0.3 * paper[0] + 0.59 * paper[1] + 0.11 * paper[2] < 128 });
    this.root.dataset.theme = this.dark ? "dark" : "light";
    if (getComputedStyle(document.body).getPropertyValue("--jp-layout-color0")) this.root.style.colorScheme = this.root.dataset.theme;
    this.palette = this.look[this.dark ? "dark" : "light"].colours.map(rgb);
    const colour = this.colour, dim = this.selected.length > 0, grey = [140, 145, 152];
    for (let i = 0; i < this.n; i++) {
      const value = colour ? colour.values[i] : UNKNOWN;
      const classes = colour?.kind === "class" && value !== UNKNOWN;
      const tint = (this.tint[i] = classes ? this.palette[value % 10] : value === UNKNOWN ? grey : SCALE[Math.round(value / 257)]);
      this.mark[i] = classes ? Math.floor(value / 10) % 4 : 0;
      this.visible[i] = !(classes && this.hidden.has(value));
      this.ink[i] = pixel(dim && !this.isSelected[i] ? mix(tint, paper, 0.78) : tint);
    }
    for (const m of this.legend.querySelectorAll("[data-class] > .mark")) m.style.color = css(this.palette[m.parentNode.dataset.class % 10]);
  }

  showLegend() {
    const colour = this.colour;
    if (!colour) return this.legend.replaceChildren();
    if (colour.kind === "value") {
      const say = (value) => Number(value.toPrecision(3)).toString();
      const bar = h("div", { class: "ramp" });
      bar.style.background = `linear-gradient(to right, ${VIRIDIS})`;
      return this.legend.replaceChildren(bar, h("div", { class: "ends" }, h("span", {}, say(colour.low)), h("span", {}, say(colour.high))));
    }
    const counts = new Uint32Array(colour.names.length);
    for (const value of colour.values) counts[value]++; // what is unknown falls off the end
    this.legend.replaceChildren(...colour.names.flatMap((name, c) => counts[c] ? [h("button", { type: "button", "data-control": "legend",
      "data-class": c, "aria-pressed": `${!this.hidden.has(c)}`, click: (e) => this.filter(c, e.currentTarget) },
      h("span", { class: "mark", "aria-hidden": "true" }, MARKS[Math.floor(c / 10) % 4]), h("bdi", {}, short(name)),
      h("span", { class: "count" }, counts[c].toLocaleString("en")))] : []));
  }

  filter(c, button) {
    this.press(button, this.hidden.delete(c) || !this.hidden.add(c));
    this.recolour();
    this.choosePictures();
  }

  // ---- where things are

  fit() {
    const ratio = Math.min(2, devicePixelRatio || 1), { clientWidth, clientHeight } = this.stage;
    if (!clientWidth) return;
    Object.assign(this, { ratio, width: Math.round(clientWidth * ratio), height: Math.round(clientHeight * ratio), stamps: {} });
    Object.assign(this.canvas, { width: this.width, height: this.height });
    this.image = this.context.createImageData(this.width, this.height);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.choosePictures();
    this.showSelection();
  }

  get scale() {
    const [w, t] = this.box, margin = 50 * this.ratio;
    return Math.min((this.width - margin) / w, (this.height - margin) / t) * this.view.zoom;
  }
  x(i) { return this.width / 2 + (this.at[2 * i] - this.view.x) * this.scale; }
  y(i) { return this.height / 2 + (this.at[2 * i + 1] - this.view.y) * this.scale; }

  /** Where an event happened, in pixels of the canvas. */
  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * this.ratio, (event.clientY - box.top) * this.ratio];
  }

  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const before = this.scale, { view } = this;
    view.zoom = Math.min(200, Math.max(0.3, view.zoom * factor));
    view.x += (x - this.width / 2) * (1 / before - 1 / this.scale);
    view.y += (y - this.height / 2) * (1 / before - 1 / this.scale);
    this.root.dataset.zoom = view.zoom.toFixed(2);
    this.choosePictures();
  }

  reset() {
    this.view = { zoom: 1, x: 0.5, y: 0.5 };
    this.zoom(1);
  }

  /** The visible point nearest to a place, or -1. All are asked: for 50,000 points that takes a tenth of a millisecond. */
  pick(x, y, within = 12 * this.ratio) {
    const { scale, at, visible } = this, px = (x - this.width / 2) / scale + this.view.x, py = (y - this.height / 2) / scale + this.view.y;
    let best = -1, least = (within / scale) ** 2;
    for (let i = 0; i < this.n; i++) {
      const d = (at[2 * i] - px) ** 2 + (at[2 * i + 1] - py) ** 2;
      if (d < least && visible[i]) (least = d), (best = i);
    }
    return best;
  }

  // ---- drawing

  ask() { this.pending ??= requestAnimationFrame((now) => { this.pending = null; this.frame(now); }); }

  frame(now) {
    if (this.root.dataset.state === "moving") {
      this.started ??= now;
      const t = this.travel ? Math.min(1, (now - this.started) / this.travel) : 1, share = 1 - (1 - t) ** 3;
      for (let i = 0; i < this.at.length; i++) this.at[i] = this.from[i] + (this.goal[i] / 65535 - this.from[i]) * share;
      this.box = this.boxFrom.map((v, axis) => v + (this.layout.box[axis] - v) * share);
      if (t < 1) this.ask();
      else {
        this.root.dataset.state = "idle";
        this.choosePictures();
      }
    }
    if (!this.pixels) return;
    if (getComputedStyle(this.root).backgroundColor !== this.seen) this.recolour();
    this.paint();
    this.overlay();
    if (this.card.style.transform && !this.card.hidden) this.placeCard();
  }

  dot(x, y, { reach, places }, colour) {
    const px = Math.floor(x), py = Math.floor(y), { pixels, width } = this;
    if (px < reach || py < reach || px >= width - reach || py >= this.height - reach) return;
    const [offsets, covers] = places[(Math.floor((y - py) * 4) << 2) | Math.floor((x - px) * 4)], start = py * width + px;
    const r = colour & 255, g = (colour >> 8) & 255, b = (colour >> 16) & 255;
    for (let j = 0; j < offsets.length; j++) {
      const p = start + offsets[j], a = covers[j];
      if (a >= 256) { pixels[p] = colour; continue; }
      const old = pixels[p], r0 = old & 255, g0 = (old >> 8) & 255, b0 = (old >> 16) & 255;
      pixels[p] = 0xff000000 | ((b0 + (((b - b0) * a) >> 8)) << 16) | ((g0 + (((g - g0) * a) >> 8)) << 8) | (r0 + (((r - r0) * a) >> 8));
    }
  }

  marks(radius) {
    const key = Math.round(radius * 4) / 4;
    return (this.stamps[key] ??= [0, 1, 2, 3].map((mark) => stamp(key, mark, this.width)));
  }

  paint() {
    const room = this.ratio * Math.min(1, Math.sqrt(this.width / this.ratio / 600)); // smaller on a phone
    const radius = room * Math.min(7, Math.min(5, 26 / this.n ** 0.27) * this.view.zoom ** 0.3);
    const dots = this.marks(radius), halos = this.n <= 5000 && this.marks(radius + 0.8 * this.ratio), paper = pixel(this.paper);
    const { at, scale } = this, left = this.width / 2 - this.view.x * scale, top = this.height / 2 - this.view.y * scale;
    this.pixels.fill(paper);
    for (const chosen of this.selected.length ? [0, 1] : [0]) {
      for (let j = 0; j < this.n; j++) {
        const i = this.order[j];
        if (!this.visible[i] || this.isSelected[i] !== chosen) continue;
        const x = left + at[2 * i] * scale, y = top + at[2 * i + 1] * scale;
        if (halos) this.dot(x, y, halos[this.mark[i]], paper);
        this.dot(x, y, dots[this.mark[i]], this.ink[i]);
      }
    }
    this.context.putImageData(this.image, 0, 0);
  }

  /** Which points stand there as pictures: as many as fit without covering each other, always tried in the same order. */
  choosePictures() {
    this.shown = [];
    const half = 13 * (this.ratio ?? 1), taken = new Set();
    if (this.bitmap && this.pixels && this.isPressed(this.pictureButton)) for (const i of this.order) {
      const x = this.x(i), y = this.y(i), column = Math.floor(x / half - 1), row = Math.floor(y / half - 1);
      if (!this.visible[i] || x < 0 || y < 0 || x > this.width || y > this.height) continue;
      const cells = Array.from({ length: 9 }, (_, j) => (column + (j % 3)) * 10000 + row + Math.floor(j / 3)); // that it touches
      if (cells.some((cell) => taken.has(cell))) continue;
      cells.forEach((cell) => taken.add(cell));
      this.shown.push(i);
    }
    this.ask();
  }

  /** Draw one picture of the sheet as a square. */
  picture(context, i, x, y, size) {
    const { side, columns } = this.sheet;
    context.imageSmoothingEnabled = size < side;
    context.drawImage(this.bitmap, (i % columns) * side, Math.floor(i / columns) * side, side, side, x, y, size, size);
  }

  overlay() {
    const { context, ratio } = this, ink = this.dark ? "#e8eaed" : "#1f2328", one = this.model.get("hovered"), size = 22 * ratio;
    for (const i of this.shown) {
      const x = this.x(i), y = this.y(i);
      context.globalAlpha = this.selected.length && !this.isSelected[i] ? 0.25 : 1;
      context.fillStyle = css(this.tint[i]);
      context.fillRect(x - size / 2 - 1.5 * ratio, y - size / 2 - 1.5 * ratio, size + 3 * ratio, size + 3 * ratio);
      this.picture(context, i, x - size / 2, y - size / 2, size);
    }
    context.globalAlpha = 1;
    const stroke = (path, width) => [[css(this.paper), width + 2], [ink, width]].forEach(([strokeStyle, wide]) => {
      Object.assign(context, { strokeStyle, lineWidth: wide * ratio });
      context.stroke(path);
    });
    if (one >= 0 && one < this.n) {
      const x = this.x(one), y = this.y(one), lines = new Path2D(), ring = new Path2D();
      for (const j of this.neighboursOf(one)) {
        lines.moveTo(x, y);
        lines.lineTo(this.x(j), this.y(j));
        lines.moveTo(this.x(j) + 4.5 * ratio, this.y(j));
        lines.arc(this.x(j), this.y(j), 4.5 * ratio, 0, 7);
      }
      ring.arc(x, y, 9 * ratio, 0, 7);
      stroke(lines, 1.3);
      stroke(ring, 2);
    }
    if (!this.path) return;
    Object.assign(context, { fillStyle: "rgb(101 105 197 / 0.18)", strokeStyle: ink, lineWidth: 1.5 * ratio });
    context.fill(this.path, "evenodd");
    context.stroke(this.path);
  }

  // ---- the card of one picture, and the panel of the selection

  neighboursOf(i) { return this.near.k ? Array.from(this.near.index.subarray(i * this.near.k, (i + 1) * this.near.k)) : []; }

  agreement(i) {
    const near = this.neighboursOf(i), label = this.labelOf(i), same = near.filter((j) => this.labelOf(j) === label).length;
    return "true neighbours" + (label ? `: ${same} of ${near.length} have this label` : "");
  }

  showCard() {
    const i = this.model.get("hovered");
    this.card.hidden = !(i >= 0 && i < this.n);
    this.root.dataset.hovered = i;
    this.ask();
    if (this.card.hidden) return;
    const label = this.labelOf(i), near = this.neighboursOf(i), lines = [h("strong", {}, h("bdi", {}, label ? short(label) : `picture ${i}`))];
    const name = this.model.get("colour"), colour = this.colour;
    if (colour && name !== "label") {
      const value = valueOf(colour, i);
      lines.push(h("span", {}, `${name}: `, h("bdi", {}, typeof value === "number" ? value.toPrecision(3) : short(value) || "unknown")));
    }
    if (near.length) lines.push(h("span", {}, this.agreement(i)));
    this.card.replaceChildren(h("div", { class: "words" }, ...lines));
    if (this.bitmap) {
      const dpr = Math.min(2, devicePixelRatio || 1);
      this.large = h("canvas", { class: "large", width: 112 * dpr, height: 112 * dpr });
      const row = h("canvas", { class: "row", width: 184 * dpr, height: 21 * dpr });
      this.picture(this.large.getContext("2d"), i, 0, 0, 112 * dpr);
      near.forEach((j, place) => this.picture(row.getContext("2d"), j, place * 23.3 * dpr, 0, 21 * dpr));
      this.card.prepend(this.large);
      if (near.length) this.card.append(row);
    }
    this.placeCard();
  }

  placeCard() {
    const i = this.model.get("hovered"), x = this.x(i) / this.ratio, y = this.y(i) / this.ratio;
    const { clientWidth: w, clientHeight: t } = this.stage, { offsetWidth, offsetHeight } = this.card;
    const near = this.neighboursOf(i), crowd = near.reduce((sum, j) => sum + this.x(j) - this.x(i), 0); // on which side they lie
    const fits = x + 18 + offsetWidth < w, left = fits && (crowd < 0 || x < 18 + offsetWidth) ? x + 18 : x - 18 - offsetWidth;
    const top = Math.min(Math.max(4, y - offsetHeight / 2), t - offsetHeight - 4), [dx, dy] = [Math.max(4, left), top].map(Math.round);
    this.card.style.transform = `translate(${dx}px, ${dy}px)`;
  }

  /** A larger picture than the sheet has, sent by the kernel. */
  async showLarge() {
    const { index, data } = this.model.get("picture");
    const bitmap = await createImageBitmap(new Blob([numbers(data, Uint8Array)], { type: "image/png" }));
    if (index !== this.model.get("hovered") || !this.large) return;
    const context = this.large.getContext("2d");
    context.imageSmoothingEnabled = bitmap.width > this.large.width;
    context.drawImage(bitmap, 0, 0, this.large.width, this.large.height);
    this.root.dataset.large = index;
  }

  showSelection() {
    const ids = this.selected, counts = new Map();
    this.title.replaceChildren(`Selection: ${plural(ids.length)}`);
    this.clear.disabled = this.csv.disabled = !ids.length;
    for (const i of ids) counts.set(this.labelOf(i), (counts.get(this.labelOf(i)) ?? 0) + 1);
    const top = [...counts].filter(([label]) => label).sort((a, b) => b[1] - a[1]);
    this.counts.replaceChildren(...top.slice(0, 8).map(([label, n]) => {
      const bar = h("span", { class: "bar-of" });
      bar.style.width = `${(100 * n) / ids.length}%`;
      return h("li", {}, h("bdi", {}, short(label)), h("span", { class: "count" }, n.toLocaleString("en")), bar);
    }), ...(top.length > 8 ? [h("li", {}, `and ${top.length - 8} more classes`)] : []));
    this.grid.hidden = !(ids.length && this.bitmap);
    if (this.grid.hidden) return;
    const dpr = Math.min(2, devicePixelRatio || 1), width = this.grid.parentNode.clientWidth, columns = Math.max(1, Math.floor(width / 36));
    const most = 4 * columns, some = Array.from({ length: Math.min(most, ids.length) }, (_, j) => ids[Math.floor(j * Math.max(1, ids.length / most))]);
    const size = width / columns, rows = Math.ceil(some.length / columns);
    Object.assign(this.grid, { width: width * dpr, height: rows * size * dpr });
    some.forEach((i, j) => this.picture(this.grid.getContext("2d"), i, (j % columns) * size * dpr, Math.floor(j / columns) * size * dpr, (size - 3) * dpr));
    this.grid.setAttribute("aria-label", `${plural(some.length)} of the selection`);
  }

  // ---- what people do

  down(event) {
    if (event.button) return;
    const [x, y] = this.place(event);
    this.drag = { x, y, moved: false };
    if (event.shiftKey || this.isPressed(this.lassoButton)) this.path = new Path2D(`M ${x} ${y}`);
    this.canvas.setPointerCapture(event.pointerId);
  }

  move(event) {
    const [x, y] = this.place(event), { drag } = this;
    if (!drag) return this.set("hovered", this.pick(x, y));
    drag.moved ||= Math.hypot(x - drag.x, y - drag.y) > 4 * this.ratio;
    if (!drag.moved) return;
    if (this.path) this.path.lineTo(x, y);
    else {
      this.view.x -= (x - drag.x) / this.scale;
      this.view.y -= (y - drag.y) / this.scale;
      Object.assign(drag, { x, y });
    }
    this.ask();
  }

  up(event) {
    const { drag, path } = this, add = event.shiftKey || event.ctrlKey || event.metaKey;
    this.drag = this.path = null;
    if (!drag) return;
    if (!drag.moved) {
      const one = this.pick(...this.place(event));
      this.set("hovered", one);
      this.choose(one, add);
    } else if (path) {
      const inside = this.inside(path);
      this.select(inside, add);
      this.said.replaceChildren(`${plural(inside.length)} in the lasso.`);
    } else this.choosePictures();
    this.ask();
  }

  /** Select one picture. Adding one that is selected takes it away. */
  choose(one, add) {
    if (add && one >= 0 && this.isSelected[one]) this.select([...this.selected].filter((i) => i !== one));
    else if (one >= 0) this.select([one], add);
    else if (!add) this.select([]);
  }

  inside(path) {
    return [...this.order].filter((i) => this.visible[i] && this.context.isPointInPath(path, this.x(i), this.y(i), "evenodd"));
  }

  key(event) {
    const choose = () => this.choose(this.model.get("hovered"), event.shiftKey || event.ctrlKey);
    const act = {
      ArrowLeft: () => this.walk(-1, 0), ArrowRight: () => this.walk(1, 0), ArrowUp: () => this.walk(0, -1), ArrowDown: () => this.walk(0, 1),
      Enter: choose, " ": choose, Escape: () => { this.select([]); this.set("hovered", -1); },
      "+": () => this.zoom(1.5), "=": () => this.zoom(1.5), "-": () => this.zoom(1 / 1.5), 0: () => this.reset(),
    }[event.key];
    if (!act) return;
    act();
    event.preventDefault();
  }

  /** Go to the nearest picture in a direction: one that lies aside counts as farther. */
  walk(dx, dy) {
    const one = this.model.get("hovered"), x = one < 0 ? this.width / 2 : this.x(one), y = one < 0 ? this.height / 2 : this.y(one);
    let best = one < 0 ? this.pick(x, y, Infinity) : -1, least = Infinity;
    if (one >= 0) for (let i = 0; i < this.n; i++) {
      const along = (this.x(i) - x) * dx + (this.y(i) - y) * dy, aside = Math.abs((this.x(i) - x) * dy + (this.y(i) - y) * dx);
      if (i !== one && this.visible[i] && along > 0 && along + 2.5 * aside < least) (least = along + 2.5 * aside), (best = i);
    }
    if (best < 0) return;
    this.set("hovered", best);
    const px = this.x(best), py = this.y(best);
    if (px < 0 || py < 0 || px > this.width || py > this.height) [this.view.x, this.view.y] = [this.at[2 * best], this.at[2 * best + 1]];
    this.choosePictures();
    this.said.replaceChildren(`Picture ${best}, ${short(this.labelOf(best))}, ${this.agreement(best)}.`);
  }

  find(text) {
    const wanted = text.trim().toLowerCase();
    if (!wanted) return this.select([]);
    const hits = new Set(this.names.flatMap((name, c) => (name.toLowerCase().includes(wanted) ? [c] : [])));
    const found = [...this.order].filter((i) => hits.has(this.colours.label.values[i]));
    this.select(found);
    this.said.replaceChildren(`${plural(found.length)} found.`);
  }

  playing(on) {
    const next = () => (this.epoch + 1 < this.layout.epochs ? this.set("epoch", this.epoch + 1) : this.playing(false));
    clearInterval(this.timer);
    if (on && this.epoch + 1 >= this.layout.epochs) this.set("epoch", 0);
    this.timer = on && setInterval(next, TRAVEL + 150);
    this.press(this.play, on);
    this.play.replaceChildren(on ? "❚❚ Pause" : "▶ Play");
  }

  // ---- saving

  download(name, blob) {
    const link = h("a", { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }

  saveTable() {
    const quoted = (text) => `"${String(text).replaceAll('"', '""')}"`, names = Object.keys(this.colours);
    const rows = [["index", ...names], ...Array.from(this.selected, (i) => [i, ...names.map((name) => valueOf(this.colours[name], i))])];
    this.download("selection.csv", new Blob([rows.map((row) => row.map(quoted).join(",")).join("\r\n")], { type: "text/csv" }));
  }
}

/** Put an explorer into an element. The model is anywidget's, or plain values. Returns how to take it away again. */
export function mount(el, model) {
  const explorer = new Explorer(el, model.get ? model : new Local(model));
  return () => { explorer.forget(); explorer.root.remove(); };
}

export default { render: ({ model, el }) => mount(el, model) };

for (const script of document.querySelectorAll("script[data-explorer]:not([data-done])")) {
  script.dataset.done = "";
  script.before(h("div", { class: "sslkit-explorer-page" }));
  mount(script.previousElementSibling, JSON.parse(script.textContent));
}
