/** `bench/report.html`: the table, and latency against throughput as plain SVG; one file that needs no network. */
import { short, table } from './table.mjs';

const SIZE = { width: 640, height: 360, left: 70, right: 20, top: 20, bottom: 50 };
const COLOURS = ['#0b6e4f', '#b3541e'];
const DASHES = { p50: '', p99: '6 4' };
const LOADS = ['1x1', '1x64', '8x32', '16x64'];

const escaped = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');

/** Points of one line: medians at each load, in the order of the loads. */
function pointsOf(rows, system, quantile) {
  const medianOf = (figure) => rows.find((row) => row.figure === figure)?.values[system]?.median;
  return LOADS.map((load) => ({
    load,
    x: medianOf(`unary_write_${load}_rate`),
    y: medianOf(`unary_write_${load}_${quantile}`),
  })).filter(({ x, y }) => x !== undefined && y !== undefined);
}

/** A scale from 0 for rates; powers of ten for latencies. */
function scales(points) {
  const xMax = Math.max(...points.map(({ x }) => x)) * 1.08;
  const low = Math.floor(Math.log10(Math.min(...points.map(({ y }) => y))));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...points.map(({ y }) => y)))));
  const { width, height, left, right, top, bottom } = SIZE;
  return {
    xMax,
    decades: Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i)),
    x: (value) => left + (value / xMax) * (width - left - right),
    y: (value) => height - bottom - ((Math.log10(value) - low) / (high - low)) * (height - top - bottom),
  };
}

function axes({ x, y, xMax, decades }) {
  const { width, height, left, right, bottom } = SIZE;
  const step = 10 ** Math.floor(Math.log10(xMax)) / 2;
  const marks = Array.from({ length: Math.floor(xMax / step) + 1 }, (_, i) => i * step).filter(
    (_, i, all) => all.length <= 10 || i % 2 === 0,
  );
  const rows = decades.map(
    (value) =>
      `<line x1="${left}" x2="${width - right}" y1="${y(value)}" y2="${y(value)}" stroke="#ddd"/>` +
      `<text x="${left - 8}" y="${y(value) + 4}" text-anchor="end">${value}</text>`,
  );
  const columns = marks.map(
    (value) => `<text x="${x(value)}" y="${height - bottom + 18}" text-anchor="middle">${short(value)}</text>`,
  );
  return [
    ...rows,
    ...columns,
    `<line x1="${left}" x2="${width - right}" y1="${height - bottom}" y2="${height - bottom}" stroke="#333"/>`,
    `<text x="${(left + width - right) / 2}" y="${height - 10}" text-anchor="middle">writes carried out per second</text>`,
    `<text x="16" y="${height / 2}" text-anchor="middle" transform="rotate(-90 16 ${height / 2})">latency, ms</text>`,
  ].join('\n');
}

function plot(rows, systems) {
  const lines = systems.flatMap((system, i) =>
    Object.keys(DASHES).map((quantile) => ({ system, i, quantile, points: pointsOf(rows, i, quantile) })),
  );
  const all = lines.flatMap(({ points }) => points);
  if (all.length === 0) return '<p>Unary writes were not measured.</p>';
  const scale = scales(all);
  const drawn = lines.map(({ system, i, quantile, points }, n) => {
    const at = points.map(({ x, y }) => `${scale.x(x).toFixed(1)},${scale.y(y).toFixed(1)}`);
    const dots = points.map(
      ({ load, x, y }) =>
        `<circle cx="${scale.x(x)}" cy="${scale.y(y)}" r="3.5" fill="${COLOURS[i]}">` +
        `<title>${system} ${quantile}, ${load}: ${short(x)}/s, ${short(y)} ms</title></circle>`,
    );
    return (
      `<polyline points="${at.join(' ')}" fill="none" stroke="${COLOURS[i]}" stroke-width="2" stroke-dasharray="${DASHES[quantile]}"/>` +
      `${dots.join('')}<text x="${SIZE.left + 12}" y="${SIZE.top + 14 + 16 * n}" fill="${COLOURS[i]}">` +
      `${quantile === 'p50' ? '——' : '– –'} ${system}, ${quantile}</text>`
    );
  });
  const box = `viewBox="0 0 ${SIZE.width} ${SIZE.height}" width="${SIZE.width}" height="${SIZE.height}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${box} font-family="sans-serif" font-size="12">\n${axes(scale)}\n${drawn.join('\n')}\n</svg>`;
}

export function report({ systems, rows, date, commit, machine, node, peer, command, quick }) {
  const facts = [`${date}, commit ${commit}`, machine, `Node.js ${node}`, peer ?? 'no peer', command];
  const warning = quick ? '<p><strong>A quick run: its figures say nothing.</strong></p>' : '';
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Quorate: benchmarks</title>
<style>body { font: 14px sans-serif; margin: 2em; } pre { font-size: 12px; overflow-x: auto; }</style></head>
<body>
<h1>Benchmarks</h1>
<p>${facts.map(escaped).join('<br>')}</p>
${warning}
<h2>Unary writes: latency against throughput</h2>
<p>${LOADS.join(', ')}: connections × calls in flight on each; medians of all runs.</p>
${plot(rows, systems)}
<h2>All figures</h2>
<p>Median (least–greatest). Ratio: ${systems.join(' to ')}.</p>
<pre>${escaped(table(rows, systems))}</pre>
</body>
</html>
`;
}
