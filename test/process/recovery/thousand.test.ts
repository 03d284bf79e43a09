/**
 * Issue 4, done when 12: the runs of many loops are interrupted at once, since the one agent that works on all of them falls silent.
 * They recover side by side, and the cluster goes on writing. 200 loops; QUORATE_RECOVERY_LOOPS=1000 for the figures of bench/.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type PhaseRef, QuorateClient, type Recovery } from '../../../src/client/client.ts';
import { SteadyLoad } from '../steady-load.ts';
import { waitFor } from '../wait.ts';
import { RecoveryKit } from './kit.ts';

const LOOPS = Number(process.env.QUORATE_RECOVERY_LOOPS ?? 200);
const EFFECTS = 3;
/** Set-up calls under way at a time. */
const CALLERS = 64;
/** The side load: closed loops, one write under way each. */
const WRITERS = 8;
const CALM_MS = 5_000;
/** An hour: only silence interrupts these runs. */
const PRIOR_MS = 3_600_000;
const AGENT = 'the-one-agent';

let kit: RecoveryKit;
let agent: QuorateClient;
beforeAll(async () => {
  kit = await RecoveryKit.start('thousand');
  agent = await QuorateClient.connect({ endpoints: kit.cluster.endpoints, caller: AGENT, deadlineMs: 30_000 });
}, 60_000);
afterAll(async () => {
  await agent?.close();
  await kit?.stop();
});

/** A run with effects, the last of which is not confirmed. */
async function begin(loop: string): Promise<PhaseRef> {
  const ref = { loop, g: 1, phase: 'WORK' };
  const { withoutSession } = agent;
  await withoutSession.createLoop(loop, { plan: 'wide' });
  const { token } = await withoutSession.beginPhase(ref, { traceId: loop });
  for (let i = 1; i <= EFFECTS; i++) {
    const key = `${loop}-${i}`;
    await withoutSession.ledger.intent(ref, token, { key, compensator: kit.compensator });
    await kit.post(key);
    if (i < EFFECTS) await withoutSession.ledger.confirm(ref, token, key);
  }
  return ref;
}

async function beginAll(): Promise<readonly PhaseRef[]> {
  const refs: PhaseRef[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < LOOPS) refs.push(await begin(`wide-${String(next++).padStart(4, '0')}`));
  };
  await Promise.all(Array.from({ length: CALLERS }, worker));
  return refs;
}

async function recoveries(): Promise<readonly Recovery[]> {
  const found: Recovery[] = [];
  for await (const one of kit.client.recoveries.list()) if (one.ref.phase === 'WORK') found.push(one);
  return found;
}

async function isAgentKnown(): Promise<boolean> {
  for await (const { name, healthy } of kit.client.recoveries.agents()) if (name === AGENT && healthy) return true;
  return false;
}

/** Resolves when as many recoveries have ended as there are loops; by their events, so that waiting costs nobody anything. */
async function allEnded(fromRevision: number, signal: AbortSignal): Promise<void> {
  const ended = new Set<string>();
  for await (const { kind, loop } of kit.client.watch({ fromRevision, signal })) {
    if (kind !== 'phase_recovery.finished') continue;
    ended.add(loop);
    if (ended.size === LOOPS) return;
  }
}

it(`${LOOPS} loops that are interrupted at once recover side by side, and writes go on`, async () => {
  await kit.session.registerPlan({ name: 'wide', phases: [{ name: 'WORK', priorMs: PRIOR_MS, slaMs: 0 }] });
  const startedMs = performance.now();
  const refs = await beginAll();
  console.log(`thousand: ${LOOPS} runs begun in ${Math.round(performance.now() - startedMs)} ms`);
  expect(kit.provider.things).toHaveLength(LOOPS * EFFECTS);
  const last = refs.at(-1);
  if (last === undefined) throw new Error('there are runs');
  const { changedRevision } = (await kit.client.getPhaseRun(last)).run;

  const load = await SteadyLoad.start(kit.cluster.endpoints, WRITERS);
  const signal = AbortSignal.timeout(300_000);
  const ended = allEnded(changedRevision, signal);
  const stopBeating = agent.heartbeats.add(AGENT);
  await waitFor(isAgentKnown, 30_000, 'the agent is known');
  load.takeLatencyMs(0.99);
  const calmCount = load.count;
  const calmMs = performance.now();
  await waitFor(() => Promise.resolve(performance.now() - calmMs > CALM_MS), 60_000, 'the load was measured');
  const before = {
    p99Ms: load.takeLatencyMs(0.99),
    perSecond: ((load.count - calmCount) * 1_000) / (performance.now() - calmMs),
  };

  stopBeating();
  await waitFor(async () => (await recoveries()).length > 0, 30_000, 'the agent is found to be down');
  load.takeLatencyMs(0.99);
  const stormCount = load.count;
  const stormMs = performance.now();
  await ended;
  const during = {
    p99Ms: load.takeLatencyMs(0.99),
    perSecond: ((load.count - stormCount) * 1_000) / (performance.now() - stormMs),
  };
  await load.close();

  const all = await recoveries();
  const firstMs = Math.min(...all.map(({ detectedAtMs }) => detectedAtMs));
  const lastMs = Math.max(...all.map(({ finishedAtMs }) => finishedAtMs ?? Number.NaN));
  const begunMs = Math.max(...all.map(({ detectedAtMs }) => detectedAtMs));
  const spentMs = all.reduce((sum, one) => sum + (one.finishedAtMs ?? Number.NaN) - one.detectedAtMs, 0);
  const figures = [
    `all interrupted within ${begunMs - firstMs} ms`,
    `last CLEAN_EXIT ${lastMs - firstMs} ms after the first interruption`,
    `${(spentMs / (lastMs - firstMs)).toFixed(0)} under way on average`,
    `write p99 ${before.p99Ms.toFixed(1)} ms before (${before.perSecond.toFixed(0)}/s), ${during.p99Ms.toFixed(1)} ms meanwhile (${during.perSecond.toFixed(0)}/s)`,
  ];
  console.log(`thousand: ${LOOPS} loops, ${EFFECTS} effects each: ${figures.join('; ')}`);

  expect(load.failures).toEqual([]);
  expect(all.map(({ result }) => result)).toEqual(Array.from({ length: LOOPS }, () => 'ROLLED_BACK'));
  expect(new Set(all.map(({ cause }) => cause))).toEqual(new Set(['AGENT_DOWN']));
  // One after the other they would take as long as all of them together.
  expect(spentMs / (lastMs - firstMs)).toBeGreaterThan(8);
  expect(during.perSecond).toBeGreaterThan(0);
  expect(kit.provider.things).toEqual([]);
  const order = new Map<string, string[]>();
  for (const key of kit.unmade()) {
    const loop = key.slice(0, key.lastIndexOf('-'));
    order.set(loop, [...(order.get(loop) ?? []), key.slice(loop.length + 1)]);
  }
  // Each of them once, the newest first.
  expect(order.size).toBe(LOOPS);
  for (const keys of order.values()) expect(keys).toEqual(['3', '2', '1']);
}, 600_000);
