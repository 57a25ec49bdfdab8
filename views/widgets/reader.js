// The reader: draws a doc's tokens, colours them, reports which one is selected.
//
// data: title, kind ("loss", "change" or "group"), tokens [[row, before, text, value, member]],
// after, reach (nats: where the colours saturate), legend [low, high] or [the mark's meaning],
// selected (a row or null). All text goes in as textContent. A selected token triggers `token` with
// its row.

const STRONGEST = 62 // per cent, as in reader.css
const drawn = new WeakMap() // parentElement -> the doc's key, its spans

export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const root = parentElement.querySelector(".reader")
  if (!root || !data) return
  const text = root.querySelector(".text")
  let state = drawn.get(parentElement)
  const fresh = !state || state.key !== data.key
  if (fresh) {
    state = { key: data.key, spans: drawText(text, data), selected: null, at: 0 }
    drawn.set(parentElement, state)
    text.scrollTop = 0
  }
  state.data = data
  state.select = (at) => {
    state.clicked = data.tokens[at][0]
    setTriggerValue("token", state.clicked)
  }
  text.setAttribute("aria-label", data.title)
  colour(state)
  drawLegend(root.querySelector(".legend"), data)
  listen(root, text, state)
  select(text, state, fresh)
}

// ---- the text

function drawText(text, data) {
  const spans = []
  const all = document.createDocumentFragment()
  for (const [, before, within] of data.tokens) {
    if (before) all.append(unscored(before))
    const span = document.createElement("span")
    span.setAttribute("role", "option")
    span.tabIndex = -1
    fill(span, within)
    all.append(span)
    spans.push(span)
  }
  if (data.after) all.append(unscored(data.after))
  text.replaceChildren(all)
  return spans
}

function unscored(piece) {
  const span = document.createElement("span")
  span.className = "unscored"
  span.title = "not scored: the model saw this text, but no loss is stored for it"
  fill(span, piece)
  return span
}

// Line ends, tabs, tokens of spaces only and invisible characters get a sign.
function fill(span, piece) {
  if (/^ +$/.test(piece)) {
    span.append(sign("␣"), piece)
    return
  }
  for (const part of piece.split(/(\r?\n|\t|[\p{Cc}\p{Cf}\p{Zl}\p{Zp}])/u)) {
    if (part === "\n" || part === "\r\n") span.append(sign("↵"), part)
    else if (part === "\t") span.append(sign("⇥"), part)
    else if (/^[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]$/u.test(part)) span.append(sign(codepoint(part)))
    else if (part) span.append(part) // a string becomes a text node
  }
}

function sign(shape) {
  const span = document.createElement("span")
  span.className = "sign"
  span.setAttribute("aria-hidden", "true")
  span.textContent = shape
  return span
}

const codepoint = (c) => `<U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}>`

// ---- values

function colour({ data, spans }) {
  data.tokens.forEach(([, , within, value, member], at) => {
    const span = spans[at]
    const share = Math.min(Math.abs(value) / data.reach, 1) * STRONGEST
    span.className = `token ${look(data.kind, value, member)}`
    span.style.setProperty("--share", `${share.toFixed(1)}%`)
    span.setAttribute("aria-label", `${spoken(within)}, ${described(data.kind, value, member)}`)
  })
}

function look(kind, value, member) {
  if (kind === "group") return member ? "member" : ""
  if (kind === "loss") return "loss"
  return value < 0 ? "fell" : "rose"
}

function described(kind, value, member) {
  const signed = kind === "loss" ? value.toFixed(3) : value.toFixed(3).replace(/^(?!-)/, "+")
  const nats = `${kind === "loss" ? "loss" : "change"} ${signed.replace("-", "−")} nats`
  if (kind !== "group") return nats
  return `${member ? "in the group" : "not in the group"}, ${nats}`
}

const spoken = (within) =>
  within === "\n" ? "line break" : within.trim() === "" ? "space" : within.trim()

const visible = (within) => within.replace(/\n/g, "↵").replace(/\t/g, "⇥")

function drawLegend(legend, data) {
  const swatch = document.createElement("span")
  const kinds = { loss: "losses", change: "change", group: "member" }
  swatch.className = `swatch ${kinds[data.kind]}`
  const note = document.createElement("span")
  note.className = "note"
  note.textContent = data.note
  const [low, high] = data.legend
  legend.replaceChildren(...(high ? [low, swatch, high] : [swatch, low]), note)
}

// ---- pointer and keyboard

function listen(root, text, state) {
  const tip = root.querySelector(".tip")
  const placeOf = (event) => state.spans.indexOf(event.target.closest(".token"))
  text.onmouseover = (event) => show(root, tip, state, placeOf(event))
  text.onmouseleave = () => (tip.hidden = true)
  text.onscroll = () => (tip.hidden = true)
  if (!root.dataset.listening) {
    root.dataset.listening = "yes" // focusout has no property to assign, so it is added once
    root.addEventListener("focusout", () => (tip.hidden = true))
  }
  text.onclick = (event) => {
    const at = placeOf(event)
    if (at >= 0) {
      moveTo(state, at)
      state.select(at)
    }
  }
  text.onkeydown = (event) => {
    if (event.key === "Enter" || event.key === " ") state.select(state.at)
    else {
      const at = towards(event.key, state)
      if (at === null) return
      moveTo(state, at)
      show(root, tip, state, at)
    }
    event.preventDefault()
  }
}

// The token to which a key moves; null for other keys.
function towards(key, { spans, at }) {
  const last = spans.length - 1
  if (key === "ArrowRight") return Math.min(at + 1, last)
  if (key === "ArrowLeft") return Math.max(at - 1, 0)
  if (key === "Home") return 0
  if (key === "End") return last
  if (key === "ArrowDown") return line(spans, at, 1)
  if (key === "ArrowUp") return line(spans, at, -1)
  return null
}

// The nearest token of the next line, above or below.
function line(spans, at, step) {
  const here = spans[at].getBoundingClientRect()
  let best = at
  let bestGap = Infinity
  let top = null
  for (let i = at + step; i >= 0 && i < spans.length; i += step) {
    const there = spans[i].getClientRects()[0]
    if (!there || Math.abs(there.top - here.top) < 4) continue
    if (top === null) top = there.top
    if (Math.abs(there.top - top) > 4) break
    const gap = Math.abs(there.left - here.left)
    if (gap < bestGap) [best, bestGap] = [i, gap]
  }
  return best
}

function moveTo(state, at) {
  reachable(state, at)
  state.spans[at].focus({ preventScroll: true })
  state.spans[at].scrollIntoView({ block: "nearest" })
}

// Tab reaches one token; arrow keys move on from it.
function reachable(state, at) {
  if (state.spans[state.at]) state.spans[state.at].tabIndex = -1
  state.at = at
  if (state.spans[at]) state.spans[at].tabIndex = 0
}

function show(root, tip, state, at) {
  if (at < 0) {
    tip.hidden = true
    return
  }
  const [, , within, value, member] = state.data.tokens[at]
  tip.textContent = `${visible(within)}  ${described(state.data.kind, value, member)}`
  tip.hidden = false
  const outer = root.getBoundingClientRect()
  const token = state.spans[at].getClientRects()[0]
  const left = Math.min(token.left - outer.left, outer.width - tip.offsetWidth)
  const above = token.top - outer.top - tip.offsetHeight - 4
  tip.style.left = `${Math.max(left, 0)}px`
  tip.style.top = `${above}px`
}

function select(text, state, fresh) {
  const at = state.data.tokens.findIndex(([row]) => row === state.data.selected)
  const changed = state.data.selected !== state.selected
  state.spans.forEach((span, i) => span.setAttribute("aria-selected", String(i === at)))
  state.selected = state.data.selected
  if (fresh || (changed && at >= 0)) reachable(state, Math.max(at, 0))
  // Scroll to it if it was selected elsewhere: in a list, or by a link.
  if (changed && at >= 0 && state.data.selected !== state.clicked) {
    requestAnimationFrame(() => state.spans[at].scrollIntoView({ block: "center" }))
  }
}
