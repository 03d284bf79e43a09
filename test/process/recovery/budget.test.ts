/**
 * Issue 4, done when 6: what is spent and what swings stops automation with COST_CAP_EXCEEDED; a new budget file changes the verdict
 * while the members run, a broken one is refused and what held before goes on to hold.
 */
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EffectIntent, PhaseRef } from '../../../src/client/client.ts';
import { waitFor } from '../wait.ts';
import { RecoveryKit } from './kit.ts';

const WAIT_MS = 30_000;
/** Nothing here is to end by its timeout. */
const SLOW = { name: 'slow', phases: [{ name: 'CONSTRUCT', priorMs: 3_600_000, slaMs: 0 }] };

let folder: string;
let file: string;
let kit: RecoveryKit;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'quorate-budget-'));
  file = join(folder, 'budget.yaml');
  await write('currency: EUR\ndefault: { limit: 10 }\nregions: { lab: { currency: EUR, limit: 3 } }\n');
  kit = await RecoveryKit.start('budget', ['--budget-file', file]);
  await kit.session.registerPlan(SLOW);
}, 60_000);
afterAll(async () => {
  await kit?.stop();
  await rm(folder, { recursive: true, force: true });
});

/** In one step, as a deployment does it. */
async function write(text: string): Promise<void> {
  await writeFile(`${file}.new`, text);
  await rename(`${file}.new`, file);
}

/** Until the log of each member has one more line that says it. */
async function saidByAll(what: string, change: () => Promise<void>): Promise<void> {
  const said = (): Promise<readonly number[]> =>
    Promise.all(kit.cluster.members.map(async ({ logFile }) => (await readFile(logFile, 'utf8')).split(what).length));
  const before = await said();
  await change();
  await waitFor(async () => (await said()).every((n, i) => n > (before[i] ?? 0)), WAIT_MS, `each member says: ${what}`);
}

interface Run {
  readonly ref: PhaseRef;
  readonly token: number;
  readonly attempt: number;
}

async function begin(loop: string): Promise<Run> {
  await kit.session.createLoop(loop, { plan: 'slow' });
  const ref = { loop, g: 1, phase: 'CONSTRUCT' };
  return { ref, ...(await kit.session.beginPhase(ref, { traceId: `trace-${loop}` })) };
}

/** The reason of a refusal, or `carried out`. */
function intend({ ref, token }: Run, key: string, more: Partial<EffectIntent>): Promise<string> {
  const { compensator } = kit;
  return kit.reasonOf(kit.session.ledger.intent(ref, token, { key: `${ref.loop}-${key}`, compensator, ...more }));
}

const spend = (run: Run, key: string, amount: string): Promise<string> => intend(run, key, { price: { amount } });

async function keysOf(ref: PhaseRef): Promise<readonly string[]> {
  const keys: string[] = [];
  for await (const { key } of kit.client.ledger.list(ref)) keys.push(key);
  return keys;
}

/** Issues and alerts about the trace, each once however often it is refused. */
async function toldOf(run: Run): Promise<{ readonly issues: number; readonly alerts: number }> {
  const numbers = new Set<number>();
  for await (const { kind, traceId, issue } of kit.client.issues.list()) {
    if (kind === 'COST_CAP_EXCEEDED' && traceId === `trace-${run.ref.loop}`) numbers.add(issue);
  }
  let alerts = 0;
  for await (const { name, issue } of kit.client.issues.alerts()) {
    if (name === 'cost_cap_exceeded' && issue !== null && numbers.has(issue)) alerts += 1;
  }
  return { issues: numbers.size, alerts };
}

/** Interrupted, it waits for people; another recovery goes all its way meanwhile, and this one has not moved. */
async function expectWaiting({ ref, attempt }: Run): Promise<void> {
  expect((await kit.session.interruptPhase(ref, attempt)).waiting).toBe(true);
  const other = await begin(`beside-${ref.loop}`);
  await kit.make(other.ref, other.token, 1);
  await kit.session.interruptPhase(other.ref, other.attempt);
  await kit.recovery(other.ref, 'is over', ({ recovery: { result } }) => result === 'ROLLED_BACK');
  const { recovery } = await kit.client.recoveries.get(ref);
  expect(recovery).toMatchObject({ state: 'INTERRUPTED', waiting: 'COST_CAP_EXCEEDED', result: null });
  expect(kit.provider.calls.filter(({ key, kind }) => kind === 'unmake' && key.startsWith(`${ref.loop}-`))).toEqual([]);
  expect((await kit.client.getPhaseRun(ref)).run.state).toBe('FAILED_PARTIAL');
}

describe('L4: the cost breaker', () => {
  it('a trace that would pass its limit is stopped, and a recovery of it waits for people', async () => {
    const run = await begin('cap');
    expect(await spend(run, 'a', '6.50')).toBe('carried out');
    expect(await spend(run, 'b', '3.500001')).toBe('COST_CAP_EXCEEDED');
    expect(await spend(run, 'b', '3.500001')).toBe('COST_CAP_EXCEEDED');
    expect(await keysOf(run.ref)).toEqual(['cap-a']);
    expect(await toldOf(run)).toEqual({ issues: 1, alerts: 1 });
    await expectWaiting(run);
    // Another trace has its own account, and another region its own limit.
    const other = await begin('uncapped');
    expect(await spend(other, 'a', '10')).toBe('carried out');
    const lab = await begin('lab');
    expect(await intend(lab, 'a', { price: { amount: '3.01', region: 'lab' } })).toBe('COST_CAP_EXCEEDED');
  }, 60_000);

  it('a resource that is made and unmade again and again stops it as well', async () => {
    const run = await begin('swing');
    const turn = (n: number): Promise<string> =>
      intend(run, `${n}`, { resource: { name: 'vm-7', operation: n % 2 === 1 ? 'create' : 'delete' } });
    for (const n of [1, 2, 3, 4]) expect(await turn(n)).toBe('carried out');
    expect(await turn(5)).toBe('COST_CAP_EXCEEDED');
    expect(await keysOf(run.ref)).toHaveLength(4);
    expect(await toldOf(run)).toEqual({ issues: 1, alerts: 1 });
    await expectWaiting(run);
  }, 60_000);

  it('a new file changes the verdict without a restart; a broken one is refused, and the old one holds', async () => {
    const pids = kit.cluster.members.map(({ pid }) => pid);
    const run = await begin('reload');
    expect(await spend(run, 'a', '8')).toBe('carried out');
    expect(await spend(run, 'b', '8')).toBe('COST_CAP_EXCEEDED');
    await saidByAll('a new budget holds', () => write('currency: EUR\ndefault: { limit: 20 }\n'));
    expect(await spend(run, 'b', '8')).toBe('carried out');
    for (const broken of ['currency: EUR\ndefault: { limit: a lot }\n', 'default: [', 'currency: EUR\nlimit: 99\n']) {
      await saidByAll('the file cannot be used; what held before goes on to hold', () => write(broken));
      expect(await spend(run, 'c', '8')).toBe('COST_CAP_EXCEEDED');
    }
    const lines = (await readFile(kit.cluster.members[0]?.logFile ?? '', 'utf8')).split('\n');
    expect(lines.filter((line) => line.includes('the file cannot be used'))).toEqual([
      expect.stringMatching(/default\.limit: must be an amount.*it is \\"a lot\\"/),
      expect.stringContaining('not valid YAML'),
      expect.stringContaining('limit'),
    ]);
    // 16 are spent of 20: the old file is what is judged by, not nothing.
    await saidByAll('a new budget holds', () => write('currency: EUR\ndefault: { limit: 24 }\n'));
    expect(await spend(run, 'c', '8')).toBe('carried out');
    expect(await spend(run, 'd', '0.01')).toBe('COST_CAP_EXCEEDED');
    // A smaller one holds for what comes, too.
    await saidByAll('a new budget holds', () => write('currency: EUR\ndefault: { limit: 1 }\n'));
    const late = await begin('late');
    expect(await spend(late, 'a', '1.01')).toBe('COST_CAP_EXCEEDED');
    expect(kit.cluster.members.map(({ pid }) => pid)).toEqual(pids);
  }, 90_000);
});
