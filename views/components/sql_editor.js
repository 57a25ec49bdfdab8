// The SQL editor: a text area over its own text in colour, line numbers, and a menu of completions.
//
// data: text, version (the text replaces what is written when it changes), columns {relation:
// [column]}, macros, groups {name: title}, keywords, functions, mark {text, at} or null. Leaving
// the field sends `text`; Ctrl+Enter triggers `run` with the text. All text goes in as textContent.

const SHORTEST = 9 // lines
const LONGEST = 22
const OFFERED = 40 // completions
const PIECE = /(--[^\n]*|\/\*[\s\S]*?(?:\*\/|$))|('(?:[^']|'')*'?)|("[^"]*"?|[\p{L}_][\p{L}\p{N}_]*)|(\d[\d_.]*(?:e[+-]?\d+)?)/giu
const editors = new WeakMap() // parentElement -> its editor

export default function (component) {
  const { data, parentElement } = component
  const root = parentElement.querySelector(".editor")
  if (!root || !data) return
  let editor = editors.get(parentElement)
  if (!editor) {
    editor = { area: root.querySelector("textarea"), menu: root.querySelector(".menu"), root }
    editors.set(parentElement, editor)
    listen(editor)
  }
  Object.assign(editor, { data, send: component.setStateValue, trigger: component.setTriggerValue })
  editor.words = vocabulary(data)
  if (editor.version !== data.version) {
    editor.version = data.version
    editor.area.value = editor.sent = data.text
    close(editor)
  }
  draw(editor)
}

// ---- colours

function vocabulary(data) {
  const words = new Map()
  const add = (kind, names) => names.forEach((name) => words.set(name.toLowerCase(), kind))
  add("keyword", data.keywords.flatMap((words) => words.split(" ")))
  add("function", [...data.functions, ...data.macros])
  add("name", Object.values(data.columns).flat())
  add("name", [...Object.keys(data.columns), ...Object.keys(data.groups)])
  return words
}

function draw(editor) {
  const { area, root, data } = editor
  const text = area.value
  const marked = data.mark && data.mark.text === text
  const wrong = marked ? [...text].slice(0, data.mark.at).join("").length : -1 // UTF-16 from here on
  const all = document.createDocumentFragment()
  let end = 0
  for (const found of text.matchAll(PIECE)) {
    plain(all, text, end, found.index, wrong)
    end = found.index + found[0].length
    all.append(piece(found[0], kindOf(found, editor.words), wrong >= found.index && wrong < end))
  }
  plain(all, text, end, text.length, wrong)
  all.append("\n") // the last line has a height, too
  root.querySelector(".colours").replaceChildren(all)
  const lines = text.split("\n").length
  root.querySelector(".numbers").textContent = Array.from({ length: lines }, (_, n) => n + 1).join("\n")
  const height = Math.min(Math.max(lines + 1, SHORTEST), LONGEST)
  area.style.height = `calc(${height} * 1.5em + 1.2rem)`
  root.querySelector(".frame").style.maxHeight = area.style.height
  scrolled(editor)
}

function kindOf([, comment, string, word, number], words) {
  if (comment !== undefined) return "comment"
  if (string !== undefined) return "string"
  if (number !== undefined) return "number"
  return words.get(word.replaceAll('"', "").toLowerCase()) ?? ""
}

function plain(all, text, start, end, wrong) {
  if (wrong < start || wrong >= end) all.append(text.slice(start, end))
  else all.append(text.slice(start, wrong), piece(text[wrong], "", true), text.slice(wrong + 1, end))
}

function piece(text, kind, wrong) {
  const span = document.createElement("span")
  span.className = wrong ? `${kind} wrong` : kind
  span.textContent = text
  return span
}

function scrolled({ area, root }) {
  root.querySelector(".colours").style.transform = `translate(${-area.scrollLeft}px, ${-area.scrollTop}px)`
  root.querySelector(".numbers").style.transform = `translateY(${-area.scrollTop}px)`
}

// ---- keys

function listen(editor) {
  const { area, menu } = editor
  area.oninput = () => {
    draw(editor)
    offer(editor, false)
  }
  area.onscroll = () => {
    scrolled(editor)
    close(editor)
  }
  area.onblur = () => {
    close(editor)
    if (area.value === editor.sent) return
    editor.sent = area.value
    editor.send("text", area.value)
  }
  area.onclick = () => close(editor)
  area.onkeydown = (event) => {
    if (pressed(editor, event)) {
      event.preventDefault()
      event.stopPropagation()
    }
  }
  menu.onmousedown = (event) => {
    event.preventDefault() // the field keeps the focus
    const item = event.target.closest("li")
    if (item) accept(editor, [...menu.children].indexOf(item))
  }
}

// Whether the editor has used the key; Tab leaves the field unless a menu is open.
function pressed(editor, { key, ctrlKey, metaKey }) {
  const open = !editor.menu.hidden
  if (key === "Enter" && (ctrlKey || metaKey)) {
    editor.sent = editor.area.value
    editor.trigger("run", editor.area.value)
    close(editor)
  } else if (key === " " && ctrlKey) offer(editor, true)
  else if (open && key === "Escape") close(editor)
  else if (open && (key === "ArrowDown" || key === "ArrowUp")) move(editor, key === "ArrowDown" ? 1 : -1)
  else if (open && (key === "Tab" || (key === "Enter" && editor.moved))) accept(editor, editor.at)
  else {
    if (open && !/^(.|Backspace|Shift)$/u.test(key)) close(editor)
    return false
  }
  return true
}

// ---- completions

function offer(editor, asked) {
  const { area, menu } = editor
  const before = area.value.slice(0, area.selectionStart)
  const word = /[\p{L}_][\p{L}\p{N}_]*$/u.exec(before)?.[0] ?? ""
  const found = asked || word || before.endsWith(".") ? candidates(editor, before, word) : []
  editor.word = word
  editor.found = found.slice(0, OFFERED)
  if (!found.length || (found.length === 1 && found[0][0] === word)) return close(editor)
  menu.replaceChildren(...editor.found.map(([name, what], at) => item(name, what, at)))
  menu.hidden = false
  editor.at = 0
  editor.moved = asked
  place(editor, before.slice(before.lastIndexOf("\n") + 1, before.length - word.length))
  move(editor, 0)
}

// [[name, what it is]] that continue the word, the most likely ones first.
function candidates({ area, data }, before, word) {
  const head = before.slice(0, before.length - word.length)
  if (inText(head)) {
    return starting(word, /\w+\(\s*(?:'[^']*',\s*)*'$/.test(head) ? groups(data) : [])
  }
  const owner = /([\p{L}_][\p{L}\p{N}_]*)\.$/u.exec(head)?.[1]
  if (owner) return starting(word, owned(area.value, owner, data))
  const tables = Object.keys(data.columns).map((name) => [name, "table"])
  const macros = data.macros.map((name) => [name, "macro"])
  if (/\b(from|join)\s+$/i.test(head)) return starting(word, [...tables, ...macros, ...groups(data)])
  const used = Object.keys(data.columns).filter((name) => new RegExp(`\\b${name}\\b`, "i").test(area.value))
  const columns = (used.length ? used : Object.keys(data.columns)).flatMap((name) => columnsOf(data, name))
  const keywords = data.keywords.map((name) => [name, "keyword"])
  const functions = data.functions.map((name) => [name, "function"])
  return starting(word, [...columns, ...keywords, ...functions, ...macros, ...tables, ...groups(data)])
}

// Whether the text ends in a string or a comment.
function inText(text) {
  const last = [...text.matchAll(PIECE)].at(-1)
  if (!last || last.index + last[0].length < text.length) return false
  return last[1]?.startsWith("--") || (last[2] !== undefined && !/^'(?:[^']|'')*'$/.test(last[2]))
}

function starting(word, names) {
  const lower = word.toLowerCase()
  const seen = new Set()
  const fits = names.filter(([name]) => !seen.has(name) && seen.add(name) && name.toLowerCase().includes(lower))
  const first = ([name]) => Number(!name.toLowerCase().startsWith(lower))
  return fits.map((pair, at) => [pair, at]).sort((a, b) => first(a[0]) - first(b[0]) || a[1] - b[1]).map(([pair]) => pair)
}

const groups = (data) => Object.entries(data.groups).map(([name, title]) => [name, `group: ${title}`])

const columnsOf = (data, name) => (data.columns[name] ?? []).map((column) => [column, `column of ${name}`])

// The columns of a table, of its alias as in `from tokens as t`, or of all if the alias is unknown.
function owned(text, alias, data) {
  const found = [...text.matchAll(/\b(?:from|join|,)\s+(\w+)\s+(?:as\s+)?(\w+)/gi)]
  const table = found.find(([, table, name]) => name === alias && table in data.columns)?.[1] ?? alias
  const tables = table in data.columns ? [table] : Object.keys(data.columns)
  return tables.flatMap((name) => columnsOf(data, name))
}

function item(name, what, at) {
  const line = document.createElement("li")
  line.id = `completion-${at}`
  line.setAttribute("role", "option")
  line.append(piece(name, "word", false), piece(what, "what", false))
  return line
}

function place({ area, menu, root }, line) {
  const probe = piece(line || "\u200b", "", false)
  root.querySelector(".colours").append(probe)
  const row = area.value.slice(0, area.selectionStart).split("\n").length
  const size = parseFloat(getComputedStyle(area).lineHeight)
  const numbers = root.querySelector(".numbers").offsetWidth
  const left = numbers + 6 + probe.offsetWidth - area.scrollLeft
  probe.remove()
  menu.style.left = `${Math.max(0, Math.min(left, root.clientWidth - menu.offsetWidth))}px`
  menu.style.top = `${row * size + 14 - area.scrollTop}px`
}

function move(editor, by) {
  const items = [...editor.menu.children]
  editor.at = (editor.at + by + items.length) % items.length
  editor.moved ||= by !== 0
  items.forEach((item, at) => item.setAttribute("aria-selected", String(at === editor.at)))
  items[editor.at].scrollIntoView({ block: "nearest" })
  editor.area.setAttribute("aria-activedescendant", items[editor.at].id)
}

function accept(editor, at) {
  const { area, word, found } = editor
  const [name, what] = found[at]
  const call = what === "function" || what === "macro" ? "(" : ""
  area.selectionStart -= word.length
  // It can be undone, unlike a new value; the browser sends an input event.
  document.execCommand("insertText", false, name + call)
  close(editor)
}

function close({ area, menu }) {
  menu.hidden = true
  area.removeAttribute("aria-activedescendant")
}
