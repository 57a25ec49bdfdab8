// The rail: one line for each group, with its colour, its name, its size and a menu.
//
// data: rows [{number, title, tip, color, dash, size, note, muted, baseline}]. What the user does
// triggers `action` with {number, does, value}: change, baseline, mute, isolate, remove or colour.
// A click on a name isolates its group, with Shift it mutes it. All text goes in as textContent.

const ITEMS = [
  ["change", "Change"],
  ["baseline", "Make baseline"],
  ["mute", "Mute"],
  ["remove", "Remove"],
]

export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const root = parentElement.querySelector(".rail")
  if (!root || !data) return
  const act = (row, does, value = "") =>
    setTriggerValue("action", { number: row.number, does, value })
  root.replaceChildren(...data.rows.map((row) => line(root, row, act)))
  root.onkeydown = (event) => {
    if (event.key === "Escape") closeMenus(root)
  }
  root.onfocusout = (event) => {
    if (!root.contains(event.relatedTarget)) closeMenus(root)
  }
}

function line(root, row, act) {
  const item = element("div", `row${row.muted ? " muted" : ""}`)
  item.setAttribute("role", "listitem")
  item.append(swatch(row, act), name(row, act))
  if (row.note) {
    const note = element("span", "note", "!")
    note.title = row.note
    note.setAttribute("aria-label", row.note)
    note.setAttribute("role", "img")
    item.append(note)
  }
  if (row.baseline) item.append(element("span", "baseline", "baseline"))
  item.append(element("span", "size", row.size), menu(root, row, act))
  return item
}

function swatch(row, act) {
  const input = element("input", "swatch")
  input.type = "color"
  input.value = row.color
  input.setAttribute("aria-label", `Colour of ${row.title}`)
  input.onchange = () => act(row, "colour", input.value)
  if (row.dash) input.classList.add("dashed")
  return input
}

function name(row, act) {
  const button = element("button", "name", row.title)
  button.type = "button"
  button.title = `${row.title}\n${row.tip}\nClick: show only this group. Shift-click: mute it.`
  button.setAttribute("aria-pressed", String(!row.muted))
  button.onclick = (event) => act(row, event.shiftKey ? "mute" : "isolate")
  return button
}

function menu(root, row, act) {
  const holder = element("span", "holder")
  const opener = element("button", "opener", "⋮")
  opener.type = "button"
  opener.setAttribute("aria-label", `Menu of ${row.title}`)
  opener.setAttribute("aria-haspopup", "menu")
  opener.setAttribute("aria-expanded", "false")
  const list = element("div", "menu")
  list.setAttribute("role", "menu")
  list.hidden = true
  for (const [does, label] of ITEMS) {
    if (does === "baseline" && row.baseline) continue
    const entry = element("button", "entry", does === "mute" && row.muted ? "Unmute" : label)
    entry.type = "button"
    entry.setAttribute("role", "menuitem")
    entry.onclick = () => {
      closeMenus(root)
      act(row, does)
    }
    list.append(entry)
  }
  opener.onclick = () => {
    const open = list.hidden
    closeMenus(root)
    list.hidden = !open
    opener.setAttribute("aria-expanded", String(open))
    if (open) list.firstChild.focus()
  }
  list.onkeydown = (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    if (!by) return
    const entries = [...list.children]
    const at = entries.indexOf(event.target)
    entries[(at + by + entries.length) % entries.length].focus()
    event.preventDefault()
  }
  holder.append(opener, list)
  return holder
}

function closeMenus(root) {
  for (const list of root.querySelectorAll(".menu")) list.hidden = true
  for (const opener of root.querySelectorAll(".opener")) opener.setAttribute("aria-expanded", "false")
}

function element(tag, className, text = "") {
  const made = document.createElement(tag)
  made.className = className
  made.textContent = text
  return made
}
