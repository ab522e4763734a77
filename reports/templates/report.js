// Tables sort by the column whose heading is pressed; the embedded rows are saved as CSV or JSON. Nothing is fetched.
const numberIn = text => {
  const found = text.replaceAll("−", "-").replaceAll(",", "").match(/-?(?:\d+\.?\d*|∞)(?:e[-+]?\d+)?/);
  return found ? (found[0].endsWith("∞") ? (found[0][0] === "-" ? -Infinity : Infinity) : parseFloat(found[0])) : NaN;
};

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const rows = [...table.tBodies[0].rows].map(row => [row.cells[column].textContent.trim(), row]);
      const numeric = rows.some(([text]) => /^[-−+]?[\d∞]/.test(text));
      rows.sort(([a], [b]) => {
        if (!numeric) return (up ? 1 : -1) * a.localeCompare(b);
        const [x, y] = [numberIn(a), numberIn(b)];
        if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y); // cells without a number stay last
        return (up ? 1 : -1) * (x === y ? 0 : x - y);
      });
      table.tBodies[0].append(...rows.map(([, row]) => row));
    });
  });
}

const stored = document.getElementById("rows-data");
if (stored) {
  const { columns, rows } = JSON.parse(stored.textContent);
  const whole = rows.map(row => columns.map((_, i) => row[i] ?? null));
  const quoted = value => {
    const text = value === null ? "" : typeof value === "object" ? JSON.stringify(value) : String(value);
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const made = {
    csv: () => [columns, ...whole].map(row => row.map(quoted).join(",")).join("\n") + "\n",
    json: () => JSON.stringify(whole.map(row => Object.fromEntries(row.map((value, i) => [columns[i], value])))),
  };
  for (const button of document.querySelectorAll("button[data-rows]")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([made[button.dataset.rows]()]));
      link.download = `rows.${button.dataset.rows}`;
      link.click();
      URL.revokeObjectURL(link.href);
    });
  }
}
