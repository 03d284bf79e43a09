/** What is known of figures: their units, which way is better, and the targets. And what becomes of samples. */
import { summary } from './stats.mjs';

/** By the end of a figure's name. */
const UNITS = {
  rate: 'ok/s',
  mean: 'ms mean',
  p50: 'ms p50',
  p99: 'ms p99',
  ms: 'ms',
  us: 'µs CPU',
  bytes: 'bytes allocated',
  s: 's',
  mib: 'MiB',
  cpu: 'CPU ms of the members per 1,000',
  ratio: 'ratio',
};

export function unitOf(figure) {
  const unit = UNITS[figure.slice(figure.lastIndexOf('_') + 1)];
  if (unit === undefined) throw new Error(`the name of ${figure} does not say its unit`);
  return unit;
}

/**
 * Against the peer: ratio of the medians, or of the worst samples. `of`: ratio to another figure of the same system. Neither: the value.
 * @type {readonly { figure: string, peer?: 'median' | 'worst', of?: string, min?: number, max?: number }[]}
 */
export const TARGETS = [
  { figure: 'unary_write_1x1_mean', peer: 'median', max: 0.8 },
  { figure: 'unary_write_1x64_rate', peer: 'median', min: 1.5 },
  { figure: 'unary_write_8x32_rate', peer: 'median', min: 1.5 },
  { figure: 'unary_write_16x64_rate', peer: 'median', min: 1.2 },
  { figure: 'unary_write_8x32_p99', peer: 'median', max: 0.7 },
  { figure: 'stream_write_rate', peer: 'median', min: 8 },
  { figure: 'read_8x32_rate', peer: 'median', min: 1.8 },
  { figure: 'failover_kill_ms', peer: 'median', max: 0.25 },
  { figure: 'failover_kill_ms', peer: 'worst', max: 0.5 },
  { figure: 'memory_rest_mib', max: 120 },
  { figure: 'memory_1m_commands_mib', peer: 'median', max: 1.5 },
  { figure: 'amplification_1k_ratio', max: 2.2 },
  { figure: 'restart_1m_s', max: 5 },
  { figure: 'growth_rows_1000000_cpu', of: 'growth_rows_1000_cpu', max: 1.15 },
];

/** Samples by system and figure, in the order in which they came. */
export class Samples {
  #values = new Map();

  add(system, figure, value) {
    if (!Number.isFinite(value)) throw new Error(`${system}: ${figure} is ${value}`);
    unitOf(figure);
    const systems = this.#values.get(figure) ?? new Map();
    systems.set(system, [...(systems.get(system) ?? []), value]);
    this.#values.set(figure, systems);
  }

  get figures() {
    return [...this.#values.keys()];
  }

  /** null: not measured. */
  of(system, figure) {
    const samples = this.#values.get(figure)?.get(system);
    return samples === undefined ? null : { ...summary(samples), samples };
  }
}

/** What the target is held against; null where something for it was not measured. */
function measured({ figure, peer, of }, samples, [own, other]) {
  const value = samples.of(own, figure);
  if (value === null) return null;
  if (peer !== undefined) {
    const beside = samples.of(other, figure);
    if (beside === null) return null;
    return peer === 'worst' ? value.max / beside.max : value.median / beside.median;
  }
  if (of === undefined) return value.median;
  const base = samples.of(own, of);
  return base === null ? null : value.median / base.median;
}

function wording({ peer, of, min, max }) {
  const bound = min === undefined ? `≤ ${max}` : `≥ ${min}`;
  if (peer === 'median') return `${bound} × peer`;
  if (peer === 'worst') return `worst ${bound} × peer`;
  return of === undefined ? bound : `${bound} × ${of}`;
}

/**
 * A row for each figure, and one more for each further target of it.
 * @param {readonly string[]} systems the first is judged, the second is the peer
 */
export function rowsOf(samples, systems) {
  return samples.figures.flatMap((figure) => {
    const values = systems.map((system) => samples.of(system, figure));
    const [own, other] = values;
    const ratio = own !== null && other != null ? own.median / other.median : null;
    const base = { figure, unit: unitOf(figure), values, ratio };
    const targets = TARGETS.filter((target) => target.figure === figure);
    if (targets.length === 0) return [{ ...base, target: null, reached: null, met: null }];
    return targets.map((target) => {
      const reached = measured(target, samples, systems);
      const met = reached === null ? null : reached >= (target.min ?? 0) && reached <= (target.max ?? Infinity);
      return { ...base, target: wording(target), reached, met };
    });
  });
}
