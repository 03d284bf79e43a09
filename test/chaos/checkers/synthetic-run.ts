/** A run folder as the runner writes it, made up: for tests of the report, and to look at it. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Operation } from '../../../jepsen-style/checkers/operation.ts';
import { Dice, draw, growingThing, op, registerThing } from './support.ts';

export interface Synthetic {
  readonly seconds: number;
  readonly faults: number;
  /** A stale read, a lost element, a token given to two. */
  readonly spoiled: boolean;
}

const NAMES = [
  ...[
    'partition-halves',
    'partition-one',
    'partition-bridge',
    'kill-leader',
    'kill-minority',
    'pause-one',
    'link-lossy',
  ],
  ...['clock-jump', 'disk-full', 'power-all', 'churn', 'rolling-restart'],
];

export function writeSyntheticRun(dir: string, { seconds, faults, spoiled }: Synthetic): void {
  mkdirSync(join(dir, 'members'), { recursive: true });
  const dice = new Dice(11);
  writeHistories(dir, dice, spoiled);
  const lines = (file: string, all: readonly object[]): void =>
    writeFileSync(join(dir, file), all.map((one) => `${JSON.stringify(one)}\n`).join(''));
  const nemesis = Array.from({ length: faults }, (_, at) => {
    const start = ((at + 0.3 + dice.next() * 0.3) / faults) * seconds * 1e9;
    const name = dice.pick(NAMES);
    const event = (what: string, time: number): object => ({
      ...{
        time: Math.round(time),
        process: 'nemesis',
        type: 'info',
        f: `${name}-${what}`,
        workload: 'nemesis',
        key: null,
      },
      value: { targets: [dice.below(5)], leader: 1 },
    });
    return [event('start', start), event('stop', start + (0.5 + dice.next()) * (seconds / faults) * 1e9)];
  }).flat() as { time: number }[];
  nemesis.sort((a, b) => a.time - b.time);
  lines(
    'nemesis.ndjson',
    nemesis.map((event, index) => ({ index, ...event })),
  );
  lines('samples.ndjson', samplesOf(dice, seconds, nemesis));
  for (let slot = 0; slot < 5; slot += 1)
    writeFileSync(join(dir, 'members', `m${slot}.log`), `member ${slot}\n`.repeat(50));
  writeFileSync(join(dir, 'schedule.json'), '[]\n');
  writeFileSync(join(dir, 'run.json'), JSON.stringify(runOf(seconds, faults, spoiled)));
}

function writeHistories(dir: string, dice: Dice, spoiled: boolean): void {
  const stale = [
    op({ by: 90, f: 'cas', key: 'r2', value: [null, 'x'], at: [900, 901] }),
    op({ by: 91, f: 'cas', key: 'r2', value: ['x', 'y'], at: [902, 904] }),
    op({ by: 92, f: 'write', key: 'r2', value: 'z', at: [903, 903.5], outcome: 'info' }),
    op({ by: 90, f: 'read', key: 'r2', result: 'x', at: [905, 906] }),
  ];
  const registers = draw(registerThing(['r0', 'r1']), dice, 300, 5);
  writeHistory(dir, 'register', spoiled ? [...registers, ...stale] : registers);
  const set = draw(growingThing('add'), dice, 200, 4);
  const last = (set.at(-1)?.index ?? 0) + 10;
  const lost = op({ by: 50, f: 'read', key: 's', result: [1, 2], at: [last, last + 1] });
  writeHistory(dir, 'set', spoiled ? [...set, lost] : set);
  const acquire = (by: number, token: number, at: readonly [number, number]): Operation =>
    op({ by, f: 'acquire', key: 'lock-0', result: { token }, at });
  const use = op({ by: 1, f: 'use', key: 'lock-0', value: { token: spoiled ? 1 : 2 }, at: [4, 5] });
  writeHistory(dir, 'fencing', [acquire(0, 1, [0, 2]), acquire(1, spoiled ? 1 : 2, [1, 3]), use]);
  writeHistory(dir, 'append', []);
}

function writeHistory(dir: string, workload: string, operations: readonly Operation[]): void {
  const events = operations.flatMap((one) => {
    const shared = { process: one.process, f: one.f, workload, key: one.key };
    const end =
      one.returnedNs === null
        ? []
        : [
            {
              at: one.returnedNs / 1e6,
              type: one.outcome,
              value: one.result,
              ...(one.error === null ? {} : { error: one.error }),
            },
          ];
    return [{ at: one.index, type: 'invoke', value: one.value }, ...end].map((event) => ({ ...shared, ...event }));
  });
  events.sort((a, b) => a.at - b.at);
  const lines = events.map(
    ({ at, ...event }, index) => `${JSON.stringify({ index, time: Math.round(at * 1e8), ...event })}\n`,
  );
  writeFileSync(join(dir, `history-${workload}.ndjson`), lines.join(''));
}

function samplesOf(dice: Dice, seconds: number, nemesis: readonly { time: number }[]): readonly object[] {
  let [term, leader] = [3, 0];
  return Array.from({ length: seconds }, (_, at) => {
    const time = Math.round((at + 1) * 1e9);
    const isHit = nemesis.some((event) => time - event.time >= 0 && time - event.time < 2.5e9);
    if (isHit && dice.chance(0.2)) [term, leader] = [term + 1, dice.below(5)];
    const p50 = (isHit ? 40 : 6) * (0.7 + dice.next());
    const ok = isHit ? dice.below(20) : 90 + dice.below(40);
    const latencyMs = ok === 0 ? null : { p50, p99: p50 * (3 + dice.next() * (isHit ? 60 : 3)), max: p50 * 80 };
    const isAlone = isHit && dice.chance(0.3);
    return {
      time,
      leader: isAlone ? null : `m${leader}`,
      term,
      ok,
      fail: dice.below(isHit ? 30 : 6),
      info: isHit ? dice.below(25) : 0,
      latencyMs,
    };
  });
}

function runOf(seconds: number, faults: number, spoiled: boolean): object {
  return {
    seed: 42,
    startedAt: '2026-01-02T03:04:05.678Z',
    options: {
      seed: 42,
      minutes: seconds / 60,
      members: 5,
      nemeses: NAMES,
      workloads: ['register', 'set', 'fencing'],
      pairs: true,
      loopback: false,
    },
    ground: 'namespaces',
    versions: { quorate: '0.1.0', node: 'v20.20.2' },
    machine: { cpus: 2, cpu: 'A processor <of some kind>', memoryMiB: 7936, kernel: '6.1' },
    tools: { nftables: null, faketime: 'libfaketime is not installed' },
    faults: {
      'partition-halves': { injected: faults, skipped: 0, reasons: [] },
      'clock-jump': { injected: 0, skipped: 3, reasons: ['faketime: libfaketime is not installed'] },
    },
    operations: { register: { ok: 12034, fail: 310, info: 122 }, set: { ok: 4012, fail: 12, info: 44 } },
    serviceLevels: {
      failovers: [
        { nemesis: 'kill-leader', atMs: 12_345, tookMs: 1_870 },
        { nemesis: 'partition-one', atMs: 71_000, tookMs: spoiled ? null : 2_400 },
      ],
      failoverMsMax: spoiled ? null : 2_400,
      failoverMsMedian: 1_870,
      acceptedByTwo: spoiled ? ['fencing lock-0 acquire 1: {"token":1} and {"token":1}'] : [],
      effectsTwice: [],
      met: !spoiled,
    },
    findings: spoiled ? ['83.2 s: m3 ended by itself (exit code 1): <unknown>'] : [],
  };
}
