// On Detect and Align Faces: the picture with its faces, to click on. A click puts a face's number into the Select Faces
// nodes behind it, or takes it away. And crop_size is greyed where a model decides on the size.
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

const widgetOf = (node, name) => node.widgets?.find((widget) => widget.name === name);

function selectorsBehind(node) {
  const graph = node.graph ?? app.graph;
  return (node.outputs?.[0]?.links ?? [])
    .map((id) => graph.links.get?.(id) ?? graph.links[id])
    .map((link) => link && graph.getNodeById(link.target_id))
    .filter((target) => (target?.comfyClass ?? target?.type) === "GPEN_SelectFaces");
}

// Ranges such as 2-4 and 7- count as the numbers that are there.
function numbersIn(text, count) {
  const numbers = new Set();
  for (const part of text.split(/[\s,]+/).filter(Boolean)) {
    const [, first, dash, last] = part.match(/^(\d+)(-)?(\d*)$/) ?? [];
    const end = last ? Number(last) : dash ? count - 1 : Number(first);
    for (let k = Number(first); k <= Math.min(end, count - 1); k++) numbers.add(k);
  }
  return numbers;
}

function setWidget(node, name, value) {
  const widget = widgetOf(node, name);
  if (!widget) return;
  widget.value = value;
  widget.callback?.(value);
}

function toggle(node, number, count) {
  app.canvas.emitBeforeChange?.(); // or the page would neither keep nor undo what changes here
  for (const selector of selectorsBehind(node)) {
    const chosen = numbersIn(String(widgetOf(selector, "indices")?.value ?? ""), count);
    if (!chosen.delete(number)) chosen.add(number);
    setWidget(selector, "indices", [...chosen].sort((a, b) => a - b).join(", "));
    setWidget(selector, "order", "size"); // by which the numbers count
  }
  app.canvas.emitAfterChange?.();
  app.graph.setDirtyCanvas(true, true);
}

function mark(node, frame) {
  const [selector] = selectorsBehind(node);
  const text = String((selector && widgetOf(selector, "indices")?.value) ?? "");
  const chosen = numbersIn(text, frame.children.length);
  frame.querySelectorAll("button").forEach((button, number) => {
    button.style.background = chosen.has(number) ? "#33ff4d66" : "transparent";
    button.style.borderWidth = chosen.has(number) ? "3px" : "1px";
    button.setAttribute("aria-pressed", chosen.has(number));
  });
}

function drawInto(frame, node, { boxes, ...file }) {
  const picture = document.createElement("img");
  picture.src = api.apiURL(`/view?${new URLSearchParams(file)}`);
  picture.style.cssText = "display:block;width:100%";
  frame.replaceChildren(picture);
  boxes.forEach(([x0, y0, x1, y1], number) => {
    const button = document.createElement("button");
    button.textContent = number;
    button.title = `Face ${number}: click to put it into Select Faces, or to take it out`;
    button.style.cssText = `position:absolute;left:${100 * x0}%;top:${100 * y0}%;width:${100 * (x1 - x0)}%;
      height:${100 * (y1 - y0)}%;border:0 solid #33ff4d;padding:0;color:#fff;cursor:pointer;display:flex;align-items:start;
      font-size:clamp(3px,${50 * (x1 - x0)}cqw,20px);line-height:1;text-shadow:0 0 2px #000,0 0 2px #000`;
    button.addEventListener("click", () => {
      toggle(node, number, boxes.length);
      mark(node, frame);
    });
    frame.append(button);
  });
  mark(node, frame);
}

function show(node, [found]) {
  if (!node.gpenFrame) {
    const holder = document.createElement("div");
    node.gpenFrame = document.createElement("div");
    node.gpenFrame.style.cssText = "position:relative;container-type:inline-size"; // numbers grow with the picture
    holder.append(node.gpenFrame);
    const options = { serialize: false, getMinHeight: () => 200 };
    const widget = node.addDOMWidget("gpen_faces", "gpen_faces", holder, options);
    widget.serialize = false;
  }
  if (found) drawInto(node.gpenFrame, node, found);
  else node.gpenFrame.textContent = "No face was found.";
}

// By the key under which the page keeps a node's outputs: its number, behind its subgraph's where it lies in one.
function nodeOf(key) {
  const [number, subgraph] = String(key).split(":").reverse();
  const root = app.rootGraph ?? app.graph;
  const graph = subgraph ? root.subgraphs?.get(subgraph) : root;
  return graph?.getNodeById(Number(number));
}

function after(prototype, method, action) {
  const own = prototype[method];
  prototype[method] = function (...args) {
    const result = own?.apply(this, args);
    action(this, ...args);
    return result;
  };
}

function greyCropSize(node) {
  const linked = node.inputs?.some((input) => input.name === "model" && input.link != null);
  const widget = widgetOf(node, "crop_size");
  if (widget) widget.disabled = Boolean(linked);
}

app.registerExtension({
  name: "gpen.faces",
  // Workflows that are opened again, from a tab or from the history: nothing is executed then.
  onNodeOutputsUpdated(outputs) {
    for (const [key, output] of Object.entries(outputs)) {
      const node = output?.gpen_faces && nodeOf(key);
      if (node) show(node, output.gpen_faces);
    }
  },
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (nodeData.name !== "GPEN_DetectAndAlign") return;
    after(nodeType.prototype, "onExecuted", (node, output) => {
      if (output?.gpen_faces) show(node, output.gpen_faces);
    });
    after(nodeType.prototype, "onConnectionsChange", greyCropSize);
    after(nodeType.prototype, "onConfigure", greyCropSize);
  },
});
