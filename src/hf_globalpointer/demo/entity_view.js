// The element <entity-view content="JSON">: texts with the entities that one model found in them, or several side by
// side. Types, thresholds and overlap are chosen here, among all spans that the models gave, without running them again.
//
// content: {
//   labels: [string],
//   texts: [{title, text}],
//   models: [{name, overlap, thresholds: [probability], least: [probability],
//             spans: for each text [[start, end, label, probability, score]]}],
// }
// Thresholds, and the least probabilities of spans, are by label, null where the model does not know it. start and end
// count code points, end exclusive. Spans compete by score and are shown by probability.
const OVERLAPS = {
  all: "all entities",
  nested: "nested, none that cross",
  flat: "flat, none that overlap",
};
// Texts are drawn in pieces of about so many characters, those in sight first.
const PIECE = 800;
const LONG_PIECE = 4000;
const ROWS = 200;

/** An element with attributes and children. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** How entities are ordered, as by the pipeline: by start, the longer first, by label. */
function byPlace(a, b) {
  return a.start - b.start || b.end - a.end || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
}

/** Those of the spans, which come from the highest score down, that may go together. */
function select(ranked, overlap, length) {
  if (overlap === "all") return ranked;
  if (overlap === "flat") {
    const covered = new Uint8Array(length);
    return ranked.filter((span) => {
      if (covered.subarray(span.start, span.end).includes(1)) return false;
      covered.fill(1, span.start, span.end);
      return true;
    });
  }
  // The farthest end of those taken that begin at each place, and the farthest start of those that end there.
  const ends = new Int32Array(length + 1).fill(-1);
  const starts = new Int32Array(length + 1).fill(length + 1);
  return ranked.filter(({ start, end }) => {
    for (let place = start + 1; place < end; place++) {
      if (ends[place] > end || starts[place] < start) return false;
    }
    ends[start] = Math.max(ends[start], end);
    starts[end] = Math.min(starts[end], start);
    return true;
  });
}

/** The lane of each entity: the first with room for it and for its label. */
function lanesOf(entities) {
  const freeFrom = [];
  return entities.map((entity) => {
    let lane = freeFrom.findIndex((start) => start <= entity.start);
    if (lane < 0) lane = freeFrom.length;
    freeFrom[lane] = Math.max(entity.end, entity.start + 0.7 * [...entity.name].length + 1);
    return lane;
  });
}

/** Where each code point of a text begins among its UTF-16 code units; none where they are the same. */
function unitsOf(text) {
  if (!/[\ud800-\udfff]/.test(text)) return null;
  const units = [0];
  for (const character of text) units.push(units.at(-1) + character.length);
  return units;
}

/** A text of the content, cut into pieces that are drawn one by one. */
class Text {
  constructor({ title, text }) {
    this.title = title;
    this.text = text;
    this.units = unitsOf(text);
    this.length = this.units ? this.units.length - 1 : text.length;
    this.pieces = this.cut();
  }

  slice(start, end) {
    return this.units ? this.text.slice(this.units[start], this.units[end]) : this.text.slice(start, end);
  }

  /** Where pieces begin and end: after lines, and in long lines after a space. */
  cut() {
    const characters = this.units ? [...this.text] : this.text;
    const pieces = [];
    let start = 0;
    for (let place = 0; place < this.length; place++) {
      const size = place + 1 - start;
      const atLine = characters[place] === "\n" && size >= PIECE;
      const atSpace = size >= LONG_PIECE && /\s/.test(characters[place]);
      if (atLine || atSpace || size >= 2 * LONG_PIECE) {
        pieces.push([start, place + 1]);
        start = place + 1;
      }
    }
    if (start < this.length || !pieces.length) pieces.push([start, this.length]);
    return pieces;
  }
}

/** What one model found, and what is chosen of it. */
class Model {
  constructor(content, labels, texts) {
    this.name = content.name;
    this.least = content.least;
    this.thresholds = [...content.thresholds];
    this.overlap = content.overlap;
    this.hidden = new Set();
    this.labels = labels;
    this.texts = texts;
    this.ranked = content.spans.map((spans) =>
      spans
        .map(([start, end, label, probability, score]) => {
          return { start, end, label, probability, score, name: labels[label] };
        })
        .sort((a, b) => b.score - a.score || byPlace(a, b)),
    );
    this.choose();
  }

  /** Choose among the spans: those over their thresholds that may go together, but for hidden types. */
  choose() {
    this.counts = this.labels.map(() => 0);
    this.entities = this.ranked.map((ranked, index) => {
      const over = ranked.filter((span) => span.probability > this.thresholds[span.label]);
      const chosen = select(over, this.overlap, this.texts[index].length);
      for (const span of chosen) this.counts[span.label]++;
      return chosen.filter((span) => !this.hidden.has(span.label)).sort(byPlace);
    });
  }

  /** The entities as lines of JSON, in the data format of the package. */
  toJsonLines() {
    return this.texts
      .map(({ text }, index) => {
        const entities = this.entities[index].map(({ start, end, name, probability }) => {
          return { start, end, label: name, score: probability };
        });
        return JSON.stringify({ text, entities }) + "\n";
      })
      .join("");
  }

  /** The entities as a table with a header. */
  toCsv() {
    // A spreadsheet takes words that begin so for a formula.
    const plain = (value) => String(value).replace(/^[=+\-@\t\r]/, "'$&");
    const quote = (value) => `"${plain(value).replaceAll('"', '""')}"`;
    const rows = this.rows().map((row) => row.map(quote).join(","));
    return [["title", "start", "end", "label", "score", "word"].map(quote).join(","), ...rows].join("\r\n") + "\r\n";
  }

  rows() {
    return this.texts.flatMap((text, index) =>
      this.entities[index].map(({ start, end, name, probability }) => {
        return [text.title, start, end, name, probability.toFixed(3), text.slice(start, end)];
      }),
    );
  }
}

class EntityView extends HTMLElement {
  static observedAttributes = ["content"];

  attributeChangedCallback(_, __, content) {
    this.shadow ??= this.attachShadow({ mode: "open" });
    this.observer?.disconnect();
    this.shadow.replaceChildren(make("style", {}, ENTITY_STYLES));
    if (content) this.show(JSON.parse(content));
  }

  show(content) {
    this.labels = content.labels;
    this.texts = content.texts.map((text) => new Text(text));
    this.models = content.models.map((model) => new Model(model, this.labels, this.texts));
    this.differences = make("input", { type: "checkbox" });
    this.status = make("p", { role: "status" });
    this.panels = this.models.map((model) => this.panel(model));
    // Of each piece on the page: its model, its text, its place there, and whether it shows what is chosen now.
    this.pieces = new Map();
    this.inSight = new Set();
    this.observer = new IntersectionObserver((entries) => this.onSight(entries), { rootMargin: "500px" });
    const columns = make("div", { class: "columns" }, ...this.panels.map((panel) => panel.element));
    this.shadow.append(this.status, columns);
    if (this.models.length > 1) {
      this.differences.addEventListener("change", () => this.update());
      this.status.after(make("label", { class: "option" }, this.differences, "Only what the other lacks"));
    }
    this.texts.forEach((text, index) => {
      if (this.texts.length > 1) this.shadow.append(make("h2", {}, text.title));
      for (const [start, end] of text.pieces) {
        const row = make("div", { class: "columns" });
        for (const model of this.models) {
          const piece = make("div", { class: "gp-text", dir: "auto", style: "--gp-lanes:1" }, text.slice(start, end));
          if (this.models.length > 1) {
            piece.setAttribute("role", "group");
            piece.setAttribute("aria-label", model.name);
          }
          this.pieces.set(piece, { model, index, start, end, isCurrent: false });
          this.observer.observe(piece);
          row.append(piece);
        }
        this.shadow.append(row);
      }
    });
    this.update();
  }

  /** The controls of a model, its downloads and its table. */
  panel(model) {
    const known = [...this.labels.keys()].filter((index) => model.thresholds[index] !== null);
    const types = known.map((index) => this.type(model, this.labels[index], index));
    const everything = this.slider("all types", Math.min(...types.map((type) => type.least)), (value) => {
      for (const type of types) type.set(value);
      this.update();
    });
    const overlap = make("select", {}, ...Object.entries(OVERLAPS).map(([value, text]) => make("option", { value }, text)));
    overlap.value = model.overlap;
    overlap.addEventListener("change", () => {
      model.overlap = overlap.value;
      this.update();
    });
    const rows = make("tbody");
    const more = make("button", { type: "button" }, "More");
    const summary = make("summary");
    const head = make("tr", {}, ...["Type", "Score", "Words", "Text", "Start", "End"].map((name) => make("th", { scope: "col" }, name)));
    const scroll = make(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": `Table of ${model.name}` },
      make("table", {}, make("thead", {}, head), rows),
    );
    const table = make("details", {}, summary, scroll, more);
    const panel = { model, types, everything, table, rows, more, summary };
    table.addEventListener("toggle", () => this.drawTable(panel));
    more.addEventListener("click", () => this.addRows(panel));
    const name = model.name.replace(/[^\p{L}\p{N}.-]+/gu, "-");
    panel.element = make(
      "section",
      { "aria-label": model.name },
      ...(this.models.length > 1 ? [make("h2", {}, model.name)] : []),
      make(
        "details",
        { open: "" },
        make("summary", {}, "Types and thresholds"),
        make("div", { class: "gp-legend" }, ...types.map((type) => type.element)),
        ...(types.length > 1 ? [make("div", { class: "type" }, make("span", {}, "all types"), everything.element)] : []),
        make("label", { class: "option" }, "Overlap", overlap),
      ),
      make(
        "p",
        {},
        this.download("Download JSON", `${name}.jsonl`, "application/jsonl", () => model.toJsonLines()),
        this.download("Download table", `${name}.csv`, "text/csv", () => model.toCsv()),
      ),
      table,
    );
    return panel;
  }

  /** The row of a type: whether it is shown, how many there are, and its threshold. */
  type(model, label, index) {
    const box = make("input", { type: "checkbox" });
    box.checked = true;
    box.addEventListener("change", () => {
      box.checked ? model.hidden.delete(index) : model.hidden.add(index);
      this.update();
    });
    const count = make("small");
    const least = model.least[index];
    const slider = this.slider(label, least, (value) => {
      set(value);
      this.update();
    });
    const set = (value) => {
      model.thresholds[index] = Math.max(value, least);
      slider.show(model.thresholds[index]);
    };
    set(model.thresholds[index]);
    const swatch = make("i", { style: `background:var(--gp-fill-${index % FILLS})` });
    const element = make("div", { class: "type" }, make("label", {}, box, swatch, label, count), slider.element);
    return { element, index, least, set, count };
  }

  /** A slider for a threshold with the number that it stands at. */
  slider(name, least, onInput) {
    const input = make("input", { type: "range", min: least, max: 1, step: 0.01, "aria-label": `threshold of ${name}` });
    const number = make("span", { class: "number" });
    const show = (value) => {
      input.value = value;
      number.textContent = value.toFixed(2);
    };
    input.addEventListener("input", () => onInput(Number(input.value)));
    return { element: make("span", {}, input, number), number, show };
  }

  download(text, file, type, content) {
    const button = make("button", { type: "button" }, text);
    button.addEventListener("click", () => {
      const href = URL.createObjectURL(new Blob([content()], { type }));
      make("a", { href, download: file }).click();
      URL.revokeObjectURL(href);
    });
    return button;
  }

  /** Choose again, and draw what is in sight. */
  update() {
    for (const model of this.models) model.choose();
    this.compare();
    for (const panel of this.panels) {
      for (const type of panel.types) type.count.textContent = panel.model.counts[type.index];
      this.showCommonThreshold(panel);
      const total = panel.model.entities.reduce((sum, entities) => sum + entities.length, 0);
      panel.summary.textContent = `Table: ${total} ${total === 1 ? "entity" : "entities"}`;
      this.drawTable(panel);
    }
    for (const piece of this.pieces.values()) piece.isCurrent = false;
    for (const piece of this.inSight) this.draw(piece);
  }

  /** The threshold of all types, where they have the same. */
  showCommonThreshold({ model, types, everything }) {
    const values = new Set(types.map((type) => model.thresholds[type.index]));
    if (values.size === 1) everything.show(...values);
    else everything.number.textContent = "";
  }

  /** Say how many entities the models share; leave out shared ones where only differences are wanted. */
  compare() {
    const sizes = this.models.map((model) => model.entities.reduce((sum, entities) => sum + entities.length, 0));
    if (this.models.length < 2) {
      this.status.textContent = `${sizes[0]} ${sizes[0] === 1 ? "entity" : "entities"}`;
      return;
    }
    const key = (span) => `${span.start} ${span.end} ${span.label}`;
    const [known, others] = this.models.map((model) => model.entities.map((entities) => new Set(entities.map(key))));
    const both = known.reduce((sum, keys, index) => sum + [...keys].filter((one) => others[index].has(one)).length, 0);
    const only = this.models.map((model, index) => `only ${model.name}: ${sizes[index] - both}`);
    this.status.textContent = [`both: ${both}`, ...only].join(", ");
    if (!this.differences.checked) return;
    this.models.forEach((model, side) => {
      const shared = side === 0 ? others : known;
      model.entities = model.entities.map((entities, index) => entities.filter((span) => !shared[index].has(key(span))));
    });
  }

  onSight(entries) {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) {
        this.inSight.add(target);
        this.draw(target);
      } else {
        this.inSight.delete(target);
      }
    }
  }

  /** Draw a piece: the segments that lie in the same entities, whose bars are their background. */
  draw(piece) {
    const place = this.pieces.get(piece);
    if (place.isCurrent) return;
    place.isCurrent = true;
    const { model, index, start, end } = place;
    const text = this.texts[index];
    const entities = model.entities[index].filter((span) => span.start < end && span.end > start);
    const lanes = lanesOf(entities);
    const bars = entities.map((entity, order) => ({ ...entity, top: (1.35 + 0.95 * lanes[order]).toFixed(2) }));
    const edges = [start, end, ...bars.flatMap((bar) => [bar.start, bar.end])].filter((edge) => edge >= start && edge <= end);
    const cuts = [...new Set(edges)].sort((a, b) => a - b);
    const children = [];
    let over = [];
    let next = 0;
    for (let cut = 0; cut + 1 < cuts.length; cut++) {
      const [from, to] = [cuts[cut], cuts[cut + 1]];
      over = over.filter((bar) => bar.end > from);
      while (next < bars.length && bars[next].start <= from) over.push(bars[next++]);
      children.push(over.length ? this.segment(text.slice(from, to), from, to, over) : text.slice(from, to));
    }
    piece.style.setProperty("--gp-lanes", Math.max(0, ...lanes.map((lane) => lane + 1)));
    piece.replaceChildren(...children);
  }

  segment(words, from, to, over) {
    const layers = over.map((bar) => {
      const width = bar.end === to ? "calc(100% - .15em)" : "100%";
      const fill = `var(--gp-label-${bar.label},var(--gp-fill-${bar.label % FILLS}))`;
      return `${fill} var(--gp-side,0) ${bar.top}em/${width} .18em no-repeat`;
    });
    const names = over
      .filter((bar) => bar.start === from)
      .map((bar) => make("bdi", { class: "gp-label", "data-label": bar.label, style: `--gp-top:${bar.top}` }, bar.name));
    const title = over.map((bar) => `${bar.name} ${bar.probability.toFixed(3)}`).join("\n");
    return make("span", { class: "gp-segment", title, style: `background:${layers.join(",")}` }, ...names, words);
  }

  drawTable(panel) {
    panel.rows.replaceChildren();
    if (panel.table.open) {
      panel.waiting = panel.model.rows();
      this.addRows(panel);
    }
  }

  addRows(panel) {
    const rows = panel.waiting.splice(0, ROWS).map(([title, start, end, name, score, words]) => {
      return make("tr", {}, ...[name, score, words, title, start, end].map((cell) => make("td", { dir: "auto" }, `${cell}`)));
    });
    panel.rows.append(...rows);
    panel.more.hidden = !panel.waiting.length;
    panel.more.textContent = `More: ${panel.waiting.length}`;
  }
}

customElements.define("entity-view", EntityView);
