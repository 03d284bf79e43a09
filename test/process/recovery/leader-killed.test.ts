/**
 * Issue 4, done when 3: the leader is killed at every step of a recovery in turn, as the table of transitions lists them. The next
 * one goes on from the record; the outside world sees each key take effect once, in the same order, and refuses what a leader
 * still sends that was paused and has come back.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PhaseRef, WatchEvent } from '../../../src/client/client.ts';
import { STEPS } from '../../../src/machine/recovery/transitions.ts';
import type { DevMember } from '../../../src/server/dev-member.ts';
import { waitFor } from '../wait.ts';
import { RecoveryKit } from './kit.ts';

const EFFECTS = 4;
const WAIT_MS = 30_000;
/** So many that the snapshot is applied in many pieces: there is time to die between the last two steps. */
const DOCUMENTS = 400;
const CALLS_AT_A_TIME = 50;
/** Nothing here is to end by its timeout, however long a busy machine takes to prepare it. */
const PATIENT = { name: 'patient', phases: [{ name: 'CONSTRUCT', priorMs: 3_600_000, slaMs: 0 }] };

let kit: RecoveryKit;
beforeAll(async () => {
  kit = await RecoveryKit.start('leader-killed');
  await kit.session.registerPlan(PATIENT);
}, 60_000);
afterAll(() => kit?.stop());

/** The first event of the run that fits. */
async function event(ref: PhaseRef, from: number, fits: (event: WatchEvent) => boolean): Promise<WatchEvent> {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(new Error('no such event in time')), WAIT_MS);
  try {
    for await (const seen of kit.client.watch({ fromRevision: from, loop: ref.loop, signal: controller.signal })) {
      if (fits(seen)) return seen;
    }
    throw new Error('no such event in time');
  } finally {
    clearTimeout(timer);
    controller.abort();
  }
}

/** Until a member that is marked keeps up again, with too few appends to judge it soon. */
const LAGGING_MS_MAX = 80_000;

/** Of three members with one lagging both voters are needed: whoever kills one waits until the machine has calmed down (A1). */
async function allVote(): Promise<boolean> {
  const answers = await kit.client.status();
  return answers.every((one) => 'status' in one && !one.status.alarms.includes('LAGGING'));
}

async function killLeader(known: DevMember | null = null): Promise<DevMember> {
  const leader = known ?? (await kit.cluster.waitForLeader());
  leader.kill('SIGKILL');
  await leader.exited;
  return leader;
}

/** What became of the keys in the outside world: each undone once, the newest first. */
function expectUndoneOnce(keys: readonly string[]): void {
  const wanted = new Set(keys);
  expect(kit.unmade().filter((key) => wanted.has(key))).toEqual([...keys].reverse());
  expect(kit.provider.things.filter((name) => wanted.has(name))).toEqual([]);
}

/** True when a leader went on with what an older one held the lock of (V4). */
async function wasTakenOver({ loop, g, phase }: PhaseRef): Promise<boolean> {
  for await (const { records } of kit.client.overrides.exportAudit()) {
    for (const { command, subject, outcome } of records) {
      if (command === 'takeOverRecovery' && subject === `${loop} ${g} ${phase}` && outcome === 'OK') return true;
    }
  }
  return false;
}

/** A document that the run makes, and that is not to be there after it. */
async function putDocuments(ref: PhaseRef, token: number): Promise<void> {
  const { documents } = kit.session;
  for (let from = 0; from < DOCUMENTS; from += CALLS_AT_A_TIME) {
    const names = Array.from({ length: CALLS_AT_A_TIME }, (_, i) => `doc-${from + i}`);
    await Promise.all(names.map((name) => documents.put(ref.loop, name, 'half done', { by: { ref, token } })));
  }
}

/** The moments: each state that is entered, and each step that is done, in the order of the table. */
const MOMENTS: readonly (readonly [name: string, fits: (event: WatchEvent) => boolean])[] = [
  ['INTERRUPTED', ({ kind }) => kind === 'phase_recovery.interrupted'],
  ['RECONCILE', ({ kind }) => kind === 'phase_recovery.reconcile'],
  ...STEPS.RECONCILE.map((step) => [`RECONCILE ${step}`, stepDone(step)] as const),
  ['ROLLBACK', ({ kind }) => kind === 'phase_recovery.rollback'],
  ['the first compensation', ({ kind }) => kind === 'effect.compensated'],
  ...STEPS.ROLLBACK.map((step) => [`ROLLBACK ${step}`, stepDone(step)] as const),
];

/** The step itself, or the arc that ends it: a mismatch leaves RECONCILE, and the last step leaves ROLLBACK. */
function stepDone(step: string): (event: WatchEvent) => boolean {
  const last: Readonly<Record<string, string>> = {
    vc_merge: 'phase_recovery.rollback',
    snapshot_apply: 'phase_recovery.finished',
  };
  return ({ kind, outcome }) => (kind === 'phase_recovery.step' && outcome.includes(step)) || kind === last[step];
}

describe('V4, L2: the leader dies at every step', () => {
  it.each(MOMENTS)('%s', { timeout: 180_000 }, async (name, fits) => {
    const loop = `killed-${name.toLowerCase().replaceAll(/[^a-z]+/g, '-')}`;
    const ref = { loop, g: 1, phase: 'CONSTRUCT' };
    const { session, client } = kit;
    await waitFor(allVote, LAGGING_MS_MAX, 'no member lags');
    await session.createLoop(loop, { plan: PATIENT.name });
    const { token, attempt, revision } = await session.beginPhase(ref);
    await putDocuments(ref, token);
    const keys = await kit.make(ref, token, EFFECTS);
    const moment = event(ref, revision, fits);
    const leader = await kit.cluster.waitForLeader();
    const interrupted = session.interruptPhase(ref, attempt);
    const { kind } = await moment;
    const killed = await killLeader(leader);
    const killedMs = Date.now();
    await interrupted;
    const { recovery, effects } = await kit.recovery(ref, 'is over', ({ recovery: { result } }) => result !== null);
    killed.start();
    expect(recovery).toMatchObject({ state: 'CLEAN_EXIT', result: 'ROLLED_BACK' });
    expect(effects.map(({ state }) => state)).toEqual(Array.from({ length: EFFECTS }, () => 'COMPENSATED'));
    expectUndoneOnce(keys);
    expect(await kit.reasonOf(client.documents.get(loop, 'doc-0'))).toBe('DOCUMENT_NOT_FOUND');
    // It died in the middle: somebody else did the rest, with the lock of its own where one was held.
    const isOver = kind === 'phase_recovery.finished';
    expect([name, (recovery.finishedAtMs ?? 0) > killedMs]).toEqual([name, !isOver]);
    if (!isOver && name !== 'INTERRUPTED') expect([name, await wasTakenOver(ref)]).toEqual([name, true]);
    await waitFor(async () => (await client.status()).every((one) => 'status' in one), WAIT_MS, 'all members are back');
  });

  it('a call was under way when it died: the next leader asks again, and the key has had its effect', {
    timeout: 180_000,
  }, async () => {
    const ref = await kit.loop('killed-in-call');
    const { session, provider } = kit;
    const { token, attempt } = await session.beginPhase(ref);
    const keys = await kit.make(ref, token, EFFECTS);
    let release: () => void = () => undefined;
    provider.hold = new Promise((resolve) => {
      release = resolve;
    });
    const arrival = provider.arrival();
    await session.interruptPhase(ref, attempt);
    await arrival;
    const killed = await killLeader();
    // The call is in the outside world, whoever sent it has gone.
    release();
    await kit.recovery(ref, 'is over', ({ recovery: { result } }) => result === 'ROLLED_BACK');
    killed.start();
    expectUndoneOnce(keys);
    const calls = provider.calls.filter(({ kind, key }) => kind === 'unmake' && key === keys.at(-1));
    expect(calls.map(({ outcome }) => outcome)).toEqual(['done', 'again']);
    expect(calls[1]?.token).toBeGreaterThan(calls[0]?.token ?? 0);
  });

  it('a leader is paused in a call, and comes back: what it sent is refused as stale', {
    timeout: 180_000,
  }, async () => {
    const ref = await kit.loop('paused');
    const { session, provider, client } = kit;
    const { token, attempt } = await session.beginPhase(ref);
    const keys = await kit.make(ref, token, 2);
    // Its first call is on the way for as long as it is paused.
    const arrive = provider.holdNext();
    const arrival = provider.arrival();
    await session.interruptPhase(ref, attempt);
    await arrival;
    const leader = await kit.cluster.waitForLeader();
    leader.kill('SIGSTOP');
    try {
      await kit.recovery(ref, 'is over', ({ recovery: { result } }) => result === 'ROLLED_BACK');
      arrive();
      const late = await provider.call(({ outcome }) => outcome === 'stale');
      expect(late).toMatchObject({ key: keys.at(-1) });
    } finally {
      leader.kill('SIGCONT');
    }
    await waitFor(
      async () => {
        const answers = await client.status();
        return answers.every(
          (one) => 'status' in one && ![null, leader.id].includes(one.status.streams[0]?.leaderId ?? null),
        );
      },
      WAIT_MS,
      'the old leader follows',
    );
    expectUndoneOnce(keys);
  });
});
