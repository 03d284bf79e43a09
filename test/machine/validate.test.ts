import { describe, expect, it } from 'vitest';
import type { Command, CommandBody, PhaseRef, VectorClock } from '../../src/machine/types.ts';
import {
  ABORT_REASON_LENGTH_MAX,
  CHECKPOINT_LENGTH_MAX,
  CLUSTER_TIME_MAX_MS,
  NOTE_LENGTH_MAX,
  PHASE_DURATION_MAX_MS,
  PHASE_RESULT_LENGTH_MAX,
  PLAN_PHASES_MAX,
  SESSION_TTL_MAX_MS,
  SESSION_TTL_MIN_MS,
  SUB_STEP_ID_LENGTH_MAX,
  SUB_STEP_RESULT_LENGTH_MAX,
  SUB_STEPS_PER_REPORT_MAX,
} from '../../src/types/limits.ts';
import { abortBody, at, Bench, beginBody, commitBody, progressBody, ref, session } from './kit.ts';

const TOKEN = 2;
const LONE = 'a\ud800b';
const BIG = 2 ** 53;
/** Not a whole number from 0 on. */
const BAD_NUMBERS = [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, BIG];
const BAD_NAMES = ['', ' ', 'a b', 'a\u0000', 'ä', '😀', 'a!', 'x'.repeat(129), LONE, 'a\n'];

function withRun(): Bench {
  const bench = new Bench();
  bench.createLoop();
  expect(bench.begin('ANALYZE').token).toBe(TOKEN);
  return bench;
}

type Case = readonly [what: string, body: CommandBody];

const plan = (name: string, phases: readonly { name: string; priorMs: number; slaMs: number }[]): CommandBody => ({
  kind: 'registerPlan',
  plan: name,
  phases,
});
const phase = (name: string, priorMs = 1_000, slaMs = 0) => ({ name, priorMs, slaMs });
const phases = (count: number) => Array.from({ length: count }, (_, i) => phase(`P${i}`));
const begin = (where: Partial<PhaseRef>): CommandBody => ({
  ...beginBody('ANALYZE'),
  ref: { ...ref('ANALYZE'), ...where },
});
const clocked = (vectorClock: VectorClock): CommandBody => ({ ...beginBody('ANALYZE', { supersede: 1 }), vectorClock });
const progress = (more: Parameters<typeof progressBody>[2]): CommandBody => progressBody('ANALYZE', TOKEN, more);

const REFUSED: readonly Case[] = [
  ...[...BAD_NUMBERS, 1, SESSION_TTL_MIN_MS - 1, SESSION_TTL_MAX_MS + 1].map(
    (ttlMs): Case => [`ttl ${ttlMs}`, { kind: 'openSession', ttlMs }],
  ),
  ...BAD_NAMES.map((name): Case => [`plan name ${JSON.stringify(name)}`, plan(name, phases(1))]),
  ...BAD_NAMES.map((name): Case => [`phase name ${JSON.stringify(name)}`, plan('p', [phase(name)])]),
  ...BAD_NAMES.map((name): Case => [`loop name ${JSON.stringify(name)}`, { kind: 'createLoop', loop: name, plan: '' }]),
  ...BAD_NAMES.slice(1).map((name): Case => [`plan of loop ${name}`, { kind: 'createLoop', loop: 'l', plan: name }]),
  ['no phases', plan('p', [])],
  ['too many phases', plan('p', phases(PLAN_PHASES_MAX + 1))],
  ['a phase twice', plan('p', [phase('A'), phase('B'), phase('A')])],
  ...[...BAD_NUMBERS, 0, PHASE_DURATION_MAX_MS + 1].map((n): Case => [`prior ${n}`, plan('p', [phase('A', n)])]),
  ...[...BAD_NUMBERS, PHASE_DURATION_MAX_MS + 1].map((n): Case => [`sla ${n}`, plan('p', [phase('A', 1, n)])]),
  ...BAD_NAMES.map((loop): Case => [`ref.loop ${JSON.stringify(loop)}`, begin({ loop })]),
  ...BAD_NAMES.map((name): Case => [`ref.phase ${JSON.stringify(name)}`, begin({ phase: name })]),
  ...[...BAD_NUMBERS, 0].map((g): Case => [`ref.g ${g}`, begin({ g })]),
  ...BAD_NUMBERS.map((n): Case => [`supersede ${n}`, beginBody('ANALYZE', { supersede: n })]),
  ...[...BAD_NUMBERS, 0].flatMap((n): Case[] => [
    [`commit token ${n}`, commitBody('ANALYZE', n)],
    [`abort token ${n}`, abortBody('ANALYZE', n, false)],
    [`progress token ${n}`, progressBody('ANALYZE', n)],
  ]),
  ['result too long', { ...commitBody('ANALYZE', TOKEN), result: 'x'.repeat(PHASE_RESULT_LENGTH_MAX + 1) }],
  ['result not Unicode', { ...commitBody('ANALYZE', TOKEN), result: LONE }],
  ['reason too long', { ...abortBody('ANALYZE', TOKEN, true), reason: 'x'.repeat(ABORT_REASON_LENGTH_MAX + 1) }],
  ['reason not Unicode', { ...abortBody('ANALYZE', TOKEN, true), reason: '\udc00' }],
  ...BAD_NUMBERS.map((total): Case => [`total ${total}`, progress({ total })]),
  ...BAD_NUMBERS.map((completed): Case => [`completed ${completed}`, progress({ completed, total: 10 })]),
  ['completed above total', progress({ completed: 11, total: 10 })],
  ['completed without total', progress({ completed: 1, total: 0 })],
  ['note too long', progress({ note: 'x'.repeat(NOTE_LENGTH_MAX + 1) })],
  ['note not Unicode', progress({ note: LONE })],
  ['checkpoint too long', progress({ checkpoint: 'x'.repeat(CHECKPOINT_LENGTH_MAX + 1) })],
  ['checkpoint not Unicode', progress({ checkpoint: LONE })],
  ['sub-step without id', progress({ subSteps: [{ id: '', result: '' }] })],
  ['sub-step id too long', progress({ subSteps: [{ id: 'x'.repeat(SUB_STEP_ID_LENGTH_MAX + 1), result: '' }] })],
  ['sub-step id not Unicode', progress({ subSteps: [{ id: LONE, result: '' }] })],
  [
    'sub-step result too long',
    progress({ subSteps: [{ id: 'a', result: 'x'.repeat(SUB_STEP_RESULT_LENGTH_MAX + 1) }] }),
  ],
  ['sub-step result not Unicode', progress({ subSteps: [{ id: 'a', result: LONE }] })],
  [
    'too many sub-steps',
    progress({
      subSteps: Array.from({ length: SUB_STEPS_PER_REPORT_MAX + 1 }, (_, i) => ({ id: `${i}`, result: '' })),
    }),
  ],
  ['clock node empty', clocked([['', 1]])],
  ['clock node too long', clocked([['x'.repeat(129), 1]])],
  ['clock node not Unicode', clocked([[LONE, 1]])],
  [
    'clock node twice',
    clocked([
      ['b', 1],
      ['a', 1],
      ['b', 2],
    ]),
  ],
  ...[...BAD_NUMBERS, 0, Number.MAX_SAFE_INTEGER].map((n): Case => [`clock counter ${n}`, clocked([['a', n]])]),
];

describe('INVALID_ARGUMENT', () => {
  it.each(REFUSED)('%s', (_, body) => {
    const bench = withRun();
    bench.machine.takeChanges();
    const rejection = bench.rejected(body);
    expect(rejection.reason).toBe('INVALID_ARGUMENT');
    expect(rejection.details.field).toMatch(/^[a-zA-Z.]+$/);
    expect(bench.changedRows()).toEqual([]);
  });

  it('everything at its bound is fine', () => {
    const bench = withRun();
    bench.done('sessionOpened', { kind: 'openSession', ttlMs: SESSION_TTL_MIN_MS });
    bench.done('sessionOpened', { kind: 'openSession', ttlMs: SESSION_TTL_MAX_MS });
    bench.done('planRegistered', plan('A.z_0-/'.padEnd(128, 'x'), phases(PLAN_PHASES_MAX)));
    bench.done('planRegistered', plan('q', [phase('A', PHASE_DURATION_MAX_MS, PHASE_DURATION_MAX_MS)]));
    const subSteps = Array.from({ length: SUB_STEPS_PER_REPORT_MAX }, (_, i) => ({
      id: `${i}`.padEnd(SUB_STEP_ID_LENGTH_MAX, 'ü'),
      result: 'ü'.repeat(SUB_STEP_RESULT_LENGTH_MAX),
    }));
    const most = { completed: Number.MAX_SAFE_INTEGER, total: Number.MAX_SAFE_INTEGER };
    const texts = { note: 'ü'.repeat(NOTE_LENGTH_MAX), checkpoint: '\u0000'.repeat(CHECKPOINT_LENGTH_MAX) };
    expect(bench.done('progressReported', progress({ ...most, ...texts, subSteps })).subStepsRecorded).toBe(1_000);
    bench.done('phaseCommitted', { ...commitBody('ANALYZE', TOKEN), result: '😀'.repeat(PHASE_RESULT_LENGTH_MAX / 2) });
  });
});

describe('what every command carries', () => {
  const command = (more: Partial<Command>): Command => ({
    timeMs: at(2_000_000),
    session: null,
    caller: '',
    traceId: '',
    body: { kind: 'createLoop', loop: 'l', plan: '' },
    ...more,
  });
  const cases: readonly (readonly [string, Partial<Command>])[] = [
    ...[...BAD_NUMBERS, CLUSTER_TIME_MAX_MS + 1].map((n) => [`time ${n}`, { timeMs: at(n) }] as const),
    ['caller too long', { caller: 'x'.repeat(129) }],
    ['caller not Unicode', { caller: LONE }],
    ['trace id too long', { traceId: 'x'.repeat(129) }],
    ['trace id not Unicode', { traceId: LONE }],
    ...[...BAD_NUMBERS, 0].map((n) => [`session ${n}`, { session: session(n, 1) }] as const),
    ...[...BAD_NUMBERS, 0].map((n) => [`sequence ${n}`, { session: session(1, n) }] as const),
    ...BAD_NUMBERS.map((n) => [`acked ${n}`, { session: session(1, 1, n) }] as const),
    ['keep alive without session', { body: { kind: 'keepAliveSession' } }],
    ['close without session', { body: { kind: 'closeSession' } }],
  ];
  it.each(cases)('%s: refused, and not even the time goes on', (_, more) => {
    const bench = new Bench();
    bench.openSession();
    bench.machine.takeChanges();
    const { result, replayed } = bench.entry(command(more));
    expect(result).toMatchObject({ ok: false, revision: 2, rejection: { reason: 'INVALID_ARGUMENT' } });
    expect(replayed).toBe(false);
    expect(bench.changedRows()).toEqual([]);
    expect(bench.machine.timeMs).toBe(1_000_000);
  });

  it('the latest time is fine, sessions and timers included', () => {
    const bench = new Bench();
    const id = bench.done(
      'sessionOpened',
      { kind: 'openSession', ttlMs: SESSION_TTL_MAX_MS },
      { timeMs: CLUSTER_TIME_MAX_MS },
    );
    expect(bench.machine.nextTimerMs()).toBe(CLUSTER_TIME_MAX_MS + SESSION_TTL_MAX_MS);
    bench.done(
      'sessionKept',
      { kind: 'keepAliveSession' },
      { session: session(id.sessionId, Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER - 1) },
    );
  });

  it('openSession does not look at the session that it may carry', () => {
    const bench = new Bench();
    const given = { session: session(0, 0) };
    expect(bench.done('sessionOpened', { kind: 'openSession', ttlMs: 0 }, given).sessionId).toBe(1);
  });
});
