import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { defaultBudget } from '../../src/api/default-budget.ts';
import { EffectInDoubtError, EffectNotDoneError, type QuorateClient } from '../../src/client/client.ts';
import type { PhaseRef } from '../../src/client/types.ts';
import { err, ok } from '../../src/types/result.ts';
import { OneMember, refusalOf } from './one-member.ts';

const ref: PhaseRef = { loop: 'loop', g: 1, phase: 'ANALYZE' };
const compensator = { kind: 'http', target: 'http://127.0.0.1:9/undo', payload: 'vm' } as const;

let one: OneMember;
let client: QuorateClient;
let token: number;

async function start(...budget: Parameters<typeof OneMember.start>): Promise<void> {
  one = await OneMember.start(...budget);
  client = await one.connect();
  token = (await client.withoutSession.beginPhase(ref, { traceId: 't' })).token;
}

beforeEach(() => start());
afterEach(() => one.stop());

const ledger = () => client.withoutSession.ledger;

describe('LedgerService (L1)', () => {
  it('records, confirms, withdraws, lists', async () => {
    const price = { amount: '12.50' };
    const resource = { name: 'vm', operation: 'create' } as const;
    const intent = { key: 'vm-1', description: 'a machine', compensator, price, resource };
    expect(await ledger().intent(ref, token, intent)).toMatchObject({
      seq: 1,
      fresh: true,
      state: 'INTENT',
      result: '',
    });
    expect((await ledger().confirm(ref, token, 'vm-1', { result: 'i-1' })).seq).toBe(1);
    await ledger().intent(ref, token, { key: 'vm-2', compensator });
    expect((await ledger().withdraw(ref, token, 'vm-2', { reason: 'no quota' })).seq).toBe(2);
    const effects = [];
    for await (const effect of client.ledger.list(ref)) effects.push(effect);
    expect(effects).toMatchObject([
      {
        ref,
        seq: 1,
        attempt: 1,
        key: 'vm-1',
        description: 'a machine',
        compensator,
        costMicros: '12500000',
        resource: 'vm',
        operation: 'create',
        state: 'CONFIRMED',
        result: 'i-1',
        traceId: 't',
        caller: 'test',
      },
      { seq: 2, state: 'WITHDRAWN', result: 'no quota', costMicros: '0', settledAtMs: one.bench.timeMs },
    ]);
    expect((await refusalOf(ledger().intent(ref, token, { key: 'vm-2', compensator }))).reason).toBe('EFFECT_SETTLED');
    expect((await refusalOf(ledger().confirm(ref, token, 'none'))).reason).toBe('EFFECT_NOT_FOUND');
    expect((await refusalOf(ledger().confirm(ref, token + 1, 'vm-1'))).reason).toBe('STALE_FENCE');
  });

  it('a commit while an effect is open is refused by its key, and an abort says that the effect is undone first', async () => {
    await ledger().intent(ref, token, { key: 'vm-9', compensator });
    await expect(client.withoutSession.commitPhase(ref, token)).rejects.toMatchObject({
      reason: 'EFFECTS_OPEN',
      details: { keys: '["vm-9"]', open: '1' },
    });
    expect(await client.withoutSession.abortPhase(ref, token, { hardFail: true, reason: 'why' })).toMatchObject({
      rollingBack: true,
    });
    expect((await client.getPhaseRun(ref)).run.state).toBe('FAILED_PARTIAL');
    expect((await client.recoveries.get(ref)).recovery).toMatchObject({ cause: 'GIVEN_UP', detail: 'why' });
  });

  it('refuses what is malformed before anything is proposed', async () => {
    one.mutations.length = 0;
    const bad = [
      { key: '', compensator },
      { key: 'k', compensator: { kind: 'mail' as never, target: 'x' } },
      { key: 'k', compensator: { kind: 'http', target: '' } as const },
      { key: 'k', compensator, price: { amount: '-1' } },
      { key: 'k', compensator, price: { amount: '1', currency: 'EUR' } },
      { key: 'k', compensator, resource: { name: 'vm', operation: 'grow' as never } },
    ];
    for (const intent of bad) {
      expect((await refusalOf(ledger().intent(ref, token, intent))).reason, JSON.stringify(intent)).toBe(
        'INVALID_ARGUMENT',
      );
    }
    expect(one.mutations).toEqual([]);
  });
});

describe('the budget (L4)', () => {
  it('without one: 500 units, and a refusal that is on record', async () => {
    await ledger().intent(ref, token, { key: 'a', compensator, price: { amount: '500' } });
    const refused = await refusalOf(ledger().intent(ref, token, { key: 'b', compensator, price: { amount: '0.01' } }));
    expect(refused).toMatchObject({
      reason: 'COST_CAP_EXCEEDED',
      details: { detail: '500 spent, 0.01 wanted, 500 allowed' },
    });
    expect(one.bench.machine.rows.issue.size).toBe(1);
    expect(one.bench.machine.rows.spending.get('trace t')?.capped).toBe('COST');
  });

  it('prices and limits are those of the budget at the time of the call', async () => {
    await one.stop();
    let limit = 10;
    await start({
      price: (region, currency, amount) =>
        region === 'eu' && currency === 'EUR'
          ? ok({ costMicros: String(Number(amount) * 2_000_000), limitMicros: String(limit * 1_000_000) })
          : err('send the region eu and the currency EUR'),
    });
    const price = (amount: string) => ({ region: 'eu', currency: 'EUR', amount });
    await ledger().intent(ref, token, { key: 'a', compensator, price: price('5') });
    const intent = { key: 'b', compensator, price: price('1') };
    expect((await refusalOf(ledger().intent(ref, token, intent))).reason).toBe('COST_CAP_EXCEEDED');
    limit = 12;
    expect((await ledger().intent(ref, token, intent)).fresh).toBe(true);
    const other = { key: 'c', compensator, price: { amount: '1' } };
    expect((await refusalOf(ledger().intent(ref, token, other))).message).toContain('send the region eu');
  });

  it('the default one takes plain decimal amounts', () => {
    const micros = (amount: string) => {
      const priced = defaultBudget.price('', '', amount);
      return priced.ok ? priced.value.costMicros : null;
    };
    expect(['0', '1', '0.000001', '12.5', '007'].map(micros)).toEqual(['0', '1000000', '1', '12500000', '7000000']);
    expect(['', '-1', '1e3', '.5', '1.', '0.0000001', '1,5', ' 1', '9'.repeat(19)].map(micros)).toEqual(
      Array.from({ length: 9 }, () => null),
    );
  });
});

describe('effect(): intent, action, confirmation', () => {
  it('runs the action for a fresh key alone', async () => {
    const session = await client.openSession();
    const ran: string[] = [];
    const make = async (key: string) => {
      ran.push(key);
      return `made ${key}`;
    };
    const intent = { key: 'vm-1', compensator };
    const made = { seq: 1, result: 'made vm-1' };
    expect(await session.ledger.effect(ref, token, intent, make)).toEqual({ ...made, fresh: true });
    expect(await session.ledger.effect(ref, token, intent, make)).toEqual({ ...made, fresh: false });
    expect(ran).toEqual(['vm-1']);
  });

  it('leaves the intent when the action fails, for it may have happened; withdraws when it did not', async () => {
    const session = await client.openSession();
    const state = (seq: number) => one.bench.machine.rows.effect.range('', '\u007f', 10)[seq - 1]?.[1].state;
    const lost = session.ledger.effect(ref, token, { key: 'a', compensator }, () => Promise.reject(new Error('lost')));
    await expect(lost).rejects.toThrow('lost');
    expect(state(1)).toBe('INTENT');
    const doubt = session.ledger.effect(ref, token, { key: 'a', compensator }, async () => 'again');
    await expect(doubt).rejects.toThrow(EffectInDoubtError);
    const refused = session.ledger.effect(ref, token, { key: 'b', compensator }, () =>
      Promise.reject(new EffectNotDoneError('no quota')),
    );
    await expect(refused).rejects.toThrow('no quota');
    expect(state(2)).toBe('WITHDRAWN');
  });
});
