/** `quorate availability` and `quorate permit-async`. */
import { status as Code } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FakeMember, message, refusal } from '../client/fake-member.ts';
import { cli } from './run-cli.ts';

let member: FakeMember;

beforeEach(async () => {
  member = await FakeMember.start();
  member.leads(member.address);
});

afterEach(() => member.crash());

const ask = (...args: string[]) => cli([...args, '--endpoints', member.address]);

describe('quorate availability', () => {
  test('says so when all are well', async () => {
    member.script('getAvailability', message({ members: [], timeMs: 5n }));
    expect(await ask('availability')).toMatchObject({ code: 0, stdout: 'all members are well\n' });
  });

  test('shows who is slow, who may acknowledge early, and who is to be evicted', async () => {
    const at = BigInt(Date.parse('2026-11-22T10:00:00Z'));
    const members = [
      { memberId: 'b', role: 'learner', lagging: true },
      { memberId: 'c', role: 'voter', asyncUntilMs: at },
      { memberId: 'd', role: 'voter', isolatedAtMs: at, evictAtMs: at + 1_000n, issue: 7n },
      { memberId: 'e', role: 'voter', isolatedAtMs: at, evictAtMs: at + 1_000n, evictionBlocked: true, issue: 8n },
    ];
    member.script('getAvailability', message({ members, timeMs: at }));
    const { code, stdout } = await ask('availability');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^b +learner +LAGGING/m);
    expect(stdout).toMatch(/^c +voter +PERMIT_ASYNC +2026-11-22T10:00:00\.000Z/m);
    expect(stdout).toMatch(/^d +voter +PENDING_EVICTION .*10:00:00\.000Z +2026-11-22T10:00:01\.000Z +7$/m);
    expect(stdout).toMatch(/^e +voter +EVICTION_BLOCKED/m);
    const json = JSON.parse((await ask('availability', '--json')).stdout);
    expect(json).toMatchObject({ members: [{ lagging: true, asyncUntilMs: null }, {}, { issue: 7 }, {}] });
  });
});

describe('A2: quorate permit-async', () => {
  test('gives the permission, and takes it back', async () => {
    member.script('permitAsync', message({ header: { revision: 9n } }));
    expect(await ask('permit-async', 'c')).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('may acknowledge'),
    });
    expect(member.requests('permitAsync').at(-1)?.request).toMatchObject({ memberId: 'c', on: true });
    expect(await ask('permit-async', 'c', '--off')).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('waits for its fsync'),
    });
    expect(member.requests('permitAsync').at(-1)?.request).toMatchObject({ memberId: 'c', on: false });
  });

  test('shows why it is refused', async () => {
    member.script(
      'permitAsync',
      refusal({
        code: Code.FAILED_PRECONDITION,
        reason: 'AVAILABILITY_LIMIT',
        message: '2 voters besides c must be there',
      }),
    );
    const { code, stderr } = await ask('permit-async', 'c');
    expect(code).not.toBe(0);
    expect(stderr).toContain('2 voters besides c must be there');
  });
});
