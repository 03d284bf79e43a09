/** The table on the terminal. */

/** Three digits that count. */
export function short(value) {
  if (value === null || value === undefined) return '–';
  if (value >= 1_000) return Math.round(value).toLocaleString('en-US');
  return String(Number(value.toPrecision(3)));
}

function spread(value) {
  if (value === null || value === undefined) return '–';
  return value.runs === 1 ? short(value.median) : `${short(value.median)} (${short(value.min)}–${short(value.max)})`;
}

function verdict({ target, reached, met }) {
  if (target === null) return ['', ''];
  return [`${target}`, met === null ? 'not measured' : `${met ? 'met' : 'NOT met'}: ${short(reached)}`];
}

export function table(rows, systems) {
  const head = ['figure', 'unit', ...systems, ...(systems.length > 1 ? ['ratio'] : []), 'target', 'met'];
  const lines = rows.map((row) => [
    row.figure,
    row.unit,
    ...systems.map((_, i) => spread(row.values[i])),
    ...(systems.length > 1 ? [row.ratio === null ? '–' : row.ratio.toFixed(2)] : []),
    ...verdict(row),
  ]);
  const widths = head.map((title, column) => Math.max(title.length, ...lines.map((line) => line[column].length)));
  const show = (line) =>
    line
      .map((cell, column) => cell.padEnd(widths[column]))
      .join('  ')
      .trimEnd();
  return [show(head), widths.map((width) => '─'.repeat(width)).join('  '), ...lines.map(show)].join('\n');
}
