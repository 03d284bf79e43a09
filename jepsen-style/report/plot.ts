/**
 * The picture of a run, on one axis of time: faults as labelled bars (and as shades through everything below), operations a second, latency
 * on a logarithmic scale, who led in which term.
 */
import type { Sample } from '../record/sampler.ts';
import type { FaultSpan } from './data.ts';
import { duration, escapeHtml, px } from './html.ts';
import { lanesOf } from './lanes.ts';

const WIDTH = 1120;
const LEFT = 124;
const RIGHT = 16;
const PLOT = WIDTH - LEFT - RIGHT;
const PANEL = 130;
const GAP = 34;
const LANE = 17;
const LEADER_ROW = 18;
const BUCKETS_MAX = 500;
/** Of a label, at 10.5 px. */
const CHARACTER = 6.1;

/** Fault families have a colour each; what is not listed is of the last one. */
const FAMILIES = ['partition', 'kill', 'pause', 'link', 'clock', 'disk', 'power', 'other'] as const;

export function familyOf(name: string): (typeof FAMILIES)[number] {
  return FAMILIES.find((family) => name.startsWith(family)) ?? 'other';
}

/** Nanoseconds from the beginning to the end of everything that is drawn. */
function spanOf(
  samples: readonly Sample[],
  faults: readonly FaultSpan[],
): { readonly from: number; readonly to: number } {
  const times = [
    ...samples.map(({ time }) => time),
    ...faults.flatMap(({ startNs, stopNs }) => [startNs, stopNs ?? startNs]),
  ];
  const to = times.reduce((most, time) => Math.max(most, time), 1e9);
  return { from: 0, to };
}

export function drawRun(samples: readonly Sample[], faults: readonly FaultSpan[]): string {
  const { from, to } = spanOf(samples, faults);
  const x = (ns: number): number => LEFT + ((ns - from) / (to - from)) * PLOT;
  const lanes = drawFaults(faults, x, to);
  const buckets = bucketsOf(samples, to);
  const parts: string[] = [];
  let y = lanes.height + GAP;
  const top = y - 8;
  const panels: readonly ((y: number) => { readonly svg: string; readonly height: number })[] = [
    (at) => drawThroughput(buckets, x, at),
    (at) => drawLatency(buckets, x, at),
    (at) => drawLeaders(samples, x, at, to),
  ];
  for (const panel of panels) {
    const { svg, height } = panel(y);
    parts.push(svg);
    y += height + GAP;
  }
  const bottom = y - GAP;
  const shades = faults.map(({ name, startNs, stopNs }) => {
    const width = Math.max(1, x(stopNs ?? to) - x(startNs));
    return `<rect class="shade f-${familyOf(name)}" x="${px(x(startNs))}" y="${top}" width="${px(width)}" height="${bottom - top}"/>`;
  });
  const height = bottom + 28;
  const inside = [...shades, lanes.svg, ...parts, timeAxis(x, to, bottom)].join('\n');
  return `<svg class="run" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="The run over time">${inside}</svg>`;
}

function drawFaults(
  faults: readonly FaultSpan[],
  x: (ns: number) => number,
  to: number,
): { readonly svg: string; readonly height: number } {
  const bars = faults.map((fault) => {
    const from = x(fault.startNs);
    const until = Math.max(from + 3, x(fault.stopNs ?? to));
    const text = fault.name.length * CHARACTER + 8;
    const fits = text <= until - from;
    // Beside the bar: to its right, or to its left where the picture ends.
    const side = fits ? 'in' : until + text <= WIDTH - RIGHT ? 'right' : 'left';
    return {
      fault,
      from,
      until,
      side,
      left: side === 'left' ? from - text : from,
      right: side === 'right' ? until + text : until,
    };
  });
  bars.sort((a, b) => a.left - b.left);
  const lanes = lanesOf(
    bars.map(({ left, right }) => ({ from: left, to: right })),
    4,
  );
  const svg = bars.map(({ fault, from, until, side }, at) => {
    const y = 20 + (lanes[at] ?? 0) * LANE;
    const lasted = fault.stopNs === null ? 'to the end' : duration((fault.stopNs - fault.startNs) / 1e6);
    const title = `${fault.name}, ${lasted}: ${JSON.stringify(fault.targets)}`;
    const textX = side === 'left' ? from - 4 : side === 'right' ? until + 4 : from + 4;
    const anchor = side === 'left' ? ' text-anchor="end"' : '';
    return (
      `<g class="fault f-${familyOf(fault.name)}"><title>${escapeHtml(title)}</title>` +
      `<rect x="${px(from)}" y="${y}" width="${px(until - from)}" height="${LANE - 4}" rx="2"/>` +
      `<text class="small" x="${px(textX)}" y="${y + 10}"${anchor}>${escapeHtml(fault.name)}</text></g>`
    );
  });
  const rows = Math.max(1, ...lanes.map((lane) => lane + 1));
  const label = `<text class="label" x="0" y="30">faults</text>`;
  const none = faults.length === 0 ? `<text class="small muted" x="${LEFT}" y="30">none</text>` : '';
  return { svg: [label, none, ...svg].join('\n'), height: 20 + rows * LANE };
}

interface Bucket {
  readonly fromNs: number;
  readonly toNs: number;
  /** Operations a second. */
  readonly ok: number;
  readonly fail: number;
  readonly info: number;
  readonly p50: number | null;
  readonly p99: number | null;
}

/** Neighbouring seconds are put together where there are more than pixels: counts as their mean, p50 as the middle one, p99 as the worst. */
function bucketsOf(samples: readonly Sample[], to: number): readonly Bucket[] {
  const size = Math.max(1, Math.ceil(samples.length / BUCKETS_MAX));
  const buckets: Bucket[] = [];
  for (let at = 0; at < samples.length; at += size) {
    const part = samples.slice(at, at + size);
    const beforeNs = samples[at - 1]?.time ?? Math.max(0, (part[0]?.time ?? 0) - 1e9);
    const lastNs = part.at(-1)?.time ?? to;
    const seconds = Math.max(0.001, (lastNs - beforeNs) / 1e9);
    const rate = (name: 'ok' | 'fail' | 'info'): number => part.reduce((sum, one) => sum + one[name], 0) / seconds;
    const p50 = part.flatMap(({ latencyMs }) => (latencyMs === null ? [] : [latencyMs.p50])).sort((a, b) => a - b);
    const p99 = part.flatMap(({ latencyMs }) => (latencyMs === null ? [] : [latencyMs.p99]));
    buckets.push({
      fromNs: beforeNs,
      toNs: lastNs,
      ok: rate('ok'),
      fail: rate('fail'),
      info: rate('info'),
      p50: p50[Math.floor(p50.length / 2)] ?? null,
      p99: p99.length === 0 ? null : Math.max(...p99),
    });
  }
  return buckets;
}

type Drawn = { readonly svg: string; readonly height: number };

function drawThroughput(buckets: readonly Bucket[], x: (ns: number) => number, y: number): Drawn {
  const most = niceCeiling(Math.max(1, ...buckets.map(({ ok, fail, info }) => ok + fail + info)));
  const scale = (value: number): number => (value / most) * PANEL;
  const bars = buckets.flatMap((bucket) => {
    const [from, width] = [x(bucket.fromNs), Math.max(0.6, x(bucket.toNs) - x(bucket.fromNs) - 0.3)];
    let base = y + PANEL;
    return (['ok', 'info', 'fail'] as const).flatMap((name) => {
      const height = scale(bucket[name]);
      base -= height;
      if (height === 0) return [];
      return [`<rect class="${name}" x="${px(from)}" y="${px(base)}" width="${px(width)}" height="${px(height)}"/>`];
    });
  });
  const ticks = [0, most / 2, most].map((value) => tick(y + PANEL - scale(value), String(value)));
  return { svg: [...ticks, heading(y, 'operations', 'a second'), ...bars].join('\n'), height: PANEL };
}

function drawLatency(buckets: readonly Bucket[], x: (ns: number) => number, y: number): Drawn {
  const values = buckets.flatMap(({ p50, p99 }) =>
    [p50, p99].filter((value) => value !== null && value > 0),
  ) as number[];
  const low = Math.floor(Math.log10(values.reduce((least, value) => Math.min(least, value), 1)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(values.reduce((most, value) => Math.max(most, value), 10))));
  const scale = (value: number): number =>
    y + PANEL - ((Math.log10(Math.max(value, 10 ** low)) - low) / (high - low)) * PANEL;
  const ticks = Array.from({ length: high - low + 1 }, (_, at) => {
    const value = 10 ** (low + at);
    return tick(scale(value), value >= 1_000 ? `${value / 1_000} s` : `${Number(value.toPrecision(1))} ms`);
  });
  const line = (name: 'p50' | 'p99'): string => {
    let isOpen = false;
    const path = buckets.map((bucket) => {
      const value = bucket[name];
      if (value === null) {
        isOpen = false;
        return '';
      }
      const point = `${px((x(bucket.fromNs) + x(bucket.toNs)) / 2)} ${px(scale(value))}`;
      const step = isOpen ? `L${point}` : `M${point}h0.01`;
      isOpen = true;
      return step;
    });
    return `<path class="line ${name}" d="${path.join('')}"/>`;
  };
  return { svg: [...ticks, heading(y, 'latency', 'of ok'), line('p99'), line('p50')].join('\n'), height: PANEL };
}

function drawLeaders(samples: readonly Sample[], x: (ns: number) => number, y: number, to: number): Drawn {
  const leaders = [...new Set(samples.flatMap(({ leader }) => leader ?? []))].sort();
  const rows = Math.max(1, leaders.length);
  const parts = [heading(y - 4, 'leader', 'and term')];
  for (const [row, leader] of leaders.entries()) {
    const middle = y + row * LEADER_ROW + LEADER_ROW / 2;
    parts.push(`<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${px(middle)}" y2="${px(middle)}"/>`);
    parts.push(
      `<text class="small" x="${LEFT - 8}" y="${px(middle + 3.5)}" text-anchor="end">${escapeHtml(leader)}</text>`,
    );
  }
  for (const { leader, term, fromNs, toNs } of reigns(samples, to)) {
    const top = y + leaders.indexOf(leader) * LEADER_ROW + 3;
    const width = Math.max(1.5, x(toNs) - x(fromNs) - 0.5);
    const text = String(term);
    parts.push(
      `<g class="reign"><title>${escapeHtml(`${leader} leads term ${term}, ${duration((toNs - fromNs) / 1e6)}`)}</title>` +
        `<rect x="${px(x(fromNs))}" y="${top}" width="${px(width)}" height="${LEADER_ROW - 6}" rx="2"/>` +
        (text.length * CHARACTER + 6 <= width
          ? `<text class="small" x="${px(x(fromNs) + 3)}" y="${top + 9.5}">${text}</text>`
          : '') +
        '</g>',
    );
  }
  return { svg: parts.join('\n'), height: rows * LEADER_ROW };
}

interface Reign {
  readonly leader: string;
  readonly term: number;
  readonly fromNs: number;
  readonly toNs: number;
}

/** Runs of samples with the same leader and term. */
function reigns(samples: readonly Sample[], to: number): readonly Reign[] {
  const all: Reign[] = [];
  for (const [at, { leader, term, time }] of samples.entries()) {
    if (leader === null) continue;
    const last = all.at(-1);
    const toNs = samples[at + 1]?.time ?? to;
    if (last !== undefined && last.leader === leader && last.term === term && last.toNs === time)
      all[all.length - 1] = { ...last, toNs };
    else all.push({ leader, term, fromNs: time, toNs });
  }
  return all;
}

function heading(y: number, first: string, second: string): string {
  return `<text class="label" x="0" y="${px(y + 12)}">${first}</text><text class="small muted" x="0" y="${px(y + 26)}">${second}</text>`;
}

function tick(y: number, text: string): string {
  return (
    `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${px(y)}" y2="${px(y)}"/>` +
    `<text class="small muted" x="${LEFT - 8}" y="${px(y + 3.5)}" text-anchor="end">${text}</text>`
  );
}

const STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400];
const TICKS_MAX = 12;

function timeAxis(x: (ns: number) => number, to: number, y: number): string {
  const seconds = to / 1e9;
  const step = STEPS_S.find((one) => seconds / one <= TICKS_MAX) ?? 28_800;
  const ticks: string[] = [];
  for (let at = 0; at <= seconds; at += step) {
    const text = `${Math.floor(at / 60)}:${String(at % 60).padStart(2, '0')}`;
    ticks.push(`<text class="small muted" x="${px(x(at * 1e9))}" y="${y + 20}" text-anchor="middle">${text}</text>`);
  }
  return ticks.join('\n');
}

/** The next number at the top of a scale that is round, and whose half is. */
function niceCeiling(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  const factor = [1, 1.6, 2, 3, 4, 6, 8, 10].find((one) => one * power >= value) ?? 10;
  return factor * power;
}
