/**
 * W4: two of three members have lost the same range, and the third is gone for good: nothing is elected, nothing is served, and
 * both say what happened and what can be done.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import { DATA_STREAM } from '../../../src/types/ids.ts';
import type { SimMember } from '../cluster/sim-member.ts';
import { Copies } from './copies.ts';
import { type Prepared, prepare } from './prepare.ts';

const LIMIT_US = 60_000_000;
const READS_EVERY_US = 50_000;

let prepared: Prepared;
beforeAll(async () => {
  prepared = await prepare();
});

/** A byte in the middle of what was written. */
function damage(member: SimMember): void {
  const log = member.disk.durableFiles().find(([path]) => path.startsWith('wal/'))?.[1];
  if (log === undefined) throw new Error('there is no log');
  const used = log.durableBytes().findLastIndex((byte) => byte !== 0) + 1;
  log.rot(Math.floor(used / 2), 0x10);
}

/** Asks everybody who runs, again and again. */
function askAll(copies: Copies, answers: string[]): void {
  for (const { running, id } of copies.members) {
    if (running === null) continue;
    for (const kind of ['linearizable', 'lease'] as const) {
      void running.read(DATA_STREAM, 200, { kind }).then(({ kind: outcome }) => {
        if (outcome === 'ready') answers.push(`${id} answers a ${kind} read`);
      });
    }
  }
  copies.world.after(READS_EVERY_US, null, () => askAll(copies, answers));
}

describe('W4: a majority has lost the same range', () => {
  it('and the third member is gone: nobody leads, nothing is answered, and both stop and say why', async () => {
    const copies = new Copies(prepared, [0, 1], null);
    const { world, members } = copies;
    const [m1, m2] = members as readonly [SimMember, SimMember];
    for (const member of [m1, m2]) {
      damage(member);
      member.boot();
    }
    const answers: string[] = [];
    askAll(copies, answers);
    const led: string[] = [];
    await world.run(
      LIMIT_US,
      () => copies.stopped.size === 2,
      () => {
        for (const member of members) if (member.status()?.role === 'leader') led.push(member.id);
      },
    );
    expect(world.violation).toBeNull();
    expect(led).toEqual([]);
    expect(answers).toEqual([]);
    expect(copies.refused.size).toBe(0);
    for (const member of [m1, m2]) {
      const { message } = copies.stopped.get(member) ?? new Error(`${member.id} did not stop`);
      expect(message).toContain('a majority of the members (m1, m2) has lost parts of its log');
      expect(message).toContain('quorate restore');
      // What was damaged is kept for study.
      expect(member.disk.files().some(([path]) => /^damaged-\d+-wal\//.test(path))).toBe(true);
    }
  });

  it('and the third member comes back whole: it is not elected alone, and nothing is answered', async () => {
    const copies = new Copies(prepared, [0, 1], null);
    const { world, members } = copies;
    const [m1, m2, m3] = members as readonly [SimMember, SimMember, SimMember];
    for (const member of [m1, m2]) damage(member);
    for (const member of members) member.boot();
    const answers: string[] = [];
    askAll(copies, answers);
    await world.run(
      LIMIT_US,
      () => copies.stopped.size === 2,
      () => {
        if (members.some((member) => member.status()?.role === 'leader')) copies.wrong(m3, 'there is a leader');
      },
    );
    expect(world.violation).toBeNull();
    expect(answers).toEqual([]);
    expect([...copies.stopped.keys()].map(({ id }) => id).sort()).toEqual(['m1', 'm2']);
    expect(m3.status()?.role).not.toBe('leader');
  });
});
