// The reader: draws a doc's tokens, colours them, reports which one is selected.
//
// data: title, kind ("loss", "change" or "group"), color (of the group's members), tokens
// [[row, before, text, value, member]], after, reach (nats: where the colours saturate), legend [low, high] or [the mark's meaning],
// selected (a row or null), film (null, or steps, top, losses in base64, since), neighbours
// ({before, after}: [doc, label]). All text goes in as textContent. A selected token triggers
// `token` with its row, a neighbour `go` with its doc.

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
    stop(state)
    state = { key: data.key, spans: drawText(text, data), selected: null, at: 0, frame: null }
    drawn.set(parentElement, state)
    root.querySelector(".pane").scrollTop = 0
  }
  state.data = data
  state.go = (doc) => setTriggerValue("go", doc)
  state.select = (at) => {
    state.clicked = data.tokens[at][0]
    setTriggerValue("token", state.clicked)
  }
  text.setAttribute("aria-label", data.title)
  root.style.setProperty("--member", data.color)
  neighbours(root, state)
  readFilm(state)
  if (state.frame === null) colour(state)
  else showFrame(root, state, state.frame)
  drawLegend(root.querySelector(".legend"), data)
  player(root, state)
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

// Links to the doc's neighbours, before and after its text: a listbox may hold options only.
function neighbours(root, state) {
  for (const end of ["before", "after"]) {
    const link = root.querySelector(`.neighbour.${end}`)
    const [doc, label] = state.data.neighbours[end] ?? [null, ""]
    link.hidden = doc === null
    link.textContent = label
    link.onclick = () => state.go(doc)
  }
}

// ---- the film: every token's loss at every checkpoint

const FRAME = 50 // milliseconds
const WHOLE = 240 // frames of a whole run, at most

function readFilm(state) {
  const film = state.data.film
  if (!film) {
    state.film = null
    state.frame = null
    stop(state)
    return
  }
  if (state.film?.encoded === film.losses) {
    state.film.since = film.since
    return
  }
  const bytes = Uint8Array.from(atob(film.losses), (c) => c.charCodeAt(0))
  const levels = new Uint16Array(bytes.buffer)
  state.film = { ...film, encoded: film.losses, levels }
}

function lossAt(state, frame, at) {
  const { levels, top } = state.film
  return (levels[frame * state.spans.length + at] / 65535) * top
}

function valueAt(state, frame, at) {
  const since = state.film.since === null ? -1 : state.film.steps.indexOf(state.film.since)
  return lossAt(state, frame, at) - (since < 0 ? 0 : lossAt(state, since, at))
}

// The values of a token that are shown: those of the frame, or of the chosen steps.
function shown(state, at) {
  return state.frame === null ? state.data.tokens[at][3] : valueAt(state, state.frame, at)
}

function showFrame(root, state, frame) {
  state.frame = frame
  let sum = 0
  state.spans.forEach((span, at) => {
    sum += lossAt(state, frame, at)
    tint(state, span, at)
  })
  const step = state.film.steps[frame].toLocaleString("en-US")
  const mean = (sum / state.spans.length).toFixed(2)
  const since = state.film.since
  const what = since === null ? "" : `, change since step ${since.toLocaleString("en-US")}`
  root.querySelector(".at").textContent = `step ${step}: mean loss ${mean} nats${what}`
  root.querySelector(".step").value = frame
  root.querySelector(".back").hidden = false
  root.querySelector(".text").dataset.step = state.film.steps[frame]
}

function player(root, state) {
  const bar = root.querySelector(".player")
  bar.hidden = !state.film || state.data.kind === "group"
  if (bar.hidden) {
    stop(state)
    return
  }
  const slider = root.querySelector(".step")
  const last = state.film.steps.length - 1
  slider.max = last
  if (state.frame === null) rest(root, state)
  slider.oninput = () => {
    stop(state)
    playing(root, false)
    showFrame(root, state, Number(slider.value))
    describe(state)
  }
  root.querySelector(".play").onclick = () => (state.timer ? pause(root, state) : play(root, state))
  root.querySelector(".back").onclick = () => {
    pause(root, state)
    state.frame = null
    colour(state)
    rest(root, state)
  }
}

// The slider before it is used: at the last of the chosen steps.
function rest(root, state) {
  const { steps } = state.film
  const chosen = state.data.steps
  root.querySelector(".step").value = steps.indexOf(chosen[chosen.length - 1])
  root.querySelector(".at").textContent = `${steps.length} checkpoints: play, drag or use ← and →`
  root.querySelector(".back").hidden = true
  delete root.querySelector(".text").dataset.step
}

function play(root, state) {
  const last = state.film.steps.length - 1
  const stride = Math.max(1, Math.ceil(last / WHOLE))
  if (state.frame === null || state.frame >= last) showFrame(root, state, 0)
  playing(root, true)
  state.timer = setInterval(() => {
    if (!root.isConnected) return stop(state)
    showFrame(root, state, Math.min(state.frame + stride, last))
    if (state.frame === last) pause(root, state)
  }, FRAME)
}

function pause(root, state) {
  stop(state)
  playing(root, false)
  if (state.frame !== null) describe(state)
}

function stop(state) {
  if (state?.timer) clearInterval(state.timer)
  if (state) state.timer = null
}

function playing(root, on) {
  const button = root.querySelector(".play")
  button.textContent = on ? "❚❚" : "▶"
  button.setAttribute("aria-label", on ? "Pause" : "Play through training")
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

function colour(state) {
  state.spans.forEach((span, at) => tint(state, span, at))
  describe(state)
}

// Only the colour: names would take longer than a frame of the film.
function tint(state, span, at) {
  const { data } = state
  const value = shown(state, at)
  const share = Math.min(Math.abs(value) / data.reach, 1) * STRONGEST
  span.className = `token ${look(data.kind, value, data.tokens[at][4])}`
  span.style.setProperty("--share", `${share.toFixed(1)}%`)
}

function describe(state) {
  state.data.tokens.forEach(([, , within, , member], at) => {
    const what = described(state.data.kind, shown(state, at), member)
    state.spans[at].setAttribute("aria-label", `${spoken(within)}, ${what}`)
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
  const pane = root.querySelector(".pane")
  pane.onscroll = () => scrolled(root, pane, tip, state)
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

// Keys scroll the text, too: the tip follows the token that has the focus while it can be seen.
function scrolled(root, pane, tip, state) {
  const token = pane.querySelector(".token:focus")
  const outer = pane.getBoundingClientRect()
  const inner = token?.getBoundingClientRect()
  if (tip.hidden || !token || inner.top < outer.top || inner.bottom > outer.bottom) tip.hidden = true
  else show(root, tip, state, state.spans.indexOf(token))
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
  const [, , within, , member] = state.data.tokens[at]
  const what = described(state.data.kind, shown(state, at), member)
  tip.textContent = `${visible(within)}  ${what}`
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
