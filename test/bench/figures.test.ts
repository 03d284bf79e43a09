/** What becomes of the samples of a benchmark: medians, ratios, targets. */
import { describe, expect, it } from 'vitest';
import { rowsOf, Samples } from '../../bench/lib/figures.mjs';
import { parseShape, understand } from '../../bench/lib/h2load.mjs';

const SYSTEMS = ['quorate', 'etcd'];

function samplesOf(values: Readonly<Record<string, readonly number[]>>): Samples {
  const samples = new Samples();
  for (const [name, all] of Object.entries(values)) {
    const [system = '', figure = ''] = name.split(' ');
    for (const value of all) samples.add(system, figure, value);
  }
  return samples;
}

describe('figures', () => {
  it('are medians with their spread, and the ratio of the medians', () => {
    const [row] = rowsOf(samplesOf({ 'quorate watch_x_rate': [5, 1, 3], 'etcd watch_x_rate': [2, 4] }), SYSTEMS);
    expect(row?.values).toMatchObject([
      { median: 3, min: 1, max: 5, runs: 3 },
      { median: 3, min: 2, max: 4, runs: 2 },
    ]);
    expect(row).toMatchObject({ unit: 'ok/s', ratio: 1, target: null, met: null });
  });

  it.each([
    ['unary_write_1x1_mean', [0.79], [1], true],
    ['unary_write_1x1_mean', [0.81], [1], false],
    ['stream_write_rate', [8], [1], true],
    ['stream_write_rate', [7.9], [1], false],
    ['restart_1m_s', [5], [1], true],
    ['restart_1m_s', [5.1], [9], false],
  ])('%s of %j beside %j: met is %s', (figure, own, other, met) => {
    const rows = rowsOf(samplesOf({ [`quorate ${figure}`]: own, [`etcd ${figure}`]: other }), SYSTEMS);
    expect(rows.map((row) => row.met)).toEqual([met]);
  });

  it('have a row for each target: the median and the worst', () => {
    const samples = samplesOf({ 'quorate failover_kill_ms': [1, 1, 9], 'etcd failover_kill_ms': [10, 10, 12] });
    const rows = rowsOf(samples, SYSTEMS);
    expect(rows.map(({ reached, met }) => [reached, met])).toEqual([
      [0.1, true],
      [0.75, false],
    ]);
  });

  it('may be held against another figure of the same system', () => {
    const samples = samplesOf({ 'quorate growth_rows_1000_cpu': [100], 'quorate growth_rows_1000000_cpu': [114] });
    expect(rowsOf(samples, SYSTEMS).at(-1)).toMatchObject({ reached: 1.14, met: true });
  });

  it('without a peer leave targets open that need one', () => {
    const [row] = rowsOf(samplesOf({ 'quorate stream_write_rate': [8] }), ['quorate']);
    expect(row).toMatchObject({ ratio: null, target: '≥ 8 × peer', reached: null, met: null });
  });

  it('refuse what is no number, and a name without a unit', () => {
    expect(() => samplesOf({ 'quorate read_x_rate': [Number.NaN] })).toThrow('read_x_rate is NaN');
    expect(() => samplesOf({ 'quorate read_x': [1] })).toThrow('does not say its unit');
  });
});

describe('what h2load prints', () => {
  const output = (failed: number): string =>
    [
      'finished in 500.00ms, 8.00 req/s, 1.00KB/s',
      `requests: 4 total, 4 started, 4 done, ${4 - failed} succeeded, ${failed} failed, 0 errored, 0 timeout`,
      'traffic: 1.00KB (1024) total, 100B (100) headers (space savings 90.00%), 80B (80) data',
    ].join('\n');
  const log = '1700000000000000\t200\t1000\n1700000000000001\t200\t2000\n1700000000000002\t200\t3000\n';

  it('becomes a rate and latencies', () => {
    const wanted = { seconds: 0.5, done: 4, dataBytes: 80, rate: 8, mean: 2, p50: 2, p99: 3 };
    expect(understand(output(0), log)).toEqual(wanted);
  });

  it('is refused when a request failed, and when it is something new', () => {
    expect(() => understand(output(1), log)).toThrow('1 requests failed');
    expect(() => understand('hello', log)).toThrow('something new');
  });

  it('is asked for as connections and streams', () => {
    expect(parseShape('8x32')).toEqual({ text: '8x32', connections: 8, streams: 32 });
    expect(() => parseShape('8x')).toThrow('CONNECTIONSxSTREAMS');
  });
});
