/** Issue 4, done when 1, 2, 4 and 5: an agent vanishes, and what it left half done is rolled forward or undone, once. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkpointCrc } from '../../../src/client/agent.ts';
import { generateKey, readKey } from '../../../src/signing/ed25519.ts';
import { makeSignature } from '../../../src/signing/file.ts';
import { FIRST_TIMEOUT_MS, POLICY, RecoveryKit } from './kit.ts';

/** From the end of the timeout to the record of it: a tick of the detector, and the way through the log. */
const DETECT_SLACK_MS = 500;

let kit: RecoveryKit;
beforeAll(async () => {
  kit = await RecoveryKit.start('recovery');
}, 60_000);
afterAll(() => kit?.stop());

describe('V1–V3, D1: an agent vanishes', () => {
  it('in the middle of the work: effects are undone newest first, documents are as they were, others keep theirs', async () => {
    const ref = await kit.loop('half');
    const { session, client, provider } = kit;
    const { documents } = session;
    await documents.put('half', 'kept', 'before');
    await documents.put('half', 'shared', 'before');
    await documents.put('half', 'gone', 'before');
    const { token, attempt } = await session.beginPhase(ref);
    const by = { ref, token };
    await documents.put('half', 'kept', 'half done', { expectedVersion: 1, by });
    await documents.put('half', 'new', 'half done', { by });
    await documents.delete('half', 'gone', { expectedVersion: 1, by });
    await documents.put('half', 'shared', 'half done', { expectedVersion: 1, by });
    // Somebody else writes meanwhile: that is not the phase's to undo.
    await documents.put('half', 'shared', 'of somebody else', { expectedVersion: 2 });
    await documents.put('half', 'outside', 'of somebody else');
    const keys = await kit.make(ref, token, 5);
    const keyOfFirst = await client.ledger.keyFor(ref, 'thing');
    expect(keyOfFirst).toBe('1/CONSTRUCT/0/thing');
    await kit.intend(ref, token, 'half-intent');
    await session.reportProgress(ref, token, { total: 6, completed: 5 });

    const { recovery, effects } = await kit.recovery(ref, 'is over', ({ recovery: { result } }) => result !== null);
    expect(recovery).toMatchObject({ result: 'ROLLED_BACK', state: 'CLEAN_EXIT', cause: 'TIMEOUT', attempt });
    const begun = (await client.getPhaseRun(ref)).attempts.at(-1)?.startedAtMs ?? 0;
    const detectedMs = recovery.detectedAtMs - begun;
    expect(detectedMs).toBeGreaterThanOrEqual(FIRST_TIMEOUT_MS);
    expect(detectedMs).toBeLessThanOrEqual(FIRST_TIMEOUT_MS + DETECT_SLACK_MS);
    console.log(`recovery: detected after ${detectedMs} ms, the timeout is ${FIRST_TIMEOUT_MS} ms`);

    expect(kit.unmade()).toEqual(['half-intent', ...[...keys].reverse()]);
    expect(provider.things).toEqual([]);
    expect(effects.map(({ state }) => state)).toEqual(Array.from({ length: 6 }, () => 'COMPENSATED'));
    const contents = await Promise.all(
      ['kept', 'shared', 'gone', 'outside'].map(async (name) => (await client.documents.get('half', name)).content),
    );
    expect(contents).toEqual(['before', 'of somebody else', 'before', 'of somebody else']);
    expect(await kit.reasonOf(client.documents.get('half', 'new'))).toBe('DOCUMENT_NOT_FOUND');

    // The late agent is refused, and the phase may be begun again.
    expect(await kit.reasonOf(session.commitPhase(ref, token))).not.toBe('carried out');
    const again = await session.beginPhase(ref);
    expect(again).toMatchObject({ attempt: attempt + 1, subStepsDone: 0 });
    // What was undone is done anew under a key of its own, and kept; the old keys are over.
    const old = { key: keys[0] ?? '', description: 'thing 1', compensator: kit.compensator };
    expect(await kit.reasonOf(session.ledger.intent(ref, again.token, old))).toBe('EFFECT_SETTLED');
    const key = await client.ledger.keyFor(ref, 'thing');
    expect(key).toBe(`1/CONSTRUCT/${attempt}/thing`);
    const made = await session.ledger.effect(ref, again.token, { ...old, key }, async () => {
      await kit.post(key);
      return key;
    });
    expect(made).toMatchObject({ fresh: true, result: key });
    expect(provider.things).toEqual([key]);
    await session.commitPhase(ref, again.token);
  }, 60_000);

  it('with all done but the commit: it is rolled forward, and no compensator is called', async () => {
    const ref = await kit.loop('forward');
    const { session, client } = kit;
    const { token } = await session.beginPhase(ref);
    await session.documents.put('forward', 'made', 'done', { by: { ref, token } });
    await kit.make(ref, token, 2);
    const subSteps = ['a', 'b', 'c'].map((id) => ({ id, result: 'done' }));
    const checkpoint = 'all three';
    await session.reportProgress(ref, token, {
      total: 3,
      completed: 3,
      subSteps,
      checkpoint,
      checkpointCrc: checkpointCrc(checkpoint),
    });
    const before = kit.unmade().length;
    const { recovery } = await kit.recovery(ref, 'is over', ({ recovery: { result } }) => result !== null);
    expect(recovery).toMatchObject({ result: 'ROLLED_FORWARD', state: 'CLEAN_EXIT' });
    expect(recovery.steps.map(({ step }) => step)).toEqual(['wal_fsync', 'checkpoint_flush', 'vc_merge']);
    expect((await client.getPhaseRun(ref)).run.state).toBe('CLEAN_EXIT');
    expect((await client.documents.get('forward', 'made')).content).toBe('done');
    expect(kit.unmade()).toHaveLength(before);
    // The next phase of the plan is open.
    const validate = { ...ref, phase: 'VALIDATE' };
    await session.commitPhase(validate, (await session.beginPhase(validate)).token);
  }, 60_000);

  it('V4: a checkpoint whose CRC is wrong forces a rollback, although the work looks complete', async () => {
    const ref = await kit.loop('bad-crc');
    const { session } = kit;
    const { token } = await session.beginPhase(ref);
    const keys = await kit.make(ref, token, 1);
    await session.reportProgress(ref, token, {
      total: 1,
      completed: 1,
      subSteps: [{ id: 'a', result: 'done' }],
      checkpoint: 'what arrived',
      checkpointCrc: checkpointCrc('what was sent'),
    });
    const { recovery } = await kit.recovery(ref, 'is over', ({ recovery: { result } }) => result !== null);
    expect(recovery).toMatchObject({ result: 'ROLLED_BACK', state: 'CLEAN_EXIT' });
    expect(recovery.steps.map(({ step }) => step)).not.toContain('vc_merge');
    expect(kit.unmade().slice(-1)).toEqual(keys);
  }, 60_000);
});

describe('V5, V6, L3: the compensator is down', () => {
  it('blocks after its tries, fails hard, lets the next round begin; healed and resumed it ends clean', async () => {
    const ref = await kit.loop('down');
    const { session, client, provider } = kit;
    const { token } = await session.beginPhase(ref, { traceId: 'trace-down' });
    const [key = ''] = await kit.make(ref, token, 1);
    provider.down = true;
    const blocked = await kit.recovery(ref, 'is blocked', ({ recovery: { state } }) => state === 'BLOCKED_COMPENSATOR');
    expect(blocked.recovery.tries).toBe(5);
    expect(
      provider.calls.filter((call) => call.key === key && call.outcome === 'down').map(({ attempt }) => attempt),
    ).toEqual([1, 2, 3, 4, 5]);
    const alerts = async (): Promise<readonly string[]> => {
      const names: string[] = [];
      for await (const alert of client.issues.alerts()) names.push(alert.name);
      return names;
    };
    expect(await alerts()).toContain('sel_compensator_failed');

    const failed = await kit.recovery(ref, 'failed hard', ({ recovery: { state } }) => state === 'HARD_FAILED');
    const blockedMs = (failed.recovery.finishedAtMs ?? 0) - (blocked.recovery.blockedAtMs ?? 0);
    expect(blockedMs).toBeGreaterThanOrEqual(POLICY.blockedMs);
    expect(await alerts()).toContain('compensator_timeout');
    // The run is final: the plan goes on, and with it the barrier opens.
    expect((await client.getPhaseRun(ref)).run.state).toBe('HARD_FAILED');
    const validate = { ...ref, phase: 'VALIDATE' };
    await session.commitPhase(validate, (await session.beginPhase(validate)).token);
    await kit.readyFor('down', 2);
    // Nobody has tried again by himself.
    expect(provider.calls.filter((call) => call.key === key && call.kind === 'unmake')).toHaveLength(5);

    // The hook is healed, and a supervisor says so.
    provider.down = false;
    const { pem, publicKey } = generateKey();
    await session.changeSupervisors({
      changes: [{ name: 'ada', publicKey }],
      expiresAtMs: await kit.soonMs(),
      nonce: kit.nonce(),
      signatures: [],
    });
    const { traceId } = failed.recovery;
    const text = { target: traceId, action: 'resume', expiresAtMs: await kit.soonMs(), nonce: kit.nonce() } as const;
    const { clusterId } = await client.overrides.roster();
    const signed = makeSignature({ kind: 'override', clusterId, ...text }, 'ada', readKey(pem));
    expect(await session.override({ ...text, signatures: [signed] })).toMatchObject({ recoveries: 1 });
    const { recovery } = await kit.recovery(ref, 'ends clean', ({ recovery: { state } }) => state === 'CLEAN_EXIT');
    expect(recovery.result).toBe('ROLLED_BACK');
    expect(kit.unmade().at(-1)).toBe(key);
    // A final run never changes again.
    expect((await client.getPhaseRun(ref)).run.state).toBe('HARD_FAILED');
    const twice = session.override({ ...text, signatures: [signed] });
    expect(await kit.reasonOf(twice)).toBe('OVERRIDE_REPLAYED');
  }, 60_000);
});
